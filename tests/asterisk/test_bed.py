"""The test bed itself: the basis of other tests' statements about who heard whom and when."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import time
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import pytest_asyncio
from bed import Bed, PhoneError, World, match
from bed.audio import (
    _ULAW,
    NETWORK_TONES,
    PHONE_TONES,
    RATE,
    SAMPLES,
    Ear,
    Tones,
    tone_ulaw,
)

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

PACKET = RATE // 50

#: Test numbers: digits are read and reported, music stops and starts at known times.
NUMBERS = """
[callers](+)
exten => 810,1,Answer()
 same => n,Read(DIGITS,,5,,1,5)
 same => n,UserEvent(Digits,Digits: ${DIGITS})
 same => n,Hangup()
exten => 811,1,Answer()
 same => n,Playback(demo-congrats)
 same => n,Hangup()
exten => 812,1,Answer()
 same => n,Set(TIMES=0)
 same => n(next),Wait(0.7)
 same => n,UserEvent(Music,At: on)
 same => n,MusicOnHold(default,1)
 same => n,UserEvent(Music,At: off)
 same => n,Set(TIMES=$[${TIMES} + 1])
 same => n,GotoIf($[${TIMES} < 3]?next)
 same => n,Wait(5)
exten => 814,1,Answer()
 same => n,Set(CONFBRIDGE(user,quiet)=yes)
 same => n,ConfBridge(room)
exten => 813,1,Answer()
 same => n,Dial(PJSIP/1004,,i)
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared() -> AsyncIterator[Bed]:
    async with Bed(World(extensions=NUMBERS)) as bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def bed(shared: Bed) -> AsyncIterator[Bed]:
    yield shared
    await shared.idle()


async def connected(bed: Bed, caller: str = "caller1", agent: str = "1001") -> None:
    """Connect a caller of sales to an agent."""
    await bed.available("1001", "1002")
    for other in bed.world.groups[0].agents:
        await bed.phones[other].do_not_disturb(other != agent)
    await bed.phones[caller].dial("800")
    await bed.phones[agent].answer(within=10)
    await bed.ami.bridged(caller, agent)


async def test_a_queue_call_from_music_to_the_books(bed: Bed) -> None:
    caller, alice, bob = bed.phones["caller1"], bed.phones["1001"], bed.phones["1002"]
    start, row = time.time(), bed.queue_log.mark()
    await bob.do_not_disturb()

    await caller.dial("800")
    await caller.hears({"music"})
    await alice.answer()
    await caller.hears({"1001"})
    await alice.hears({"caller1"})
    bridge = await bed.ami.bridged("caller1", "1001")
    assert bridge.kind == "basic"

    # Nothing but music, then nothing but each other.
    assert caller.understood(start) == {"music", "1001"}
    assert alice.understood(start) == {"caller1"}
    assert bob.heard(start) == {"silence"}

    await alice.hangup()
    await caller.closed()
    await bed.ami.assert_clean()

    async def booked() -> bool | None:  # a moment after the channels are gone
        return bool(bed.queue_log.endings(row)) or None

    assert await bed.ami.until(booked, 3.0)
    assert [r.event for r in bed.queue_log.endings(row)] == ["COMPLETEAGENT"]
    done = bed.queue_log.completions(row)
    assert list(done) == ["Alice"]
    assert len(done["Alice"]) == 1


async def test_hold_and_resume(bed: Bed) -> None:
    await connected(bed)
    caller, alice = bed.phones["caller1"], bed.phones["1001"]
    await alice.hold_quietly()
    await caller.hears({"music"})
    await alice.resume()
    await caller.hears({"1001"})
    await alice.hears({"caller1"})


async def test_what_the_wire_carries_is_what_the_phone_recorded(bed: Bed) -> None:
    """The ear listens to RTP packets; baresip's own recording agrees."""
    caller = bed.phones["caller1"]
    if not caller.ear.tapped:
        pytest.skip("the ear uses the recordings themselves here")
    caller.ear.recording = True
    await connected(bed)
    # Not from the first frame on, which a busy phone may record later than it came in.
    start = await caller.hears({"1001"}, steady=1.2) + 0.4
    frames = caller.ear.frames(start, start + 0.8)
    recorded = caller.ear.recorded(start, start + 0.8)
    differ = sum(a != b for a, b in zip(frames, recorded, strict=True))
    assert differ <= 3, (frames, recorded)  # the file's times are only as precise as its polling


