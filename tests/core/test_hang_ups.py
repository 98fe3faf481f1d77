"""A hang-up while AMI Bridge moves the channel: every order of the events and of the answer."""

from __future__ import annotations

import itertools

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.hang_ups import HangUps
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.transfer.events import EventType as K
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.states import State as S  # noqa: N817 - the table's own short name
from tests.core.test_engine import consulting
from tests.core.world import NOW, call, engine, request

CALLER, AGENT, LEG = "u-caller1", "u-1001", "avp-t1-leg"
STEPS = ("hangs up", "enters", "answer")
"""The phone's request to hang up, the channel's arrival in the new bridge, the answer to Bridge."""


def moving(step: K) -> tuple[TransferEngine, str]:
    made, transfer = consulting()
    made.fact(ev.ChannelSeen(LEG, "Local/1002@avp-agent-queue-00000001;1"), NOW)
    assert {AGENT, CALLER, LEG} <= made.calls.channels.keys()
    made.command(transfer, step, NOW)
    return made, transfer


def play(made: TransferEngine, transfer: str, order: tuple[str, ...], who: str) -> list[fx.Effect]:
    done: list[fx.Effect] = []
    for step in order:
        match step:
            case "hangs up":
                outcome = made.fact(ev.HangUpAsked(who), NOW)
            case "enters":
                outcome = made.fact(ev.BridgeEntered(who, "theirs"), NOW)
            case _:
                outcome = made.report(transfer, SessionEvent(K.BRIDGED), NOW)
        done += [effect for _, effect in outcome.effects]
    return done


@pytest.mark.parametrize("order", [*itertools.permutations(STEPS)], ids=" - ".join)
@pytest.mark.parametrize(
    ("step", "who", "before", "after"),
    [
        (K.COMPLETE, CALLER, (S.ABANDONED, "caller_hangup"), (S.COMPLETED, "completed")),
        (K.COMPLETE, LEG, (S.COMPLETED, "completed"), (S.COMPLETED, "completed")),
        (K.CANCEL, CALLER, (S.ABANDONED, "caller_hangup"), (S.CANCELLED, "cancelled")),
        (K.CANCEL, AGENT, (S.CANCELLED, "cancelled"), (S.CANCELLED, "cancelled")),
    ],
)
def test_a_dead_channel_does_not_stay(
    step: K, who: str, before: tuple[S, str], after: tuple[S, str], order: tuple[str, ...]
) -> None:
    """``before``, ``after``: the end where the hang-up is known before the answer, and after it."""
    made, transfer = moving(step)
    done = play(made, transfer, order, who)
    early = order.index("hangs up") < order.index("answer")
    session = made.store.records[transfer].session
    assert (session.state, session.reason) == (before if early else after)
    assert (fx.HangUp(who) in done) is early
    assert made.by_others.stuck(who), "until its channel ends, it is asked for again"
    made.fact(ev.ChannelGone(who), NOW)
    assert not made.by_others.stuck(who)
    assert len(made.by_others.hang_ups) == 0


@pytest.mark.parametrize(
    ("step", "partner", "end"),
    [
        (K.COMPLETE, LEG, (S.COMPLETED, "completed")),
        (K.CANCEL, AGENT, (S.CANCELLED, "cancelled")),
    ],
)
def test_who_hung_up_first_ended_the_call(step: K, partner: str, end: tuple[S, str]) -> None:
    """The dialplan ends the caller when the partner has hung up."""
    made, transfer = moving(step)
    made.fact(ev.HangUpAsked(partner), NOW)
    made.fact(ev.HangUpAsked(CALLER, soft=True), NOW)
    made.fact(ev.ChannelGone(CALLER), NOW)
    session = made.store.records[transfer].session
    assert (session.state, session.reason) == end


@pytest.mark.parametrize("step", [K.COMPLETE, K.CANCEL])
def test_a_caller_who_hung_up_first_has_abandoned(step: K) -> None:
    made, transfer = moving(step)
    made.fact(ev.HangUpAsked(CALLER), NOW)
    for other in (AGENT, LEG):
        made.fact(ev.HangUpAsked(other), NOW)
    made.fact(ev.ChannelGone(CALLER), NOW)
    session = made.store.records[transfer].session
    assert (session.state, session.reason) == (S.ABANDONED, "caller_hangup")


@pytest.mark.parametrize("mode", [*Mode])
@pytest.mark.parametrize(
    ("phones", "end"),
    [
        ((AGENT,), (S.FAILED, "transferor_hangup")),
        ((CALLER, AGENT), (S.ABANDONED, "caller_hangup")),
        ((CALLER,), (S.ABANDONED, "caller_hangup")),
        ((), (S.ABANDONED, "caller_hangup")),
    ],
)
@pytest.mark.parametrize("ends", [(AGENT, CALLER), (CALLER, AGENT)])
def test_a_call_that_ends_before_it_is_moved(
    mode: Mode, phones: tuple[str, ...], end: tuple[S, str], ends: tuple[str, ...]
) -> None:
    made = engine()
    call(made)
    begun, _ = made.request(request(mode=mode), CallVariables(), NOW)
    for phone in phones:
        made.fact(ev.HangUpAsked(phone), NOW)
    for channel in ends if phones else (CALLER,):
        made.fact(ev.ChannelGone(channel), NOW)
    session = made.store.records[begun.id].session
    assert (session.state, session.reason) == end


def test_the_order_is_that_of_the_phones() -> None:
    made = HangUps()
    made.asked("caller", by_phone=False)
    made.asked("agent", by_phone=True)
    assert made.first("caller", "agent") == "agent"
    made.asked("caller", by_phone=True)
    assert made.first("caller", "agent") == "agent"
    made.gone("agent")
    assert made.first("caller", "agent") == "caller"
    made.retain(lambda _channel: False)
    assert made.first("caller", "agent") == ""


def test_a_channel_that_nobody_knows_is_not_remembered() -> None:
    made, _ = consulting()
    made.fact(ev.HangUpAsked("u-nobody"), NOW)
    assert len(made.by_others.hang_ups) == 0
