"""What an agent panel that connects costs the daemon, with 500 agents and with 5,000.

    python -m tests.benchmarks.connect [--quick] [--output FILE]

The panels are the same in all sizes: each shows the same number of own groups and colleagues, and
the same number of other groups; only how many agents these have differs. The unchanged daemon
serves them in a process of its own, with a simulated Asterisk (``tests/adapters/servers/pbx.py``).
Measured is what a panel asks for when its page is opened: who is signed in, the stream of events
until its lists are complete, the targets, and the transfers of the day. Costs are the daemon's CPU
time as the kernel counts it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.benchmarks.figures import conditions, percentile, spread, table
from tests.benchmarks.growth_centre import (
    MARKER,
    PIN,
    TIMEOUT_SECONDS,
    Size,
    call_centre,
    gather,
)

COMMAND = "python -m tests.benchmarks.connect"
PANELS = 100
COLLEAGUES = 20
"""Agents of each of the panels' groups."""
QUEUES = 60


class Equal(Size):
    """The first agents are in small groups of their own, all others in the remaining ones."""

    def members(self) -> dict[str, tuple[str, ...]]:
        small = self.panels // COLLEAGUES
        found = {self.agent(i): (self.queue(i // COLLEAGUES),) for i in range(self.panels)}
        for i in range(self.panels, self.agents):
            first, second = (small + n % (self.queues - small) for n in (i, i + 1))
            found[self.agent(i)] = (self.queue(first), self.queue(second))
        return {**found, MARKER: (self.queue(small),)}


@dataclass(frozen=True, slots=True)
class Page:
    """A panel's page in a browser where its agent is signed in."""

    url: str
    http: aiohttp.ClientSession
    agent: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"avp_session={self.token}", "Origin": self.url}

    async def get(self, path: str) -> int:
        """The bytes of the answer."""
        async with self.http.get(self.url + path, headers=self.headers) as answer:
            answer.raise_for_status()
            return len(await answer.read())

    async def stream(self) -> int:
        """The bytes from the snapshot to the complete lists."""
        received = 0
        url = f"{self.url}/v1/events?lists=coalesced&agent={self.agent}"
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            self.http.ws_connect(url, headers=self.headers, max_msg_size=2**26) as socket,
        ):
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    received += len(message.data.encode())
                    if '"complete": true' in message.data[:60]:
                        break
        return received


STEPS: dict[str, Callable[[Page], Awaitable[int]]] = {
    "GET session": lambda page: page.get("/v1/session"),
    "stream, to the complete lists": Page.stream,
    "GET targets": lambda page: page.get(f"/v1/agents/{page.agent}/targets"),
    "GET transfers": lambda page: page.get(f"/v1/agents/{page.agent}/transfers"),
}


@dataclass
class Figures:
    size: Size
    cpu_ms: dict[str, list[float]]
    kib: dict[str, float]

    @property
    def whole(self) -> float:
        return sum(percentile(values, 50) for values in self.cpu_ms.values())


async def measure(size: Size, rounds: int) -> Figures:
    figures = Figures(size, {name: [] for name in STEPS}, {})
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        call_centre(size) as place,
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        await place.start()

        async def log_in(agent: str) -> Page:
            said = await place.post("/v1/login", {"agent": agent, "pin": PIN})
            return Page(place.url, http, agent, str(said["token"]))

        pages = await gather(20, [log_in(size.agent(i)) for i in range(size.panels)])
        for step in STEPS.values():
            await step(pages[0])  # imports and caches
        for _ in range(rounds):
            for name, step in STEPS.items():
                await place.caught_up()
                cpu = place.cpu()
                sizes = await gather(20, [step(page) for page in pages])
                figures.cpu_ms[name].append((place.cpu() - cpu) / len(pages) * 1000)
                figures.kib[name] = max(sizes) / 1024
    return figures


def markdown(found: Sequence[Figures]) -> str:
    less, more = found[0], found[-1]
    head = ["of one panel"]
    for one in found:
        head += [f"{one.size.agents:,} agents: CPU, ms", "KiB"]
    rows = []
    for name in STEPS:
        row = [name]
        for one in found:
            row += [spread(one.cpu_ms[name], 2), f"{one.kib[name]:.1f}"]
        ratio = percentile(more.cpu_ms[name], 50) / percentile(less.cpu_ms[name], 50)
        rows.append([*row, f"{ratio:.2f}"])
    row = ["together"]
    for one in found:
        row += [f"{one.whole:.2f}", f"{sum(one.kib.values()):.1f}"]
    rows.append([*row, f"{more.whole / less.whole:.2f}"])
    return table([*head, "CPU, ratio"], rows)


async def run(sizes: Sequence[Size], rounds: int) -> str:
    load = os.getloadavg()[0]
    found = [await measure(size, rounds) for size in sizes]
    panels = f"{PANELS} panels, {COLLEAGUES} agents in their groups, and {QUEUES} groups in all"
    return "\n".join(
        (
            f"{panels}. Median (minimum-maximum).",
            "",
            markdown(found),
            "",
            *conditions("Simulated Asterisk", "all on this machine", load),
        )
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="once each, as a trial")
    parser.add_argument("--agents", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    sizes = [Equal(agents, QUEUES, 0, PANELS) for agents in options.agents]
    text = asyncio.run(run(sizes, 1 if options.quick else 5))
    print(text)
    if options.output:
        again = f"{COMMAND} --output {options.output}"
        options.output.write_text(f"# A panel that connects\n\nMade by\n\n    {again}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
