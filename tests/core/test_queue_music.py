"""What a caller hears in queues is written to their channel, and their transfers play it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages.effects import SetVariables, StartMusic
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest, World
from asterisk_avp.core.pbx.queue_music import MOST, QueueMusic
from asterisk_avp.core.transfer import actions, persistence, recovery
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import SALES, session
from tests.core.world import NOW, call, engine

CALLER = "u-caller1"


def written(music_class: str) -> SetVariables:
    return SetVariables(CALLER, {"AVP_MUSIC": music_class})


# --- while the caller waits --------------------------------------------------------------------


def test_the_first_music_of_a_wait_is_written() -> None:
    music = QueueMusic()
    music.joined("sales", CALLER)
    assert music.started(CALLER, "jazz") == written("jazz")
    assert music.started(CALLER, "jazz") is None, "it goes on after an announcement"


def test_the_default_too_because_an_earlier_queue_may_have_had_another() -> None:
    music = QueueMusic()
    music.joined("sales", CALLER)
    music.started(CALLER, "jazz")
    music.left(CALLER)
    music.joined("support", CALLER)
    assert music.started(CALLER, "default") == written("default")


@pytest.mark.parametrize("queue", [None, "avp-agent-1002"])
def test_music_elsewhere_is_not_that_of_a_queue(queue: str | None) -> None:
    """A phone on hold, a consult, or a personal queue, which plays what was written."""
    music = QueueMusic()
    assert music.started(CALLER, "default") is None
    music.joined("sales", CALLER)
    music.started(CALLER, "jazz")
    if queue is None:
        music.left(CALLER)
    else:
        music.joined(queue, CALLER)
    assert music.started(CALLER, "default") is None


@pytest.mark.parametrize("text", ["", "jazz)", "a b", "x,y", "${X}", "jazz\r\nEvent: x", "é"])
def test_only_names_that_the_dialplan_can_take(text: str) -> None:
    music = QueueMusic()
    music.joined("sales", CALLER)
    assert music.started(CALLER, text) is None
    assert music.started(CALLER, "jazz") == written("jazz")


def test_nothing_is_written_for_everybody() -> None:
    music = QueueMusic()
    music.joined("sales", "")
    assert music.started("", "jazz") is None


def test_invented_callers_do_not_fill_the_memory() -> None:
    music = QueueMusic()
    for number in range(MOST + 10):
        music.joined("sales", str(number))
    assert music.started("0", "jazz") is None
    assert music.started(str(MOST), "jazz") is not None


# --- in a transfer -----------------------------------------------------------------------------


def _effects(mode: Mode, music_class: str) -> tuple[SetVariables, str]:
    """The caller's variables, and the session's class."""
    made = engine()
    call(made)
    asked = TransferRequest("1001", mode, Target(TargetKind.AGENT, "1002"))
    begun, outcome = made.request(asked, CallVariables(music_class=music_class), NOW)
    marks = [e for _, e in outcome.effects if isinstance(e, SetVariables)]
    mark = next(e for e in marks if e.channel == CALLER and "AVP_STATE" in e.variables)
    return mark, begun.music_class


@pytest.mark.parametrize("mode", Mode)
def test_a_transfer_has_the_class_of_its_call(mode: Mode) -> None:
    mark, music_class = _effects(mode, "jazz")
    assert mark.variables["AVP_MUSIC"] == music_class == "jazz"


@pytest.mark.parametrize("text", ["", "jazz)", "${X}", "a\r\nb"])
def test_a_class_that_is_unknown_or_unclean_is_none(text: str) -> None:
    mark, music_class = _effects(Mode.SUPERVISED, text)
    assert "AVP_MUSIC" not in mark.variables
    assert music_class == ""


@pytest.mark.parametrize("action", [actions.hold_caller, actions.on_hold, actions.swap_to_target])
def test_the_caller_hears_it_whenever_they_are_put_on_hold(
    action: Callable[[Session], actions.Effects],
) -> None:
    held = session(State.CONSULTING, variables={"AVP_MUSIC": "jazz"})
    assert StartMusic(held.caller.channel, "jazz") in action(held)


def test_the_next_daemon_plays_it_too() -> None:
    before = session(State.CONSULTING, variables={"AVP_MUSIC": "jazz"})
    found = persistence.decode(persistence.encode(before), World(groups={"sales": SALES}))
    assert found is not None
    everywhere = recovery.ChannelLocations(
        lambda _channel: True, lambda _channel: True, lambda _channel: None, lambda _channel: ""
    )
    assert StartMusic(found.caller.channel, "jazz") in recovery.restore(found, everywhere)


def test_the_target_of_a_swap_hears_their_own() -> None:
    consulting = session(State.CONSULTING, variables={"AVP_MUSIC": "jazz"})
    assert actions.alone(consulting) == (StartMusic(consulting.leg.channel),)
