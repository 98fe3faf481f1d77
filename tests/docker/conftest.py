"""A call centre started from docker/compose.yaml, for tests that need containers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from bed import Bed, Composed

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed() -> AsyncIterator[Bed]:
    patient = world()
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    async with Bed(patient, backend=Composed.get()) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(bed: Bed) -> AsyncIterator[Scene]:
    async with open_scene(bed) as opened:
        yield opened
