"""The spec of each state: that its columns agree with each other and with the table."""

from __future__ import annotations

import dataclasses

import pytest

from asterisk_avp.core.model.world import World
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.hearing import hearing
from asterisk_avp.core.transfer.persistence import decode, encode
from asterisk_avp.core.transfer.spec import (
    Action,
    Deadline,
    Keys,
    Orphan,
    Recovery,
    Sound,
    StateSpec,
)
from asterisk_avp.core.transfer.states import FORMER_VALUES, SPECS, State
from asterisk_avp.core.transfer.table import ROWS
from tests.core.sessions import IN, SALES, session

EVENTS = {
    Action.COMPLETE: {EventType.COMPLETE},
    Action.CANCEL: {EventType.CANCEL},
    Action.SWAP: {EventType.SWAP},
    Action.CONFERENCE: {EventType.CONFERENCE},
    Action.ADD_PARTY: {EventType.ADD_PARTY},
    Action.DROP_PARTY: {EventType.DROP_TARGET, EventType.DROP_FOURTH},
}


def test_every_state_has_a_spec_and_every_question_an_answer() -> None:
    assert SPECS.keys() == set(State)
    for field in dataclasses.fields(StateSpec):
        assert field.default is dataclasses.MISSING
        assert field.default_factory is dataclasses.MISSING


@pytest.mark.parametrize("state", State)
def test_what_may_be_asked_for_has_rows_and_nothing_else_has(state: State) -> None:
    events = {row.kind for row in ROWS if row.state is state}
    for action, kinds in EVENTS.items():
        assert (action in state.spec.actions) is bool(kinds & events), action


@pytest.mark.parametrize("state", [state for state in State if not state.final])
def test_the_columns_of_a_running_state_agree(state: State) -> None:
    spec, events = state.spec, {row.kind for row in ROWS if row.state is state}
    held = spec.held_in_stasis
    assert (spec.orphan is not Orphan.NONE) is held
    assert spec.caller.place.ours or not held
    assert held or not spec.recovery.arranges
    assert held or not spec.recording_pauses
    assert spec.takes_slot or not spec.releases_slot
    # A target who has answered does not wait any more, and a caller who waits for them does.
    assert not (spec.takes_slot and spec.target.place.ours)
    assert spec.takes_slot or not spec.deadline.awaits_target
    assert (EventType.TIMED_OUT in events) is (spec.deadline is not Deadline.NONE)
    assert EventType.CALLER_GONE in events
    assert EventType.TRANSFEROR_GONE in events
    # A state that waits for Asterisk's answer finds out the result of the request.
    answered = {EventType.BRIDGED, EventType.REDIRECT_FAILED} & events
    assert bool(answered) is not (spec.recovery.arranges or spec.recovery is Recovery.NOTHING)
    assert spec.needs_daemon or spec.recovery is Recovery.NOTHING
    alone = spec.caller.place is not spec.transferor.place
    assert (spec.orphan is Orphan.TALK) is (held and not alone)
    assert spec.caller.alone is Sound.MUSIC or not (held and alone)
    assert (spec.keys is Keys.TARGET_CHOICE) is (EventType.CHOSEN in events)


@pytest.mark.parametrize("state", [state for state in State if state.final])
def test_the_columns_of_a_final_state_agree(state: State) -> None:
    spec = state.spec
    assert (spec.deadline, spec.orphan, spec.recovery) == (
        Deadline.NONE,
        Orphan.NONE,
        Recovery.NOTHING,
    )
    assert not spec.actions
    assert not any(row.state is state for row in ROWS)
    for needs in (spec.held_in_stasis, spec.takes_slot, spec.needs_leg, spec.needs_daemon):
        assert not needs


def test_who_hears_whom() -> None:
    talking = hearing(session(State.CONSULTING, fourth=IN))
    assert talking["transferor"] == ("leg", "fourth")
    assert talking["leg"] == ("transferor", "fourth")
    assert talking["caller"] is Sound.MUSIC
    assert hearing(session(State.SWAPPED))["leg"] is Sound.MUSIC
    assert hearing(session(State.SWAPPED, fourth=IN))["leg"] == ("fourth",)
    assert hearing(session(State.RINGING))["transferor"] is Sound.RINGBACK
    assert hearing(session(State.COLLECTING))["transferor"] is Sound.PROMPT
    assert hearing(session(State.QUEUED))["caller"] is Sound.MUSIC
    assert hearing(session(State.COMPLETED))["caller"] == ("leg",)


def test_a_transfer_of_an_earlier_daemon_is_read() -> None:
    world = World(groups={"sales": SALES})
    assert {former: state.value for former, state in FORMER_VALUES.items()} == {
        "shared": "conference_without_transferor",
        "parting": "dissolving",
        "detaching": "releasing_leg",
    }
    for former, state in FORMER_VALUES.items():
        before = session(state)
        text = encode(before)
        assert f'"state":"{state.value}"' in text
        written = text.replace(f'"state":"{state.value}"', f'"state":"{former}"')
        assert decode(written, world) == before
        assert decode(text, world) == before
