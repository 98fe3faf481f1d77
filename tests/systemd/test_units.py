"""Both units of docs/operations.md, "A standby", under systemd, with a real Asterisk.

One transfer is continued by one daemon after the other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import requests
from bed import Bed, backend_named

from asterisk_avp.install.systemd_unit import NAMES, Role, render_unit
from tests.asterisk.conftest import open_scene, world
from tests.documentation import commands, page
from tests.systemd.machine import LOGS, PROGRAM, Machine

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

FIRST, SECOND = NAMES[Role.FIRST], NAMES[Role.SECOND]
WITHIN = 20.0


def files(env: dict[str, str]) -> dict[str, str]:
    """The units as they are rendered, their settings, and where their output goes: no journal."""
    found = {"/etc/asterisk-avp/environment": "".join(f"{k}={v}\n" for k, v in env.items())}
    for role, name in NAMES.items():
        unit = render_unit(PROGRAM, drain_seconds=10, user=None, command="test", role=role)
        found[f"/etc/systemd/system/{name}"] = unit
        log = (
            f"[Service]\nStandardOutput=append:{LOGS}/{name}\nStandardError=append:{LOGS}/{name}\n"
        )
        found[f"/etc/systemd/system/{name}.d/log.conf"] = log
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bed() -> AsyncIterator[Bed]:
    patient = world()
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    async with Bed(patient, backend=backend_named("rootfs")) as started:
        yield started


@pytest.fixture(scope="module")
def machine(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder: Path = tmp_path_factory.mktemp("systemd")
    with Machine(folder, files(bed.daemon_env())) as started:
        yield started


class Units:
    def __init__(self, machine: Machine, bed: Bed) -> None:
        self.machine = machine
        self.bed = bed

    async def control(self, *words: str) -> str:
        return await asyncio.to_thread(self.machine.systemctl, *words)

    async def show(self, unit: str, name: str) -> str:
        return await asyncio.to_thread(self.machine.show, unit, name)

    def said(self, unit: str, event: str) -> int:
        return self.machine.log_of(unit).count(event)

    def serves(self, unit: str) -> bool:
        """Whether it has connected to ARI since it last was ready to take over."""
        log = self.machine.log_of(unit)
        return log.rfind("ari_connected") > log.rfind("standby_ready")

    async def until_said(self, unit: str, event: str, times: int) -> None:
        async def look() -> bool | None:
            return await asyncio.to_thread(self.said, unit, event) >= times or None

        found = await self.bed.ami.until(look, WITHIN)
        assert found, f"{unit} {event}\n{self.machine.log_of(unit)}\n{self.machine.log()[-2000:]}"

    async def ready(self, *, standby: bool | None = None) -> None:
        """Whoever serves; ``standby``: and whether it has one."""

        def look() -> bool:
            try:
                answer = requests.get(f"{self.bed.url}/readyz", timeout=2)
            except requests.RequestException:
                return False
            there = standby is None or answer.json()["standby"] is standby
            return answer.status_code == 200 and there

        async def ask() -> bool | None:
            return await asyncio.to_thread(look) or None

        assert await self.bed.ami.until(ask, WITHIN), self.machine.log_of(FIRST)


@pytest.fixture
def units(machine: Machine, bed: Bed) -> Units:
    return Units(machine, bed)


def documented(beginning: str) -> list[str]:
    """The arguments of systemctl in a command of docs/operations.md."""
    text = page("docs/operations.md")
    (found,) = {found for found in commands(text) if found.startswith(f"systemctl {beginning}")}
    return found.split()[1:]


async def begun(units: Units) -> None:
    await units.control(*documented("daemon-reload"))
    await units.control(*documented("enable"))
    assert await units.show(FIRST, "ActiveState") == "active"
    assert await units.show(SECOND, "ActiveState") == "active"
    await units.ready(standby=True)


async def test_both_live_through_every_end(units: Units, bed: Bed, machine: Machine) -> None:
    await begun(units)
    served = {unit: units.said(unit, "ari_connected") for unit in (FIRST, SECOND)}
    assert sorted(served.values()) == [0, 1]
    serves = max(served, key=served.__getitem__)
    waits = SECOND if serves == FIRST else FIRST
    async with open_scene(bed) as scene:
        transfer = await scene.consult("caller1", "1001", "1002")
        for command in (
            ("kill", "--signal=KILL", "--kill-who=main"),
            ("kill", "--signal=STOP", "--kill-who=main"),
            ("restart",),
        ):
            ended = units.said(waits, "frozen_daemon_ended")
            ready = units.said(serves, "standby_ready")
            took = units.said(waits, "taking_over")
            process = await units.show(serves, "MainPID")
            await units.control(*command, serves)
            await units.until_said(waits, "taking_over", took + 1)
            await units.ready()
            await scene.consulting(transfer, "caller1", "1001", "1002")
            if "--signal=STOP" in command:
                assert units.said(waits, "frozen_daemon_ended") == ended + 1
            # systemd has started the other one again, and it waits.
            await units.until_said(serves, "standby_ready", ready + 1)
            await units.ready(standby=True)
            assert await units.show(serves, "MainPID") != process
            serves, waits = waits, serves
        await scene.complete(transfer)
        await scene.ends(transfer, "completed", "completed")
        await scene.talking("caller1", "1002")
    assert "Traceback" not in machine.log_of(FIRST) + machine.log_of(SECOND)


async def test_a_reload_of_both(units: Units) -> None:
    await begun(units)
    reloaded = {unit: units.said(unit, "reloaded") for unit in (FIRST, SECOND)}
    await units.control("reload", FIRST, SECOND)
    for unit, times in reloaded.items():
        await units.until_said(unit, "reloaded", times + 1)
    await units.ready(standby=True)


@pytest.mark.parametrize("serves", [FIRST, SECOND])
async def test_both_are_stopped_with_one_command(units: Units, serves: str) -> None:
    """Neither is left. Who waits takes over only if the standby's unit serves, which ends first."""
    await begun(units)
    waits = SECOND if serves == FIRST else FIRST
    if not units.serves(serves):
        took = units.said(serves, "taking_over")
        await units.control("restart", waits)
        await units.until_said(serves, "taking_over", took + 1)
        await units.ready(standby=True)
    assert units.serves(serves)
    assert not units.serves(waits)
    took = units.said(waits, "taking_over")
    (stop,) = re.findall("`systemctl (stop [a-z -]*standby[a-z -]*)`", page("docs/operations.md"))
    await units.control(*stop.split())
    for unit in (FIRST, SECOND):
        assert await units.show(unit, "ActiveState") == "inactive"
    assert units.said(waits, "taking_over") - took <= int(serves == SECOND)


async def test_what_systemd_thinks_of_them(machine: Machine) -> None:
    for unit in (FIRST, SECOND):
        verified = await asyncio.to_thread(
            machine.run, "systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}"
        )
        assert unit not in verified
        exposed = await asyncio.to_thread(
            machine.run, "systemd-analyze", "security", "--no-pager", unit
        )
        assert "OK" in exposed.splitlines()[-1]
