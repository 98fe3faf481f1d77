"""A daemon that leaves, or has gone: what becomes of callers who are with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.engine.shutdown import hand_back, need_us
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer import actions
from asterisk_avp.core.transfer.orphan_timeout import TALK_SECONDS, put_off
from asterisk_avp.core.transfer.session import HELD_IN_STASIS, Presence, State
from tests.core.sessions import GONE, IN, session

NOW = 1_800_000_000.0
TALKS = {State.SWAPPED, State.CONFERENCE, State.SHARED, State.DECLINED}
LET_GO = (actions.complete, actions.return_to_transferor, actions.bridge_rest)


@pytest.mark.parametrize("state", State)
def test_who_is_with_us_is_looked_after(state: State) -> None:
    limit = put_off(session(state, caller=IN), NOW, 60)
    if state in HELD_IN_STASIS:
        assert limit == fx.LimitCall("chan-caller", NOW + (TALK_SECONDS if state in TALKS else 60))
    else:
        assert limit is None, "their own limit is in force, or the dialplan has them"


@pytest.mark.parametrize("presence", [Presence.EXPECTED, Presence.GONE])
def test_who_is_not_with_us_is_let_alone(presence: Presence) -> None:
    assert put_off(session(State.WAITING, caller=presence), NOW, 60) is None


def test_a_long_limit_is_no_shorter_for_who_talks() -> None:
    limit = put_off(session(State.CONFERENCE), NOW, 3600)
    assert limit == fx.LimitCall("chan-caller", NOW + 3600)


@pytest.mark.parametrize("let_go", LET_GO)
@pytest.mark.parametrize("ends_at", ["", str(int(NOW))])
def test_who_is_let_go_has_the_limit_of_their_own(let_go: object, ends_at: str) -> None:
    """Before the Bridge: afterwards nobody would take ours away."""
    assert callable(let_go)
    leaving = replace(session(State.CONSULTING), variables={"AVP_ENDS_AT": ends_at})
    effects = let_go(leaving)
    assert isinstance(effects[-1], fx.BridgePair)
    (marked,) = [
        effect.variables
        for effect in effects
        if isinstance(effect, fx.SetVariables) and effect.channel == "chan-caller"
    ]
    assert marked[actions.LIMIT] == "0"
    own = [effect for effect in effects if isinstance(effect, fx.LimitCall)]
    assert own == ([fx.LimitCall("chan-caller", NOW)] if ends_at else [])


def register_of(*states: State) -> SessionStore:
    store = SessionStore()
    for number, state in enumerate(states):
        made = replace(session(state), id=f"t{number}")
        store.adopt(made, NOW, Outcome())
    return store


@pytest.mark.parametrize("state", [state for state in State if not state.final])
def test_what_needs_us(state: State) -> None:
    store = register_of(state)
    needed = [found.state for found in need_us(store)]
    assert needed == ([] if state in (State.QUEUED, State.OFFERED) else [state])


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (State.STARTING, State.STARTING),  # as soon as both have arrived
        (State.COLLECTING, State.RETURNING),
        (State.WAITING, State.RETURNING),
        (State.RINGING, State.RETURNING),
        (State.CONSULTING, State.RETURNING),
        (State.SWAPPED, State.RETURNING),
        (State.CONFERENCE, State.RETURNING),
        (State.SHARED, State.SHARED),  # agent 1 has gone
        (State.COMPLETING, State.COMPLETING),
        (State.QUEUED, State.QUEUED),
    ],
)
def test_handed_back(state: State, after: State) -> None:
    store = register_of(state)
    hand_back(store, NOW)
    assert store.records["t0"].session.state is after


def test_handed_back_once_both_have_arrived() -> None:
    store = register_of(State.STARTING)
    hand_back(store, NOW)
    assert store.records["t0"].session.intent.value == "cancel"


def test_nobody_is_handed_back_to_who_has_gone() -> None:
    store = SessionStore()
    store.adopt(session(State.SHARED, transferor=GONE, fourth=IN), NOW, Outcome())
    assert hand_back(store, NOW).effects == []
