"""The call bar and the strips: which transfer has the controls, and that they are its `actions`."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import expect

from asterisk_avp.core.model.errors import AsteriskBusy, AsteriskUnavailable
from asterisk_avp.core.model.world import (
    AgentState,
    CallerOutcome,
    CallView,
    ConsultView,
    Mode,
    PartyView,
    Target,
    TargetKind,
    TransferRequest,
    TransferState,
    TransferView,
)
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.states import State
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, ME, OpenOffice, consult
from tests.panel.transfers import Case, call_of, in_hand, tell, view_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

COMMANDS = ("complete", "swap", "conference", "cancel")

# What the bar and the strips offer: the controls by transfer, and the parties who can be hung up.
OFFERED = """
() => {
  const found = {};
  for (const box of document.querySelectorAll("[data-transfer]")) {
    const does = (what) => [...box.querySelectorAll(`button[data-do=${what}]`)]
      .map((button) => button.dataset.value).sort();
    found[box.dataset.transfer] = {
      bar: Boolean(box.closest("#bar")), commands: does("command"), drops: does("drop"),
    };
  }
  return JSON.stringify(found);
}
"""


def cases() -> Iterator[Case]:
    for state in State:
        if state.final:
            continue
        queued = state in (State.QUEUEING, State.QUEUED, State.OFFERED)
        mode = Mode.UNSUPERVISED if queued else Mode.SUPERVISED
        for fourth in (None, Presence.EXPECTED, Presence.PRESENT):
            for without in ((), ("unsupervised_transfer",), ("conference",)):
                yield Case(state, mode, fourth, without)


def wanted(view: TransferView) -> dict[str, Any]:
    fourth = any(p.role == "fourth" and p.state != "gone" for p in view.parties)
    drops = [action.partition(":")[2] for action in view.actions if action.startswith("drop")]
    return {
        "bar": True,
        "commands": sorted(set(view.actions) & set(COMMANDS)),
        "drops": sorted(drops) if fourth else [],
    }


async def offers(panel: AgentPage, expected: dict[str, Any]) -> None:
    """Wait until the page offers exactly this."""
    text = json.dumps(expected, sort_keys=True)
    same = f"""(text) => {{
      const sorted = (value) => JSON.stringify(value, (_, one) => one && typeof one === "object"
        && !Array.isArray(one) ? Object.fromEntries(Object.entries(one).sort()) : one);
      return sorted(JSON.parse(({OFFERED})())) === sorted(JSON.parse(text));
    }}"""
    try:
        await panel.page.wait_for_function(same, arg=text, timeout=10_000)
    except Exception as error:
        shown = await panel.page.evaluate(OFFERED)
        raise AssertionError(f"offered {shown}, not {text}") from error


async def test_the_controls_are_what_the_core_would_accept(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """In each state, with and without a fourth party, and with features that are switched off."""
    panel = await open_panel(office.url)
    for number, case in enumerate(cases()):
        view = view_of(case, f"s{number}")
        office.office.known.clear()
        tell(office, view)
        in_hand(office, view)
        await offers(panel, {view.id: wanted(view)})
        ended = replace(view, state=TransferState.CANCELLED, ended_reason="cancelled", actions=())
        tell(office, ended)
        office.office.agent_changed(ME, call=call_of(None), calls=(call_of(None),))
        await offers(panel, {})
    assert panel.console_errors == []


@pytest.mark.thorough
async def test_the_next_call_has_its_own_controls(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """One call was sent to a busy colleague and waits; the next one is consulted about."""
    waits = replace(view_of(Case(State.QUEUED, Mode.UNSUPERVISED, None, ()), "waits"), actions=())
    panel = await open_panel(office.url)
    tell(office, waits)
    office.office.agent_changed(ME, state=AgentState.AVAILABLE, call=None, calls=())
    await expect(panel.strips).to_be_visible()
    office.office.call_arrives(caller="+12025550199")
    await panel.choose("agent", "1002")
    await expect(panel.button("Consult")).to_be_enabled()
    view = view_of(Case(State.CONSULTING, Mode.SUPERVISED, None, ()), "consult")
    tell(office, view)
    in_hand(office, view)
    await offers(panel, {"consult": wanted(view)})
    await expect(panel.strips).to_be_visible()


async def test_two_calls_and_the_transfer_of_one(office: OpenOffice, open_panel: OpenPanel) -> None:
    """The call that is chosen is shown, and the controls are those of its own transfer."""
    panel = await open_panel(office.url)
    view = view_of(Case(State.CONSULTING, Mode.SUPERVISED, None, ()), "consult")
    other = call_of(None, "chan-2", "+12125550177")
    tell(office, view)
    in_hand(office, view, other)
    await offers(panel, {"consult": wanted(view)})
    await expect(panel.call.locator(".caller")).to_contain_text(CALLER)
    await panel.page.locator("input[name=call][value=chan-2]").check()
    await expect(panel.call.locator(".caller")).to_contain_text("+12125550177")
    await expect(panel.running).to_have_count(0)
    strip = {"bar": False, "commands": ["cancel", "complete"], "drops": []}
    await offers(panel, {"consult": strip})
    await panel.page.locator("input[name=call][value=chan-1]").check()
    await offers(panel, {"consult": wanted(view)})


async def test_a_consultation_is_told_without_its_caller(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """While it rings, and while they talk; and no transfer of it is offered."""
    panel = await open_panel(office.url)
    call = CallView("chan-9", "", None, on_hold=False, consult=ConsultView("1002", "Bob Hartley"))
    ringing = TransferView(
        id="asks", agent="1002", group="sales", mode=Mode.SUPERVISED,
        target=Target(TargetKind.AGENT, ME), state=TransferState.RINGING, ended_reason=None,
        caller="", since=time.time(), started=time.time(), parties=(
            PartyView("1002", "transferor", "Bob Hartley", "talking", hears=("ringback",)),
            PartyView("caller", "caller", "", "holding", hears=("music",)),
            PartyView(ME, "target", "1001", "ringing"),
        ),
    )  # fmt: skip
    tell(office, ringing)
    office.office.agent_changed(ME, state=AgentState.RINGING)
    await expect(panel.call).to_contain_text("Bob Hartley asks you about a call")
    await expect(panel.call).to_contain_text("The caller is shown if they complete")
    office.office.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call,))
    await expect(panel.page.locator("#bar")).to_contain_text("Bob Hartley asks you about a call")
    await expect(panel.call).to_contain_text("Bob Hartley asks you about a call")
    await offers(panel, {})


@pytest.mark.parametrize(
    ("outcome", "mode", "told"),
    [
        (CallerOutcome.DISCONNECTED, Mode.UNSUPERVISED, "was disconnected"),
        (CallerOutcome.GROUP, Mode.SUPERVISED, "is back in the queue"),
        pytest.param(
            *(CallerOutcome.LOST, Mode.SUPERVISED, "may have been disconnected"),
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            CallerOutcome.RETURNED,
            Mode.UNSUPERVISED,
            "comes back to you",
            marks=pytest.mark.thorough,
        ),
        pytest.param(CallerOutcome.RETURNED, Mode.SUPERVISED, "", marks=pytest.mark.thorough),
        (CallerOutcome.CONNECTED, Mode.UNSUPERVISED, ""),
        pytest.param(CallerOutcome.HUNG_UP, Mode.UNSUPERVISED, "", marks=pytest.mark.thorough),
    ],
)
async def test_who_lost_a_caller_is_told(
    office: OpenOffice, open_panel: OpenPanel, outcome: CallerOutcome, mode: Mode, told: str
) -> None:
    """Also when one's own call is over, and after a reload; until it is dismissed."""
    panel = await open_panel(office.url)
    lost = panel.page.get_by_role("alert", name="A caller whom you transferred")
    view = replace(
        view_of(Case(State.QUEUED, Mode.UNSUPERVISED, None, ()), "lost"),
        mode=mode, target=Target(TargetKind.AGENT, "1002"), caller=CALLER,
        caller_formatted="(202) 555-0143", caller_name="Joan Sample", state=TransferState.FAILED,
        ended_reason="max_hold", actions=(), caller_outcome=outcome,
    )  # fmt: skip
    tell(office, view)
    if not told:
        await expect(panel.history).to_contain_text("(202) 555-0143")
        await expect(lost).to_have_count(0)
        return
    await expect(lost).to_contain_text(told)
    await expect(lost).to_contain_text("Joan Sample")
    if outcome is not CallerOutcome.RETURNED:
        await expect(lost).to_contain_text("Call back: (202) 555-0143")
    await panel.page.reload()
    await panel.live()
    await expect(lost).to_contain_text(told)
    await lost.get_by_role("button", name="Dismiss").click()
    await expect(lost).to_have_count(0)
    await panel.page.reload()
    await panel.live()
    await expect(panel.history).to_contain_text("(202) 555-0143")
    await expect(lost).to_have_count(0)


