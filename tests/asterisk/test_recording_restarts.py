"""CONSULT_RECORDING=restart: with each new partner, the caller's recording goes on in another file.

The caller uses another codec than the agents, so that a recording has translators, and Debian's
patch drops a new partner's packets from a recording that goes on (docs/reporting.md).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, Group, World, backend_named

from tests.asterisk.conftest import open_scene
from tests.asterisk.recording import Recording, recording_of, said
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ALICE, BOB, ALL = "caller1 1001", "caller1 1002", "caller1 1001 1002"

INBOUND = """
[callers](+)
exten => _9X.,1,Answer()
 same => n,MixMonitor(${UNIQUEID}.wav)
 same => n,Goto(${EXTEN:1},1)
"""


def world() -> World:
    groups = (
        Group("sales", ("1001", "1002"), "800", strategy="linear"),
        Group("support", ("1003", "1004"), "801", strategy="linear"),
    )
    settings = {"AVP_ENTERPRISE__CONSULT_RECORDING": "restart"}
    codecs = {"caller1": "alaw", "1001": "ulaw", "1002": "ulaw"}
    demo = World(groups=groups, extensions=INBOUND, settings=settings, codecs=codecs)
    return replace(demo, wrapuptime=0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def studio() -> AsyncIterator[Bed]:
    async with Bed(world(), backend=backend_named(None)) as started:
        (started.directory / "spool" / "monitor").mkdir(exist_ok=True)
        started.backend.give(started.directory / "spool")
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(studio: Bed) -> AsyncIterator[Scene]:
    async with open_scene(studio) as opened:
        yield opened


async def recorded(scene: Scene, recording: Recording, part: str) -> None:
    """These are what the recording has last."""

    async def look() -> bool | None:
        return recording.parts()[-1:] == said(part) or None

    assert await scene.ami.until(look, 6.0), (recording.parts(), part)


async def call(scene: Scene) -> Recording:
    await scene.call("caller1", "1001", number="9800")
    first = await recording_of(scene, "caller1")
    await recorded(scene, first, ALICE)
    return first


async def consult(scene: Scene) -> str:
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    return transfer


async def test_supervised(scene: Scene) -> None:
    """Swapped both ways and completed: both files have whom the caller talked to."""
    first = await call(scene)
    transfer = await consult(scene)
    before = first.seconds
    second = Recording(scene.bed, f"{first.path.stem}-{transfer}.wav")
    await scene.act(transfer, "swap")
    await recorded(scene, second, ALICE)
    await scene.act(transfer, "swap")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await recorded(scene, second, BOB)
    assert first.seconds <= before
    assert not any("1002" in part for part in first.parts())
    assert first.together("1001", "1002") + second.together("1001", "1002") < 0.1
    await scene.hang_up("caller1")


@pytest.mark.thorough
async def test_a_conference(scene: Scene) -> None:
    first = await call(scene)
    transfer = await consult(scene)
    second = Recording(scene.bed, f"{first.path.stem}-{transfer}.wav")
    await scene.act(transfer, "conference")
    await recorded(scene, second, ALL)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await recorded(scene, second, BOB)
    await scene.hang_up("caller1")


@pytest.mark.thorough
async def test_unsupervised(scene: Scene) -> None:
    first = await call(scene)
    await scene.phone("1002").auto_answer()
    try:
        transfer = await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").established()
    finally:
        await scene.phone("1002").auto_answer(on=False)
    await scene.talking("caller1", "1002")
    second = Recording(scene.bed, f"{first.path.stem}-{transfer}.wav")
    await recorded(scene, second, BOB)
    assert not any("1002" in part for part in first.parts())
    await scene.hang_up("caller1")


@pytest.mark.thorough
async def test_muted_by_another_program(scene: Scene) -> None:
    """A card number is read out: a new recording would have it."""
    first = await call(scene)
    channel = (await scene.ami.channel_of("caller1"))["Channel"]
    mute = {"Channel": channel, "Direction": "both"}
    await scene.ami.action("MixMonitorMute", State="1", **mute)
    await recorded(scene, first, "silence")
    transfer = await consult(scene)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await recorded(scene, first, "silence")
    assert not Recording(scene.bed, f"{first.path.stem}-{transfer}.wav").path.exists()
    await scene.hang_up("caller1")
