"""Recordings continue through every kind of transfer, and contain nothing of a consultation.

The inbound dialplan records the caller's channel with MixMonitor before Queue(). The tones in the
file show who was recorded, when, and with whom.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, Group, World, backend_named, match
from bed.procs import end

from tests.asterisk.conftest import open_scene
from tests.asterisk.recording import Recording, matches, recording_of, said, sequence
from tests.asterisk.scene import FOURTH, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

QUEUED, ALICE, BOB, CAROL = "caller1 music", "caller1 1001", "caller1 1002", "caller1 1003"
QUIET, ALL = "silence", "caller1 1001 1002"

INBOUND = """
[callers](+)
exten => _9X.,1,Answer()
 same => n,MixMonitor(${UNIQUEID}.wav)
 same => n,Goto(${EXTEN:1},1)
"""


def world() -> World:
    """Demo world; app_queue itself records the group `taped`."""
    taped = {"monitor-format": "wav"}
    demo = World(
        groups=(
            Group("sales", ("1001", "1002"), "800", strategy="linear"),
            Group("support", ("1003", "1004"), "801", strategy="linear"),
            Group("taped", ("1001", "1003"), "802", strategy="linear", options=taped),
        ),
        extensions=INBOUND,
        settings={
            # A recording is listened to while somebody waits or is rung.
            "AVP_SESSION__RING_SECONDS": "20",
            "AVP_SESSION__DRAIN_SECONDS": "0.1",
        },
    )
    return replace(demo, wrapuptime=1, max_hold_seconds=60)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def studio() -> AsyncIterator[Bed]:
    async with Bed(world(), backend=backend_named(None)) as started:
        (started.directory / "spool" / "monitor").mkdir(exist_ok=True)
        started.backend.give(started.directory / "spool")
        yield started


async def with_daemon(bed: Bed, wanted: str) -> None:
    """The daemon runs with this setting for recordings."""
    if bed.daemon is not None and getattr(bed, "recording", "") == wanted:
        return
    await bed.stop_daemon()
    await start(bed, wanted)


async def start(bed: Bed, wanted: str) -> None:
    await bed.start_daemon({"AVP_ENTERPRISE__CONSULT_RECORDING": wanted})
    bed.recording = wanted  # type: ignore[attr-defined]  # a note of this file


@pytest_asyncio.fixture(loop_scope="session")
async def scene(studio: Bed) -> AsyncIterator[Scene]:
    await with_daemon(studio, "continue")
    async with open_scene(studio) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def pausing(studio: Bed) -> AsyncIterator[Scene]:
    await with_daemon(studio, "pause")
    async with open_scene(studio) as opened:
        yield opened
        if studio.daemon is None:
            await start(studio, "pause")


class Recorded:
    """caller1, who is recorded from before the queue on, and the recording so far."""

    def __init__(self, scene: Scene, recording: Recording) -> None:
        self.scene, self.recording, self.parts = scene, recording, [ALICE]

    async def then(self, *parts: str) -> None:
        """Wait until these were recorded next, and nothing else."""
        self.parts += parts
        await self.so_far()

    async def so_far(self) -> None:
        async def look() -> bool | None:
            return matches(self.now(), *self.parts) or None

        assert await self.scene.ami.until(look, 6.0), (self.now(), self.parts)

    def now(self) -> list[frozenset[str]]:
        """Without the moment in the first queue, if an agent answered late."""
        parts = self.recording.parts()
        return parts[1:] if parts[:1] == said(QUEUED) else parts

    async def over(self) -> None:
        """caller1 hangs up: one file of the whole call, without anybody's private conversation."""
        ami = self.scene.ami
        call = await ami.channel_of("caller1")
        mine = match("Newchannel", Uniqueid=call["Uniqueid"])
        began = ami.seen(mine, self.scene.since)[0].at
        least = time.time() - began - 1.5
        await self.scene.hang_up("caller1")
        most = time.time() - began + 1.5
        await self.so_far()

        async def whole() -> bool | None:
            return self.recording.seconds > least or None  # its end is written a moment later

        assert await ami.until(whole, 3.0), (least, self.recording.seconds)
        assert self.recording.seconds < most, (self.recording.seconds, most)
        if ALL not in self.parts:
            assert self.recording.together("1001", "1002") < 0.1


async def recorded_call(scene: Scene, number: str = "9800") -> Recorded:
    """caller1 talks to 1001."""
    await scene.call("caller1", "1001", number=number)
    recorded = Recorded(scene, await recording_of(scene, "caller1"))
    await recorded.so_far()
    return recorded


