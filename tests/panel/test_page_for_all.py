"""The page under difficulties: lost connections, accessibility, keyboard, other origins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from asterisk_avp.api.broadcast import readiness_event
from asterisk_avp.core.model.world import AgentState, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import (
    ME,
    POP,
    OpenOffice,
    consult,
    open_office,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


# --- stale data ----------------------------------------------------------------------------------


async def test_it_comes_back_by_itself_and_is_never_stale(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await expect(panel.button("Transfer")).to_be_enabled()
    await office.server.stop()
    await panel.not_live()
    await expect(panel.page.get_by_role("alert")).to_contain_text("No connection to the server")
    await expect(panel.page.get_by_role("alert")).to_contain_text("as it was at")
    await expect(panel.call).to_contain_text("Not current")
    await expect(panel.button("Transfer")).to_be_disabled()
    await expect(panel.button("Pause")).to_have_count(0)
    office.office.agent_changed("1002", state=AgentState.TALKING)
    await office.start_again()
    await panel.live()
    await expect(panel.row("agent", "1002")).to_contain_text("Talking")
    await expect(panel.page.get_by_role("alert")).to_have_count(0)
    await expect(panel.button("Transfer")).to_be_enabled()


async def test_no_telephone_system_is_not_live_either(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.connected = False
    office.office.publish(readiness_event(office.office.readiness()))
    await panel.not_live()
    await expect(panel.page.get_by_role("alert")).to_contain_text("telephone system")
    office.office.connected = True
    office.office.publish(readiness_event(office.office.readiness()))
    await panel.live()


@pytest.mark.thorough
async def test_a_connection_that_went_silent_is_not_live(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """A broken network path closes no connection: the page notices that it receives nothing."""
    panel = await open_panel(office.url, None)
    await panel.page.clock.install()
    await panel.page.reload()
    await panel.page.evaluate(
        """() => {
            window.WebSocket = class extends WebSocket {
                set onmessage(hear) { super.onmessage = (e) => window.silent || hear(e) }
            }
        }"""
    )
    await panel.sign_in("1001")
    await panel.page.evaluate("window.silent = true")
    await panel.page.clock.fast_forward(40_000)
    await panel.not_live()
    await panel.page.evaluate("window.silent = false")
    await panel.page.clock.run_for(20_000)
    await panel.live()


# --- accessibility -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "device"),
    [
        pytest.param("dark", {}, id="dark-laptop", marks=pytest.mark.thorough),
        pytest.param("light", PHONE, id="light-phone"),
        pytest.param("light", {}, id="light-laptop", marks=pytest.mark.thorough),
        pytest.param("dark", PHONE, id="dark-phone", marks=pytest.mark.thorough),
    ],
)
async def test_accessible(
    office: OpenOffice, open_panel: OpenPanel, look: str, device: dict[str, object]
) -> None:
    panel = await open_panel(office.url, None, color_scheme=look, reduced_motion="reduce", **device)
    assert await panel.inaccessible() == []
    await panel.sign_in("1001")
    office.office.past("p1", "1002", 60, TransferState.COMPLETED, "completed")
    await expect(panel.history).to_contain_text("Completed")
    assert await panel.inaccessible() == []
    office.office.call_arrives(POP | {"note": "Late", "transfers": [{"from_name": "Bob"}]})
    await panel.choose("agent", "1002")
    await panel.page.get_by_role("searchbox").fill("+4420")
    await expect(panel.page.locator("#search-verdict")).to_contain_text("not one complete")
    assert await panel.inaccessible() == []
    await panel.page.get_by_role("searchbox").fill("")
    await panel.choose("agent", "1002")
    await panel.page.locator("details[data-key=pause] summary").click()
    assert await panel.inaccessible() == []
    await panel.page.keyboard.press("Escape")
    await panel.page.locator("details[data-key=account] summary").click()
    assert await panel.inaccessible() == []
    await panel.page.keyboard.press("Escape")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    assert await panel.inaccessible() == []
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")
    assert await panel.inaccessible() == []
    await panel.button("Add somebody").click()
    await expect(panel.button("Add Carol Nwosu")).to_be_visible()
    assert await panel.inaccessible() == []
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await panel.page.evaluate(wide) <= 0, "the page must not scroll sideways"
    await office.server.stop()
    await panel.not_live()
    assert await panel.inaccessible() == []
    assert panel.console_errors == []


@pytest.mark.thorough
async def test_by_keyboard_alone(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)
    keys = panel.page.keyboard
    await expect(panel.page.get_by_label("Extension")).to_be_focused()
    await keys.type("1001")
    await keys.press("Tab")
    await keys.type("pin-1001")
    await keys.press("Enter")
    await panel.live()
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    await expect(panel.page.locator(".row")).to_have_count(8)
    await keys.press("/")
    await expect(panel.page.locator("#search")).to_be_focused()
    await keys.type("bob")
    await expect(panel.page.locator(".row")).to_have_count(1)
    await keys.press("ArrowDown")
    await expect(panel.target("agent", "1002")).to_be_focused()
    await keys.press("Space")
    await expect(panel.target("agent", "1002")).to_be_checked()
    chosen = panel.page.locator(".row.chosen").filter(has=panel.target("agent", "1002"))
    await expect(chosen).to_have_count(1)  # drawn, so that Tab reaches its buttons
    await keys.press("Tab")
    await expect(panel.button("Keep Bob Hartley at the top")).to_be_focused()
    await keys.press("Tab")
    await expect(panel.button("Consult Bob Hartley")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.type("By keyboard")
    await keys.press("Tab")
    await expect(panel.button("Consult")).to_be_focused()
    await keys.press("Enter")
    await expect(panel.running.get_by_role("button").first).to_be_focused()
    assert office.office.requests[-1].notes == "By keyboard"
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")
    await expect(panel.button("Complete")).to_be_focused()
    await keys.press("Enter")
    await expect(panel.running).to_have_count(0)


async def test_what_is_typed_survives_whatever_happens(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    note = panel.page.get_by_label("Note to the target")
    await note.focus()
    for letter in "unhurried":
        await panel.page.keyboard.type(letter)
        state = AgentState.TALKING if letter in "aeiou" else AgentState.AVAILABLE
        office.office.agent_changed("1002", state=state, since=time.time())
        await asyncio.sleep(0)  # the server's loop is this one
    await expect(note).to_have_value("unhurried")
    await expect(note).to_be_focused()


async def test_a_page_of_another_origin_gets_nothing(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """Another port is the same site, so the browser sends the cookie. The server must refuse."""
    panel = await open_panel(office.url)
    other = await panel.page.context.new_page()
    async with open_office() as elsewhere:
        await other.goto(elsewhere.url + "/healthz")  # this page has no CSP
        closed = await other.evaluate(
            """url => new Promise(done => {
                const socket = new WebSocket(url.replace("http", "ws") + "/v1/events");
                socket.onmessage = () => done("heard");
                socket.onclose = event => done(event.code);
            })""",
            office.url,
        )
        assert closed == 1006, "refused before it was open"
        for method, mode in (("POST", "no-cors"), ("POST", "cors"), ("DELETE", "cors")):
            await other.evaluate(
                """([url, method, mode]) => fetch(url + "/v1/agents/1001/pause",
                    {method, mode, credentials: "include"}).catch(() => null)""",
                [office.url, method, mode],
            )
    assert not office.office.views[ME].paused
    await panel.live()


async def test_the_appearance_is_this_browsers_whoever_signs_in(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    root = panel.page.locator("html")
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.page.get_by_label("Dark").check()
    await expect(root).to_have_attribute("data-theme", "dark")
    await panel.page.reload()
    await panel.live()
    await expect(root).to_have_attribute("data-theme", "dark")
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.button("Sign out").click()
    await panel.sign_in("1002")
    await panel.page.reload()
    await panel.live()
    await expect(root).to_have_attribute("data-theme", "dark")
