"""A transfer taken over in every state, with the parties in every place, continues."""

from __future__ import annotations

import itertools

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer.session import State as S
from tests.core.sessions import session
from tests.core.test_recovery import (
    AGENT,
    CALLER,
    CONSULTS,
    ELSEWHERE,
    GONE,
    HELD,
    LEG,
    NOWHERE,
    RUNNING,
    UNTIMED,
    WITH_US,
    taken,
)


@pytest.mark.parametrize("state", RUNNING)
def test_wherever_they_are_it_goes_on(state: S) -> None:
    """It ends, or a wait has a timer, or the parties talk in a bridge of ours."""
    places = (GONE, WITH_US, HELD, CONSULTS, ELSEWHERE, NOWHERE)
    for caller, agent, leg in itertools.product(places, repeat=3):
        before = session(state)
        if caller == GONE:
            continue  # no session exists then: it was written to the caller's channel
        after, done, outcome = taken(before, {CALLER: caller, AGENT: agent, LEG: leg})
        timers = [e for _, e in outcome.effects if isinstance(e, fx.SetTimer)]
        assert after.state.final or after.state in UNTIMED or timers, (caller, agent, leg)
        if after.state in UNTIMED:
            talking = [p for p in after.present if p.channel != CALLER]
            assert talking or caller in (WITH_US, HELD, CONSULTS)
        assert "dial leg" not in " ".join(done) or state is S.STARTING
