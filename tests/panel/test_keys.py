"""Every flow by keyboard alone: the shortcuts, their list, and where the focus goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, Route, expect

from asterisk_avp.core.model.world import AgentState, PartyView, TargetKind, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import ME, OpenOffice, consult
from tests.panel.walk import SETTLED

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

FOURTH = PartyView("party-4", "fourth", "+12125550199", "talking")

TAKEN = {*"ABDFIMT"}
"""Letters that Chromium, Edge or Windows use with Alt+Shift."""


async def focused(page: Page) -> str:
    """The text of what has the focus, or its id."""
    return await page.evaluate(
        "() => { const e = document.activeElement; return e.innerText.trim() || e.id || e.tagName }"
    )


async def calling(office: OpenOffice, open_panel: OpenPanel) -> AgentPage:
    """Signed in, with a call."""
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    return panel


async def consulting(office: OpenOffice, open_panel: OpenPanel) -> AgentPage:
    """As above; Bob has been called by keyboard and talks."""
    panel = await calling(office, open_panel)
    await search(panel, "bob")
    await panel.page.keyboard.press("Alt+Shift+L")
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")
    return panel


async def search(panel: AgentPage, typed: str) -> None:
    """Search for a target, and choose it."""
    keys = panel.page.keyboard
    await keys.press("/")
    await expect(panel.page.locator("#search")).to_be_focused()
    await keys.type(typed)
    await expect(panel.page.locator("[data-first=true]")).to_have_count(1)
    await panel.page.evaluate(SETTLED)  # the hits of all that was typed
    await keys.press("ArrowDown")
    await keys.press("Space")


async def test_the_search_is_found_as_soon_as_it_is_there(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """Pressed before the page has heard that the transfer is over, or has its targets."""
    panel = await consulting(office, open_panel)
    field = panel.page.locator("#search")
    await expect(field).to_have_count(0)
    press = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))"
    await panel.page.evaluate(press)
    office.office.becomes(TransferState.FAILED, "t1", ended_reason="target_hangup")
    await expect(field).to_be_focused()
    await expect(panel.page.locator(".told")).to_have_count(0)
    gate = asyncio.Event()

    async def late(route: Route) -> None:
        await gate.wait()
        await route.continue_()

    await panel.page.route("**/targets", late)
    await panel.page.reload()
    await panel.live()
    await expect(field).to_have_count(0)
    await panel.page.evaluate(press)
    gate.set()
    await expect(field).to_be_focused()
    await expect(panel.page.locator(".told")).to_have_count(0)


async def test_a_late_answer_leaves_what_has_been_chosen_since(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """The transfer is over before the request that began it is answered."""
    panel = await calling(office, open_panel)
    page, done, gate = panel.page, asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
            return
        answer = await route.fetch()
        done.set()
        await gate.wait()
        await route.fulfill(response=answer)

    await page.route("**/v1/agents/*/transfers", late)
    await search(panel, "bob")
    await page.keyboard.press("Alt+Shift+L")
    await done.wait()
    office.office.becomes(TransferState.CANCELLED, "t1", ended_reason="target_hangup")
    await expect(panel.running).to_have_count(0)
    note = page.get_by_label("Note to the target")
    await page.locator("input[name=target][value='agent:1004']").check()
    await note.fill("For the next one")
    gate.set()
    await expect(
        page.locator(".row.chosen[data-key='agent:1004'] [data-do=consult]")
    ).to_be_enabled()
    await expect(note).to_have_value("For the next one")


# --- the list --------------------------------------------------------------------------------


async def test_the_list_is_a_dialog(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await calling(office, open_panel)
    keys, dialog = panel.page.keyboard, panel.page.get_by_role("dialog")
    summary = panel.page.locator("details[data-key=pause] > summary")
    await summary.focus()
    await keys.press("?")
    await expect(dialog).to_be_visible()
    await expect(dialog).to_have_accessible_name("Keyboard shortcuts")
    await expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    assert await panel.inaccessible() == []
    for way in ("Tab", "Shift+Tab"):
        for _ in range(7):
            await keys.press(way)
            assert await panel.page.evaluate("document.activeElement.closest('dialog') !== null")
    await keys.press("Alt+Shift+P")  # nothing behind it
    await expect(panel.page.locator("details[open]")).to_have_count(0)
    office.office.agent_changed(ME, since=1.0)  # drawing the page again does not touch it
    await expect(dialog).to_be_visible()
    await keys.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(summary).to_be_focused()
    await keys.press("?")
    await keys.press("Shift+Tab")
    await keys.press("Tab")
    await keys.press("Enter")  # Close
    await expect(dialog).to_have_count(0)
    assert panel.console_errors == []


async def test_the_list_has_each_shortcut_once_and_none_of_the_browsers(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await calling(office, open_panel)
    await panel.page.keyboard.press("?")
    await expect(panel.page.get_by_role("dialog")).to_be_visible()
    keys = await panel.page.locator("dialog dt").all_inner_texts()
    assert len(keys) == len(set(keys)) > 12
    for key in keys:
        if key in {"?", "/", "Enter", "Alt+Enter", "Esc"}:
            continue
        prefix, _, letter = key.rpartition("+")
        assert (prefix, len(letter)) == ("Alt+Shift", 1), key
        assert letter.isupper() or letter.isdigit()
        assert letter not in TAKEN
    # What is on a control is in the list.
    shown = await panel.page.evaluate(
        "[...document.querySelectorAll('[aria-keyshortcuts]')].map(e => e.ariaKeyShortcuts)"
    )
    assert set(shown) <= set(keys)
    assert len(shown) == len(set(shown))


async def test_the_list_closes_when_the_agent_is_signed_out(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await calling(office, open_panel)
    await panel.page.keyboard.press("?")
    await expect(panel.page.get_by_role("dialog")).to_be_visible()
    office.auth.log_out_everywhere(ME)
    await expect(panel.page.locator("#extension")).to_be_visible()
    await expect(panel.page.get_by_role("dialog")).to_have_count(0)


# --- no shortcuts where keys are text ------------------------------------------------------------


@pytest.mark.parametrize("field", ["#note", pytest.param("#search", marks=pytest.mark.thorough)])
async def test_no_shortcut_while_typing(
    office: OpenOffice, open_panel: OpenPanel, field: str
) -> None:
    panel = await calling(office, open_panel)
    keys = panel.page.keyboard
    await panel.choose("agent", "1002")
    await panel.page.locator(field).focus()
    for key in ("?", "/", "Alt+Shift+L", "Alt+Shift+H", "Alt+Shift+P"):
        await keys.press(key)
    await expect(panel.page.locator(field)).to_be_focused()
    await expect(panel.page.locator(field)).to_have_value("?/")
    await expect(panel.page.get_by_role("dialog")).to_have_count(0)
    assert office.office.requests == []
    # Escape empties a search, and leaves the field.
    await keys.press("Escape")
    if field == "#search":
        await expect(panel.page.locator(field)).to_have_value("")
        await expect(panel.page.locator(field)).to_be_focused()
        await keys.press("Escape")
    await expect(panel.page.locator(field)).not_to_be_focused()
    office.office.agent_changed(ME, since=1.0)  # and drawing the page does not go back to it
    await keys.press("?")
    await expect(panel.page.get_by_role("dialog")).to_be_visible()
    if field == "#note":
        await keys.press("Escape")
        await expect(panel.page.locator(field)).to_have_value("?/")


async def test_what_is_not_possible_now_is_said(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    await panel.page.keyboard.press("Alt+Shift+C")
    for place in ("#say", ".told"):
        await expect(panel.page.locator(place)).to_have_text(
            "Not possible now: Complete the transfer"
        )


async def test_nothing_before_the_sign_in(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)
    await panel.page.get_by_role("button", name="Sign in").focus()
    for key in ("?", "/", "Alt+Shift+P"):
        await panel.page.keyboard.press(key)
    await expect(panel.page.get_by_role("dialog")).to_have_count(0)
    assert panel.console_errors == []


async def test_other_alphabets(office: OpenOffice, open_panel: OpenPanel) -> None:
    """On a Greek or Mac keyboard the same key types no Latin letter."""
    panel = await open_panel(office.url)
    await panel.page.evaluate(
        """() => document.body.dispatchEvent(new KeyboardEvent("keydown", {
            key: "Π", code: "KeyP", altKey: true, shiftKey: true, bubbles: true }))"""
    )
    await expect(panel.page.locator("details[data-key=pause]")).to_have_attribute("open", "")


# --- the flows -----------------------------------------------------------------------------------


async def test_sign_in_pause_ready_sign_out(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)
    keys = panel.page.keyboard
    await expect(panel.page.locator("#extension")).to_be_focused()
    await keys.type("1001")
    await keys.press("Tab")
    await keys.type("pin-1001")
    await keys.press("Enter")
    await panel.live()
    await keys.press("Alt+Shift+P")
    await expect(panel.button("Break")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(panel.state).to_contain_text("Lunch")
    await expect(panel.button("Ready")).to_be_focused()
    await expect(panel.button("Ready")).to_have_attribute("aria-keyshortcuts", "Alt+Shift+R")
    await keys.press("Alt+Shift+R")
    await expect(panel.state).to_contain_text("Available")
    await expect(panel.page.locator("details[data-key=pause] > summary")).to_be_focused()
    await keys.press("Alt+Shift+Q")
    while await focused(panel.page) != "Sign out":
        await keys.press("Tab")
    await keys.press("Enter")
    await expect(panel.page.locator("#pin")).to_be_focused()


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("bob", TargetKind.AGENT, "1002"),
        pytest.param(*("courier", TargetKind.PRESET, "courier"), marks=pytest.mark.thorough),
    ],
)
async def test_consult_and_complete(
    office: OpenOffice, open_panel: OpenPanel, typed: str, kind: TargetKind, value: str
) -> None:
    panel = await calling(office, open_panel)
    keys = panel.page.keyboard
    await search(panel, typed)
    await keys.press("Alt+Shift+J")
    await expect(panel.page.get_by_label("Note to the target")).to_be_focused()
    await keys.type("about the invoice")
    await keys.press("Escape")
    await keys.press("Alt+Shift+L")
    await expect(panel.running.get_by_role("button").first).to_be_focused()
    (asked,) = office.office.requests
    assert (asked.target.kind, asked.target.value) == (kind, value)
    assert asked.notes == "about the invoice"
    consult(office, TransferState.CONSULTING)
    await expect(panel.button("Complete")).to_be_enabled()
    await keys.press("Alt+Shift+C")
    await expect(panel.running).to_have_count(0)
    assert office.office.known["t1"].state is TransferState.COMPLETED
    await on_the_call(panel)
    # The call leaves with it: the agent's own state is next.
    office.office.call_ends()
    await expect(panel.call).to_contain_text("No call")
    assert await panel.page.evaluate("document.activeElement !== document.body")


@pytest.mark.parametrize(
    ("typed", "key", "mode", "value"),
    [
        ("bob", "Enter", "supervised", "1002"),
        pytest.param(*("bob", "Alt+Enter", "unsupervised", "1002"), marks=pytest.mark.thorough),
        ("technical", "Alt+Enter", "unsupervised", "support"),
        pytest.param(
            *("warehouse", "Enter", "supervised", "warehouse"), marks=pytest.mark.thorough
        ),
        ("+12125550199", "Enter", "supervised", "+12125550199"),
    ],
)
async def test_from_the_search(
    office: OpenOffice, open_panel: OpenPanel, typed: str, key: str, mode: str, value: str
) -> None:
    panel = await calling(office, open_panel)
    await panel.page.keyboard.press("/")
    await expect(panel.page.locator("#search")).to_be_focused()
    await panel.page.keyboard.type(typed)
    await expect(panel.page.locator("[data-first=true]")).to_have_count(1)
    await panel.page.keyboard.press(key)
    where = panel.running if mode == "supervised" else panel.page.locator(".strip")
    await expect(where).to_be_visible()
    (asked,) = office.office.requests
    assert (asked.mode, asked.target.value) == (mode, value)
    if mode == "supervised":
        await expect(panel.running.get_by_role("button").first).to_be_focused()
    else:
        await on_the_call(panel)


async def on_the_call(panel: AgentPage) -> None:
    """The focus is in the card of the call."""
    await expect(panel.page.locator("[data-key=call]:focus-within")).to_have_count(1)


@pytest.mark.parametrize(
    ("typed", "value"),
    [("carol", "1003"), pytest.param("technical", "support", marks=pytest.mark.thorough)],
)
async def test_transfer_without_consulting(
    office: OpenOffice, open_panel: OpenPanel, typed: str, value: str
) -> None:
    office.office.agent_changed("1003", waiting_transfer=False)
    panel = await calling(office, open_panel)
    await search(panel, typed)
    await panel.page.keyboard.press("Alt+Shift+H")
    await expect(panel.page.locator(".strip")).to_be_visible()
    await on_the_call(panel)
    (asked,) = office.office.requests
    assert (asked.mode, asked.target.value) == ("unsupervised", value)


async def test_cancel(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await consulting(office, open_panel)
    await panel.page.keyboard.press("Alt+Shift+X")
    await expect(panel.running).to_have_count(0)
    assert office.office.known["t1"].state is TransferState.CANCELLED
    await on_the_call(panel)


@pytest.mark.thorough
async def test_swap_and_conference_and_a_fourth_party(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await consulting(office, open_panel)
    keys = panel.page.keyboard
    await keys.press("Alt+Shift+S")
    await panel.party("You", "hear Ms. Joan Sample")  # the key itself gives the button the focus
    await expect(panel.page.locator("[data-value=swap]")).to_be_focused()
    assert office.office.known["t1"].state is TransferState.SWAPPED
    consult(office, TransferState.CONSULTING)
    await expect(panel.page.locator("[data-do=adding]")).to_be_visible()
    await keys.press("Alt+Shift+N")
    await expect(panel.page.locator("#search")).to_be_focused()
    await keys.type("+12125550199")
    await expect(panel.page.locator("[data-first=true] [data-do=add]")).to_be_enabled()
    await keys.press("Enter")
    await expect(panel.running).to_contain_text("(212) 555-0199")
    consult(office, TransferState.CONSULTING, FOURTH)
    await expect(panel.page.locator("[data-do=drop]").first).to_be_visible()
    await keys.press("Alt+Shift+O")
    await expect(panel.page.locator("[data-do=drop]")).to_have_count(0)
    consult(office, TransferState.CONSULTING)
    await keys.press("Alt+Shift+G")
    await expect(panel.page.locator("[data-value=conference]")).to_have_count(0)
    assert office.office.known["t1"].state is TransferState.CONFERENCE
    assert await panel.page.evaluate("document.activeElement.closest('#running') !== null")


async def test_a_key_that_is_held_down_does_not_go_on_to_the_next_control(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await calling(office, open_panel)
    await search(panel, "bob")
    await panel.page.locator(".actions [data-do=consult]").focus()
    keys = panel.page.keyboard
    await keys.down("Enter")
    await expect(panel.running.get_by_role("button").first).to_be_focused()
    await keys.down("Enter")  # as a key repeats
    await keys.up("Enter")
    await keys.press("Alt+Shift+J")  # done after what the Enter would have done
    assert office.office.known["t1"].state is TransferState.RINGING


async def test_a_row_that_vanishes_leaves_the_focus_to_its_neighbour(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await calling(office, open_panel)
    await panel.target("agent", "1002").focus()
    office.office.agent_changed("1002", state=AgentState.OFFLINE)  # folded with the others
    await expect(panel.target("agent", "1002")).to_have_count(0)
    assert await panel.page.evaluate("document.activeElement.name") == "target"


async def test_each_control_says_its_shortcut(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await consulting(office, open_panel)
    buttons = await panel.running.locator("button:not([type=submit])").evaluate_all(
        "all => all.map(e => [e.innerText, e.ariaKeyShortcuts, e.title])"
    )
    assert buttons
    for text, shortcut, tip in buttons:
        assert shortcut, text
        assert tip == shortcut or tip.endswith(f" ({shortcut})"), text
    assert panel.console_errors == []
