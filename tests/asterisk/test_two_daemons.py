"""Two daemons on one Asterisk: one serves, the other reports it and exits, and calls continue."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
import requests
from bed import Bed, backend_named
from bed.deadlines import deadline
from bed.procs import ProcessId, end, exited, spawn

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ANOTHER_SERVES = 75


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def contested() -> AsyncIterator[Bed]:
    patient = world()
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    async with Bed(replace(patient, max_hold_seconds=60), backend=backend_named(None)) as bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(contested: Bed) -> AsyncIterator[Scene]:
    if contested.daemon is None or exited(contested.daemon) is not None:
        await contested.start_daemon()
    async with open_scene(contested) as opened:
        yield opened


@dataclass
class Second:
    """Another daemon with the same settings, on ports of its own."""

    bed: Bed
    process: ProcessId
    url: str
    log: Path
    since: int

    def status(self) -> int:
        """The status of /readyz; 0: no answer."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code
        except requests.RequestException:
            return 0

    def said(self) -> str:
        return self.log.read_text(errors="replace")[self.since :]

    async def left(self, within: float = 20.0) -> int | None:
        return await left(self.process, within)

    async def ready(self, within: float = 20.0) -> None:
        await until(lambda: self.status() == 200, within)


async def until(look: object, within: float) -> None:
    assert callable(look)
    over = deadline(within)
    while not await asyncio.to_thread(look):
        assert time.monotonic() < over
        await asyncio.sleep(0.1)


async def left(process: ProcessId, within: float = 20.0) -> int | None:
    await until(lambda: exited(process) is not None, within)
    return exited(process)


_which = itertools.cycle((0, 2))
"""Of the ports that the instance has to spare, so that nobody else takes them meanwhile."""


@asynccontextmanager
async def second_daemon(bed: Bed) -> AsyncIterator[Second]:
    api, agi = bed.ports.spare[(first := next(_which)) : first + 2]
    env = {
        **bed._inherited(),
        **bed.daemon_env(),
        "AVP_API__PORT": str(api),
        "AVP_AGI__PORT": str(agi),
        "AVP_ARI__REQUEST_TIMEOUT_SECONDS": "2",
    }
    log = bed.directory / "log" / "second.log"
    since = len(log.read_text(errors="replace")) if log.exists() else 0
    process = spawn(
        bed.backend.daemon(bed.name, bed.program, env, outlive=False),
        log=log,
        env=env,
        cwd=bed.directory,
    )
    try:
        yield Second(bed, process, f"http://127.0.0.1:{api}", log, since)
    finally:
        await asyncio.to_thread(end, process, grace=15.0)


async def test_the_second_leaves_and_a_transfer_goes_on(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.expected |= {"[error"}
    async with second_daemon(scene.bed) as second:
        assert await second.left() == ANOTHER_SERVES
        assert "other_daemon_active" in second.said()
        assert "Another daemon serves the Stasis application asterisk_avp: process" in second.said()
        assert "transfer_restored" not in second.said(), "it has not even looked"
        assert "Traceback" not in second.said()
    assert "other_daemon_rejected" in scene.log_of_daemon()
    assert (await scene.api("GET", "/readyz")).status == 200
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")


async def test_the_first_hangs_and_wakes_up(scene: Scene) -> None:
    """It is abandoned, the second continues its transfer, and it never acts again."""
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.expected |= {"[error"}
    first = scene.bed.daemon
    assert first is not None
    first.signal(signal.SIGSTOP)
    try:
        async with second_daemon(scene.bed) as second:
            await second.ready()
            first.signal(signal.SIGCONT)
            assert await left(first) == ANOTHER_SERVES
            assert "other_daemon_active" in scene.log_of_daemon()
            await scene.hear_one_another("1001", "1002")
            await scene.on_music("caller1")
            done = await asyncio.to_thread(
                requests.post,
                f"{second.url}/v1/transfers/{transfer}/complete",
                headers={"Authorization": f"Bearer {scene.bed.secrets.token}"},
                timeout=10,
            )
            assert done.status_code == 200, done.text
            await scene.talking("caller1", "1002")
            await scene.plain("caller1", "1002")
            assert second.status() == 200
            await scene.hang_up("caller1")
            await scene.gone("1001", "1002")
    finally:
        first.signal(signal.SIGCONT)
        await scene.bed.stop_daemon()
        await scene.bed.start_daemon()


@pytest.mark.thorough
async def test_of_two_that_start_together_one_serves(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    scene.expected |= {"[error"}
    await scene.bed.stop_daemon()
    try:
        async with second_daemon(scene.bed) as one, second_daemon(scene.bed) as other:
            both = (one, other)
            await until(lambda: sum(exited(x.process) is not None for x in both) == 1, 20)
            await until(lambda: any(x.status() == 200 for x in both), 20)
            (loser,) = [x for x in both if exited(x.process) is not None]
            assert exited(loser.process) == ANOTHER_SERVES
        await scene.talking("caller1", "1001")
    finally:
        await scene.bed.start_daemon()


@pytest.mark.thorough
async def test_one_that_was_killed_locks_nobody_out(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    before = len(scene.log_of_daemon())
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    assert "another_daemon" not in scene.log_of_daemon(before)
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
