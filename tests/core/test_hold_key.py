"""The phone's own hold key: who hears music then, and who begins and ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.holds import HoldMusic, noted
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import EndHold, StartHold, StartMusic
from asterisk_avp.core.model.world import Origin
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.pbx.holds import hold_again, holds, in_front_of
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.hearing import hearing
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Sound
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import IN, session

LETTERS = {"t": "transferor", "c": "caller", "l": "leg", "f": "fourth"}


def channel(of: Session, letter: str) -> str:
    if letter == "f":
        assert of.fourth is not None
        return of.fourth.party.channel
    return str(getattr(of, LETTERS[letter]).channel)


def on_hold(state: State, letters: str, *, fourth: bool = False) -> Session:
    made = session(state, fourth=IN if fourth else None)
    return replace(made, on_hold=frozenset(channel(made, letter) for letter in letters))


def told(made: Session, effects: tuple[object, ...]) -> list[str]:
    """Who is given music (+) and from whom it is taken (-), in order."""
    names = {
        party.channel: letter
        for letter in "tclf"
        for party in made.parties
        if letter != "f" or made.fourth is not None
        if party.channel == channel(made, letter)
    }
    signs = {StartHold: "+", EndHold: "-"}
    return [
        signs[type(x)] + names[x.channel] for x in effects if isinstance(x, StartHold | EndHold)
    ]


@pytest.mark.parametrize(
    ("state", "who", "fourth", "heard"),
    [
        (State.CONSULTING, "l", False, {"t": Sound.MUSIC, "l": Sound.NOTHING, "c": Sound.MUSIC}),
        (State.CONSULTING, "t", False, {"t": Sound.NOTHING, "l": Sound.MUSIC, "c": Sound.MUSIC}),
        (State.CONSULTING, "c", False, {"t": ("leg",), "l": ("transferor",), "c": Sound.NOTHING}),
        (State.CONSULTING, "l", True, {"t": ("fourth",), "f": ("transferor",)}),
        (State.CONSULTING, "lf", True, {"t": Sound.MUSIC, "f": Sound.NOTHING}),
        (State.SWAPPED, "c", False, {"t": Sound.MUSIC, "l": Sound.MUSIC, "c": Sound.NOTHING}),
        (State.SWAPPED, "l", False, {"t": ("caller",), "c": ("transferor",), "l": Sound.NOTHING}),
        (State.CONFERENCE, "l", False, {"t": ("caller",), "c": ("transferor",)}),
        (State.CONFERENCE, "lc", False, {"t": Sound.MUSIC, "c": Sound.NOTHING}),
        (State.CONFERENCE, "lc", True, {"t": ("fourth",), "f": ("transferor",)}),
    ],
)  # fmt: skip
def test_who_hears_what(
    state: State, who: str, fourth: bool, heard: dict[str, Sound | tuple[str, ...]]
) -> None:
    found = hearing(on_hold(state, who, fourth=fourth))
    assert {letter: found[LETTERS[letter]] for letter in heard} == heard


@pytest.mark.parametrize(
    ("before", "after", "who", "expected"),
    [
        (State.CONSULTING, State.CONFERENCE, "l", ["-t"]),
        (State.CONSULTING, State.SWAPPED, "t", ["-l", "+c"]),
        (State.CONSULTING, State.SWAPPED, "l", ["-t"]),
        (State.SWAPPED, State.CONSULTING, "t", ["-c", "+l"]),
        (State.SWAPPED, State.CONSULTING, "l", ["+t"]),
        (State.SWAPPED, State.CONFERENCE, "lc", ["-t", "+t"]),
        (State.CONSULTING, State.COMPLETING, "l", ["-t"]),
        (State.CONSULTING, State.RETURNING, "c", []),
        (State.CONSULTING, State.CONFERENCE, "", []),
    ],
)
def test_a_step_moves_the_music(before: State, after: State, who: str, expected: list[str]) -> None:
    """What it ends it ends before the step's own effects, and begins it after them."""
    step = StartMusic("x")
    old = on_hold(before, who)
    new = replace(old, state=after)
    effects = HoldMusic().around(old, new, (step,), SessionEvent(EventType.SWAP))
    assert told(old, effects) == expected
    at = effects.index(step)
    assert all(isinstance(x, EndHold) for x in effects[:at])
    assert all(isinstance(x, StartHold) for x in effects[at + 1 :])


