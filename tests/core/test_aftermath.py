"""What has become of the caller, told for every row that ends a transfer, and afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.features import MaxHoldAction
from asterisk_avp.core.model.world import CallerOutcome, Group, Mode, Origin
from asterisk_avp.core.model.world import World as Configured
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.states import State
from asterisk_avp.core.transfer.table import ROWS, Transition
from tests.core.sessions import session
from tests.core.world import NOW, WORLD, call, member, request

C = CallerOutcome
ENDING = [row for row in ROWS if row.next.final]
FAILING = [
    row for row in ENDING if row.next is State.FAILED and row.kind is not EventType.CALLER_LEFT
]
FAILED = {
    "starting_call_ended_by_transferor": C.DISCONNECTED,
    "queueing_call_ended_by_transferor": C.DISCONNECTED,
    # the rows that end as failed
    "starting_redirect_failed": C.RETURNED,
    "queueing_redirect_failed_caller_not_held": C.RETURNED,
    "queueing_left_queue": C.DISCONNECTED,
    "queueing_timed_out_caller_not_held": C.LOST,
    "queued_left_queue": C.DISCONNECTED,
    "queued_timed_out": C.DISCONNECTED,
    "offered_left_queue": C.DISCONNECTED,
    "offered_timed_out": C.DISCONNECTED,
    **dict.fromkeys(
        (
            *(
                "dissolving_bridged_after_caller_was_taken",
                "dissolving_timed_out_after_caller_was_taken",
            ),
            "dissolving_bridge_failed_after_caller_was_taken",
        ),
        C.ELSEWHERE,
    ),
    "returning_bridged_after_failure": C.RETURNED,
    "recalling_redirected": C.GROUP,
    "recalling_redirect_failed": C.GROUP,
    "recalling_timed_out": C.GROUP,
}
OTHERWISE = {State.COMPLETED: C.CONNECTED, State.CANCELLED: C.RETURNED, State.ABANDONED: C.HUNG_UP}


SITUATIONS: tuple[dict[str, object], ...] = (
    {},
    {"outcome": State.FAILED},
    {"outcome": State.COMPLETED},
    {"origin": Origin.BUTTON},
    {"transferor": Presence.GONE},
    {"transferor": Presence.PRESENT, "caller": Presence.GONE},
)


def ended(row: Transition, *, inferred: bool = False, **changes: object) -> CallerOutcome | None:
    """The outcome after this row, of a transfer in its state and in a situation that it is for."""
    for situation in SITUATIONS:
        before = session(row.state, **(situation | changes))  # type: ignore[arg-type]
        store, outcome = SessionStore(), Outcome()
        store.adopt(before, NOW, outcome)
        store.apply(before.id, SessionEvent(row.kind, inferred=inferred), NOW, outcome)
        if [step.row for step in outcome.steps] == [row.name]:
            record = store.records[before.id]
            assert record.session.state is row.next
            return record.caller_outcome
    pytest.fail(f"no situation for {row.name}")


@pytest.mark.parametrize("row", ENDING, ids=[row.name for row in ENDING])
def test_every_end_says_where_the_caller_is(row: Transition) -> None:
    if row.kind is EventType.CALLER_LEFT:
        expected = C.ELSEWHERE
    else:
        expected = FAILED[row.name] if row in FAILING else OTHERWISE[row.next]
    assert ended(row) is expected


def test_every_failure_is_in_the_table() -> None:
    assert {row.name for row in FAILING} == FAILED.keys()


GONE = [row for row in ENDING if row.kind is EventType.CALLER_GONE and row.next is State.ABANDONED]


@pytest.mark.parametrize("row", GONE, ids=[row.name for row in GONE])
def test_nobody_knows_of_a_caller_whose_end_was_missed(row: Transition) -> None:
    assert ended(row, inferred=True) is C.LOST


def test_a_caller_whom_nobody_holds_and_nobody_moved_is_lost() -> None:
    rows = {row.name: row for row in ENDING}
    for name in ("recalling_redirect_failed", "recalling_timed_out"):
        assert ended(rows[name], caller=Presence.EXPECTED) is C.LOST


# --- afterwards ------------------------------------------------------------------------------


def waiting(action: MaxHoldAction, *, unplugged: bool = False) -> tuple[TransferEngine, str]:
    """A call that waited for Bob until its time was over. ``unplugged``: his phone rang in vain."""
    groups: dict[str, Group] = {
        name: replace(group, max_hold_action=action) for name, group in WORLD.groups.items()
    }
    made = TransferEngine(Configured(groups, WORLD.agents), new_id=lambda: "t1")
    for agent, queue in (("1001", "sales"), ("1002", "sales"), ("1003", "q-support")):
        made.fact(member(agent, queue), NOW)
    call(made)
    begun, _ = made.request(request(mode=Mode.UNSUPERVISED), CallVariables(), NOW)
    made.report(begun.id, SessionEvent(EventType.REDIRECTED), NOW)
    assert made.store.records[begun.id].caller_outcome is None
    outcome = made.fact(ev.QueueEnded("u-caller1", "TIMEOUT", unplugged), NOW)
    assert (outcome.transfers, outcome.ended) == ([begun.id], [])
    return made, begun.id


CONNECTED = ev.AgentConnected("avp-agent-1001", "u-caller1", "PJSIP/1001")
GAVE_UP = ev.QueueEnded("u-caller1", "JOINEMPTY")
HUNG_UP = ev.ChannelGone("u-caller1")
MISSED = "missed"
BRIDGED = "bridged"


@pytest.mark.parametrize(
    ("action", "facts", "outcomes"),
    [
        ("hangup", [HUNG_UP], [C.DISCONNECTED, C.DISCONNECTED]),
        ("hangup", [GAVE_UP], [C.DISCONNECTED, C.DISCONNECTED]),
        ("return", [CONNECTED, HUNG_UP], [C.RETURNED, C.RETURNED, C.RETURNED]),
        ("return", [HUNG_UP], [C.RETURNED, C.HUNG_UP]),
        ("return", [GAVE_UP, CONNECTED, GAVE_UP], [C.RETURNED, C.GROUP, C.GROUP, C.GROUP]),
        ("return", [GAVE_UP, GAVE_UP, HUNG_UP], [C.RETURNED, C.GROUP, *2 * [C.DISCONNECTED]]),
        ("return", [GAVE_UP, HUNG_UP], [C.RETURNED, C.GROUP, C.GROUP]),
        ("return", [MISSED], [C.RETURNED, C.LOST]),
        ("return", [BRIDGED, HUNG_UP], [C.RETURNED, C.RETURNED, C.RETURNED]),
        ("group", [GAVE_UP, HUNG_UP], [C.GROUP, C.DISCONNECTED, C.DISCONNECTED]),
        ("group", [CONNECTED, HUNG_UP], [C.GROUP, C.GROUP, C.GROUP]),
        ("group", [MISSED], [C.GROUP, C.GROUP]),
    ],
)
def test_the_dialplan_takes_the_caller_further(
    action: str, facts: list[ev.Fact | str], outcomes: list[CallerOutcome]
) -> None:
    made, transfer = waiting(MaxHoldAction(action))
    record = made.store.records[transfer]
    found = [record.caller_outcome]
    for fact in facts:
        if isinstance(fact, str):
            made.sync_started()
            if fact == BRIDGED:
                made.fact(ev.ChannelSeen("u-caller1", "PJSIP/caller1-00000001", bridge="b"), NOW)
            told = made.sync_finished(NOW)
        else:
            told = made.fact(fact, NOW)
        changed = record.caller_outcome is not found[-1]
        assert told.ended == ([transfer] if changed else [])
        found.append(record.caller_outcome)
    assert found == outcomes


def test_it_is_not_forgotten_before_it_is_known() -> None:
    made, transfer = waiting(MaxHoldAction.RETURN)
    assert made.store.forget_ended(NOW + 1) == []
    made.fact(CONNECTED, NOW)
    assert [record.session.id for record in made.store.forget_ended(NOW + 1)] == [transfer]


def at(context: str, application: str = "Queue") -> ev.ChannelLocated:
    return ev.ChannelLocated("u-caller1", context, "1001", application, in_our_app=False)


@pytest.mark.parametrize("action", ["return", "group"])
@pytest.mark.parametrize(
    ("fact", "partner", "elsewhere"),
    [
        (at("avp-agent-queue"), "", False),
        (at("avp-recall", "Gosub"), "", False),
        (at("avp-recall"), "PJSIP/1001-00000009", False),  # answered; the event of it is to come
        (at("avp-recall"), "PJSIP/caller2-00000009", True),  # picked up
        (at("avp-recall"), "PJSIP/1003-00000009", True),
        (at("avp-recall", ""), "PJSIP/1001-00000009", True),  # AMI Bridge has taken them
        (at("breakout", "Wait"), "", True),
        (at("avp-end", "NoOp"), "", False),
    ],
)
def test_taken_while_the_dialplan_has_the_caller(
    action: str, fact: ev.ChannelLocated, partner: str, elsewhere: bool
) -> None:
    made, transfer = waiting(MaxHoldAction(action))
    if action == "return":
        made.fact(ev.QueueJoined("avp-agent-1001", "u-caller1"), NOW)
    record = made.store.records[transfer]
    before = record.caller_outcome
    assert made.by_others.follows("u-caller1")
    assert made.by_others.callers(NOW) == ["u-caller1"]
    made.fact(ev.BridgeLeft("u-caller1", "b-1001"), NOW)
    if partner:
        made.fact(ev.ChannelSeen("u-partner", partner), NOW)
        for channel in ("u-partner", "u-caller1"):
            made.fact(ev.BridgeEntered(channel, "their-bridge"), NOW)
    told = made.fact(fact, NOW + 1)
    assert record.caller_outcome is (C.ELSEWHERE if elsewhere else before)
    assert told.ended == ([transfer] if elsewhere else [])
    assert made.slot_taken("1001") is (action == "return" and not elsewhere)
    assert ("1001" in told.agents) is elsewhere
    assert made.by_others.follows("u-caller1") is not elsewhere


@pytest.mark.parametrize("action", MaxHoldAction)
def test_whose_phone_was_unplugged_the_caller_goes_to_the_group(action: MaxHoldAction) -> None:
    made, transfer = waiting(action, unplugged=True)
    record = made.store.records[transfer]
    assert (record.session.reason, record.caller_outcome) == ("max_hold", C.GROUP)
    made.fact(GAVE_UP, NOW)
    assert record.caller_outcome is C.DISCONNECTED


@pytest.mark.parametrize("state", [State.CONSULTING, State.CONFERENCE])
def test_whoever_has_the_caller_finds_no_transfer_on_the_channel(state: State) -> None:
    """Otherwise the next daemon would continue it."""
    store, outcome = SessionStore(), Outcome()
    running = session(state)
    store.adopt(running, NOW, outcome)
    taken = Outcome()
    store.apply(running.id, SessionEvent(EventType.CALLER_LEFT, "taken"), NOW, taken)
    store.apply(running.id, SessionEvent(EventType.BRIDGED), NOW, taken)
    cleared = [
        effect.variables[persistence.COMMIT_MARKER]
        for _, effect in taken.effects
        if isinstance(effect, fx.SetVariables) and persistence.COMMIT_MARKER in effect.variables
    ]
    assert cleared == [""]
    assert store.records[running.id].session.state is State.FAILED