async def test_times_are_within_150_ms(bed: Bed) -> None:
    """Music is heard exactly between Asterisk's events for its start and end.

    Of three times the one in the middle, since a busy machine may be late once.
    """
    caller = bed.phones["caller1"]
    since = await bed.ami.mark()
    await caller.dial("812")

    async def look() -> list[list[float]] | None:
        told = [bed.ami.seen(match("UserEvent", At=at), since) for at in ("on", "off")]
        times = [[float(event["Timestamp"]) for event in events] for events in told]
        return times if len(times[1]) == 3 else None

    times = await bed.ami.until(look, within=10)
    assert times is not None
    await caller.hears(set(), within=2)
    spans = [s for s in caller.ear.spans(since, time.time() - Ear.SETTLE) if "music" in s[2]]
    late = [
        min((heard[edge] - told for heard in spans), key=abs)
        for edge, those in enumerate(times)
        for told in those
    ]
    for edge in (late[:3], late[3:]):
        assert median(edge) == pytest.approx(0, abs=0.15), late


async def test_tones_of_the_network_and_speech(bed: Bed) -> None:
    caller, dave = bed.phones["caller1"], bed.phones["1004"]
    since = time.time()
    call = await caller.dial("811")
    await caller.hears({"speech"}, steady=0.2)

    async def understood() -> bool | None:
        return caller.understood(since) == {"speech"} or None

    assert await bed.ami.until(understood, 5.0), caller.timeline(since)
    await caller.hangup(call)

    await caller.dial("813")  # answered before it rings: ringback is sound
    await caller.hears({"ringback"})
    await dave.answer()
    await caller.hears({"1004"})


async def test_parties_of_a_conference_are_told_apart(bed: Bed) -> None:
    """A mix of three at full level, as in a four-party conference, where levels clip."""
    phones = [bed.phones[name] for name in ("caller1", "caller2", "caller3", "caller4")]
    for phone in phones:
        await phone.dial("814")
    for phone in phones:
        await phone.hears({p.name for p in phones} - {phone.name}, within=5)


async def test_keys(bed: Bed) -> None:
    caller = bed.phones["caller1"]
    since = time.time()
    await caller.dial("810")
    await caller.established()
    for key in "19*05":  # a busy phone may lose one that follows at once
        pressed = await bed.ami.mark()
        await caller.dtmf(key)
        await bed.ami.wait(match("DTMFEnd", Direction="Received", Digit=key), 2.0, pressed)
    event = await bed.ami.wait(match("UserEvent", UserEvent="Digits"), within=5, since=since)
    assert event["Digits"] == "19*05"


async def test_a_phone_refuses(bed: Bed) -> None:
    caller, dave = bed.phones["caller1"], bed.phones["1004"]
    call = await caller.dial("1004")
    await dave.reject()
    await caller.closed(call)
    assert "486" in call.reason
    await dave.do_not_disturb()
    call = await caller.dial("1004")
    await caller.closed(call)
    assert "480" in call.reason


async def test_an_unmet_condition_says_what_was_heard(bed: Bed) -> None:
    caller = bed.phones["caller1"]
    await bed.phones["1001"].do_not_disturb()
    await bed.phones["1002"].do_not_disturb()
    await caller.dial("800")
    await caller.hears({"music"})
    with pytest.raises(PhoneError, match=r"\+\d\.\d\ds music"):
        await caller.hears({"1001"}, within=0.6)


async def test_the_phones_own_transfer_button_moves_nothing_by_itself(bed: Bed) -> None:
    await connected(bed)
    await bed.phones["1001"].transfer("1003")
    await bed.ami.bridged("caller1", "1001")
    assert not bed.phones["1003"].live


