"""The service `standby` of docker/compose.yaml, with the settings of docs/containers.md."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
import requests
from bed import Bed, Composed
from bed.containers import docker

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene
from tests.documentation import blocks, page

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.containers,
    pytest.mark.asyncio(loop_scope="session"),
]

WITHIN = 20.0


def lines(having: str) -> dict[str, str]:
    """The settings of the page's block with this line."""
    (text,) = (x.text for x in blocks(page("docs/containers.md"), "ini") if having in x.text)
    return dict(line.split("=", 1) for line in text.splitlines())


class Two:
    """The services `daemon` and `standby`, each with an address of its own."""

    def __init__(self, bed: Bed, port: int) -> None:
        assert isinstance(bed.backend, Composed)
        self.bed = bed
        self.urls = {"daemon": bed.url, "standby": f"http://127.0.0.1:{port}"}

    def container(self, service: str) -> str:
        assert isinstance(self.bed.backend, Composed)
        return f"{self.bed.name}-{service}-1"

    def ask(self, service: str, method: str, path: str) -> tuple[int, object]:
        """Status and JSON; (0, None): nobody serves there."""
        headers = {"Authorization": f"Bearer {self.bed.secrets.token}"}
        try:
            answer = requests.request(method, self.urls[service] + path, headers=headers, timeout=2)
        except requests.RequestException:
            return 0, None
        return answer.status_code, answer.json()

    async def until(self, true: Callable[[], bool]) -> None:
        async def look() -> bool | None:
            return await asyncio.to_thread(true) or None

        found = await self.bed.ami.until(look, WITHIN)
        assert found, "\n".join(docker("logs", self.container(x)).stderr for x in self.urls)

    async def serves(self, service: str, *, standby: bool) -> None:
        """The service accepts transfers, and knows (not) of a standby."""

        def look() -> bool:
            status, answer = self.ask(service, "GET", "/readyz")
            return status == 200 and isinstance(answer, dict) and answer["standby"] is standby

        await self.until(look)

        async def says_where() -> bool | None:
            """It is written beside, once it serves."""
            found = await self.bed.ami.action("Getvar", Variable="AVP_AGI")
            return found["Value"] == f"agi://{service}:4583" or None

        assert await self.bed.ami.until(says_where, WITHIN), f"Asterisk does not ask {service}"

    async def goes_on(self, service: str, transfer: str) -> None:
        def look() -> bool:
            status, found = self.ask(service, "GET", f"/v1/transfers/{transfer}")
            return status == 200 and isinstance(found, dict) and found["state"] == "consulting"

        await self.until(look)

    def process(self, service: str) -> int:
        (found,) = json.loads(docker("inspect", self.container(service)).stdout)
        return int(found["State"]["Pid"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Two]:
    patient = replace(world(), variables={"AVP_HEARTBEAT_SECONDS": "120"})
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    async with Bed(patient, backend=Composed.get()) as bed:
        assert isinstance(bed.backend, Composed)
        port = bed.ports.spare[0]
        of_compose = {**lines("COMPOSE_PROFILES"), "AVP_API_PORT_STANDBY": port}
        with (bed.directory / "compose.env").open("a") as env:
            env.writelines(f"{name}={value}\n" for name, value in of_compose.items())
        await bed.start_daemon(lines("AVP_STANDBY__ACTIVE_URL"))
        made = Two(bed, port)
        up = bed.backend.compose(bed.name, "up", "--detach", "--no-build", "--no-deps", "standby")
        process = await asyncio.create_subprocess_exec(
            *up, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, output.decode()
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Two) -> AsyncIterator[Scene]:
    await two.serves("daemon", standby=True)
    async with open_scene(two.bed) as opened:
        yield opened


async def test_one_takes_the_place_of_the_other(two: Two, scene: Scene) -> None:
    """Killed, frozen and stopped: one transfer goes on all the time."""
    transfer = await scene.consult("caller1", "1001", "1002")

    # Not through the engine, which would treat it as an administrator's stop.
    os.kill(two.process("daemon"), signal.SIGKILL)
    await two.serves("standby", standby=True)  # the engine has started the other again
    await two.goes_on("standby", transfer)
    assert two.ask("daemon", "GET", "/healthz")[0] == 0

    # A container cannot end another's process: it wakes up, and waits.
    paused = await asyncio.to_thread(docker, "pause", two.container("standby"))
    assert paused.returncode == 0, paused.stderr
    try:
        await two.serves("daemon", standby=False)
        await two.goes_on("daemon", transfer)
    finally:
        await asyncio.to_thread(docker, "unpause", two.container("standby"))
    await two.serves("daemon", standby=True)
    assert two.ask("standby", "GET", "/healthz")[0] == 0
    await scene.consulting(transfer, "caller1", "1001", "1002")

    stopped = await asyncio.to_thread(docker, "stop", two.container("daemon"))
    assert stopped.returncode == 0, stopped.stderr
    await two.serves("standby", standby=False)
    await two.goes_on("standby", transfer)
    status, _ = await asyncio.to_thread(
        two.ask, "standby", "POST", f"/v1/transfers/{transfer}/complete"
    )
    assert status == 200
    await scene.talking("caller1", "1002")
    await asyncio.to_thread(docker, "start", two.container("daemon"))
    await two.serves("standby", standby=True)
    # Back to where it was.
    await asyncio.to_thread(docker, "restart", two.container("standby"))
    await two.serves("daemon", standby=True)
