"""A daemon that stops: the outcome of running transfers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.transfer.states import State
from asterisk_avp.service.drain import return_callers, sessions_needing_daemon
from tests.core.sessions import GONE, IN, session

NOW = 1_800_000_000.0


def store_of(*states: State) -> SessionStore:
    store = SessionStore()
    for number, state in enumerate(states):
        made = replace(session(state), id=f"t{number}")
        store.adopt(made, NOW, Outcome())
    return store


@pytest.mark.parametrize("state", [state for state in State if not state.final])
def test_what_needs_us(state: State) -> None:
    store = store_of(state)
    needed = [found.state for found in sessions_needing_daemon(store)]
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
        # The party that would take the caller back is gone.
        (State.CONFERENCE_WITHOUT_TRANSFEROR, State.CONFERENCE_WITHOUT_TRANSFEROR),
        (State.COMPLETING, State.COMPLETING),
        (State.QUEUED, State.QUEUED),
    ],
)
def test_handed_back(state: State, after: State) -> None:
    store = store_of(state)
    return_callers(store, NOW)
    assert store.records["t0"].session.state is after


def test_handed_back_once_both_have_arrived() -> None:
    store = store_of(State.STARTING)
    return_callers(store, NOW)
    assert store.records["t0"].session.intent.value == "cancel"


def test_nobody_is_handed_back_to_who_has_gone() -> None:
    store = SessionStore()
    talking = session(State.CONFERENCE_WITHOUT_TRANSFEROR, transferor=GONE, fourth=IN)
    store.adopt(talking, NOW, Outcome())
    assert return_callers(store, NOW).effects == []
