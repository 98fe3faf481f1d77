"""Who hears somebody else after a step, and when Asterisk is to translate anew for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer import machine, recovery, translation
from asterisk_avp.core.transfer.events import EventType as K
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.recovery import ChannelLocations
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import IN, OUT, session

LEG, FOURTH, AGENT, CALLER = "avp-t1-leg", "avp-t1-1-leg", "chan-agent", "chan-caller"


def renewed(effects: tuple[fx.Effect, ...]) -> set[str]:
    return {effect.channel for effect in effects if isinstance(effect, fx.RenewTranslation)}


@pytest.mark.parametrize(
    ("state", "kind", "changes", "expected"),
    [
        # AMI Bridge: both of the pair, before.
        (State.CONSULTING, K.COMPLETE, {}, {LEG, CALLER}),
        (State.CONSULTING, K.TRANSFEROR_GONE, {}, {LEG, CALLER}),
        (State.CONFERENCE, K.COMPLETE, {}, {LEG, CALLER}),
        (State.SWAPPED, K.COMPLETE, {}, {LEG, CALLER}),
        (State.CONSULTING, K.CANCEL, {}, {AGENT, CALLER}),
        (State.RINGING, K.LEG_UNANSWERED, {}, {AGENT, CALLER}),
        (State.CONFERENCE, K.CALLER_GONE, {}, {AGENT, LEG}),
        # Our bridges and music.
        (State.RINGING, K.LEG_ANSWERED, {}, {AGENT}),
        (State.WAITING, K.LEG_RINGING, {}, {AGENT}),
        (State.CONSULTING, K.SWAP, {}, {AGENT, CALLER, LEG}),
        (State.SWAPPED, K.SWAP, {}, {AGENT, CALLER, LEG}),
        (State.CONSULTING, K.CONFERENCE, {}, {AGENT, CALLER, LEG}),
        (State.SWAPPED, K.CONFERENCE, {}, {AGENT, CALLER, LEG}),
        # With a fourth party: who joins has heard nobody yet.
        (State.CONSULTING, K.FOURTH_ANSWERED, {"fourth": OUT}, {AGENT, LEG}),
        (State.SWAPPED, K.FOURTH_ANSWERED, {"fourth": OUT}, {LEG}),
        (State.CONSULTING, K.FOURTH_GONE, {"fourth": IN}, {AGENT, LEG}),
        (State.CONSULTING, K.LEG_GONE, {"fourth": IN}, {AGENT, FOURTH}),
        (State.SWAPPED, K.FOURTH_GONE, {"fourth": IN}, {LEG}),
        (State.CONSULTING, K.COMPLETE, {"fourth": IN}, {CALLER, LEG, FOURTH}),
        # Nobody hears anybody else.
        (State.CONSULTING, K.ADD_PARTY, {}, set()),
        (State.RINGING, K.LEG_RINGING, {}, set()),
        (State.CONSULTING, K.CALLER_GONE, {}, set()),
        (State.COMPLETING, K.BRIDGED, {}, set()),
        (State.WAITING, K.COMPLETE, {}, set()),
    ],
)
def test_who_hears_somebody_else(
    state: State, kind: K, changes: dict[str, object], expected: set[str]
) -> None:
    _, effects, row = machine.step(session(state, **changes), SessionEvent(kind))  # type: ignore[arg-type]
    assert row is not None
    assert renewed(effects) == expected


def test_a_bridge_of_asterisks_own_is_prepared() -> None:
    """After it there is no Local channel to tell anything by."""
    for state in (State.CONSULTING, State.SWAPPED, State.CONFERENCE):
        _, effects, _ = machine.step(session(state), SessionEvent(K.COMPLETE))
        kinds = [type(effect) for effect in effects]
        assert kinds.index(fx.RenewTranslation) < kinds.index(fx.BridgePair)
        assert fx.RenewTranslation not in kinds[kinds.index(fx.BridgePair) :]


def test_before_our_bridges_are_arranged_and_afterwards() -> None:
    for state, kind in (
        (State.CONSULTING, K.SWAP),
        (State.SWAPPED, K.SWAP),
        (State.SWAPPED, K.CONFERENCE),
    ):
        _, effects, _ = machine.step(session(state), SessionEvent(kind))
        told = [at for at, x in enumerate(effects) if x == fx.RenewTranslation(LEG)]
        done = [at for at, x in enumerate(effects) if isinstance(x, fx.AddToBridge)]
        assert len(told) == 2
        assert told[0] < done[0] <= done[-1] < told[1]


@pytest.mark.parametrize("state", [State.RINGING, State.WAITING])
def test_ringback_has_ended_before_the_target_is_heard(state: State) -> None:
    """Its last packet would be the translator's first, and its end would end the pause."""
    _, effects, _ = machine.step(session(state), SessionEvent(K.LEG_ANSWERED))
    ended = effects.index(fx.StopRingback(AGENT))
    renewed = [at for at, x in enumerate(effects) if x == fx.RenewTranslation(AGENT)]
    joined = effects.index(next(x for x in effects if isinstance(x, fx.AddToBridge)))
    assert ended < renewed[0] < joined < renewed[1]


def test_also_where_the_next_daemon_stops_it_afterwards() -> None:
    before = session(State.CONSULTING)
    arranged = (fx.AddToBridge("consult", LEG), fx.StopRingback(AGENT), fx.StopMusic(CALLER))
    effects = translation.restored(before, arranged)
    last = max(at for at, x in enumerate(effects) if x == fx.RenewTranslation(AGENT))
    assert last > effects.index(fx.StopMusic(CALLER))


def test_a_target_whom_the_phone_itself_called_has_no_variables_of_ours() -> None:
    before = replace(session(State.STARTING, transferor=IN), attended=True)
    _, effects, _ = machine.step(before, SessionEvent(K.CALLER_ENTERED))
    there = fx.SetVariables(LEG, {"CONNECTED_LINE_SEND_SUB": "avp-translation,now,1"})
    assert effects.index(there) < [type(x) for x in effects].index(fx.BridgePair)


def test_the_next_daemon_does_not_know_what_was_in_place() -> None:
    nowhere = ChannelLocations(
        lambda _: True, lambda _: True, lambda _: None, lambda _: "", lambda _: False
    )
    for state in (State.CONSULTING, State.CONFERENCE, State.COMPLETING, State.RETURNING):
        before = session(state, leg=IN)
        effects = recovery.restore(before, nowhere)
        assert {LEG, CALLER} <= renewed(effects)
