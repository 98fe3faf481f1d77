"""Several nodes: what the agents of nine other nodes cost one daemon, and how old its picture is.

    python -m tests.benchmarks.nodes [--quick] [--output FILE]

The daemon runs in a process of its own with a simulated Asterisk of 1,000 agents, over a real
nats-server. Nine more nodes in another process speak as daemons do; each has as many agents. Costs
are the daemon's CPU time as the kernel counts it. The age of a change is the time from the moment
at which the agent changed on the other node until this daemon's engine decides by it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "adapters"))

from servers.nats import ANYBODY, NatsServer, password
from servers.pbx import Pbx

from asterisk_avp.core.model.pins import SALT_BYTES, PinHash
from tests.benchmarks.figures import conditions, table
from tests.benchmarks.growth_centre import APP, PIN
from tests.ports import free_port

COMMAND = "python -m tests.benchmarks.nodes"
NODES = "abcdefghij"
OWN = NODES[0]
TIMEOUT_SECONDS = 120.0
GROUPS = 100
AIM_AGE_MS, AIM_JOIN_SECONDS = 100, 2


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    """Of each node."""
    rates: tuple[int, ...]
    """Changes of the other nodes' agents a second."""
    seconds: float
    panels: int


WHOLE = Size(1000, (0, 333, 3330), 15.0, 100)
QUICK = Size(100, (0, 100), 3.0, 5)


def say(text: str) -> None:
    print(f"nodes: {text}", file=sys.stderr, flush=True)


def agents_of(size: Size, node: str) -> dict[str, tuple[str, ...]]:
    """The node's agents with their groups. Each is in two."""
    first = NODES.index(node) * size.agents
    return {
        str(20_000 + index): (f"g{index % GROUPS:02d}", f"g{(index + 1) % GROUPS:02d}")
        for index in range(first, first + size.agents)
    }


def configure(file: Path, size: Size) -> None:
    """The settings that all nodes have."""
    pin_hash = PinHash.of(PIN, b"\0" * SALT_BYTES, 10)
    lines = ["[accounts.acme]", "contracted = true", 'country = "US"', ""]
    for index in range(GROUPS):
        lines += [f"[groups.g{index:02d}]", 'account = "acme"', ""]
    for node in NODES:
        lines += [f"[nodes.{node}]", f'url = "http://127.0.0.1:1/{node}"', f'token = "{node * 40}"']
        for agent, groups in agents_of(size, node).items():
            lines += [f"[agents.{agent}]", f"groups = {json.dumps(groups)}"]
            lines += [f'name = "Agent {agent}"', f'pin_hash = "{pin_hash}"', ""]
    file.write_text("\n".join(lines))


class Process:
    """A Python process that answers lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, log: Path, *command: str, **environ: str) -> Process:
        with log.open("ab") as output:
            return cls(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", *command),
                    env={"PATH": os.environ["PATH"], **environ},
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=output,
                )
            )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def ask(self, line: str) -> str:
        assert self.process.stdout is not None
        self.say(line)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = (await self.process.stdout.readline()).decode()
        if not answer:
            raise RuntimeError(f"{line!r}: the process has ended")
        return answer

    def cpu(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def rss(self) -> float:
        """Memory in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@dataclass
class Figures:
    alone_mib: float = 0.0
    joined_seconds: float = 0.0
    whole_mib: float = 0.0
    rows: list[tuple[int, dict[str, float], float]] = None  # type: ignore[assignment]
    """Rate; ages in seconds; processors."""
    dropped: int = 0


@asynccontextmanager
async def daemon(
    folder: Path, size: Size, nats: NatsServer, pbx: Pbx
) -> AsyncIterator[tuple[Process, str]]:
    port = free_port()
    made = await Process.start(
        folder / "daemon.log",
        *("tests.benchmarks.nodes_daemon", str((len(NODES) - 1) * size.agents)),
        AVP_CONFIG=str(folder / "avp.toml"),
        AVP_ARI__URL=pbx.ari.url,
        AVP_ARI__USERNAME="avp",
        AVP_ARI__PASSWORD="s3cret",
        AVP_AMI__PORT=str(pbx.ami.port),
        AVP_AMI__USERNAME="avp",
        AVP_AMI__SECRET="s3cret",
        AVP_API__PORT=str(port),
        AVP_AGI__PORT=str(free_port()),
        AVP_CLUSTER__NODE=OWN,
        AVP_CLUSTER__SERVERS=nats.url,
        AVP_CLUSTER__CREDENTIALS=f"a:{password('a')}",
    )
    try:
        yield made, f"http://127.0.0.1:{port}"
    finally:
        await made.end()


