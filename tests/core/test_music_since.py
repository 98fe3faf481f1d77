"""Since when a transfer's caller hears music: without a pause, over all states."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.engine.record import Record
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.views import transfer_view
from asterisk_avp.core.model.world import World
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.session import Session, Times
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import SALES, session
from tests.core.world import NOW, engine


def test_it_begins_once_and_ends_with_the_music() -> None:
    record = Record(session(State.STARTING), 1.0, 1.0)
    for now, state, since in (
        (5.0, State.WAITING, 5.0),
        (7.0, State.RINGING, 5.0),
        (9.0, State.CONSULTING, 5.0),
        (20.0, State.SWAPPED, None),
        (30.0, State.CONSULTING, 30.0),
        (40.0, State.CONFERENCE, None),
    ):
        record.became(session(state), now)
        assert (record.music_since, record.since) == (since, now), state


def test_of_music_that_an_earlier_daemon_began_nothing_is_known_if_it_did_not_say() -> None:
    record = Record.adopted(session(State.RINGING), 100.0)
    assert (record.started, record.since) == (100.0, 100.0)
    record.became(session(State.CONSULTING), 110.0)
    assert record.music_since is None
    record.became(session(State.SWAPPED), 120.0)
    record.became(session(State.CONSULTING), 130.0)
    assert record.music_since == 130.0


def killed(transfer: Session, now: float) -> Record:
    """The record of the next daemon, which reads what this one has written to the channel."""
    found = persistence.read(persistence.variables(transfer), World(groups={"sales": SALES}))
    assert found is not None
    return Record.adopted(found, now)


def test_the_next_daemon_knows_since_when() -> None:
    record = Record(session(State.STARTING), 1.0, 1.0)
    record.became(session(State.WAITING), 5.0)
    record.became(session(State.CONSULTING), 9.0)
    later = killed(record.session, 60.0)
    assert (later.started, later.since, later.music_since) == (1.0, 9.0, 5.0)
    later.became(session(State.SWAPPED), 70.0)
    assert (later.since, later.music_since) == (70.0, None)
    last = killed(later.session, 80.0)
    assert (last.started, last.since, last.music_since) == (1.0, 70.0, None)


def test_a_time_to_come_is_none() -> None:
    """The clock was set back, or somebody else wrote it."""
    odd = replace(session(State.CONSULTING), times=Times(500.0, 600.0, 700.0))
    record = killed(odd, 100.0)
    assert (record.started, record.since, record.music_since) == (100.0, 100.0, 100.0)


def test_what_the_api_tells_after_a_kill_is_what_it_told_before() -> None:
    """For every state: whatever a view says of times, the next daemon's says too."""
    for state in State:
        if state.final:
            continue
        first, second = engine(), engine()
        outcome = Outcome()
        made = session(State.STARTING)
        first.store.begin(made, NOW, outcome)
        record = first.store.records[made.id]
        record.became(session(state, waiting_since=NOW + 3.0), NOW + 3.0)
        found = persistence.read(persistence.variables(record.session), first.world)
        assert found is not None, state
        second.store.adopt(found, NOW + 50.0, outcome)
        before, after = (
            transfer_view(which, which.store.records[made.id]) for which in (first, second)
        )
        for name in ("started", "since", "music_since", "hold_until"):
            assert getattr(after, name) == getattr(before, name), (state, name)
