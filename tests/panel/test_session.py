"""Signing out, and two agents in one browser: who left leaves nothing, and is told the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bed.deadlines import deadline
from playwright.async_api import Page, Route, expect

from asterisk_avp.core.model.world import TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, ME, OpenOffice, consult

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

OF_THE_CALLER = ("Joan", "Northwind", "NW-20417", "5550143", "555 0143", "Delivery is late")

# Everything that a page holds: markup, what is typed, title, storage, and what its modules keep.
EVERYTHING_HELD = """async () => {
  const seen = new Set();
  const plain = (value) => {
    if (value instanceof Map) return [...value].map(plain);
    if (value instanceof Set) return [...value].map(plain);
    if (value instanceof Node || typeof value === "function") return null;
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return null;
    seen.add(value);
    return Object.entries(Object.getOwnPropertyDescriptors(value))
      .map(([name, field]) => [name, "value" in field ? plain(field.value) : null]);
  };
  const modules = {};
  const urls = new Set(performance.getEntriesByType("resource").map(({ name }) => name)
    .filter((name) => /\\/panel\\/.*\\.js$/.test(new URL(name).pathname) && !/main/.test(name)));
  for (const url of urls) {
    modules[url] = Object.entries(await import(url)).map(([name, value]) => [name, plain(value)]);
  }
  const typed = [...document.querySelectorAll("input, textarea, select")]
    .map((field) => [field.id, field.value]);
  return JSON.stringify([document.documentElement.outerHTML, document.title, typed,
    { ...localStorage }, { ...sessionStorage }, modules, location.href, history.state]);
}"""


async def held(page: Page) -> str:
    return str(await page.evaluate(EVERYTHING_HELD))


async def in_a_consultation(office: OpenOffice, panel: AgentPage) -> None:
    """The page knows a caller in every way in which it can."""
    office.office.past("old", "1002", 600, TransferState.COMPLETED, "completed", caller=CALLER)
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill("Delivery is late")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")
    here = await held(panel.page)
    for known in ("Joan", "Northwind", "NW-20417"):
        assert known in here


async def nothing_of_the_caller(page: Page) -> None:
    await expect(page.locator("#own-state")).to_have_count(0)
    left = await held(page)
    for text in OF_THE_CALLER:
        assert text not in left, left[max(0, left.find(text) - 300) :][:600]


async def sign_out(panel: AgentPage, where: str = "Sign out") -> None:
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.button(where).click()


@pytest.mark.parametrize("where", ["Sign out", "Sign out everywhere"])
async def test_signed_out_means_signed_out_and_leaves_nothing(
    office: OpenOffice, open_panel: OpenPanel, where: str
) -> None:
    panel = await open_panel(office.url)
    await in_a_consultation(office, panel)
    await sign_out(panel, where)
    said = "You are signed out." if where == "Sign out" else "You are signed out everywhere."
    await expect(panel.page.get_by_role("status").first).to_have_text(said)
    await nothing_of_the_caller(panel.page)
    assert await panel.page.title() == "Agent panel"
    await expect(panel.page.get_by_label("PIN")).to_be_focused()
    await panel.page.reload()
    await expect(panel.page.get_by_label("PIN")).to_be_visible()
    assert panel.console_errors == []


class Unreachable:
    """A server that fails the sign-out in some way, until told otherwise."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.asked = 0
        self._more = asyncio.Event()

    async def was_asked(self, times: int) -> None:
        """Wait until it has been asked so often, and no more than that."""
        async with asyncio.timeout(deadline(5.0) - time.monotonic()):
            while self.asked < times:
                self._more.clear()
                await self._more.wait()
        assert self.asked == times

    async def __call__(self, route: Route) -> None:
        if route.request.method != "DELETE" or not self.how:
            await route.continue_()
            return
        self.asked += 1
        self._more.set()
        if self.how == "no answer":
            await route.abort()
        elif self.how == "broken":
            await route.fulfill(status=502, body="<h1>Bad gateway</h1>")
        else:
            await route.fulfill(status=403, json={"error": "cross_site", "message": "Not yours."})


@pytest.mark.parametrize(
    "how",
    ["refused", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("no answer", "broken"))],
)
async def test_a_sign_out_that_is_none_says_so_and_can_be_tried_again(
    office: OpenOffice, open_panel: OpenPanel, how: str
) -> None:
    panel = await open_panel(office.url)
    await in_a_consultation(office, panel)
    server = Unreachable(how)
    await panel.page.route("**/v1/session*", server)
    await sign_out(panel)
    alert = panel.page.get_by_role("alert")
    await expect(alert).to_contain_text("You are not signed out.")
    await expect(alert).to_contain_text("open the panel as 1001")
    assert "You are signed out" not in await panel.page.content()
    await nothing_of_the_caller(panel.page)
    await server.was_asked(1)
    await panel.button("Sign out again").click()
    await server.was_asked(2)
    await expect(panel.button("Sign out again")).to_be_enabled()
    await expect(alert).to_contain_text("You are not signed out.")
    # A reload does not bring back what they wanted to leave.
    await panel.page.reload()
    await expect(alert).to_contain_text("You are not signed out.")
    await nothing_of_the_caller(panel.page)
    server.how = ""
    await panel.button("Sign out again").click()
    await expect(panel.page.get_by_role("status").first).to_have_text("You are signed out.")
    await panel.page.reload()
    await expect(panel.page.get_by_label("PIN")).to_be_visible()
    await nothing_of_the_caller(panel.page)
    await panel.sign_in("1001")
    assert [x for x in panel.console_errors if "Failed to load resource" not in x] == []