async def ready(http: aiohttp.ClientSession, url: str, made: Process) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                async with http.get(url + "/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if made.process.returncode is not None:
                raise RuntimeError("the daemon has ended")
            await asyncio.sleep(0.05)


async def panel(
    http: aiohttp.ClientSession, url: str, agent: str
) -> aiohttp.ClientWebSocketResponse:
    async with http.post(f"{url}/v1/login", json={"agent": agent, "pin": PIN}) as answer:
        token = (await answer.json())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    return await http.ws_connect(
        f"{url}/v1/events?lists=coalesced", headers=headers, max_msg_size=0
    )


async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def measure(size: Size) -> Figures:
    found = Figures(rows=[])
    connector = aiohttp.TCPConnector(limit=0)
    with tempfile.TemporaryDirectory(prefix="nodes-") as place:
        folder = Path(place)
        configure(folder / "avp.toml", size)
        with NatsServer(folder) as nats:
            async with (
                Pbx(agents_of(size, OWN), app=APP) as pbx,
                aiohttp.ClientSession(connector=connector) as http,
            ):
                others: Process | None = None
                try:
                    async with daemon(folder, size, nats, pbx) as (made, url):
                        await ready(http, url, made)
                        await asyncio.sleep(2)
                        found.alone_mib = made.rss()
                    others = await others_of(folder, size, nats)
                    async with daemon(folder, size, nats, pbx) as (made, url):
                        await ready(http, url, made)
                        found.joined_seconds = float(await made.ask("joined"))
                        say(f"joined in {found.joined_seconds:.2f} s")
                        await loads(found, size, made, others, http, url)
                        found.whole_mib = made.rss()
                        found.dropped = int(await made.ask("dropped"))
                except RuntimeError as error:
                    text = (folder / "daemon.log").read_text(errors="replace")
                    raise RuntimeError(f"{error}\n{text[-3000:]}") from error
                finally:
                    if others is not None:
                        await others.end()
    return found


async def others_of(folder: Path, size: Size, nats: NatsServer) -> Process:
    made = await Process.start(folder / "others.log", "tests.benchmarks.nodes_others")
    made.say(
        json.dumps(
            [
                {
                    "node": node,
                    "url": nats.url,
                    "user": f"{ANYBODY}:{password(ANYBODY)}",
                    "agents": agents_of(size, node),
                }
                for node in NODES[1:]
            ]
        )
    )
    await made.ask("0")
    return made


async def loads(
    found: Figures,
    size: Size,
    made: Process,
    others: Process,
    http: aiohttp.ClientSession,
    url: str,
) -> None:
    own = list(agents_of(size, OWN))[: size.panels]
    sockets = [await panel(http, url, agent) for agent in own]
    reading = [asyncio.create_task(read(socket)) for socket in sockets]
    await asyncio.sleep(6)  # until the daemon has settled
    for rate in size.rates:
        await others.ask(str(rate))
        await asyncio.sleep(1)
        await made.ask("report")
        cpu, began = made.cpu(), time.monotonic()
        await asyncio.sleep(size.seconds)
        spent, took = made.cpu() - cpu, time.monotonic() - began
        ages: dict[str, Any] = json.loads(await made.ask("report"))
        found.rows.append((rate, ages, spent / took))
        say(f"{rate} changes a second: {spent / took:.3f} processors, {ages}")
    for task in reading:
        task.cancel()


def markdown(size: Size, found: Figures) -> str:
    head = ["changes a second", "heard", "age p50, ms", "p99, ms", "longest, ms", "processors"]
    rows = [
        [
            str(rate),
            f"{ages['changes'] / size.seconds:.0f}",
            *(f"{ages[x] * 1000:.0f}" if x in ages else "-" for x in ("p50", "p99", "most")),
            f"{cpu:.3f}",
        ]
        for rate, ages, cpu in found.rows
    ]
    more = found.whole_mib - found.alone_mib
    count = (len(NODES) - 1) * size.agents
    return "\n".join(
        (
            f"{len(NODES)} nodes of {size.agents:,} agents, {size.panels} panels at the daemon.",
            "",
            table(head, rows),
            "",
            (
                f"- A node that joins knows all {count:,} agents of the others after "
                f"{found.joined_seconds:.2f} s (aim: {AIM_JOIN_SECONDS} s)."
            ),
            (
                f"- Memory: {found.alone_mib:.0f} MiB without other nodes, {found.whole_mib:.0f} "
                f"MiB with them and the panels ({more * 1024 / count:.1f} KiB for each agent)."
            ),
            f"- Messages that were not believed: {found.dropped}.",
        )
    )


READ = f"""\
How to read it:

- The aim is an age of {AIM_AGE_MS} ms at p99. It contains up to 20 ms during which a node
  collects its changes for one message.
- "Processors" includes the panels, and the heartbeats of nine nodes; see the row of 0 changes.
- A change costs the daemon the same however many panels there are, but for what PANELS.md shows."""


async def run(size: Size) -> str:
    load = os.getloadavg()[0]
    found = await measure(size)
    return "\n".join(
        (
            markdown(size, found),
            "",
            *conditions("Simulated Asterisk, real nats-server", "all on this machine", load),
            "",
            READ,
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small, as a trial")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    text = asyncio.run(run(QUICK if options.quick else WHOLE))
    print(text)
    if options.output:
        again = f"{COMMAND} --output {options.output}"
        options.output.write_text(f"# Several nodes\n\nMade by\n\n    {again}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