async def consult(scene: Scene, target: str = "1002") -> str:
    """1001 consults. Returns the transfer."""
    transfer = await scene.transfer("1001", "supervised", target)
    await scene.phone(target).answer()
    await scene.consulting(transfer, "caller1", "1001", target)
    return transfer


# --- what counts as the same recording -------------------------------------------------------


def heard(*runs: tuple[str, float]) -> list[frozenset[str]]:
    return sequence([(said(part)[0], seconds) for part, seconds in runs])


@pytest.mark.parametrize("wait", [QUEUED, QUIET])
async def test_a_caller_is_alone_while_they_are_moved(wait: str) -> None:
    parts = heard((ALICE, 2), ("caller1", 0.8), (wait, 2), ("caller1", 1.4), (ALICE, 1))
    assert matches(parts, ALICE, wait, ALICE)


@pytest.mark.parametrize("wait", [QUEUED, QUIET])
async def test_a_caller_who_is_left_alone_is_found(wait: str) -> None:
    wanted = (ALICE, wait, ALICE)
    for parts in (
        heard((ALICE, 2), ("caller1", 0.8), (ALICE, 1)),
        heard((ALICE, 2), ("caller1", 2), (ALICE, 1)),
        heard((ALICE, 2), ("caller1", 2), (wait, 2), (ALICE, 1)),
        heard((ALICE, 2), (wait, 2), ("caller1", 2), (ALICE, 1)),
        heard((ALICE, 2), (wait, 2), ("caller1", 0.8), (ALICE, 1), ("caller1", 0.8)),
        heard((ALICE, 2), ("caller1", 0.8), (wait, 2)),
        heard((ALICE, 2), (wait, 2), ("1001 1002", 0.4), (ALICE, 1)),
    ):
        assert not matches(parts, *wanted), parts


# --- the recording goes on -------------------------------------------------------------------


async def test_supervised(scene: Scene) -> None:
    """Cancelled first, then completed after a swap."""
    recording = await recorded_call(scene)
    transfer = await consult(scene)
    await recording.then(QUEUED)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await recording.then(ALICE)
    await scene.agent_is("1002", "available")
    transfer = await consult(scene)
    await recording.then(QUEUED)
    await scene.act(transfer, "swap")
    await recording.then(ALICE)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await recording.then(BOB)
    await recording.over()


