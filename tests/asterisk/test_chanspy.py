"""A supervisor listens with ChanSpy while a call is transferred.

A supervisor who spies on an agent hears the consultation too, because that agent talks in it; one
who spies on the caller hears the caller's music. Of a second partner, nothing wrong is heard, but
with Debian's Asterisk not always anything (see `recording.matches`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AGENT, CALLER = "8201", "8202"


@pytest_asyncio.fixture(loop_scope="session")
async def listening(bed: Bed, scene: Scene) -> AsyncIterator[Scene]:
    """caller4 is a supervisor."""
    spied = {AGENT: "PJSIP/1001", CALLER: "PJSIP/caller1"}
    for number, channel in spied.items():
        line = f"{number},1,ChanSpy,{channel},q"
        await bed.ami.command(f"dialplan add extension {line} into callers")
    yield scene
    for number in spied:
        await bed.ami.command(f"dialplan remove extension {number}@callers")


async def hears(scene: Scene, *sure: str, maybe: str = "") -> None:
    """The supervisor hears these for half a second, perhaps one more, and nothing else."""
    ear = scene.phone("caller4")

    async def look() -> bool | None:
        heard = ear.heard(time.time() - 0.6)
        return set(sure) <= heard <= {*sure, maybe} or None

    assert await scene.ami.until(look, 6.0), ear.heard(time.time() - 0.6)


async def quiet(scene: Scene) -> None:
    await hears(scene, "silence")


@pytest.mark.thorough
async def test_on_the_agent_who_transfers(listening: Scene) -> None:
    scene = listening
    await scene.call("caller1", "1001")
    await scene.phone("caller4").dial(AGENT)
    await hears(scene, "caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await hears(scene, "1001", maybe="1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await hears(scene, "1001", maybe="caller1")
    await scene.agent_is("1002", "available")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    # The transferor has no call any more. Their next one is heard again.
    await quiet(scene)
    await scene.agent_is("1001", "available", within=6)
    await scene.call("caller2", "1001")
    await hears(scene, "caller2", "1001")
    await scene.hang_up("caller2", "caller1")
    await scene.booked(Alice=2, Bob=2)
    await scene.hang_up("caller4")


@pytest.mark.parametrize("mode", ["supervised", "unsupervised"])
async def test_on_the_caller(listening: Scene, mode: str) -> None:
    scene = listening
    await scene.call("caller1", "1001")
    await scene.phone("caller4").dial(CALLER)
    await hears(scene, "caller1", "1001")
    transfer = await scene.transfer("1001", mode, "1002")
    if mode == "supervised":
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await hears(scene, "caller1", "music")
        await scene.complete(transfer)
    else:
        await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.plain("caller1", "1002")
    await hears(scene, "caller1", maybe="1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)
    await scene.hang_up("caller4")
