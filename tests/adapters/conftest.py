"""The settings for tests with random input, and daemons that can be killed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from servers.killable import Killable, Start, members
from servers.pbx import Pbx

from tests import random_input  # noqa: F401 - it loads them


@pytest.fixture
async def many_agents() -> AsyncIterator[Pbx]:
    async with Pbx(members(), personal=True, app="asterisk_avp") as pbx:
        yield pbx


@pytest.fixture
async def start(many_agents: Pbx) -> AsyncIterator[Start]:
    started: list[Killable] = []

    async def begin(**more: str) -> Killable:
        started.append(Killable(many_agents, **more))
        return started[-1]

    yield begin
    for one in started:
        await one.kill()
