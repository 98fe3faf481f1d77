"""Requests whose answer is lost: the page finds out, and says, whether they were done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Locator, Route, expect

from asterisk_avp.core.model.world import PartyView, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import OpenOffice, consult

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

DONE = "Done. The connection was lost for a moment."
NOT_DONE = "Not done: the connection was lost before the server got it. Please try again."


async def unanswered(panel: AgentPage, path: str, reaches: bool, proxy: bool = False) -> None:
    """The next request to that path gets no answer, or a proxy's that has none from the server."""
    await panel.knows_requests()

    async def lose(route: Route) -> None:
        if reaches:
            await route.fetch()
        if proxy:
            await route.fulfill(status=502, body="<h1>Bad Gateway</h1>")
        else:
            await route.abort("connectionreset")

    await panel.page.route(path, lose, times=1)


def alert(panel: AgentPage) -> Locator:
    return panel.page.locator("#app").get_by_role("alert")


async def told(panel: AgentPage, done: bool) -> None:
    await expect(panel.page.locator("#say") if done else alert(panel)).to_have_text(
        DONE if done else NOT_DONE
    )


@pytest.mark.parametrize("proxy", [False, True])
async def test_a_transfer_that_was_not_begun_is_still_prepared(
    office: OpenOffice, open_panel: OpenPanel, proxy: bool
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill("Order 88")
    await unanswered(panel, "**/v1/agents/1001/transfers", reaches=False, proxy=proxy)
    await panel.button("Consult").click()
    await expect(alert(panel)).to_have_text(NOT_DONE)
    await expect(panel.target("agent", "1002")).to_be_checked()
    await expect(panel.page.get_by_label("Note to the target")).to_have_value("Order 88")
    assert not office.office.requests
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    await expect(alert(panel)).to_have_count(0)
    assert len(office.office.requests) == 1


async def test_a_transfer_that_was_begun_is_not_begun_again(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await unanswered(panel, "**/v1/agents/1001/transfers", reaches=True)
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    await expect(panel.page.locator("#say")).to_have_text(DONE)
    await expect(alert(panel)).to_have_count(0)
    assert len(office.office.requests) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("reaches", [True, pytest.param(False, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("command", "before"),
    [
        ("complete", TransferState.CONSULTING),
        ("cancel", TransferState.CONSULTING),
        ("swap", TransferState.CONSULTING),
        ("conference", TransferState.CONSULTING),
        pytest.param("conference", TransferState.SWAPPED, marks=pytest.mark.thorough),
    ],
)
async def test_each_command(
    office: OpenOffice, open_panel: OpenPanel, command: str, before: TransferState, reaches: bool
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    consult(office, before)
    await expect(panel.page.locator("[data-value=conference]")).to_be_visible()
    await unanswered(panel, f"**/v1/transfers/t1/{command}", reaches)
    await panel.page.locator(f"#bar [data-value={command}]").click()
    await told(panel, reaches)


@pytest.mark.parametrize("reaches", [True, False])
@pytest.mark.thorough
async def test_hanging_up_a_party(office: OpenOffice, open_panel: OpenPanel, reaches: bool) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    fourth = PartyView("party-4", "fourth", "+12025550177", "talking")
    consult(office, TransferState.CONSULTING, fourth)
    await unanswered(panel, "**/v1/transfers/t1/parties/*", reaches)
    await panel.page.locator("button[data-do=drop][data-value=party-4]").click()
    await told(panel, reaches)


async def test_nothing_is_known_until_the_server_answers(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """The buttons wait meanwhile, so that nothing is done twice."""
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await expect(panel.button("Consult")).to_be_enabled()
    await panel.knows_requests()
    await panel.page.route("**/v1/**", lambda route: route.abort("connectionreset"))
    await panel.button("Consult").click()
    await expect(panel.button("Consult")).to_be_disabled()
    await panel.page.unroute_all()
    await expect(alert(panel)).to_have_text(NOT_DONE)
    await expect(panel.button("Consult")).to_be_enabled()


async def test_a_session_that_ends_meanwhile_leaves_nothing(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.page.route("**/v1/**", lambda route: route.abort("connectionreset"))
    await panel.button("Consult").click()
    await expect(panel.button("Consult")).to_be_disabled()
    office.auth.log_out_everywhere("1001")
    await expect(panel.page.get_by_label("PIN")).to_be_focused()
    await panel.page.unroute_all()
    await panel.page.get_by_label("PIN").fill("pin-1001")
    await panel.page.keyboard.press("Enter")
    await panel.live()
    await panel.choose("agent", "1002")
    await expect(panel.button("Consult")).to_be_enabled()
    await expect(alert(panel)).to_have_count(0)
