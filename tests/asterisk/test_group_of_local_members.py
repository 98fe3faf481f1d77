"""Members `Local/…` are there only if the phone of their state interface is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, Wire, Wires, World

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

WIRES: list[Wires] = []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    settings = {
        "AVP_ENTERPRISE__MAX_HOLD_ACTION": "return",
        "AVP_ENTERPRISE__EMPTY_GROUP_SECONDS": "60",
    }
    world = replace(World(settings=settings), local_members=True, max_hold_seconds=60)
    world = world.with_group("sales", strategy="linear").with_group("support", strategy="linear")
    async with Bed(world) as started:
        wires = Wires(Wire(started.ports.ami), Wire(started.ports.http))
        await wires.start()
        WIRES.append(wires)
        await started.start_daemon(wires.daemon_env())
        yield started
        WIRES.remove(wires)
        await wires.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


@pytest.mark.parametrize("there", [False, True], ids=["off", "there"])
async def test_the_other_member_goes_on_a_break_meanwhile(scene: Scene, there: bool) -> None:
    """After the decision, the dialplan alone can tell: 1003's phone is off, or there."""
    (wires,) = WIRES
    if there:
        await moved_meanwhile(scene, wires)
        await scene.phone("1003").answer(within=10)
        await scene.hear_one_another("caller1", "1003")
    else:
        async with scene.without_phone("1003"):
            await scene.agent_is("1003", "offline")
            transfer = await moved_meanwhile(scene, wires)
            await scene.ends(transfer, "failed", "target_not_ready")
            await scene.phone("1001").answer(within=10)
            await scene.hear_one_another("caller1", "1001")
    await scene.pause("1004", paused=False)


async def moved_meanwhile(scene: Scene, wires: Wires) -> str:
    await scene.call("caller1", "1001")
    hold = wires.ami.hold("action: redirect", "avp-group-queue")
    asked = asyncio.create_task(scene.ask("1001", "unsupervised", "group", "support"))
    await hold.caught.wait()
    await scene.pause("1004")
    await scene.agent_is("1004", "not_ready")
    hold.release()
    created = await asked
    wires.mend()
    assert created.status == 201, created
    return str(created.body["id"])
