"""The names of the rows, which connect the log to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.transfer import machine, table
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import IN, session

SOURCE = Path(table.__file__).read_text(encoding="utf-8")


def test_the_name_of_a_row_is_found_once_in_the_table() -> None:
    """As a literal, and also by a search for the bare words: none is a part of another."""
    for row in table.ROWS:
        assert re.fullmatch("[a-z_]+", row.name)
        assert row.name.startswith(row.state.value + "_")
        assert SOURCE.count(row.name) == 1, row.name
        assert f'Transition("{row.name}", S.{row.state.name}, K.{row.kind.name}, ' in SOURCE


def test_a_step_names_its_row() -> None:
    step = machine.step(session(State.CONSULTING), SessionEvent(EventType.LEG_GONE))
    assert step.row is not None
    assert step.row.name == "consulting_target_hung_up_no_fourth"
    assert machine.step(session(State.QUEUED), SessionEvent(EventType.SWAP)).row is None


@pytest.mark.parametrize(
    ("state", "event", "row", "after", "reason", "changed"),
    [
        (
            State.CONSULTING,
            SessionEvent(EventType.LEG_GONE, "no_answer"),
            "consulting_target_hung_up_no_fourth",
            State.RETURNING,
            "target_hangup",
            True,
        ),
        (
            State.RINGING,
            SessionEvent(EventType.LEG_UNANSWERED, "rejected"),
            "ringing_target_did_not_answer",
            State.RETURNING,
            "rejected",
            True,
        ),
        (
            State.RINGING,
            SessionEvent(EventType.LEG_RINGING),
            "ringing_target_rings",
            None,
            "",
            False,
        ),
        (State.QUEUED, SessionEvent(EventType.SWAP), "", None, "", False),
        (State.ABANDONED, SessionEvent(EventType.TRANSFEROR_GONE), "", None, "", False),
    ],
)
def test_an_outcome_has_the_steps(
    state: State, event: SessionEvent, row: str, after: State | None, reason: str, changed: bool
) -> None:
    store, outcome = SessionStore(), Outcome()
    store.adopt(session(state), 1.0, Outcome())
    store.apply("t1", event, 2.0, outcome)
    (taken,) = outcome.steps
    assert (taken.transfer, taken.call) == ("t1", "chan-caller")
    assert (taken.before, taken.event, taken.after) == (state, event.kind, after or state)
    assert (taken.row, taken.reason, taken.changed) == (row, reason, changed)


def test_two_outcomes_have_the_steps_of_both() -> None:
    store, first, second = SessionStore(), Outcome(), Outcome()
    store.adopt(session(State.CONSULTING, fourth=IN), 1.0, Outcome())
    store.apply("t1", SessionEvent(EventType.CONFERENCE), 2.0, first)
    store.apply("t1", SessionEvent(EventType.TRANSFEROR_GONE), 3.0, second)
    assert [taken.row for taken in first.then(second).steps] == [
        "consulting_conference_requested",
        "conference_transferor_hung_up_with_fourth",
    ]
