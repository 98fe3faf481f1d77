"""A hang-up within the milliseconds of the AMI Bridge that ends a transfer.

Asterisk loses about one in a hundred of them (`core.engine.hang_ups`), so many tries are needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, PhoneError, party

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.picture import FINAL
from tests.asterisk.scene import Scene

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]

TRIES = 40
PARTIES = ("caller1", "1001", "1002")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(replace(world(), wrapuptime=0)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def no_ghost(scene: Scene) -> None:
    """Each channel in a bridge has a phone that is in a call."""

    async def look() -> bool | None:
        live = {name for name in PARTIES if scene.phone(name).live}
        bridged = {party(c["Channel"]) for c in await scene.ami.channels() if c["BridgeId"]}
        return bridged & {*PARTIES} <= live or None

    assert await scene.ami.until(look, 5.0), await scene.ami.channels()


async def ended(scene: Scene, transfer: str) -> None:
    async def look() -> bool | None:
        return await scene.state(transfer) in FINAL or None

    assert await scene.ami.until(look, 5.0), await scene.state(transfer)


@pytest.mark.parametrize(
    ("step", "who"), [("cancel", "1001"), ("complete", "1002"), ("complete", "caller1")]
)
async def test_nobody_hears_a_dead_channel(scene: Scene, step: str, who: str) -> None:
    chance = random.Random(1)
    for _ in range(TRIES):
        for agent in ("1001", "1002"):
            await scene.agent_is(agent, "available", within=10)
        transfer = await scene.consult("caller1", "1001", "1002")
        act = asyncio.create_task(scene.api("POST", f"/v1/transfers/{transfer}/{step}"))
        # Not a wait for anything: the moment of the hang-up is what is tried.
        await asyncio.sleep(chance.uniform(0.002, 0.012))
        await scene.hang_up(who)
        await act
        await no_ghost(scene)
        for name in PARTIES:
            if scene.phone(name).live:
                with contextlib.suppress(PhoneError):  # it has ended meanwhile
                    await scene.hang_up(name)
        await scene.gone(*PARTIES, within=10)
        await ended(scene, transfer)
