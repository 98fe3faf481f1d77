"""A short day at the panel: `tests/run day` has the long one."""

from __future__ import annotations

import pytest
from bed import Bed, backend_named
from playwright.async_api import Browser

from tests.panel.day.calls import a_day
from tests.panel.day.desk import world

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

CALLS = 10
SEED = 2


@pytest.mark.thorough
@pytest.mark.slow
async def test_page_and_api_agree_after_each_step_of_a_day(browser: Browser) -> None:
    async with Bed(world(), backend=backend_named(None)) as bed:
        await bed.start_daemon()
        async with a_day(browser, bed, CALLS, SEED) as day:
            await day.work(CALLS)
            assert day.desk.judge.compared > 5 * CALLS