@pytest.mark.thorough
async def test_supervised_to_a_number(scene: Scene) -> None:
    recording = await recorded_call(scene)
    body = {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    await scene.phone("pstn").answer()
    await scene.consulting(answer.body["id"], "caller1", "1001", "pstn")
    await recording.then(QUEUED)
    await scene.complete(answer.body["id"])
    await scene.talking("caller1", "pstn")
    await recording.then("caller1 pstn")
    await recording.over()


@pytest.mark.thorough
async def test_unsupervised_to_an_agent_who_is_busy(scene: Scene) -> None:
    recording = await recorded_call(scene)
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    await recording.then(QUEUED)
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")
    await recording.then(BOB)
    await recording.over()


async def test_unsupervised_to_a_group_that_app_queue_records(scene: Scene) -> None:
    """app_queue's own recording is another file, and never replaces the first."""
    recording = await recorded_call(scene)
    await scene.transfer("1001", "unsupervised", "taped", "group")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    # They may have talked for a while before this looks at it.
    await recording.then("? " + QUEUED, CAROL)
    await recording.over()


@pytest.mark.thorough
async def test_app_queues_own_recording(scene: Scene) -> None:
    """``monitor-format`` of the queue: a call back in the same queue does not overwrite it."""
    recording = await recorded_call(scene, "802")
    transfer = await consult(scene, "1003")
    await recording.then(QUEUED)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await recording.then(ALICE)
    await scene.transfer("1001", "unsupervised", "taped", "group")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    # It records while the caller is in a bridge, so the wait in the second queue is not in it.
    await recording.then(CAROL)
    await scene.hang_up("caller1")
    await recording.so_far()
    assert recording.recording.together("1001", "1003") < 0.1


@pytest.mark.thorough
async def test_a_conference(scene: Scene) -> None:
    recording = await recorded_call(scene)
    transfer = await consult(scene)
    await recording.then(QUEUED)
    await scene.act(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    await recording.then(ALL)
    await scene.hang_up("1001")
    await scene.talking("caller1", "1002")
    await recording.then(BOB)
    await recording.over()


# --- it is paused during the consultation ----------------------------------------------------


@pytest.mark.thorough
async def test_paused_and_every_way_out(pausing: Scene) -> None:
    """Cancel, no answer, swap back and forth, a conference; always in step with the call."""
    scene = pausing
    recording = await recorded_call(scene)
    transfer = await consult(scene)
    await recording.then(QUIET)
    await scene.act(transfer, "swap")
    await recording.then(ALICE)
    await scene.act(transfer, "swap")
    await recording.then(QUIET)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await recording.then(ALICE)
    await scene.agent_is("1002", "available")
    rung = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await recording.then(QUIET)
    await scene.phone("1002").hangup()
    await scene.ends(rung, "failed", "rejected")
    await recording.then(ALICE)
    await scene.agent_is("1002", "available")
    transfer = await consult(scene)
    await recording.then(QUIET)
    await scene.act(transfer, "conference")
    await recording.then(ALL)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await recording.then(BOB)
    await recording.over()


@pytest.mark.thorough
async def test_paused_and_left_to_the_queue(pausing: Scene) -> None:
    """The transferor hangs up while the target rings: unsupervised from then on, and recorded."""
    scene = pausing
    recording = await recorded_call(scene)
    await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await recording.then(QUIET)
    await scene.hang_up("1001")
    await scene.rung_again("1002")
    await scene.talking("caller1", "1002")
    await recording.then("? " + QUEUED, BOB)
    await recording.over()


async def test_paused_and_the_daemon_killed(pausing: Scene) -> None:
    """The next daemon knows: it stays paused until the consultation has ended, and no longer."""
    scene = pausing
    recording = await recorded_call(scene)
    transfer = await consult(scene)
    await recording.then(QUIET)
    await scene.bed.stop_daemon(kill=True)
    await start(scene.bed, "pause")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await recording.so_far()
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await recording.then(BOB)
    await recording.over()


@pytest.mark.thorough
async def test_paused_and_the_daemon_told_to_stop(pausing: Scene) -> None:
    scene = pausing
    recording = await recorded_call(scene)
    await consult(scene)
    await recording.then(QUIET)
    daemon = scene.bed.daemon
    assert daemon is not None
    scene.bed.signal_daemon(signal.SIGTERM)
    await scene.talking("caller1", "1001")
    await recording.then(ALICE)
    await asyncio.to_thread(end, daemon, grace=15.0, first=None)  # a second one ends it at once
    scene.bed.daemon = None
    await recording.over()


@pytest.mark.thorough
async def test_paused_and_taken_to_the_group_without_a_daemon(pausing: Scene) -> None:
    """The dialplan cannot end the pause, so the recording goes on in a second file."""
    scene = pausing
    recording = await recorded_call(scene)
    transfer = await consult(scene)
    await recording.then(QUIET)
    await scene.bed.stop_daemon(kill=True)
    await scene.hang_up("1002", "1001")
    # Asterisk's own action when nobody renews the caller's limit any more.
    channel = (await scene.ami.channel_of("caller1"))["Channel"]
    net = {"Context": "avp-stasis", "Exten": "T", "Priority": "1"}
    await scene.ami.action("Redirect", Channel=channel, **net)
    await scene.phone("1001").answer(within=6)
    await scene.talking("caller1", "1001")
    first = recording.recording.path
    second = Recording(scene.bed, f"{first.stem}-{transfer}.wav")

    async def recorded() -> bool | None:
        # Debian's package may lose the agent's side here (docs/limits.md, codecs).
        return any("caller1" in part for part in second.parts()) or None

    assert await scene.ami.until(recorded, 6.0), second.parts()
    await recording.so_far()
    await start(scene.bed, "pause")
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_what_the_administrator_has_paused(pausing: Scene) -> None:
    """A card number is read out: our consultation does not end that pause."""
    scene = pausing
    recording = await recorded_call(scene)
    channel = (await scene.ami.channel_of("caller1"))["Channel"]
    mute = {"Channel": channel, "Direction": "both"}
    await scene.ami.action("MixMonitorMute", State="1", **mute)
    await recording.then(QUIET)
    transfer = await consult(scene)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await recording.so_far()
    await scene.ami.action("MixMonitorMute", State="0", **mute)
    await recording.then(BOB)
    await recording.over()


async def test_calls_that_nothing_records(pausing: Scene) -> None:
    """Asterisk reports that it cannot; this is not an error, and the transfer continues."""
    transfer = await pausing.consult("caller1", "1001", "1002")
    await pausing.complete(transfer)
    await pausing.talking("caller1", "1002")
    await pausing.ends(transfer, "completed", "completed")
    assert await pausing.variable("caller1", "AVP_RECORDING") == ""
