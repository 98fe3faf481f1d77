"""A call centre of a given size, and the daemon that serves it in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from servers.pbx import Pbx
from servers.pbx_channels import Call
from servers.waiting import eventually

from asterisk_avp.core.model.pins import SALT_BYTES, PinHash
from asterisk_avp.core.transfer.session import is_leg
from tests.ports import free_port

APP = "asterisk_avp"
TOKEN = "growth"
PIN = "1234"
MARKER = "marker"
"""An agent without calls. Their pauses show how far the daemon has processed its events."""
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    queues: int
    sessions: int
    """How many transfers are open at the same time; each has two agents of its own."""
    panels: int

    def queue(self, index: int) -> str:
        return f"q{index % self.queues:03d}"

    def agent(self, index: int) -> str:
        return str(20_000 + index)  # no emergency number begins with 2

    def members(self) -> dict[str, tuple[str, ...]]:
        """Each agent is in two queues, and shares one with the next agent."""
        found = {
            self.agent(i): tuple(dict.fromkeys((self.queue(i), self.queue(i + 1))))
            for i in range(self.agents)
        }
        return {**found, MARKER: (self.queue(0),)}


@dataclass(frozen=True, slots=True)
class Pair:
    """A transferor, the queue of the call, and the target."""

    agent: str
    queue: str
    target: str


def pairs(size: Size, first: int, count: int) -> list[Pair]:
    return [
        Pair(size.agent(i), size.queue(i + 1), size.agent(i + 1))
        for i in range(first, first + 2 * count, 2)
    ]


@dataclass
class Session:
    pair: Pair
    call: Call
    id: str = ""


@dataclass
class CallCentre:
    """``pbx`` and the daemon; ``http`` has an integration's token."""

    size: Size
    pbx: Pbx
    folder: Path
    http: aiohttp.ClientSession
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    started_seconds: list[float] = field(default_factory=list)
    synced_seconds: list[float] = field(default_factory=list)
    start_cpu_seconds: list[float] = field(default_factory=list)
    program: tuple[str, ...] = ("-m", "asterisk_avp", "run")
    """How Python runs the daemon."""
    paused: bool = False
    """Whether the marker agent is paused."""
    _sent_before: int = 0

    def __post_init__(self) -> None:
        # Always a member of their personal queue, for `caught_up`.
        marker = self.pbx.members[MARKER]
        marker.personal = marker.personal_static = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- the daemon ----------------------------------------------------------------------------

    async def start(self, profile: Path | None = None) -> None:
        """Start the daemon, and wait until it is ready. ``profile``: run under the profiler."""
        self.port, agi = free_port(), free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "AVP_CONFIG": str(self.folder / "avp.toml"),
            "AVP_ARI__URL": self.pbx.ari.url,
            "AVP_ARI__USERNAME": "avp",
            "AVP_ARI__PASSWORD": "s3cret",
            "AVP_AMI__PORT": str(self.pbx.ami.port),
            "AVP_AMI__USERNAME": "avp",
            "AVP_AMI__SECRET": "s3cret",
            "AVP_API__PORT": str(self.port),
            "AVP_API__TOKENS": TOKEN,
            "AVP_AGI__PORT": str(agi),
        }
        command = self.program
        if profile is not None:
            command = ("-m", "tests.benchmarks.profiled", str(profile))
        with (self.folder / "daemon.log").open("ab") as log:
            self._sent_before = self.pbx.sent
            began = time.monotonic()
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *command, env=environ, stdout=log, stderr=log
            )
        while not await self._ready():
            if self.process.returncode is not None or time.monotonic() > began + TIMEOUT_SECONDS:
                text = (self.folder / "daemon.log").read_text(errors="replace")
                raise RuntimeError(f"the daemon is not ready:\n{text[-3000:]}")
            await asyncio.sleep(0.01)
        ready = time.monotonic()
        self.started_seconds.append(ready - began)
        self.synced_seconds.append(ready - self.pbx.logged_in_at)
        self.start_cpu_seconds.append(self.cpu())

    @property
    def sent(self) -> int:
        """The number of AMI events sent to this daemon."""
        return self.pbx.sent - self._sent_before

    async def _ready(self) -> bool:
        try:
            async with self.http.get(self.url + "/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def cpu(self) -> float:
        """CPU seconds of the daemon's main thread, which does all its work."""
        return int(self._proc("schedstat").split()[0]) / 1e9

    def rss(self) -> float:
        """Memory in MiB."""
        lines = self._proc("status").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def _proc(self, name: str) -> str:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    # --- requests and calls ----------------------------------------------------------------------

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as answer:
            answer.raise_for_status()
            return await answer.json() if path != "/metrics" else await answer.text()

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        async with self.http.post(self.url + path, json=body) as answer:
            content = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"POST {path}: {answer.status} {content}")
            return content

    async def play(self, events: list[bytes]) -> float:
        """Send events. Returns the seconds until the daemon has processed all of them."""
        began = time.monotonic()
        await self.pbx.play(events)
        await self.caught_up()
        return time.monotonic() - began

    async def caught_up(self) -> None:
        """Wait until the daemon has processed everything that was sent before."""
        # The daemon mirrors a pause in the groups' queues to the personal queue.
        mirrored = self.pbx.expect("QueuePause", f"avp-agent-{MARKER}")
        self.paused = not self.paused
        self.pbx.pause(MARKER, paused=self.paused)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await mirrored

    async def begin(self, pair: Pair) -> Session:
        """A call for the pair's agent, and its transfer until the two are consulting."""
        call = self.pbx.offer(pair.agent, pair.queue)
        known = self.pbx.expect("Getvar", call.caller.name)
        self.pbx.answer(call)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await known  # the daemon reads the group of each call that it has seen
        body = {"mode": "supervised", "target": {"kind": "agent", "id": pair.target}}
        transfer = await self.post(f"/v1/agents/{pair.agent}/transfers", body)
        session = Session(pair, call, transfer["id"])
        await eventually(lambda: self._consulting(call, session.id), TIMEOUT_SECONDS)
        return session

    def _consulting(self, call: Call, transfer: str) -> bool:
        peer = self.pbx.peer(call.phone)
        return peer is not None and is_leg(peer.id) and peer.id.startswith(f"avp-{transfer}-")

    async def complete(self, session: Session) -> None:
        """Complete, wait until the transferor and the Local channel are gone, and end the call."""
        await self.post(f"/v1/transfers/{session.id}/complete")
        call = session.call
        await eventually(lambda: call.phone.id not in self.pbx.channels, TIMEOUT_SECONDS)
        await eventually(lambda: self._with_target(session), TIMEOUT_SECONDS)
        self.pbx.hang_up(call.caller)

    def _with_target(self, session: Session) -> bool:
        peer = self.pbx.peer(session.call.caller)
        return peer is not None and peer.name.startswith(f"PJSIP/{session.pair.target}-")

    async def transfer(self, pair: Pair) -> str:
        session = await self.begin(pair)
        await self.complete(session)
        return session.id


