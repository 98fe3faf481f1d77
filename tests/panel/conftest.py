"""Fixtures for the panel in a real browser: one Chromium for all, a new profile for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser

# A phone that crashes says nothing about the panel either: such a test is run once more.
from tests.asterisk.conftest import pytest_runtest_protocol  # noqa: F401 - a hook of pytest's
from tests.panel.agent_page import AgentPage
from tests.panel.browser import chromium
from tests.panel.office import OpenOffice, open_office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def office() -> AsyncIterator[OpenOffice]:
    async with open_office() as opened:
        yield opened


class OpenPanel:
    """Opens panels, each in its own browser profile."""

    def __init__(self, browser: Browser, stack: AsyncExitStack) -> None:
        self._browser = browser
        self._stack = stack

    async def __call__(self, url: str, agent: str | None = "1001", **options: Any) -> AgentPage:
        """A page on ``url``, signed in as ``agent`` unless that is None."""
        wanted = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        context = await self._browser.new_context(**wanted)
        self._stack.push_async_callback(context.close)
        panel = AgentPage(await context.new_page(), url)
        await panel.open()
        if agent is not None:
            await panel.sign_in(agent)
        return panel


@pytest_asyncio.fixture(loop_scope="session")
async def open_panel(browser: Browser) -> AsyncIterator[OpenPanel]:
    async with AsyncExitStack() as stack:
        opener = OpenPanel(browser, stack)
        yield opener
