"""Queues that are taken out of queues.conf and put back: Asterisk reports nothing of their members.

A reload unlinks a queue with its members, and makes them anew, without an event (app_queue.c,
``reload_queues``). The states of agents must follow nevertheless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

NOTICED = 15.0
"""Within this many seconds the daemon knows of what no event reports."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    ours: World = world().with_group("sales", strategy="linear")
    async with Bed(ours, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


@asynccontextmanager
async def changed(scene: Scene, old: str, new: str) -> AsyncIterator[None]:
    """Asterisk has read queues.conf with ``new`` instead of ``old``, and as it was afterwards."""
    file = scene.bed.directory / "etc" / "queues.conf"
    text = file.read_text()
    assert old in text
    try:
        file.write_text(text.replace(old, new))
        await scene.ami.command("queue reload all")
        yield
    finally:
        file.write_text(text)
        await scene.ami.command("queue reload all")


async def test_a_queue_is_deleted_while_it_rings(scene: Scene) -> None:
    """The end of the ring is reported for the agent's other queues only."""
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").ringing()
    await scene.agent_is("1001", "ringing")
    async with changed(scene, "[sales]", "[sold]"):
        await scene.phone("caller1").hangup()
        await scene.gone("1001")
        await scene.agent_is("1001", "offline", within=NOTICED)
    await scene.agent_is("1001", "available", within=NOTICED)
    await scene.agent_is("1002", "available", within=NOTICED)


async def test_a_queue_is_deleted_and_back_while_it_rings(scene: Scene) -> None:
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").ringing()
    await scene.agent_is("1001", "ringing")
    async with changed(scene, "[sales]", "[sold]"):
        await scene.phone("caller1").hangup()
        await scene.gone("1001")
    await scene.agent_is("1001", "available", within=NOTICED)


async def test_a_queue_is_deleted_during_its_call(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    async with changed(scene, "[sales]", "[sold]"):
        await scene.hang_up("caller1")
        await scene.gone("1001")
    await scene.agent_is("1001", "available", within=NOTICED)


async def test_a_queue_is_deleted_while_nothing_happens(scene: Scene) -> None:
    async with changed(scene, "[support]", "[supported]"):
        await scene.agent_is("1003", "offline", within=NOTICED)
        await scene.agent_is("1001", "available")
    await scene.agent_is("1003", "available", within=NOTICED)
    await scene.agent_is("1004", "available", within=NOTICED)


async def test_a_static_member_is_taken_out_and_put_back(scene: Scene) -> None:
    line = next(
        line
        for line in (scene.bed.directory / "etc" / "queues.conf").read_text().splitlines()
        if line.startswith("member") and "PJSIP/1004" in line
    )
    async with changed(scene, line, f"; {line}"):
        await scene.agent_is("1004", "offline", within=NOTICED)
        await scene.agent_is("1003", "available")
    await scene.agent_is("1004", "available", within=NOTICED)
