"""Fixtures for the panel in a real browser: one Chromium for all, a fresh profile for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser

# A phone that crashes says nothing about the panel either: such a test is run once more.
from tests.asterisk.conftest import pytest_runtest_protocol  # noqa: F401 - a hook of pytest's
from tests.panel.browser import chromium
from tests.panel.desk import Desk
from tests.panel.office import OpenOffice, open_office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def office() -> AsyncIterator[OpenOffice]:
    async with open_office() as opened:
        yield opened


class Desks:
    """Opens panels, each in a browser profile of its own."""

    def __init__(self, browser: Browser, stack: AsyncExitStack) -> None:
        self._browser = browser
        self._stack = stack

    async def __call__(self, url: str, agent: str | None = "1001", **options: Any) -> Desk:
        """A page on ``url``, signed in as ``agent`` unless that is None."""
        wanted = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        context = await self._browser.new_context(**wanted)
        self._stack.push_async_callback(context.close)
        desk = Desk(await context.new_page(), url)
        await desk.open()
        if agent is not None:
            await desk.sign_in(agent)
        return desk


@pytest_asyncio.fixture(loop_scope="session")
async def desks(browser: Browser) -> AsyncIterator[Desks]:
    async with AsyncExitStack() as stack:
        opener = Desks(browser, stack)
        yield opener
