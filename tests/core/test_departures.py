"""Who leaves a transfer without hanging up may have left with its caller."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import BridgePair, HangUp, Redirect
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.states import State
from tests.core.test_always_a_call import Consult
from tests.core.world import NOW

CALLER, ALICE, BOB = "u-caller1", "u-1001", "u-1002"
ELSEWHERE = ev.ChannelLocated(CALLER, "breakout", "8", "Dial", in_our_app=False)
ASKED = ev.CallerAsked(CALLER)


def effects(made: Consult, *facts: ev.Fact) -> list[object]:
    outcome = Outcome()
    for fact in facts:
        outcome.effects += made.engine.fact(fact, NOW).effects
    return [effect for _, effect in outcome.effects]


def moves(found: list[object]) -> list[object]:
    return [effect for effect in found if isinstance(effect, BridgePair | Redirect)]


def to_ask(made: Consult) -> set[str]:
    return made.engine.by_others.departures.to_ask()


def consult(state: State) -> Consult:
    made = Consult()
    if state is State.SWAPPED:
        made.command(EventType.SWAP)
    return made


def elsewhere(made: Consult) -> tuple[ev.Fact, ...]:
    return ev.BridgeLeft(CALLER, made.hold), ELSEWHERE


STATES = pytest.mark.parametrize("state", [State.CONSULTING, State.SWAPPED])


@STATES
@pytest.mark.parametrize("first", [CALLER, ALICE])
def test_a_transferor_who_is_moved_with_the_caller(state: State, first: str) -> None:
    """Nobody takes the caller back, and nobody hangs up the transferor, who may be with them."""
    made = consult(state)
    (second,) = {CALLER, ALICE} - {first}
    assert moves(effects(made, ev.StasisLeft(first), ev.StasisLeft(second))) == []
    assert made.session.state is state
    assert to_ask(made) == {CALLER}
    assert to_ask(made) == set()
    found = effects(made, *elsewhere(made), ASKED)
    assert (made.session.state, made.session.reason) == (State.FAILED, "taken")
    assert moves(found) == []
    assert HangUp(ALICE) not in found
    assert HangUp(made.leg) in found


@STATES
@pytest.mark.parametrize("seen", [[], [ev.StasisLeft]])
def test_a_target_who_is_moved_with_the_caller(state: State, seen: list[type]) -> None:
    """The leg ends, because its queue has lost the target's phone, which has not hung up."""
    made = consult(state)
    ends = [kind(made.leg) for kind in seen]
    assert moves(effects(made, *ends, ev.ChannelGone(made.leg))) == []
    assert to_ask(made) == {CALLER}
    found = effects(made, *elsewhere(made))
    assert (made.session.state, made.session.reason) == (State.FAILED, "taken")
    assert moves(found) == []
    assert HangUp(ALICE) in found


@STATES
@pytest.mark.parametrize("who", ["transferor", "target"])
def test_who_is_moved_alone(state: State, who: str) -> None:
    made = consult(state)
    end = ev.StasisLeft(ALICE) if who == "transferor" else ev.ChannelGone(made.leg)
    assert moves(effects(made, end)) == []
    assert moves(effects(made, ASKED)) != []
    expected = State.COMPLETING if who == "transferor" else State.RETURNING
    assert made.session.state is expected


@STATES
@pytest.mark.parametrize("who", ["transferor", "target"])
def test_who_hangs_up_is_not_asked_about(state: State, who: str) -> None:
    made = consult(state)
    phone, channel = (ALICE, ALICE) if who == "transferor" else (BOB, made.leg)
    assert moves(effects(made, ev.HangUpAsked(phone), ev.StasisLeft(channel))) != []
    assert to_ask(made) == set()


@STATES
def test_a_transferor_who_ends_after_all(state: State) -> None:
    """AMI may tell of their hang-up after ARI has told that they have left."""
    made = consult(state)
    assert moves(effects(made, ev.StasisLeft(ALICE))) == []
    assert moves(effects(made, ev.ChannelGone(ALICE))) != []
    assert moves(effects(made, ASKED)) == []


@STATES
@pytest.mark.parametrize("taken", [True, False])
def test_a_transferor_hangs_up_when_the_caller_has_left(state: State, taken: bool) -> None:
    made = consult(state)
    facts = (ev.StasisLeft(CALLER), ev.HangUpAsked(ALICE), ev.ChannelGone(ALICE))
    assert moves(effects(made, *facts)) == []
    settled = elsewhere(made) if taken else (ev.ChannelGone(CALLER),)
    assert moves(effects(made, *settled, ASKED)) == []
    assert made.session.state is (State.FAILED if taken else State.ABANDONED)


def test_a_resync_forgets() -> None:
    made = Consult()
    made.facts(ev.StasisLeft(ALICE))
    made.engine.by_others.retain(lambda _: True)
    assert to_ask(made) == set()
    assert moves(effects(made, ASKED)) == []
