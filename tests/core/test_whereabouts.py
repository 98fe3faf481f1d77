"""Where a caller is who may have left their transfer by another way, and what follows from it."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.whereabouts import Company, Place, judged, place_of
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import CallerOutcome, Mode
from asterisk_avp.core.transfer.events import EventType as K
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.states import State as S  # noqa: N817 - the table's own short name
from tests.core.sessions import IN, session
from tests.core.world import NOW, call, engine, request

PARTNERS = {"chan-agent", "avp-t1-leg", "avp-t1-leg-queue"}


def located(
    context: str, application: str, extension: str = "8", *, abandoned: bool = False
) -> ev.ChannelLocated:
    ours = application == "Stasis"
    return ev.ChannelLocated("u-caller1", context, extension, application, ours, abandoned)


IN_OUR_QUEUE = located("avp-agent-queue", "Queue", "1002")
AT_OUR_CONTEXT = located("avp-agent-queue", "Set", "1002")
ON_HOLD = located("avp-stasis", "Stasis", "caller")
BY_KEY = located("breakout", "Dial")
REDIRECTED = located("breakout", "Dial", abandoned=True)
REDIRECTED_TO_A_QUEUE = located("callers", "Queue", "800")
YANKED = located("avp-agent-queue", "")
ENDING = located("avp-end", "NoOp", "s")
AT_H = located("breakout", "NoOp", "h")
THEIRS, OURS = "their-bridge", "avp-t1-hold"


@pytest.mark.parametrize(
    ("fact", "bridge", "place"),
    [
        (IN_OUR_QUEUE, None, Place.OUR_QUEUE),
        (IN_OUR_QUEUE, THEIRS, Place.OUR_QUEUE),
        (AT_OUR_CONTEXT, None, Place.OUR_DIALPLAN),
        (ON_HOLD, None, Place.OUR_APP),
        (ON_HOLD, OURS, Place.OUR_APP),
        (ON_HOLD, THEIRS, Place.OTHER_BRIDGE),
        (BY_KEY, None, Place.OTHER_DIALPLAN),
        (BY_KEY, THEIRS, Place.OTHER_BRIDGE),
        (YANKED, THEIRS, Place.OTHER_BRIDGE),
        (ENDING, None, Place.ENDING),
        (AT_H, None, Place.ENDING),
    ],
)
def test_place(fact: ev.ChannelLocated, bridge: str | None, place: Place) -> None:
    assert place_of(fact, bridge) is place


NOTHING, HANGS_UP = ("", ""), (K.CALLER_GONE, "")
LEFT, TAKEN, DELIVERED = (K.CALLER_LEFT, "left_queue"), (K.CALLER_LEFT, "taken"), (K.DELIVERED, "")


@pytest.mark.parametrize(
    ("state", "fact", "bridge", "agent", "age", "expected"),
    [
        (S.QUEUED, IN_OUR_QUEUE, None, "", 9, NOTHING),
        (S.QUEUED, AT_OUR_CONTEXT, None, "", 9, NOTHING),
        (S.QUEUED, BY_KEY, None, "", 0, LEFT),
        (S.OFFERED, BY_KEY, THEIRS, "1004", 0, LEFT),
        (S.OFFERED, REDIRECTED, None, "", 0, TAKEN),
        (S.OFFERED, REDIRECTED_TO_A_QUEUE, None, "", 0, TAKEN),
        (S.OFFERED, REDIRECTED, THEIRS, "1004", 0, TAKEN),
        (S.OFFERED, YANKED, THEIRS, "1004", 0, TAKEN),
        # picked up: by the target themselves from another phone, or by somebody else
        (S.OFFERED, IN_OUR_QUEUE, THEIRS, "1002", 0, DELIVERED),
        (S.OFFERED, IN_OUR_QUEUE, THEIRS, "1004", 0, TAKEN),
        (S.OFFERED, IN_OUR_QUEUE, THEIRS, "", 0, TAKEN),
        (S.OFFERED, AT_H, None, "", 0, HANGS_UP),
        # until our Redirect or Bridge takes effect, the caller is where they were
        (S.QUEUEING, REDIRECTED, None, "", 1, NOTHING),
        (S.QUEUEING, REDIRECTED, None, "", 5, TAKEN),
        (S.COMPLETING, ON_HOLD, THEIRS, "1004", 1, NOTHING),
        (S.COMPLETING, ON_HOLD, THEIRS, "1004", 5, TAKEN),
        (S.RETURNING, ON_HOLD, OURS, "", 5, NOTHING),
        *(
            case
            for state in (S.COLLECTING, S.WAITING, S.RINGING, S.CONSULTING, S.SWAPPED, S.CONFERENCE)
            for case in (
                (state, ON_HOLD, OURS, "", 9, NOTHING),
                (state, ON_HOLD, None, "", 9, NOTHING),
                (state, ON_HOLD, THEIRS, "", 0, TAKEN),
                (state, BY_KEY, None, "", 0, TAKEN),
                (state, ENDING, None, "", 0, HANGS_UP),
            )
        ),
        (S.FAILED, BY_KEY, None, "", 9, NOTHING),
    ],
)
def test_judgement(
    state: S, fact: ev.ChannelLocated, bridge: str | None, agent: str, age: float, expected: object
) -> None:
    keyed = fact is not REDIRECTED_TO_A_QUEUE
    company = Company(bridge, lambda _channel: False, agent, agent == "1002", keyed)
    event = judged(session(state, caller=IN), fact, company, age)
    assert (("", "") if event is None else (event.kind, event.reason)) == expected


@pytest.mark.parametrize("state", [S.STARTING, S.COMPLETING, S.RETURNING])
def test_a_caller_with_a_party_of_the_transfer_is_not_elsewhere(state: S) -> None:
    company = Company(THEIRS, PARTNERS.__contains__)
    assert judged(session(state), located("callers", "Queue"), company, 9.0) is None


# --- in the engine ---------------------------------------------------------------------------


def waiting() -> tuple[TransferEngine, str]:
    """A call that waits for Bob, whose slot it takes."""
    made = engine()
    call(made)
    begun, _ = made.request(request(mode=Mode.UNSUPERVISED), CallVariables(), NOW)
    made.report(begun.id, SessionEvent(K.REDIRECTED), NOW)
    made.fact(ev.BridgeLeft("u-caller1", "b1"), NOW)
    made.fact(ev.QueueJoined("avp-agent-1002", "u-caller1"), NOW)
    assert made.slot_taken("1002")
    return made, begun.id


def test_the_slot_is_free_and_the_agents_are_told() -> None:
    """Also where app_queue sends no event of it, as for a caller whom AMI Bridge takes."""
    made, transfer = waiting()
    made.fact(ev.BridgeEntered("u-caller1", THEIRS), NOW)
    outcome = made.fact(YANKED, NOW + 1)
    record = made.store.records[transfer]
    assert (record.session.state, record.session.reason) == (S.FAILED, "taken")
    assert record.caller_outcome is CallerOutcome.ELSEWHERE
    assert not made.slot_taken("1002")
    assert {"1001", "1002"} <= outcome.agents
    assert made.store.role_of("u-caller1") is None


def test_a_queue_that_does_not_exist_ends_the_transfer() -> None:
    made, transfer = waiting()
    made.fact(ev.QueueEnded("u-caller1", "UNKNOWN"), NOW)
    record = made.store.records[transfer]
    assert (record.session.state, record.session.reason) == (S.FAILED, "left_queue")


def test_other_channels_are_nobody_s_business() -> None:
    made, transfer = waiting()
    elsewhere = ev.ChannelLocated("u-other", "breakout", "8", "Dial", in_our_app=False)
    assert made.fact(elsewhere, NOW).steps == []
    assert made.store.records[transfer].session.state is S.QUEUED
