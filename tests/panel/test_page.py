"""The page alone, in a real browser: signing in, lists, numbers, disabled features."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from asterisk_avp.core.model.world import AgentState, PartyView, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import (
    EVERYTHING,
    ME,
    POP,
    OpenOffice,
    consult,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]


# --- signing in ----------------------------------------------------------------------------------


@pytest.mark.smoke("panel page")
async def test_sign_in_and_out(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)
    await panel.button("Sign in").click()
    await expect(panel.page.get_by_role("alert")).to_contain_text("extension and your PIN")
    await panel.sign_in("1001", "wrong")
    await expect(panel.page.get_by_role("alert")).to_have_text(
        "There is no such agent with this PIN."
    )
    assert await panel.page.get_by_label("PIN").input_value() == ""
    await panel.page.get_by_label("PIN").fill("pin-1001")
    await panel.page.keyboard.press("Enter")
    await panel.live()
    await expect(panel.state).to_contain_text("Available")
    cookies = {found["name"]: found for found in await panel.page.context.cookies()}
    assert set(cookies) == {"avp_session", "avp_device"}
    for cookie in cookies.values():
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
    assert await panel.page.evaluate("document.cookie") == ""
    stored = await panel.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    for cookie in cookies.values():
        assert cookie["value"] not in stored
    await panel.page.reload()
    await panel.live()
    elsewhere = await open_panel(office.url)
    await elsewhere.page.locator("details[data-key=account] summary").click()
    await elsewhere.button("Sign out everywhere").click()
    for signed_out in (elsewhere, panel):
        await expect(signed_out.page.get_by_label("PIN")).to_be_visible()
        await expect(signed_out.page.locator("#own-state")).to_have_count(0)
    assert panel.console_errors == elsewhere.console_errors == []


async def test_guessing_a_pin_is_stopped(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)
    for _ in range(5):
        await panel.sign_in("1001", "guess")
        # The alert may still be that of the guess before; the page empties the field when it hears.
        await expect(panel.page.get_by_label("PIN")).to_have_value("")
        await expect(panel.page.get_by_role("alert")).to_contain_text("no such agent")
        await expect(panel.button("Sign in")).to_be_enabled()
    await panel.sign_in("1001", "pin-1001")
    await expect(panel.page.get_by_role("alert")).to_contain_text("Too many log-ins failed")


async def test_a_session_that_ends_leaves_nothing_on_the_page(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    office.auth.log_out_everywhere("1001")
    await expect(panel.page.get_by_role("status").first).to_contain_text("session is over")
    assert "Joan" not in await panel.page.content()
    await expect(panel.page.get_by_label("Extension")).to_have_value("1001")


# --- the call ------------------------------------------------------------------------------------


async def test_the_call_with_its_screen_pop(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    await expect(panel.call).to_contain_text("No call")
    offered = {"type": "pop", "agent": ME, "state": "offered", "pop": POP}
    office.office.agent_changed(ME, state=AgentState.RINGING)
    office.office.publish(offered)
    await expect(panel.call).to_contain_text("Call coming in")
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    office.office.publish(offered | {"state": "withdrawn"})
    await expect(panel.call).not_to_contain_text("Joan")
    office.office.publish(offered)
    office.office.call_arrives({})
    office.office.publish(offered | {"state": "delivered"})
    await expect(panel.call).to_contain_text("Connected")
    await expect(panel.call).to_contain_text("Waited 23 s")
    await expect(panel.call.get_by_role("definition")).to_contain_text(["Northwind Traders", "NW"])
    link = panel.call.get_by_role("link", name="customer's record")
    assert await link.get_attribute("rel") == "noopener noreferrer"
    office.office.call_ends()
    await expect(panel.state).to_contain_text("After-call work")
    await expect(panel.call).not_to_contain_text("Northwind")
    transferred = POP | {
        "note": "Late delivery",
        "transfers": [
            {"from": "1002", "from_name": "Bob Hartley", "mode": "unsupervised",
             "note": "Late delivery", "at": "2026-01-31T09:05:07.250Z"},
        ],
    }  # fmt: skip
    office.office.call_arrives(transferred)
    await expect(panel.call).to_contain_text("Late delivery")
    await expect(panel.call).to_contain_text("Note from Bob Hartley")
    assert panel.console_errors == []


async def test_what_callers_and_colleagues_write_is_text(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    evil = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
    office.office.agent_changed("1002", name=evil)
    panel = await open_panel(office.url)
    pop = {
        "id": "1",
        "data": {evil: evil, "object": {"x": evil}, "__proto__": evil},
        "caller": {"number": evil, "name": evil},
        "note": evil,
        "transfers": [{"from": evil, "from_name": evil, "mode": evil, "note": evil, "at": evil}],
        "url": "javascript:window.hurt=1",
    }
    office.office.call_arrives(pop, caller=evil)
    await expect(panel.call).to_contain_text("<script>window.hurt=1</script>")
    await expect(panel.row("agent", "1002")).to_contain_text("<img src=x")
    assert await panel.call.get_by_role("link").count() == 0
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill(evil)
    await panel.button("Transfer").click()
    await expect(panel.strips).to_contain_text("<script>")
    assert await panel.page.evaluate("window.hurt") is None
    assert await panel.page.locator("#app script, #app img[onerror]").count() == 0
    assert panel.console_errors == [], "no policy had to step in"


# --- targets -------------------------------------------------------------------------------------


async def test_states_are_live_and_buttons_wait_for_a_target(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await expect(panel.row("agent", "1002")).to_contain_text("Available")
    await expect(panel.row("agent", "1003")).to_contain_text("Waiting slot taken")
    await expect(panel.target("agent", "1003")).to_be_disabled()
    await expect(panel.target("agent", "1005")).to_have_count(0)
    await panel.button("2 not reachable").click()
    await expect(panel.target("agent", "1005")).to_be_disabled()
    await expect(panel.target("agent", "1006")).to_be_disabled()
    await expect(panel.row("group", "billing")).to_contain_text("all busy")
    office.office.agent_changed("1008", state=AgentState.AVAILABLE, since=time.time())
    await expect(panel.row("group", "billing")).to_contain_text("1 free")
    await panel.choose("agent", "1002")
    await expect(panel.button("Consult")).to_be_disabled()
    await expect(panel.page.locator("#hint")).to_contain_text("as soon as you have a call")
    office.office.call_arrives()
    await expect(panel.button("Consult")).to_be_enabled()
    await expect(panel.button("Transfer")).to_be_enabled()
    office.office.agent_changed("1002", waiting_transfer=True)
    await expect(panel.button("Transfer")).to_be_disabled()
    await expect(panel.page.locator("#hint")).to_contain_text("waiting for Bob Hartley already")
    await panel.choose("group", "support")
    await expect(panel.button("Consult")).to_be_disabled()
    await expect(panel.button("Transfer")).to_be_enabled()
    await panel.choose("preset", "warehouse")
    await expect(panel.button("Consult")).to_be_enabled()
    await expect(panel.button("Transfer")).to_be_disabled()
    office.office.call_ends()
    await expect(panel.button("Consult")).to_be_disabled()
    assert panel.console_errors == []


@pytest.mark.thorough
async def test_search_as_you_type(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    await expect(panel.page.locator(".row")).to_have_count(8)
    await panel.page.keyboard.press("/")
    await expect(panel.page.locator("#search")).to_be_focused()
    await panel.page.keyboard.type("bob h")
    await expect(panel.page.locator(".row")).to_have_count(1)
    await expect(panel.row("agent", "1002")).to_be_visible()
    await panel.page.get_by_role("searchbox").fill("war")
    await expect(panel.row("preset", "warehouse")).to_be_visible()
    await expect(panel.page.locator(".row")).to_have_count(1)
    await panel.page.get_by_role("searchbox").fill("nobody of that name")
    await expect(panel.page.get_by_text("Nobody and nothing by that name.")).to_be_visible()
    await panel.page.keyboard.press("Escape")
    await expect(panel.page.locator(".row")).to_have_count(8)


async def test_collapsed_stays_collapsed_for_the_next_call(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    fold = panel.page.get_by_role("button", name="Agent Groups 3")
    office.office.call_arrives()
    await fold.click()
    await expect(fold).to_have_attribute("aria-expanded", "false")
    await expect(panel.row("group", "support")).to_have_count(0)
    office.office.call_ends()
    office.office.call_arrives()
    await expect(fold).to_have_attribute("aria-expanded", "false")
    await panel.page.reload()
    await panel.live()
    await expect(fold).to_have_attribute("aria-expanded", "false")
    await expect(panel.row("agent", "1002")).to_be_visible()
    await fold.click()
    await expect(panel.row("group", "support")).to_be_visible()


@pytest.mark.thorough
async def test_a_number_is_judged_while_it_is_typed(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    field = panel.page.get_by_role("searchbox")
    verdict = panel.page.locator("#search-verdict")
    await panel.choose("agent", "1002")
    await field.press_sequentially("+4420")
    await expect(panel.button("Consult")).to_be_disabled()
    await expect(verdict).to_contain_text("not one complete telephone number")
    await field.press_sequentially("79460000")
    await expect(verdict).to_have_text("This number is in another country.")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(panel.button("Consult")).to_be_disabled()
    await field.fill("(202) 555-0100")
    await expect(verdict).to_have_text("Will call (202) 555-0100")
    await expect(panel.button("Consult")).to_be_enabled()
    await expect(panel.button("Transfer")).to_be_disabled()
    await field.fill("911")
    await expect(verdict).to_contain_text("Emergency")
    await expect(panel.button("Consult")).to_be_disabled()


OFF = {
    "session_transfer": ["#transfer"],
    "internal_transfer": [
        "[data-key=my_agent_groups]",
        "[data-key=agent_groups]",
        "#send",
        ".row [data-do=transfer]",
    ],
    "manual_dial": ["#search[placeholder*=number]"],
    "presets": ["[data-key=external_presets]"],
    "unsupervised_transfer": ["[data-key=agent_groups]", "#send", "[data-key=do-complete]"],
    "conference": ["[data-key=do-conference]", "[data-do=adding]"],
}
SHOWN = {selector for gone in OFF.values() for selector in gone}


@pytest.mark.parametrize(
    "off",
    [pytest.param(one, marks=() if n % 2 else pytest.mark.thorough) for n, one in enumerate(OFF)],
)
async def test_what_is_disabled_is_not_in_the_page(
    office: OpenOffice, open_panel: OpenPanel, off: str
) -> None:
    office.office.permissions = tuple(x for x in EVERYTHING if x != off)
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    present = {s for s in SHOWN if await panel.page.locator(s).count()}
    if off not in ("session_transfer", "internal_transfer"):
        await panel.choose("agent", "1002")
        await panel.button("Consult").click()
        await expect(panel.running).to_be_visible()
        present |= {s for s in SHOWN if await panel.page.locator(s).count()}
        if off == "unsupervised_transfer":
            assert "[data-key=do-complete]" not in present
        consult(office, TransferState.CONSULTING)
        await panel.party("You", "hear Bob Hartley")
        present |= {s for s in SHOWN if await panel.page.locator(s).count()}
        present -= {"[data-key=do-complete]"}  # completing a consultation is always possible
    assert present & set(OFF[off]) == set()


# --- the running transfer ------------------------------------------------------------------------


async def test_whose_phone_is_on_hold(office: OpenOffice, open_panel: OpenPanel) -> None:
    """The page says so of the party, and what can be done stays as it is."""
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING, on_hold="1002")
    await panel.party("Bob Hartley", "has put the call on hold")
    await panel.party("You", "hear music")
    await expect(panel.running).to_contain_text("Consulting with Bob Hartley")
    await expect(panel.button("To the caller")).to_be_visible()
    consult(office, TransferState.CONSULTING, on_hold=ME)
    await panel.party("You", "have put the call on hold")
    await panel.party("Bob Hartley", "hears music")
    await expect(panel.running).to_contain_text("Consulting with Bob Hartley")
    consult(office, TransferState.SWAPPED, on_hold="caller")
    await panel.party("Ms. Joan Sample", "has put the call on hold")
    await expect(panel.running).to_contain_text("On hold: Bob Hartley")
    await expect(panel.button("To Bob Hartley")).to_be_visible()
    consult(office, TransferState.CONFERENCE, on_hold="1002")
    await panel.party("You", "hear Ms. Joan Sample")
    await expect(panel.running).to_contain_text("Conference with Bob Hartley")
    assert panel.console_errors == []


async def test_who_hears_what_at_each_stage(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill("Two days late")
    await panel.button("Consult").click()
    await expect(panel.running).to_contain_text("Calling Bob Hartley")
    await expect(panel.running.get_by_role("button").first).to_be_focused()
    assert office.office.requests[-1].notes == "Two days late"
    await panel.party("You", "hear ringing")
    await panel.party("Ms. Joan Sample", "hears music")
    await panel.party("Bob Hartley", "phone rings")
    await expect(panel.running.locator(".countdown")).to_contain_text("1:2")
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")
    await panel.party("Bob Hartley", "hears you")
    await panel.button("To the caller").click()
    await panel.party("You", "hear Ms. Joan Sample")
    await panel.party("Ms. Joan Sample", "hears you")
    await panel.button("All together").click()
    await panel.party("You", "hear Ms. Joan Sample and Bob Hartley")
    consult(office, TransferState.CONSULTING)
    await panel.button("Add somebody").click()
    field = panel.page.get_by_role("searchbox")
    await expect(field).to_be_focused()
    await field.fill("+442079460000")
    await expect(panel.page.locator("#search-verdict")).to_contain_text("another country")
    await expect(panel.page.locator("[data-do=add]")).to_have_count(0)
    await field.fill("+12025550177")
    await panel.button("Add (202) 555-0177").click()
    await panel.party("(202) 555-0177", "phone rings")
    consult(
        office, TransferState.SWAPPED, PartyView("party-4", "fourth", "+12025550177", "talking")
    )
    await panel.party("Bob Hartley", "hears (202) 555-0177")
    await panel.button("Hang up (202) 555-0177").click()
    await expect(panel.running).not_to_contain_text("0177")
    await panel.button("Complete").click()
    await expect(panel.running).to_have_count(0)
    await expect(panel.history).to_contain_text("to Bob Hartley")
    await expect(panel.history).to_contain_text("Completed")
    assert panel.console_errors == []


async def test_a_refusal_is_shown_and_changes_nothing(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill("Kept")
    office.office.connected = False
    await panel.button("Transfer").click()
    await expect(panel.page.locator("#refusal")).to_contain_text("Asterisk cannot be reached")
    assert await panel.page.get_by_label("Note to the target").input_value() == "Kept"
    await expect(panel.target("agent", "1002")).to_be_checked()


# --- pause and ready -----------------------------------------------------------------------------


async def test_pause_and_ready(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    menu = panel.page.locator("details[data-key=pause] summary")
    await menu.click()
    await panel.button("Lunch").click()
    await expect(panel.state).to_contain_text("On a break: Lunch")
    await panel.button("Ready").click()
    await expect(panel.state).to_contain_text("Available")
    office.office.call_arrives()
    await expect(panel.state).to_contain_text("Talking")
    await menu.click()
    await panel.page.get_by_label("Another reason").fill("Dentist")
    await panel.page.keyboard.press("Enter")
    await expect(panel.page.get_by_text("Break after this call")).to_be_visible()
    await expect(panel.state).to_contain_text("Talking")
    assert office.office.views[ME].pause_reason == "Dentist"


async def test_a_reload_while_it_rings_keeps_the_screen_pop(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.agent_changed(ME, state=AgentState.RINGING)
    offered = {"type": "pop", "agent": ME, "state": "offered", "pop": POP}
    office.office.offered = [offered]
    office.office.publish(offered)
    await expect(panel.call).to_contain_text("4711")
    await panel.page.reload()
    await panel.page.wait_for_selector("body[data-live=true]")
    await expect(panel.call).to_contain_text("4711")
    # Withdrawn while the page was being loaded once more.
    office.office.offered = []
    await panel.page.reload()
    await panel.page.wait_for_selector("body[data-live=true]")
    await expect(panel.state).to_contain_text("Ringing")
    await expect(panel.call).not_to_contain_text("4711")


@pytest.mark.thorough
async def test_how_a_transfer_ended_stays_until_the_next_call(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """The agent has the call from the end of the transfer on, whatever else is told of them."""
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.button("Consult").click()
    await panel.button("Back to the caller").wait_for()
    office.office.becomes(TransferState.CANCELLED, ended_reason="cancelled")
    office.office.agent_changed(ME, paused=True)
    await expect(panel.page.get_by_text("Break after this call")).to_be_visible()
    await expect(panel.call).to_contain_text(": cancelled.")
    office.office.call_ends()
    await expect(panel.state).not_to_contain_text("Talking")
    office.office.call_arrives()
    await expect(panel.state).to_contain_text("Talking")
    await expect(panel.call).not_to_contain_text(": cancelled.")