async def gather(limit: int, work: Sequence[Any]) -> list[Any]:
    """The results of coroutines, of which at most ``limit`` run at a time."""
    slots = asyncio.Semaphore(limit)

    async def one(coroutine: Any) -> Any:
        async with slots:
            return await coroutine

    return list(await asyncio.gather(*map(one, work)))


def _configure(file: Path, size: Size) -> None:
    # All have the same PIN: hundreds of hashes would take a while.
    pin_hash = PinHash.of(PIN, b"\0" * SALT_BYTES, 10)
    lines = ["[accounts.acme]", "contracted = true", 'country = "US"', ""]
    for index in range(size.queues):
        name = size.queue(index)
        lines += [f"[groups.{name}]", 'account = "acme"', f'name = "Group {name}"']
        lines += ["acw_seconds = 5", ""]
    for agent in size.members():
        lines += [f"[agents.{agent}]", f'name = "Agent {agent}"', f'pin_hash = "{pin_hash}"', ""]
    file.write_text("\n".join(lines))


@asynccontextmanager
async def call_centre(size: Size) -> AsyncIterator[CallCentre]:
    """The call centre, with its daemon not yet started."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(limit=0)
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        _configure(Path(folder, "avp.toml"), size)
        async with (
            Pbx(size.members(), app=APP) as pbx,
            aiohttp.ClientSession(headers=headers, connector=connector) as http,
            CallCentre(size, pbx, Path(folder), http) as made,
        ):
            yield made
