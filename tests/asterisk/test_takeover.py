"""The daemon is killed during a transfer, and the next one continues it.

`matrix` has every state in which it may be killed, and every party that hangs up meanwhile.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named
from bed.procs import ProcessId, exited

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def killed() -> AsyncIterator[Bed]:
    """A call centre whose daemon may be killed."""
    # A daemon takes seconds to start here; no timer may expire meanwhile, nor the dialplan act.
    patient = replace(world(), variables={"AVP_HEARTBEAT_SECONDS": "120"})
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    patient.settings["AVP_SESSION__DRAIN_SECONDS"] = "60"
    async with Bed(replace(patient, max_hold_seconds=60), backend=backend_named(None)) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(killed: Bed) -> AsyncIterator[Scene]:
    if killed.daemon is None:
        await killed.start_daemon()
    async with open_scene(killed) as opened:
        yield opened


async def kill(scene: Scene) -> None:
    await scene.bed.stop_daemon(kill=True)


async def revive(scene: Scene) -> None:
    await scene.bed.start_daemon()


async def killed_and_revived(scene: Scene) -> None:
    await kill(scene)
    await revive(scene)


# --- the daemon is killed and comes back -----------------------------------------------------


@pytest.mark.smoke("takeover after a restart")
@pytest.mark.containers
async def test_in_a_consult(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await kill(scene)
    await scene.hear_one_another("1001", "1002")
    await scene.on_music("caller1")
    await revive(scene)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_the_target_answers_meanwhile(scene: Scene) -> None:
    """No application to enter: the target hears the call end, and the transferor continues."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    await kill(scene)
    await scene.phone("1002").pick_up()
    await scene.gone("1002")
    await scene.on_music("caller1")
    await revive(scene)
    await scene.ends(transfer, "failed", "target_unreachable")
    await scene.talking("caller1", "1001")


@pytest.mark.containers
@pytest.mark.thorough
async def test_waiting_for_a_busy_agent(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    await killed_and_revived(scene)
    await scene.reaches(transfer, "waiting")
    assert (await scene.agent("1002"))["waiting_transfer"]
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=6)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_the_call_is_delivered_meanwhile(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    await kill(scene)
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await revive(scene)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


# --- the daemon is asked to leave ------------------------------------------------------------


async def asked_to_leave(scene: Scene) -> ProcessId:
    """SIGTERM; until it exits, the daemon accepts no new transfers."""
    daemon = scene.bed.daemon
    assert daemon is not None
    scene.bed.signal_daemon(signal.SIGTERM)

    async def look() -> bool | None:
        return (await scene.api("GET", "/readyz")).status == 503 or None

    assert await scene.ami.until(look, 3.0)
    return daemon


async def has_left(scene: Scene, daemon: ProcessId) -> None:
    async def look() -> bool | None:
        return exited(daemon) is not None or None

    # Much less than the time for which it would wait; the end of a container is noticed late.
    assert await scene.ami.until(look, 15.0)
    scene.bed.daemon = None


@pytest.mark.thorough
@pytest.mark.containers
async def test_it_waits_for_the_end_of_a_transfer(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    daemon = await asked_to_leave(scene)
    answer = await scene.ask("1001", "supervised", "agent", "1002")
    assert answer.status == 503
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await has_left(scene, daemon)
    await revive(scene)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_asked_twice_it_leaves_at_once(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    daemon = await asked_to_leave(scene)
    scene.bed.signal_daemon(signal.SIGTERM)
    await has_left(scene, daemon)
    await scene.hear_one_another("1001", "1002")
    await revive(scene)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")


# --- somebody hangs up meanwhile -------------------------------------------------------------


@pytest.mark.thorough
async def test_agent_and_target_hang_up_meanwhile(scene: Scene) -> None:
    """The caller is left alone: back to the group, at the head."""
    await scene.consult("caller1", "1001", "1002")
    await kill(scene)
    await scene.hang_up("1001", "1002")
    await scene.on_music("caller1")
    await revive(scene)
    await scene.phone("1002").answer(within=8)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_nothing_is_left_written(scene: Scene) -> None:
    """Afterwards, the caller's channel is as if there had been no transfer."""
    transfer = await scene.consult("caller1", "1001", "1002")
    assert await scene.variable("caller1", "AVP_SESSION_0")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")

    async def look() -> bool | None:
        return not await scene.variable("caller1", "AVP_SESSION_0") or None

    assert await scene.ami.until(look, 2.0)
