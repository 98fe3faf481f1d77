"""Fan-out: what 1,000 agent panels cost the API while agents change their states.

    python -m tests.benchmarks.panels [--quick] [--output FILE]

The API's own server runs in a process of its own, over agents that change as a timer says; the
panels' WebSockets are in another process. Costs are the server's CPU time as the kernel counts it.
Each figure of the coalesced stream (``?lists=coalesced``) stands beside the same for the stream of
every change, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.benchmarks.figures import conditions

COMMAND = "python -m tests.benchmarks.panels"
RATE = 33.0
"""Changes of state a second."""
COALESCED = "?lists=coalesced"
EVERY = ""
TIMEOUT_SECONDS = 120.0
DESCRIPTORS = 8192


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    groups: int
    panels: int


SIZES = (Size(500, 50, 400), Size(5000, 500, 1000), Size(5000, 5, 300))
QUICK = (Size(100, 10, 40),)


def say(text: str) -> None:
    print(f"panels: {text}", file=sys.stderr, flush=True)


# --- the server's process ------------------------------------------------------------------------


@dataclass
class Server:
    """The API in another process; ``ask`` is one line to it and one line back."""

    process: asyncio.subprocess.Process
    url: str
    tokens: list[str]

    async def ask(self, what: str, *more: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write((json.dumps([what, *more]) + "\n").encode())
        return json.loads(await self.process.stdout.readline())

    def cpu(self) -> float:
        """CPU seconds of the main thread, which does all its work."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def rss(self) -> float:
        """Memory in KiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@contextlib.asynccontextmanager
async def server(size: Size) -> AsyncIterator[Server]:
    numbers = map(str, (size.agents, size.groups, size.panels))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.panels_server", *numbers,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        started = json.loads(await process.stdout.readline())
        yield Server(process, started["url"], started["tokens"])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


# --- the panels ----------------------------------------------------------------------------------


class Panels:
    """WebSockets that read everything; the last change has an agent and a time of its own."""

    def __init__(self, server: Server, query: str, http: aiohttp.ClientSession) -> None:
        self._server, self._query, self._http = server, query, http
        self.sockets: list[aiohttp.ClientWebSocketResponse] = []
        self._readers: list[asyncio.Task[None]] = []
        self.received = 0
        self.messages = 0
        self.first = 0
        self._marker = ""
        self._seen = 0
        self._all = asyncio.Event()

    async def open(self, tokens: Sequence[str]) -> None:
        limit = asyncio.Semaphore(20)

        async def one(token: str) -> None:
            async with limit:
                socket = await self._http.ws_connect(
                    self._server.url + "/v1/events" + self._query,
                    headers={"Authorization": f"Bearer {token}"},
                    max_msg_size=64 * 2**20,
                    compress=15,
                )
                first = await socket.receive_str()
                assert '"snapshot"' in first[:100]
                self.first = len(first)
                if self._query:  # the complete lists follow
                    self.first += len(await socket.receive_str())
                self.sockets.append(socket)
                self._readers.append(asyncio.create_task(self._read(socket)))

        await asyncio.gather(*map(one, tokens))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            self.messages += 1
            self.received += len(message.data)
            if self._marker and self._marker in message.data:
                self._seen += 1
                if self._seen == len(self.sockets):
                    self._all.set()

    async def told(self, marker: str) -> None:
        """Wait until every panel has read ``marker``."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._all.wait()
        assert marker == self._marker

    def watch(self, marker: str) -> None:
        self._marker, self._seen = marker, 0
        self._all.clear()

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*(socket.close() for socket in self.sockets))


@dataclass
class Figures:
    connect_ms: float
    first_kib: float
    memory_kib: float
    change_us: float
    """CPU for each change and panel."""
    processors: float
    """At `RATE` changes a second."""
    sent_kib: float
    """To each panel in a second."""


