"""Recordings are paused in a consultation only if a setting says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.model.world import Group
from asterisk_avp.core.transfer import machine, recovery
from asterisk_avp.core.transfer.dialplan import LIVE, mark_caller
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.recording import pauses_now
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import GONE, IN, RESTARTED, SALES, UNRECORDED, session

PAUSE, RESUME = fx.PauseRecording("chan-caller"), fx.ResumeRecording("chan-caller")


def about_recordings(effects: tuple[fx.Effect, ...]) -> list[fx.Effect]:
    return [x for x in effects if isinstance(x, fx.PauseRecording | fx.ResumeRecording)]


def unrecorded(state: State, **more: object) -> Session:
    made = session(state, **more)  # type: ignore[arg-type]
    return replace(made, permission=replace(made.permission, group=UNRECORDED))


@pytest.mark.parametrize(
    ("state", "kind", "expected"),
    [
        (State.STARTING, EventType.CALLER_ENTERED, [PAUSE]),
        (State.CONSULTING, EventType.COMPLETE, [RESUME]),
        (State.CONSULTING, EventType.CANCEL, [RESUME]),
        (State.CONSULTING, EventType.TRANSFEROR_GONE, [RESUME]),
        (State.CONSULTING, EventType.SWAP, [RESUME]),
        (State.SWAPPED, EventType.SWAP, [PAUSE]),
        (State.CONSULTING, EventType.CONFERENCE, [RESUME]),
        (State.RINGING, EventType.LEG_UNANSWERED, [RESUME]),
        (State.RINGING, EventType.LEG_ANSWERED, []),
        (State.RELEASING_LEG, EventType.LEG_GONE, [RESUME]),
        (State.COMPLETING, EventType.BRIDGED, []),
        (State.RECALLING, EventType.REDIRECT_FAILED, [RESUME]),
    ],
)
def test_a_pause_and_its_end(state: State, kind: EventType, expected: list[fx.Effect]) -> None:
    _, effects, _ = machine.step(unrecorded(state), SessionEvent(kind))
    assert about_recordings(effects) == expected
    # Before the effects that move the caller, because it would be impossible afterwards.
    if RESUME in effects:
        takes = (fx.BridgePair, fx.Redirect, fx.LeaveStasis, fx.AddToBridge)
        at = [i for i, x in enumerate(effects) if isinstance(x, takes)]
        assert effects.index(RESUME) < max(at)
    # Without the setting, recordings are not touched.
    _, effects, _ = machine.step(session(state), SessionEvent(kind))
    assert about_recordings(effects) == []


def test_what_is_made_once_more_says_the_same() -> None:
    """A daemon that takes over finds a recording paused or not, and knows its proper state."""
    where = recovery.ChannelLocations(
        lambda _: True, lambda _: True, lambda _: None, lambda _: "", lambda _: False
    )
    for state in State:
        if state.final or state in (State.QUEUED, State.OFFERED, State.STARTING, State.DISSOLVING):
            continue  # nothing of ours is recreated there
        made = unrecorded(state)
        found = about_recordings(recovery.restore(made, where))
        assert found == [PAUSE if pauses_now(made) else RESUME], state


def test_who_is_recorded() -> None:
    assert pauses_now(unrecorded(State.WAITING))
    assert pauses_now(unrecorded(State.STARTING, caller=IN))
    assert not pauses_now(unrecorded(State.STARTING))
    assert not pauses_now(unrecorded(State.WAITING, caller=GONE))
    assert not pauses_now(unrecorded(State.SWAPPED))
    assert not pauses_now(replace(unrecorded(State.DECLINED), refused=True))
    assert not pauses_now(session(State.WAITING))
    assert SALES.features != UNRECORDED.features


@pytest.mark.parametrize("group", [SALES, UNRECORDED, RESTARTED])
def test_the_dialplan_is_told_whether_it_restarts(group: Group) -> None:
    """Also that it no longer does, since the variable is from the call's transfer before."""
    made = session(State.CONSULTING)
    made = replace(made, permission=replace(made.permission, group=group))
    told = mark_caller(made, LIVE).variables["AVP_RECORDING_RESTARTS"]
    assert told == ("yes" if group is RESTARTED else "")
    _, effects, _ = machine.step(made, SessionEvent(EventType.COMPLETE))
    assert about_recordings(effects) == ([RESUME] if group is UNRECORDED else [])