def test_no_music_where_the_transfer_is_completed_at_once() -> None:
    """On a trunk, the end of a hold that has just begun may be lost, and the caller in silence."""
    waiting = replace(on_hold(State.WAITING, "t"), origin=Origin.JOIN)
    music = HoldMusic()
    for before, after in (
        (State.WAITING, State.CONSULTING),
        (State.CONSULTING, State.COMPLETING),
    ):
        old = replace(waiting, state=before)
        new = replace(waiting, state=after)
        event = SessionEvent(EventType.SWAP)
        assert told(old, music.around(old, new, (), event)) == []


@pytest.mark.parametrize(
    ("state", "who", "expected"),
    [
        (State.COMPLETING, "l", ["+c"]),
        (State.RETURNING, "c", ["+t"]),
        (State.RETURNING, "t", ["+c"]),
        (State.RETURNING, "tc", []),
        (State.RETURNING, "", []),
    ],
)
def test_a_bridge_of_asterisks_own_is_told_of_the_hold(
    state: State, who: str, expected: list[str]
) -> None:
    bridged = SessionEvent(EventType.BRIDGED)
    before = on_hold(state, who)
    after = machine.step(before, bridged).session
    assert told(before, HoldMusic().around(before, after, (), bridged)) == expected


def test_asterisk_itself_plays_where_the_key_is_pressed_in_a_bridge_of_two() -> None:
    music = HoldMusic()
    talking, held = on_hold(State.CONSULTING, ""), on_hold(State.CONSULTING, "l")
    assert music.pressed(talking, held) == ()
    assert music.pressed(held, talking) == ()
    assert music.pressed(talking, held) == ()
    # What it plays ends by itself where the bridge changes.
    conference = replace(held, state=State.CONFERENCE)
    swap = SessionEvent(EventType.CONFERENCE)
    assert music.around(held, conference, (), swap) == ()
    # In a bridge of three it plays nothing.
    both = on_hold(State.CONFERENCE, "lc")
    assert told(both, music.pressed(conference, both)) == ["+t"]
    assert told(both, music.pressed(both, conference)) == ["-t"]


def test_a_phone_is_found_behind_local_channels_and_they_from_it() -> None:
    """A consult leg, in a bridge with a member ``Local/1002@agents/n``, and the agent's phone."""
    calls = Calls()
    names = {
        "leg": "Local/1002@avp-agent-queue-00000001;1",
        "far": "Local/1002@avp-agent-queue-00000001;2",
        "near": "Local/1002@agents-00000002;1", "end": "Local/1002@agents-00000002;2",
        "phone": "PJSIP/1002-00000003",
    }  # fmt: skip
    bridges = {"leg": "consult", "far": "q", "near": "q", "end": "a", "phone": "a"}
    for identifier, name in names.items():
        calls.update(ev.ChannelSeen(identifier, name, bridge=bridges[identifier]))
    assert not holds(calls, "leg")
    calls.hold("phone", on_hold=True)
    assert holds(calls, "leg")
    assert "leg" in in_front_of(calls, "phone")
    assert holds(calls, "phone")
    calls.enter("phone", "other")
    assert calls.channels["phone"].on_hold, "the phone is still on hold, wherever it is moved"
    assert not holds(calls, "leg")
    assert not holds(calls, "nobody")


def test_who_is_on_hold_is_noted_by_channel() -> None:
    made = session(State.CONSULTING)
    found = noted(made, lambda channel: channel == made.leg.channel)
    assert found.on_hold == {made.leg.channel}
    assert noted(found, lambda channel: channel == made.leg.channel) is found


@pytest.mark.parametrize(
    ("on_hold", "bridge", "expected"),
    [
        (("phone",), "b", [(None, StartHold("caller"))]),
        (("caller",), "b", [(None, StartHold("phone"))]),
        (("caller", "phone"), "b", []),
        ((), "b", []),
        (("phone",), "ours", []),
    ],
)
def test_a_phone_that_takes_the_place_of_its_leg(
    on_hold: tuple[str, ...], bridge: str, expected: list[object]
) -> None:
    calls = Calls(ours=lambda name: name == "ours")
    for name in ("caller", "phone"):
        assert hold_again(calls, bridge) == []
        calls.update(ev.ChannelSeen(name, f"PJSIP/{name}-00000001", bridge=bridge))
        calls.hold(name, on_hold=name in on_hold)
    assert hold_again(calls, bridge) == expected
    calls.update(ev.ChannelSeen("spy", "PJSIP/spy-00000001", bridge=bridge))
    assert hold_again(calls, bridge) == []