@pytest.mark.thorough
@pytest.mark.parametrize("width", [1366, 390])
async def test_a_refusal_is_shown_where_the_agent_clicked(
    office: OpenOffice, open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    panel = await open_panel(office.url, viewport={"width": width, "height": 800})
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")

    async def refused(transfer_id: str) -> TransferView:
        raise AsteriskUnavailable(transfer_id)

    monkeypatch.setattr(office.office, "complete", refused)
    await panel.button("Complete").click()
    alert = panel.page.locator("#bar").get_by_role("alert")
    await expect(alert).to_contain_text("Asterisk cannot be reached")
    await expect(alert).to_be_in_viewport()


async def test_what_was_chosen_stays_while_asterisk_is_too_busy(
    office: OpenOffice, open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill("Order 88")

    async def busy(_request: TransferRequest) -> TransferView:
        raise AsteriskBusy(2)

    with monkeypatch.context() as patched:
        patched.setattr(office.office, "request", busy)
        await panel.button("Consult").click()
        alert = panel.page.get_by_role("alert").filter(has_text="too busy for another transfer")
        await expect(alert).to_contain_text("Your call is unchanged")
    await expect(panel.target("agent", "1002")).to_be_checked()
    await expect(panel.page.get_by_label("Note to the target")).to_have_value("Order 88")
    await panel.button("Consult").click()
    await expect(panel.running).to_be_visible()


async def test_note_and_target_survive_a_reload(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill("Order 88")
    await panel.page.reload()
    await panel.live()
    await expect(panel.target("agent", "1002")).to_be_checked()
    await expect(panel.page.get_by_label("Note to the target")).to_have_value("Order 88")
    office.office.call_ends()
    await expect(panel.call).to_contain_text("No call")
    stored = await panel.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    assert "Order 88" not in stored
    assert panel.console_errors == []


COVERED = """
() => {
  const focused = document.activeElement;
  if (!focused || focused === document.body) return null;
  const shown = focused.closest(".row") || focused;
  const box = shown.getBoundingClientRect();
  const at = [box.left + box.width / 2, box.top + Math.min(box.height / 2, 20)];
  const there = document.elementFromPoint(...at);
  if (there && (there.contains(shown) || shown.contains(there))) return null;
  return `${focused.outerHTML.slice(0, 120)} below ${there && there.outerHTML.slice(0, 80)}`;
}
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    "width", [360, 1366, *(pytest.param(x, marks=pytest.mark.thorough) for x in (390, 700))]
)
async def test_what_has_the_focus_is_not_behind_a_bar(
    office: OpenOffice, open_panel: OpenPanel, width: int
) -> None:
    panel = await open_panel(office.url, viewport={"width": width, "height": 768})
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    await expect(panel.page.locator(".row .does").first).to_be_attached()
    for _ in range(40):
        await panel.page.keyboard.press("Tab")
        assert await panel.page.evaluate(COVERED) is None
    await panel.page.keyboard.press("/")
    await expect(panel.page.locator("#search")).to_be_focused()
    await panel.page.keyboard.type("bob")
    row = panel.page.locator("button.mini[data-do=consult]").first
    await row.click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING)
    await panel.party("You", "hear Bob Hartley")
    for _ in range(30):
        await panel.page.keyboard.press("Tab")
        assert await panel.page.evaluate(COVERED) is None


async def test_a_caller_who_withholds_their_number(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    call = CallView("chan-9", "", "sales", on_hold=False, caller_withheld=True)
    office.office.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call,))
    await expect(panel.call).to_contain_text("Number withheld")
    await expect(panel.page.locator("#bar")).to_contain_text("Number withheld")
    known = {"number": "+12025550177", "number_formatted": "(202) 555-0177", "withheld": True}
    told = CallView(
        "chan-9", "+12025550177", "sales", on_hold=False, caller_withheld=True,
        pop={"id": "chan-9", "data": {}, "caller": {**known, "name": ""}},
    )  # fmt: skip
    office.office.agent_changed(ME, state=AgentState.TALKING, call=told, calls=(told,))
    await expect(panel.call).to_contain_text("(202) 555-0177")
    await expect(panel.call).to_contain_text("Number withheld")
