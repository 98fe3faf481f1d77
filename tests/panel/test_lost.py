"""A connection that goes: what is shown, and whether a request was done whose answer was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Route, expect

from asterisk_avp.core.model.world import AgentState
from tests.panel.agent_page import AgentPage
from tests.panel.office import OpenOffice

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

CONSULT = 'button[data-do=consult][data-value="agent:1002"]'


async def test_offline_is_not_live_at_once_and_online_is(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await panel.page.evaluate("dispatchEvent(new Event('offline'))")
    # Neither the server nor the socket has said anything.
    assert await panel.page.evaluate("new Promise(done => setTimeout(() => "
                                     "done(document.body.dataset.live)))") == "false"  # fmt: skip
    office.office.agent_changed("1002", state=AgentState.ACW)
    await panel.page.evaluate("dispatchEvent(new Event('online'))")
    await panel.live()


async def test_a_request_that_never_arrived_is_not_done(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await panel.knows_requests()
    office.office.call_arrives()

    async def lose(route: Route) -> None:
        if route.request.method == "POST":
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await panel.page.route("**/v1/agents/1001/transfers", lose)
    await panel.page.locator(CONSULT).click()
    await expect(panel.page.get_by_role("alert").first).to_contain_text("Not done")
    assert office.office.requests == []


async def test_a_request_whose_answer_was_lost_is_done(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()

    async def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST":
            await route.fetch()
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await panel.page.route("**/v1/agents/1001/transfers", lose_the_answer)
    await panel.page.locator(CONSULT).click()
    await expect(panel.page.locator("#say")).to_contain_text("Done")
    assert len(office.office.requests) == 1
    assert await panel.page.get_by_role("alert").count() == 0