async def test_a_sign_out_while_the_server_is_away(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await in_a_consultation(office, panel)
    await office.server.stop()
    await panel.not_live()
    await sign_out(panel)
    await expect(panel.page.get_by_role("alert")).to_contain_text("You are not signed out.")
    await nothing_of_the_caller(panel.page)
    await office.start_again()
    await panel.button("Sign out again").click()
    await expect(panel.page.get_by_role("status").first).to_have_text("You are signed out.")
    await panel.page.reload()
    await expect(panel.page.get_by_label("PIN")).to_be_visible()


async def test_who_was_signed_out_before_is_told_what_is_not_known(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)

    async def gone(route: Route) -> None:
        await route.fulfill(status=401, json={"error": "unauthorized", "message": "No."})

    await panel.page.route("**/v1/sessions", gone)
    await sign_out(panel, "Sign out everywhere")
    said = panel.page.get_by_role("status").first
    await expect(said).to_contain_text("signed out here")
    await expect(said).to_contain_text("may still be signed in as you")


async def test_an_answer_that_comes_after_they_left_is_nobodys(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    held_back: list[Route] = []
    called = panel.page.expect_request("**/v1/agents/1001/transfers")

    async def late(route: Route) -> None:
        held_back.append(route)

    await panel.page.route("**/v1/agents/1001/transfers", late)
    async with called:
        await panel.page.evaluate("window.dispatchEvent(new Event('offline'))")
        office.office.past("p", "1002", 60, TransferState.COMPLETED, "completed", caller=CALLER)
        office.office.becomes(TransferState.COMPLETED, "p", ended_reason="completed")
    await sign_out(panel)
    await expect(panel.page.get_by_role("status").first).to_have_text("You are signed out.")
    for route in held_back:
        await route.continue_()
    await panel.sign_in("1003")
    await panel.live()
    for text in OF_THE_CALLER:
        assert text not in await held(panel.page)


# --- two agents in one browser -------------------------------------------------------------------


async def second_tab(panel: AgentPage) -> AgentPage:
    tab = AgentPage(await panel.page.context.new_page(), panel.url)
    await tab.open()
    return tab


async def as_another(panel: AgentPage, agent: str = "1003") -> AgentPage:
    """Another agent signs in in a second tab of the same browser."""
    tab = await second_tab(panel)
    await tab.live()
    await sign_out(tab)
    await tab.sign_in(agent)
    return tab


async def test_the_older_tab_leaves_when_another_agent_signs_in(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await in_a_consultation(office, panel)
    tab = await as_another(panel)
    await expect(panel.page.get_by_label("PIN")).to_be_visible()
    await nothing_of_the_caller(panel.page)
    await expect(tab.state).to_be_visible()
    await panel.page.reload()
    await panel.live()
    await expect(panel.page.get_by_text("Carol Nwosu").first).to_be_visible()


MUTE = "BroadcastChannel.prototype.postMessage = () => {}"


async def test_without_a_word_between_tabs_the_server_refuses(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """The older tab is frozen while the cookie changes, and then acts."""
    panel = await open_panel(office.url)
    await in_a_consultation(office, panel)
    # The cookie becomes another agent's, and the older tab's stream stays as it is.
    token = await office.auth.login("1003", "pin-1003", "192.0.2.9")
    cookies: Any = [{"name": "avp_session", "value": token, "url": office.url}]
    await panel.page.context.add_cookies(cookies)
    transfers = dict(office.office.known)
    async with panel.page.expect_response("**/v1/transfers/t1/*") as answer:
        await panel.page.locator("button[data-value=complete]").click()
    refused = await answer.value
    assert refused.status == 403
    assert (await refused.json())["error"] == "other_agent"
    assert office.office.known == transfers, "nothing was done"
    await expect(panel.page.get_by_role("status").first).to_contain_text("Another agent")
    await nothing_of_the_caller(panel.page)


async def test_the_older_tab_gets_no_stream_of_the_other_agents(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await in_a_consultation(office, panel)
    token = await office.auth.login("1003", "pin-1003", "192.0.2.9")
    cookies: Any = [{"name": "avp_session", "value": token, "url": office.url}]
    await panel.page.context.add_cookies(cookies)
    await office.restart()
    await expect(panel.page.get_by_role("status").first).to_contain_text("Another agent")
    await nothing_of_the_caller(panel.page)


async def test_the_same_agent_in_another_tab_disturbs_nobody(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    tab = await second_tab(panel)
    await tab.live()
    # They sign in once more, which ends the log-in that both tabs had.
    async with panel.page.expect_websocket():
        await tab.page.evaluate(
            """fetch("/v1/session", {
                method: "POST",
                headers: { "X-AVP-Panel": "1", "Content-Type": "application/json" },
                body: JSON.stringify({ agent: "1001", pin: "pin-1001" }),
            })"""
        )
    await panel.live()
    await tab.live()
    office.office.call_arrives()
    for page in (panel, tab):
        await expect(page.call).to_contain_text("Ms. Joan Sample")
    await sign_out(tab)
    await expect(panel.page.get_by_role("status").first).to_have_text("You are signed out.")
    for page in (panel, tab):
        await nothing_of_the_caller(page.page)


async def test_a_stream_that_is_always_refused_ends_the_session(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, None)
    await panel.page.route_web_socket(
        "**/v1/events*", lambda socket: socket.close(code=4401, reason="no")
    )
    await panel.sign_in(ME, f"pin-{ME}")
    await expect(panel.page.get_by_role("status").first).to_contain_text("session is over")
