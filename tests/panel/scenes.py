"""More states of the panel for `walk`: transfers as the core tells, strips, lost callers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Protocol

from playwright.async_api import Page, Route, expect

from asterisk_avp.core.model.work import GroupView, MembershipView
from asterisk_avp.core.model.world import (
    AgentState,
    CallerOutcome,
    CallView,
    ConsultView,
    Mode,
    PartyView,
    Target,
    TargetKind,
    TransferState,
    TransferView,
)
from asterisk_avp.core.numbers import shown
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.states import State
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, FORMATTED, ME, POP, OpenOffice
from tests.panel.transfers import Case, call_of, tell, view_of

VALUES = {
    **POP["data"],
    "contract_until": "31 March 2027",
    "open_orders": "3",
    "order": "https://crm.example/orders/88231",
    "delivery_address": "Dock 4, 118 Industrial Parkway, Jersey City",
}
WRITTEN = (
    *("Order", "https", "crm", "example", "orders", "Lunch", "Joan Sample"),
    *VALUES.values(),
    *(key.replace("_", " ").capitalize() for key in VALUES),
)
"""What people wrote in these states, beyond what the office has."""

OTHER = "+12025550177"


class Stream(Protocol):
    async def has(self, *pieces: str) -> None: ...


def shown_transfer(core: State, fourth: Presence | None = None, **changes: Any) -> TransferView:
    queued = core in (State.QUEUEING, State.QUEUED, State.OFFERED)
    mode = Mode.UNSUPERVISED if queued else Mode.SUPERVISED
    made = view_of(Case(core, mode, fourth, ()), "shown")
    known: dict[str, Any] = {
        "caller": CALLER, "caller_formatted": FORMATTED, "notes": "Two days late",
    }  # fmt: skip
    if any("music" in party.hears for party in made.parties if party.role == "caller"):
        known["music_since"] = time.time() - 75
    return replace(made, **known | changes)


def _of(view: TransferView) -> CallView:
    return replace(call_of(view), pop=POP, caller_formatted=FORMATTED)


CONSULT = (
    ("consult waits for its target", State.WAITING, None),
    ("consult rings", State.RINGING, None),
    ("consult talks", State.CONSULTING, None),
    ("consult swapped", State.SWAPPED, None),
    ("consult, a fourth party rings", State.CONSULTING, Presence.EXPECTED),
    ("consult with a fourth party", State.CONSULTING, Presence.PRESENT),
    ("conference", State.CONFERENCE, None),
    ("four together", State.CONFERENCE, Presence.PRESENT),
    ("cancelling", State.RELEASING_LEG, None),
    ("completing", State.COMPLETING, None),
)


async def calls(office: OpenOffice, panel: AgentPage, stream: Stream) -> AsyncIterator[str]:
    """The agent has a call: its screen pop, search, a refusal, and an answer that is lost."""
    page, board = panel.page, office.office
    board.call_arrives(POP | {"data": VALUES})
    await page.locator("[data-key=pop-more]").wait_for()
    yield "call with ten values"
    await page.locator("[data-key=pop-more]").click()
    yield "call with ten values, unfolded"
    await page.locator(".pop .copy").first.click()
    await expect(page.locator("#say")).not_to_be_empty()
    yield "copied"
    await page.locator("[data-key=pop-more]").click()
    await panel.choose("agent", "1002")
    yield "target chosen"
    board.connected = False
    await panel.row("agent", "1002").locator("[data-do=consult]").click()
    await page.locator(".row .refused").wait_for()
    board.connected = True
    yield "refused at the row"
    for typed in ("hart", "zzzz"):
        await page.locator("#search").fill(typed)
        await expect(page.locator("#search-verdict")).to_be_visible()
        yield f"search {typed}"
    await page.locator("#search").fill("")
    async for name in _lost_answer(office, panel, stream):
        yield name


async def _lost_answer(office: OpenOffice, panel: AgentPage, stream: Stream) -> AsyncIterator[str]:
    async def lose(route: Route) -> None:
        if route.request.method == "POST":
            await route.fetch()
            await route.abort("connectionreset")
        else:
            await route.continue_()

    way = "**/v1/agents/1001/transfers"
    await panel.page.route(way, lose)
    await panel.page.locator('button[data-do=consult][data-value="agent:1002"]').click()
    await panel.running.wait_for()
    await expect(panel.page.locator("#say")).to_have_class("toast")
    yield "done after a lost answer"
    await panel.page.unroute(way)
    made = next(reversed(office.office.known))
    office.office.becomes(TransferState.CANCELLED, made, ended_reason="cancelled")
    await stream.has(made, "cancelled")


async def consults(office: OpenOffice, panel: AgentPage, stream: Stream) -> AsyncIterator[str]:
    """A consult in each of its states, then two calls."""
    page = panel.page
    for name, state, fourth in CONSULT:
        view = shown_transfer(state, fourth)
        if name == "consult waits for its target":
            view = replace(view, hold_until=time.time() + 70)
        tell(office, view)
        call = _of(view)
        office.office.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call,))
        await stream.has(ME, f'"{view.state.value}"')
        await page.locator("#running").wait_for()
        yield name
        if name == "consult, a fourth party rings":
            await (
                page.locator("[data-do=adding]")
                .or_(page.locator("#transfer .hint"))
                .first.wait_for()
            )
        if name == "consult talks":
            await page.locator("[data-do=adding]").click()
            await page.locator("#search").wait_for()
            yield "adding somebody"
            await page.locator("[data-do=adding]").click()
    view = shown_transfer(State.CONSULTING)
    tell(office, view)
    other = replace(call_of(None, "chan-2", OTHER), caller_formatted=shown(OTHER, "US"))
    calls = (_of(view), other)
    office.office.agent_changed(ME, state=AgentState.TALKING, call=calls[0], calls=calls)
    await page.locator("input[name=call]").first.wait_for()
    yield "two calls"
    await page.locator("input[name=call][value=chan-2]").check()
    await page.locator(".strip").first.wait_for()
    yield "two calls, the other one"
    over = replace(
        view, state=TransferState.CANCELLED, ended_reason="cancelled", actions=(),
        caller_outcome=CallerOutcome.RETURNED,
    )  # fmt: skip
    tell(office, over)
    office.office.call_arrives()
    await stream.has(ME, "chan-1")


async def strips(office: OpenOffice, panel: AgentPage, stream: Stream) -> AsyncIterator[str]:
    """Transfers that wait for somebody, and callers who were lost."""
    waits = [
        shown_transfer(State.QUEUED, id="to-agent", actions=(), hold_until=time.time() + 70),
        shown_transfer(
            State.QUEUED, id="to-group", hold_until=time.time() + 15, caller=OTHER,
            caller_formatted=shown(OTHER, "US"), target=Target(TargetKind.GROUP, "support"),
            parties=(PartyView("support", "target", "support", "waiting"),),
        ),
    ]  # fmt: skip
    for view in waits:
        tell(office, view)
    await expect(panel.page.locator(".strip")).to_have_count(2)
    yield "two transfers wait"
    for outcome in (CallerOutcome.DISCONNECTED, CallerOutcome.GROUP, CallerOutcome.RETURNED):
        lost = shown_transfer(
            State.QUEUED, id="to-agent", state=TransferState.FAILED, ended_reason="max_hold",
            actions=(), caller_name="Joan Sample", caller_outcome=outcome,
            target=Target(TargetKind.AGENT, "1002"),
        )  # fmt: skip
        tell(office, lost)
        await panel.page.locator("[data-key^=lost-]").wait_for()
        await stream.has("to-agent", outcome.value)
        yield f"caller {outcome.value}"
    await panel.page.locator("[data-do=dismiss]").click()
    tell(
        office,
        replace(waits[1], state=TransferState.COMPLETED, ended_reason="completed", actions=()),
    )
    await expect(panel.page.locator(".strip")).to_have_count(0)


async def consulted(office: OpenOffice, panel: AgentPage, stream: Stream) -> AsyncIterator[str]:
    """A colleague asks this agent: while it rings, and while they talk."""
    asks = TransferView(
        id="asks", agent="1002", group="sales", mode=Mode.SUPERVISED, caller="",
        target=Target(TargetKind.AGENT, ME), state=TransferState.RINGING, ended_reason=None,
        since=time.time(), started=time.time(), parties=(
            PartyView("1002", "transferor", "Bob Hartley", "talking", hears=("ringback",)),
            PartyView("caller", "caller", "", "holding", hears=("music",)),
            PartyView(ME, "target", ME, "ringing"),
        ),
    )  # fmt: skip
    tell(office, asks)
    office.office.agent_changed(ME, state=AgentState.RINGING, call=None, calls=())
    await stream.has(ME, "ringing")
    yield "ringing for a consult"
    call = CallView("chan-9", "", None, on_hold=False, consult=ConsultView("1002", "Bob Hartley"))
    office.office.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call,))
    await panel.page.locator("#bar").wait_for()
    yield "consulted"
    tell(office, replace(asks, state=TransferState.CANCELLED, ended_reason="cancelled"))
    office.office.agent_changed(ME, state=AgentState.AVAILABLE, call=None, calls=())
    await panel.page.locator("#bar").wait_for(state="detached")


async def work(office: OpenOffice, page: Page) -> AsyncIterator[str]:
    """After-call work with its countdown, and the groups' menu."""
    board = office.office
    board.group_views = {
        "sales": GroupView("sales", "Sales", 3, 2, 1, 2, time.time() - 75),
        "support": GroupView("support", "Technical Support", 1, 1, 0, 0, None),
        "billing": GroupView("billing", "Billing", 0, 0, 0, 0, None),
    }
    for group in board.group_views.values():
        board.group_changed(group)
    board.agent_changed(
        ME, state=AgentState.ACW, call=None, calls=(), acw_until=time.time() + 48,
        work_actions=("pause", "extend_acw", "end_acw"), groups=("sales", "support", "billing"),
        memberships=(
            MembershipView("sales", member=True, dynamic=False, actions=()),
            MembershipView("support", member=True, dynamic=True, actions=("logout",)),
            MembershipView("billing", member=False, dynamic=True, actions=("login",)),
        ),
    )  # fmt: skip
    await page.locator("#acw-left").wait_for()
    await page.locator("#waiting").wait_for()
    yield "after-call work with its countdown"
    await page.locator("#waiting").click()
    yield "the groups' menu"
    await page.keyboard.press("Escape")