@pytest.mark.thorough
async def test_two_instances_in_parallel(bed: Bed) -> None:
    """Other members, other ports, and no sound of one in the other."""
    world = World(members="dynamic", local_members=True)
    world = replace(world, groups=(world.groups[0],)).with_group("sales", weight=50)
    async with Bed(world, backend=bed.backend) as second:
        assert second.ports != bed.ports
        assert await second.ami.members("sales") == {}
        await second.ami.action("QueueAdd", **world.member_action("1002", "sales"))
        since = time.time()
        await asyncio.gather(connected(bed), second.phones["caller1"].dial("800"))
        await second.phones["1002"].answer()
        await second.phones["caller1"].hears({"1002"})
        await second.phones["1002"].hears({"caller1"})
        await bed.phones["caller1"].hears({"1001"})
        assert second.phones["1001"].heard(since) == {"silence"}
        assert "1002" not in bed.phones["caller1"].heard(since)
        await second.idle()
    # The first one still exists.
    await bed.phones["caller1"].hears({"1001"})


async def test_the_edges_of_a_gap_sound_like_nothing_else() -> None:
    """Wherever sound begins or ends in a frame; a busy machine causes gaps in a phone's audio."""
    tones = Tones({"1001": PHONE_TONES[0]})
    tone = array("h", (_ULAW[code] for code in tone_ulaw(PHONE_TONES[0])[:SAMPLES]))
    for at in range(SAMPLES):
        nothing = array("h", [0] * SAMPLES)
        for frame in (tone[:at] + nothing[at:], nothing[:at] + tone[at:]):
            assert tones.labels(frame) in ({"1001"}, {"silence"}), at


def pieces(*what: tuple[str, float]) -> array[int]:
    """What sounds for how many seconds, one after the other; "" is nothing."""
    sound = array("h")
    for name, seconds in what:
        tones = (PHONE_TONES[0],) if name == "1001" else NETWORK_TONES.get(name, ())
        sound.extend(
            round(sum(6000 * math.sin(2 * math.pi * f * i / RATE) for f in tones))
            for i in range(round(seconds * RATE))
        )
    return sound


def ear_that_heard(sound: array[int], directory: Path) -> tuple[Ear, float, float]:
    """And from when to when, in the past."""
    ear = Ear(directory, range(1), Tones({"1001": PHONE_TONES[0]}))
    ear.tapped = True
    began = float(int(time.time()) - 60)
    for at in range(0, len(sound), PACKET):
        packet = sound[at : at + PACKET]
        ear.take(0, 0, packet, began + (at + len(packet)) / RATE)
    return ear, began, began + len(sound) / RATE


async def test_scraps_of_music_are_not_understood_as_another_sound(tmp_path: Path) -> None:
    """A frame in which music begins or ends is often like a tone of the network."""
    gaps = [part for n in range(40) for part in (("music", 0.1 + n / 400), ("", 0.1))]
    ear, since, until = ear_that_heard(pieces(*gaps), tmp_path)
    assert ear.heard(since, until) > {"music", "silence"}  # as a test would have been misled
    assert ear.understood(since, until) == {"music"}


@pytest.mark.parametrize(
    ("name", "seconds"), [("ringback", 0.4), ("busy", 0.4), ("dialtone", 0.4), ("1001", 0.2)]
)
async def test_what_was_heard_between_is_understood(
    tmp_path: Path, name: str, seconds: float
) -> None:
    sound = pieces(("music", 1.0), (name, seconds), ("music", 1.0))
    ear, since, until = ear_that_heard(sound, tmp_path)
    assert ear.understood(since, until) >= {"music", name}  # tones of the network are alike


class Stubborn(Bed):
    """Its daemon cannot be ended."""

    async def stop_daemon(self, *, kill: bool = False) -> None:
        raise TimeoutError("the daemon does not end")


async def test_all_else_is_closed_where_something_does_not_end() -> None:
    bed = Stubborn(World())
    await bed.start(["caller1"])
    asterisk = bed.asterisk
    assert asterisk is not None
    asterisk.signal(signal.SIGKILL)
    with pytest.raises(TimeoutError, match="does not end"):
        await bed.stop()
    assert not asterisk.alive()
    assert bed.phones["caller1"].process is not None
    assert not bed.phones["caller1"].process.alive()
    assert not bed.directory.exists()
    del bed
    gc.collect()  # an open connection would be a ResourceWarning
