"""A call must not enter a personal queue before its member, who is added as somebody needs them.

The daemon adds the member at the begin of a transfer. Here Asterisk gets that action late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, Wire, Wires, backend_named
from bed.deadlines import patiently

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wired() -> AsyncIterator[tuple[Bed, Wires]]:
    async with Bed(replace(world(), members="dynamic"), backend=backend_named(None)) as bed:
        wires = Wires(Wire(bed.ports.ami), Wire(bed.ports.http))
        await wires.start()
        await bed.start_daemon(wires.daemon_env())
        yield bed, wires
        await bed.stop_daemon()
        await wires.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(wired: tuple[Bed, Wires]) -> AsyncIterator[Scene]:
    async with open_scene(wired[0]) as opened:
        yield opened


async def transfers(scene: Scene) -> set[str]:
    return {str(one["id"]) for one in (await scene.api("GET", "/v1/transfers")).body}


@pytest.mark.parametrize("mode", ["unsupervised", "supervised"])
async def test_a_transfer_in_the_moment_of_the_log_in(
    scene: Scene, wired: tuple[Bed, Wires], mode: str
) -> None:
    await scene.call("caller1", "1001")
    await scene.log_out("1002")

    async def nobody() -> bool | None:
        return None if await scene.ami.members("avp-agent-1002") else True

    assert await scene.ami.until(nobody, 3.0)
    await scene.agent_is("1002", "offline")
    before = await transfers(scene)
    added = wired[1].ami.hold("action: queueadd", "avp-agent-1002")
    try:
        await scene.log_in("1002")
        await scene.agent_is("1002", "available")
        # The answer comes once Asterisk has moved the call.
        asked = asyncio.create_task(scene.transfer("1001", mode, "1002"))
        await asyncio.wait_for(added.caught.wait(), patiently(5.0))

        async def begun() -> str | None:
            return next(iter(await transfers(scene) - before), None)

        transfer = await scene.ami.until(begun, 5.0)
        assert transfer is not None

        async def failed() -> bool | None:
            return await scene.state(transfer) == "failed" or None

        assert not await scene.ami.until(failed, 0.3), await scene.state(transfer)
    finally:
        added.release()
    assert await asked == transfer
    await scene.phone("1002").answer(within=8)
    if mode == "supervised":
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