async def measure(size: Size, query: str, seconds: float) -> Figures:
    """In a new server, so that memory that another stream has freed is not used again."""
    async with (
        server(size) as place,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        panels = Panels(place, query, http)
        await panels.open(place.tokens[:1])  # so that imports and caches are there
        await panels.close()
        panels = Panels(place, query, http)
        rss, cpu = place.rss(), place.cpu()
        await panels.open(place.tokens)
        count = len(place.tokens)
        connect, memory = (place.cpu() - cpu) / count * 1000, (place.rss() - rss) / count
        # Every change at once: as fast as it goes, since it does not go at RATE.
        changes = round(RATE * seconds) if query else min(60, round(RATE * seconds))
        panels.watch(str(await place.ask("marker")))
        panels.received, cpu, began = 0, place.cpu(), time.monotonic()
        await place.ask("play", changes, RATE)
        marker = str(await place.ask("mark"))
        await panels.told(marker)
        used, took = place.cpu() - cpu, time.monotonic() - began
        received = panels.received
        await panels.close()
    each = used / changes
    return Figures(
        connect, panels.first / 1024, memory, each / count * 1e6,
        each * RATE, received / count / 1024 / took,
    )  # fmt: skip


def markdown(found: Sequence[tuple[Size, Figures, Figures]]) -> str:
    rows = [
        ("CPU per panel that connects, ms", "connect_ms", "{:.2f}"),
        ("- what it receives first, KiB", "first_kib", "{:.1f}"),
        ("memory per panel, KiB", "memory_kib", "{:.1f}"),
        ("CPU per change and panel, us", "change_us", "{:.2f}"),
        (f"processors at {RATE:.0f} changes a second", "processors", "{:.3f}"),
        ("sent to each panel, KiB/s", "sent_kib", "{:.1f}"),
    ]
    heads = [f"{s.agents} agents, {s.groups} groups, {s.panels} panels" for s, _, _ in found]
    lines = [
        "| | " + " | ".join(f"{head}: every change | coalesced | ratio" for head in heads) + " |",
        "| --- |" + " ---: |" * 3 * len(found),
    ]
    for title, name, form in rows:
        cells = []
        for _, every, lists in found:
            a, b = getattr(every, name), getattr(lists, name)
            cells += [form.format(a), form.format(b), f"{a / b:.1f}" if b > 0 else "-"]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def run(sizes: Sequence[Size], seconds: float, streams: Sequence[str]) -> str:
    load = os.getloadavg()[0]
    found = []
    for size in sizes:
        figures = {}
        for query in streams:
            figures[query] = await measure(size, query, seconds)
            say(f"{size} {query or 'every change'}: {figures[query]}")
        found.append((size, figures[streams[0]], figures[streams[-1]]))
    more = conditions(
        "The API's server over agents that change by a timer", "panels in another process", load
    )
    return "\n".join((markdown(found), "", *more))


NOTES = """\
How to read it:

- "Every change" is one message for each change and panel, which panels had before; "coalesced" is
  what they use now (`?lists=coalesced`).
- With 5 groups each panel shows 2,000 colleagues, with 500 groups it shows 20.
- A change of "every change" is measured as fast as it goes, because it does not go at 33 a second.
- The cost of a change includes what the server does without one: pings, and its timers.
- Memory is the server's resident memory. By `tracemalloc`, about 43 KiB of objects belong to one
  panel: its connection in uvicorn and websockets, the request's headers and scope, the tasks and
  the stacks of FastAPI that wait for its end. What it shows is shared with the other panels; only
  the 32 complete lists that were made last are kept.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small size, as a trial")
    parser.add_argument("--only", choices=("every", "coalesced"), help="one of the two streams")
    parser.add_argument("--agents", type=int, help="only the sizes with this many agents")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    sizes = QUICK if options.quick else SIZES
    if options.agents:
        sizes = tuple(size for size in sizes if size.agents == options.agents)
    streams = {None: (EVERY, COALESCED), "every": (EVERY,), "coalesced": (COALESCED,)}
    table = asyncio.run(
        run(sizes, 2.0 if options.quick else options.seconds, streams[options.only])
    )
    print(table)
    if options.output:
        again = f"{COMMAND} --output {options.output}"
        options.output.write_text(f"# Panels\n\nMade by\n\n    {again}\n\n{table}\n\n{NOTES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
