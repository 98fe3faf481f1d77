"""The cost of a personal queue for every agent in app_queue, on a real Asterisk.

    python -m tests.benchmarks.queues [--agents 0,100,1000,5000] [--output QUEUES.md]

Each size is measured twice: with group queues only, and with a personal queue for every agent and
the daemon, which makes agents members while a transfer needs them. Two agents have real phones, and
a caller calls them. The others (20 to a group) are members whose device states are set
artificially, as their calls would set them. Asterisk's processor time comes from the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from bed import Bed, Unavailable, World, backend_named, match
from bed.world import Agent, Group

from tests.benchmarks.crowd.usage import cpu_seconds, rss_mib
from tests.benchmarks.figures import conditions, spread, table
from tests.benchmarks.latency import AGENT, CALLER, TARGET, Bench

COMMAND = "python -m tests.benchmarks.queues"
SIZES = (0, 100, 1000, 5000)
GROUP_SIZE = 20
CHANGES = 200
CALLS_AN_HOUR: Final = 18
"""Calls per agent in a busy call centre."""
CHANGES_A_CALL: Final = 4
"""State changes of a phone per call: ringing, in use, and back, some of them twice."""
MOST_PROCESSORS: Final = 0.8
"""Above this share, state changes come faster than Asterisk can process them: it handles them one
after the other, their queue grows, and calls are no longer noticed."""
_FIRST: Final = 20000
_START_SECONDS: Final = 120.0
_SETTLE_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Crowd(World):
    """The two agents with phones, and many more without."""

    crowd: int = 0

    @classmethod
    def of(cls, crowd: int) -> Crowd:
        ids = [str(_FIRST + number) for number in range(crowd)]
        groups = [
            Group(f"g{number:03}", tuple(ids[first : first + GROUP_SIZE]))
            for number, first in enumerate(range(0, crowd, GROUP_SIZE))
        ]
        return cls(
            agents=(Agent(AGENT, "Alice"), Agent(TARGET, "Bob"), *(Agent(i, f"A{i}") for i in ids)),
            groups=(Group("sales", (AGENT, TARGET), number="800", strategy="linear"), *groups),
            callers=(CALLER,),
            outside=(),
            wrapuptime=1,
            phones=(AGENT, TARGET),
            crowd=crowd,
        )

    def _member_line(self, agent_id: str) -> str:
        if agent_id in self.phones:
            return super()._member_line(agent_id)
        return f"member => Local/{agent_id}@agents/n,0,A{agent_id},{device(agent_id)}"

    def render_agents(self) -> str:
        return "exten => _X.,1,Dial(PJSIP/${EXTEN},60,i)"

    def daemon_settings(self) -> dict[str, str]:
        settings = super().daemon_settings()
        return {k: v for k, v in settings.items() if not k.startswith("AVP_AGENTS__2")}

    def groups_of(self, agent_id: str) -> tuple[Group, ...]:
        if agent_id in self.phones:
            return self.groups[:1]
        return (self.groups[1 + (int(agent_id) - _FIRST) // GROUP_SIZE],)


def device(agent_id: str) -> str:
    return f"Custom:{agent_id}"


@dataclass
class Figures:
    """The measurements of one size, with or without personal queues."""

    boot_seconds: float = 0.0
    start_seconds: float | None = None
    ring_start: list[float] = field(default_factory=list)
    """Calls while the daemon starts for the first time."""
    resident_mib: float = 0.0
    reload_seconds: list[float] = field(default_factory=list)
    change_milliseconds: list[float] = field(default_factory=list)
    processors: float = 0.0
    ring: list[float] = field(default_factory=list)
    ring_busy: list[float] = field(default_factory=list)
    transfer_ring: list[float] = field(default_factory=list)
    transfer_ring_busy: list[float] = field(default_factory=list)
    bridged: list[float] = field(default_factory=list)


class Measuring:
    def __init__(self, bed: Bed, bench: Bench | None) -> None:
        self.bed, self.bench, self.figures = bed, bench, Figures()
        assert isinstance(bed.world, Crowd)
        self.crowd = [str(_FIRST + number) for number in range(bed.world.crowd)]
        assert bed.asterisk is not None
        self.asterisk = bed.asterisk.pid

    async def everything(self, samples: int) -> Figures:
        await self.call([], within=_SETTLE_SECONDS)  # warm-up, not counted
        for _ in range(samples):
            await self.call(self.figures.ring)
        if self.bench is not None:
            for _ in range(samples):
                await self.transfer(self.figures.transfer_ring, self.figures.bridged)
        await self.changes()
        if self.crowd and self.figures.processors < MOST_PROCESSORS:
            async with self._busy():
                for _ in range(samples):
                    await self.call(self.figures.ring_busy)
                if self.bench is not None:
                    for _ in range(samples):
                        await self.transfer(self.figures.transfer_ring_busy, [])
        for _ in range(3):
            self.figures.reload_seconds.append(await self._reload())
        self.figures.resident_mib = rss_mib(self.asterisk)
        return self.figures

    async def changes(self) -> None:
        """What state changes cost, unless that has been measured."""
        if self.crowd and not self.figures.change_milliseconds:
            for _ in range(3):
                self.figures.change_milliseconds.append(await self._change())
            self.figures.processors = self._processors()

    async def while_starting(self) -> float:
        """Start the daemon, and make calls until it is ready. Return how long it took."""
        began = time.monotonic()
        starting = asyncio.create_task(self.bed.start_daemon(within=_START_SECONDS))
        took = 0.0
        while not starting.done():
            await self.call(self.figures.ring_start, within=_SETTLE_SECONDS)
            took = took or (time.monotonic() - began if starting.done() else 0.0)
        await starting
        return took or time.monotonic() - began

    async def call(self, into: list[float], within: float = 20.0) -> None:
        """Measure from the caller's joining of the group's queue to an agent's ringing phone."""
        await self._free()
        ami, phones = self.bed.ami, self.bed.phones
        ami.events.clear()
        await phones[CALLER].dial("800")
        rung = await phones[AGENT].ringing(within=within)
        joined = await ami.wait(match("QueueCallerJoin", Queue="sales"), within, since=0.0)
        into.append(1000 * (rung.began - joined.at))
        await phones[CALLER].hangup()
        await self._over()

    async def transfer(self, ring: list[float], bridged: list[float]) -> None:
        """Measure a supervised transfer: request to the target's ring, complete to bridged."""
        assert self.bench is not None
        await self._free()
        self.bed.ami.events.clear()
        sample = await self.bench.once()
        ring.append(sample["rings"])
        bridged.append(sample["bridged"])
        await self._over()

    async def _free(self) -> None:
        """Wait for the two agents; `Scene.everybody_free` would query thousands."""
        await self.bed.available(AGENT, TARGET)
        if self.bench is not None:
            for agent in (AGENT, TARGET):
                await self.bench.scene.agent_is(agent, "available", within=15)

    async def _over(self) -> None:
        for name in (CALLER, AGENT, TARGET):
            await self.bed.phones[name].idle()
        await self.bed.ami.assert_clean()

    @asynccontextmanager
    async def _busy(self) -> AsyncIterator[None]:
        """The other agents' phones change their states all the time."""
        changing = asyncio.create_task(self._change_on())
        try:
            yield
        finally:
            changing.cancel()
            await asyncio.gather(changing, return_exceptions=True)

    async def _change_on(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for state in itertools.cycle(("INUSE", "NOT_INUSE")):
            for agent in self.crowd:
                await self._set(agent, state)
                due = max(due + 1 / self._changes_a_second(), loop.time() - 1)
                await asyncio.sleep(max(0.0, due - loop.time()))

    def _changes_a_second(self) -> float:
        return len(self.crowd) * CALLS_AN_HOUR * CHANGES_A_CALL / 3600

    def _processors(self) -> float:
        change = statistics.median(self.figures.change_milliseconds) / 1000
        return change * self._changes_a_second()

    async def _set(self, agent: str, state: str) -> None:
        await self.bed.ami.action(
            "Setvar", within=30, Variable=f"DEVICE_STATE({device(agent)})", Value=state
        )

    async def _change(self) -> float:
        """Asterisk's processor time for one device state change, in milliseconds."""
        agents = list(itertools.islice(itertools.cycle(self.crowd), CHANGES // 2))
        began = await self.bed.ami.mark()
        before = cpu_seconds(self.asterisk)
        for state in ("INUSE", "NOT_INUSE"):
            for agent in agents:
                await self._set(agent, state)
            await self._processed(agents[-1], began)
            began = await self.bed.ami.mark()
        return 1000 * (cpu_seconds(self.asterisk) - before) / (2 * len(agents))

    async def _processed(self, agent: str, since: float) -> None:
        """Wait until app_queue has processed the agent's last change."""
        changed = match("QueueMemberStatus", MemberName=f"A{agent}")

        async def look() -> bool | None:
            return bool(self.bed.ami.seen(changed, since)) or None

        assert await self.bed.ami.until(look, 60.0)

    async def _reload(self) -> float:
        for name in ("queues.conf", "avp_queues.conf"):  # else Asterisk does not read them
            (self.bed.directory / "etc" / name).touch()
        began = time.monotonic()
        await self.bed.ami.action("Command", within=300, Command="queue reload all")
        return time.monotonic() - began


async def measure(size: int, samples: int, backend: str | None, *, personal: bool) -> Figures:
    world = Crowd.of(size)
    bed = Bed(world, backend=backend_named(backend))
    bed.backend.start_seconds = _START_SECONDS
    if not personal:
        none = (bed.directory / "etc" / "avp_queues.conf").touch
        bed.render_personal_queues = none  # type: ignore[method-assign]
    began = time.monotonic()
    try:
        bed.render()
        began = time.monotonic()
        await bed.start_asterisk()
        boot = time.monotonic() - began
        bed.listener.start()
        await bed.start_phones(world.accounts)
        if not personal:
            figures = await Measuring(bed, None).everything(samples)
        else:
            starting = Measuring(bed, None)
            await starting.call([], within=_SETTLE_SECONDS)
            # Before the daemon is there: it would query each change, which no channel explains.
            await starting.changes()
            began = await starting.while_starting()
            headers = {"Authorization": f"Bearer {bed.secrets.token}"}
            async with aiohttp.ClientSession(headers=headers) as http:
                measuring = Measuring(bed, Bench(bed, http))
                measuring.figures.change_milliseconds = starting.figures.change_milliseconds
                measuring.figures.processors = starting.figures.processors
                figures = await measuring.everything(samples)
            figures.start_seconds = began
            figures.ring_start = starting.figures.ring_start
        figures.boot_seconds = boot
    finally:
        await bed.stop()
    return figures


def report(found: dict[tuple[int, bool], Figures]) -> str:
    head = (
        "agents",
        "queues",
        "call: join to ring, ms",
        "the same, busy",
        "transfer: request to ring, ms",
        "the same, busy",
        "complete to bridged, ms",
        "CPU per state change, ms",
        "all of them, % of a processor",
        "reload, s",
        "Asterisk's start, s",
        "daemon's first start, s",
        "call meanwhile: join to ring, ms",
        "Asterisk, MiB",
    )
    rows = []
    for (size, personal), f in found.items():
        groups = 1 + -(-size // GROUP_SIZE)
        rows.append(
            (
                str(size + 2),
                f"{groups} + {size + 2}" if personal else str(groups),
                spread(f.ring),
                spread(f.ring_busy),
                spread(f.transfer_ring),
                spread(f.transfer_ring_busy),
                spread(f.bridged),
                spread(f.change_milliseconds, 2),
                f"{100 * f.processors:.1f}" if size else "-",
                spread(f.reload_seconds, 2),
                f"{f.boot_seconds:.1f}",
                "-" if f.start_seconds is None else f"{f.start_seconds:.1f}",
                spread(f.ring_start) if f.ring_start else "-",
                f"{f.resident_mib:.0f}",
            )
        )
    return table(head, rows, words=0)


async def run(sizes: list[int], samples: int, backend: str | None) -> str:
    load = os.getloadavg()[0]
    found: dict[tuple[int, bool], Figures] = {}
    for size in sizes:
        for personal in (False, True):
            found[size, personal] = await measure(size, samples, backend, personal=personal)
            print(f"queues: {size} {'with' if personal else 'without'}", file=sys.stderr)
            print(report({(size, personal): found[size, personal]}), file=sys.stderr, flush=True)
    return "\n".join(
        (
            f"Median of {samples} (least-most); of state changes 3 measurements of {CHANGES} each,",
            f"of reloads 3. Busy: each agent of the crowd takes {CALLS_AN_HOUR} calls an hour,",
            f"whose {CHANGES_A_CALL} changes of the phone's state come evenly; not measured where",
            f"these alone need more than {100 * MOST_PROCESSORS:.0f} % of a processor.",
            "",
            report(found),
            "",
            *conditions("Asterisk 22", backend or "rootfs", load),
        )
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agents", default=",".join(map(str, SIZES)), help="sizes, with commas")
    parser.add_argument("--samples", type=int, default=10, help="calls of each kind (default 10)")
    parser.add_argument("--backend", choices=("docker", "rootfs"), help="as for docker/up")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    sizes = [int(text) for text in options.agents.split(",")]
    try:
        text = asyncio.run(run(sizes, options.samples, options.backend))
    except Unavailable as error:
        print(f"queues: error: {error}", file=sys.stderr)
        return 1
    print(text)
    if options.output:
        again = f"{COMMAND} --agents {options.agents} --samples {options.samples}"
        again = f"{again} --output {options.output}"
        options.output.write_text(f"# One queue per agent\n\nMade by\n\n    {again}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
