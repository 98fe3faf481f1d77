"""The active daemon is killed, freezes or is stopped in the middle of a consult.

A standby continues the transfer, at the same address; the panel that had signed in before completes
it. tests/adapters/test_standby.py has what is not an ending.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import requests
from bed import Bed, backend_named
from bed.procs import ProcessId, end, exited, spawn

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

WITHIN_SECONDS = 8.0
"""Much more than it takes: other tests run beside this one."""


class Standby:
    """The standby's process, and what it has logged since it began."""

    def __init__(self, bed: Bed, process: ProcessId, since: int) -> None:
        self.bed = bed
        self.process = process
        self._since = since

    def said(self) -> str:
        log = self.bed.directory / "log" / "standby.log"
        return log.read_text(errors="replace")[self._since :]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded() -> AsyncIterator[Bed]:
    patient = replace(world(), variables={"AVP_HEARTBEAT_SECONDS": "120"})
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    patient.settings["AVP_SESSION__DRAIN_SECONDS"] = "60"
    patient.settings["AVP_AGENTS__1001__PIN"] = "pin-1001"
    backend = backend_named(None)
    if backend.name != "rootfs":
        pytest.skip("the two daemons need one machine's processes and addresses")
    async with Bed(replace(patient, max_hold_seconds=60), backend=backend) as bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(guarded: Bed) -> AsyncIterator[Scene]:
    if guarded.daemon is None or exited(guarded.daemon) is not None:
        await guarded.start_daemon()
    async with open_scene(guarded) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def standby(scene: Scene) -> AsyncIterator[Standby]:
    """A standby of the bed's daemon, which is the bed's daemon once it serves."""
    bed = scene.bed
    first = bed.daemon
    assert first is not None
    env = {**bed._inherited(), **bed.daemon_env()}
    log = bed.directory / "log" / "standby.log"
    since = len(log.read_text(errors="replace")) if log.exists() else 0
    command = bed.backend.daemon(bed.name, bed.program, env, outlive=False)
    process = spawn([*command, "--standby"], log=log, env=env, cwd=bed.directory)
    made = Standby(bed, process, since)
    try:
        assert await scene.ami.until(lambda: _true("standby_ready" in made.said()), 20.0)
        assert await scene.ami.until(lambda: _known(scene), 20.0)
        yield made
        await scene.over()
    finally:
        await asyncio.to_thread(end, process, grace=15.0)
        await asyncio.to_thread(end, first, grace=15.0)
        await bed.start_daemon()


async def _true(value: bool) -> bool | None:
    return value or None


async def _known(scene: Scene) -> bool | None:
    """The active daemon knows of the standby, which knows then where its API is."""
    return await scene.metric("asterisk_avp_standby") == 1 or None


class Panel:
    """What the panel's page does: it has the cookie's token, and asks for what is."""

    def __init__(self, scene: Scene, agent: str) -> None:
        self._url = scene.bed.url
        self._agent = agent
        answer = requests.post(
            f"{self._url}/v1/login", json={"agent": agent, "pin": f"pin-{agent}"}, timeout=10
        )
        self._headers = {"Authorization": f"Bearer {answer.json()['token']}"}

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Status and JSON; status 0: no answer."""
        try:
            answer = requests.request(method, self._url + path, headers=self._headers, timeout=10)
        except requests.RequestException:
            return 0, None
        return answer.status_code, answer.json()


async def taken_over(scene: Scene, standby: Standby, transfer: str) -> None:
    """Wait until the standby answers and has the transfer."""

    async def look() -> bool | None:
        def known() -> bool:
            try:
                ready = requests.get(f"{scene.bed.url}/readyz", timeout=1).status_code == 200
                found = requests.get(
                    f"{scene.bed.url}/v1/transfers/{transfer}",
                    headers={"Authorization": f"Bearer {scene.bed.secrets.token}"},
                    timeout=1,
                )
            except requests.RequestException:
                return False
            return ready and found.status_code == 200

        return await asyncio.to_thread(known) or None

    assert await scene.ami.until(look, WITHIN_SECONDS), standby.said()
    assert "taking_over" in standby.said()


async def continued(scene: Scene, standby: Standby, panel: Panel, transfer: str) -> None:
    """The panel that had signed in before completes the transfer; the books are right."""
    await scene.consulting(transfer, "caller1", "1001", "1002")
    status, agent = await asyncio.to_thread(panel.ask, "GET", "/v1/agents/1001")
    assert (status, agent["id"]) == (200, "1001")
    status, _ = await asyncio.to_thread(panel.ask, "POST", f"/v1/transfers/{transfer}/complete")
    assert status == 200
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")
    await scene.booked(Alice=1, Bob=1)
    assert "Traceback" not in standby.said()


async def test_it_is_killed(scene: Scene, standby: Standby) -> None:
    panel = await asyncio.to_thread(Panel, scene, "1001")
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.bed.signal_daemon(signal.SIGKILL)
    await taken_over(scene, standby, transfer)
    await continued(scene, standby, panel, transfer)


async def test_it_freezes(scene: Scene, standby: Standby) -> None:
    """It is ended by the standby, which has its address."""
    panel = await asyncio.to_thread(Panel, scene, "1001")
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.bed.signal_daemon(signal.SIGSTOP)
    await taken_over(scene, standby, transfer)
    assert "frozen_daemon_ended" in standby.said()
    await continued(scene, standby, panel, transfer)


async def test_it_is_stopped(scene: Scene, standby: Standby) -> None:
    """It neither waits for the transfer nor ends it."""
    panel = await asyncio.to_thread(Panel, scene, "1001")
    transfer = await scene.consult("caller1", "1001", "1002")
    before = len(scene.log_of_daemon())
    scene.bed.signal_daemon(signal.SIGTERM)
    await taken_over(scene, standby, transfer)
    assert "left_to_standby" in scene.log_of_daemon(before)
    await continued(scene, standby, panel, transfer)


@pytest.mark.thorough
async def test_it_is_killed_while_a_transfer_waits(scene: Scene, standby: Standby) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    scene.bed.signal_daemon(signal.SIGKILL)
    await taken_over(scene, standby, transfer)
    await scene.reaches(transfer, "waiting")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=6)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_it_is_killed_while_the_target_rings(scene: Scene, standby: Standby) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    scene.bed.signal_daemon(signal.SIGKILL)
    await taken_over(scene, standby, transfer)
    await scene.phone("1002").pick_up()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_the_transferor_hangs_up_while_it_is_frozen(scene: Scene, standby: Standby) -> None:
    """The hang-up completes the transfer once somebody hears of it."""
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.bed.signal_daemon(signal.SIGSTOP)
    await scene.hang_up("1001")
    await taken_over(scene, standby, transfer)
    await scene.talking("caller1", "1002", within=8.0)
