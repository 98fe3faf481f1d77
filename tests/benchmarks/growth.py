"""Growth: what agents, queues, panels and running transfers cost the daemon.

    python -m tests.benchmarks.growth [--quick] [--output FILE]

The unchanged daemon, in a process of its own, serves call centres of several sizes. Asterisk is
simulated (``tests/adapters/servers/pbx.py``): it speaks AMI and ARI over real sockets and executes
requests, but has no sound and little cost.

Costs are the daemon's CPU time as the kernel counts it, which other load affects less than elapsed
time. What should not depend on a number is measured with a small and a large one in the same run,
and shown as a ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pstats
import re
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.figures import conditions
from tests.benchmarks.growth_centre import (
    TIMEOUT_SECONDS,
    CallCentre,
    Pair,
    Session,
    Size,
    call_centre,
    gather,
    pairs,
)
from tests.benchmarks.growth_panels import Panels
from tests.benchmarks.growth_table import NOTES, Figures, markdown, top

COMMAND = "python -m tests.benchmarks.growth"

SIZES = (
    Size(agents=10, queues=10, sessions=4, panels=10),
    Size(agents=100, queues=20, sessions=40, panels=100),
    Size(agents=1000, queues=100, sessions=400, panels=500),
    Size(agents=5000, queues=500, sessions=1000, panels=500),
)
QUICK = (SIZES[0], Size(agents=300, queues=50, sessions=60, panels=50))
PROFILED = Size(agents=1000, queues=100, sessions=0, panels=0)
_US = 1e6


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each measurement is repeated."""

    starts: int = 3
    calls: int = 300
    """Calls whose events are sent, for each figure; some 40 events each."""
    at_once: int = 100
    requests: int = 20
    changes: int = 10
    transfers: int = 60
    parts: int = 3
    """Events and transfers are measured in this many parts, for the spread."""


THOROUGH = Effort()
HASTY = Effort(starts=1, calls=60, at_once=30, requests=5, changes=3, transfers=12)


def say(text: str) -> None:
    print(f"growth: {text}", file=sys.stderr, flush=True)


async def measure(size: Size, effort: Effort) -> Figures:
    figures = Figures(size)
    async with call_centre(size) as place:
        for again in range(effort.starts):
            if again:
                await place.stop()
            await place.start()
        for name in ("started", "synced", "start_cpu"):
            figures.samples[name.replace("synced", "sync").replace("started", "start")] = getattr(
                place, f"{name}_seconds"
            )
        figures.add("rss", place.rss())
        bench = Bench(place, effort, figures)
        say(f"{size.agents} agents: ready in {figures.median('start'):.2f} s")
        await bench.run()
    return figures


class Bench:
    def __init__(self, place: CallCentre, effort: Effort, figures: Figures) -> None:
        self.place, self.effort, self.figures = place, effort, figures
        size = place.size
        #: Agents of transfers that are held. The others have the calls and transfers beside these.
        self.held = pairs(size, 0, size.sessions)
        self.free = pairs(size, 2 * size.sessions, min(100, size.agents // 2 - size.sessions))

    async def run(self) -> None:
        await self.events("event")
        await self.requests()
        await self.transfers("transfer")
        sessions = await self.hold()
        await self.events("event_held")
        await self.transfers("transfer_held")
        await self.release(sessions)
        await self.nothing_lost()
        # Last, because transfers would reuse the memory that panels free.
        await self.panels()

    # --- AMI -------------------------------------------------------------------------------------

    async def events(self, name: str) -> None:
        """Calls that arrive, are answered and end, with the events of many calls at once."""
        place, pbx = self.place, self.place.pbx
        for _ in range(self.effort.parts):
            count, seconds, cpu = 0, 0.0, place.cpu()
            for agents in self._rounds():
                began = pbx.sent
                calls = []
                with pbx.recording() as come:
                    for pair in agents:
                        pbx.unrelated(pair.agent)
                        calls.append(pbx.offer(pair.agent, pair.queue))
                        pbx.answer(calls[-1])
                seconds += await place.play(come)
                with pbx.recording() as gone:
                    for call in calls:
                        pbx.hang_up(call.caller)
                seconds += await place.play(gone)
                count += pbx.sent - began
            self.figures.add(name, (place.cpu() - cpu) / count * _US)
            if name == "event":
                self.figures.add("rate", count / seconds)
        await self._all_handled()

    def _rounds(self) -> list[list[Pair]]:
        calls = self.effort.calls // self.effort.parts
        at_once = min(self.effort.at_once, len(self.free))
        return [self.free[:at_once]] * max(1, calls // at_once)

    async def _all_handled(self) -> None:
        """Wait until the daemon has counted every event."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (handled := await self._handled()) != self.place.sent:
            if time.monotonic() > deadline:
                raise AssertionError(f"{handled} events of {self.place.sent} were handled")

    async def _handled(self) -> int:
        text = await self.place.get("/metrics")
        found = re.findall(r"^asterisk_avp_ami_events_total\{.*\} (\S+)$", text, re.MULTILINE)
        return round(sum(map(float, found)))

    # --- the API ---------------------------------------------------------------------------------

    async def requests(self) -> None:
        agent = self.free[0].agent
        await self._ask("targets", f"/v1/agents/{agent}/targets")
        await self._ask("agents", "/v1/agents")
        await self._ask("agent", f"/v1/agents/{agent}")

    async def _ask(self, name: str, path: str) -> None:
        await self.place.get(path)
        for _ in range(self.effort.parts):
            cpu = self.place.cpu()
            for _ in range(self.effort.requests):
                await self.place.get(path)
            self.figures.add(name, (self.place.cpu() - cpu) / self.effort.requests * 1000)

    async def panels(self) -> None:
        place, figures = self.place, self.figures
        panels = Panels(place)
        await panels.log_in([place.size.agent(i) for i in range(place.size.panels)])
        count, rss = len(panels.tokens), place.rss()
        cpu = await self._cpu_of(panels.open)
        figures.add("panels", count)
        figures.add("panel", cpu / count * 1000)
        figures.add("panel_rss", (place.rss() - rss) / count * 1024)
        figures.add("snapshot", panels.snapshot_bytes / 1024)
        for _ in range(self.effort.changes):
            for state in ("not_ready", "available"):
                if (state == "not_ready") is place.paused:
                    await place.caught_up()
                began = time.monotonic()
                cpu = await self._cpu_of(lambda state=state: panels.change(state))
                figures.add("told_ms", (time.monotonic() - began) * 1000)
                figures.add("told", cpu / count * _US)
        await panels.close()

    async def _cpu_of(self, work: Callable[[], Awaitable[object]]) -> float:
        before = self.place.cpu()
        await work()
        return self.place.cpu() - before

    # --- transfers -------------------------------------------------------------------------------

    async def transfers(self, name: str) -> None:
        each = self.effort.transfers // self.effort.parts
        for _ in range(self.effort.parts):
            cpu = self.place.cpu()
            for pair in [self.free[n % len(self.free)] for n in range(each)]:
                await self.place.transfer(pair)
            self.figures.add(name, (self.place.cpu() - cpu) / each * 1000)

    async def hold(self) -> list[Session]:
        place, count = self.place, len(self.held)
        rss, cpu = place.rss(), place.cpu()
        sessions = await gather(20, [place.begin(pair) for pair in self.held])
        self.figures.add("held", count)
        self.figures.add("begun", (place.cpu() - cpu) / count * 1000)
        self.figures.add("session_rss", (place.rss() - rss) / count * 1024)
        text = await place.get("/metrics")
        assert f"asterisk_avp_transfers_running {count:.1f}" in text
        await self._ask("metrics", "/metrics")
        return sessions

    async def release(self, sessions: Sequence[Session]) -> None:
        cpu = self.place.cpu()
        await gather(20, [self.place.complete(session) for session in sessions])
        self.figures.add("completed", (self.place.cpu() - cpu) / len(sessions) * 1000)

    async def nothing_lost(self) -> None:
        """Every transfer has completed, and the simulated Asterisk knew every request."""
        await self.place.caught_up()
        transfers = await self.place.get("/v1/transfers")
        assert {transfer["state"] for transfer in transfers} == {"completed"}, transfers[:3]
        assert not self.place.pbx.unknown, self.place.pbx.unknown[:3]
        assert not self.place.pbx.channels


# --- where a transfer's CPU goes ---------------------------------------------------------------


async def profile(effort: Effort) -> str:
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        file = Path(folder, "profile")
        async with call_centre(PROFILED) as place:
            await place.start(file)
            some = pairs(PROFILED, 0, 10)
            await place.transfer(some[0])
            place.signal(signal.SIGUSR1)
            for n in range(effort.transfers):
                await place.transfer(some[n % len(some)])
            place.signal(signal.SIGUSR2)
            await place.stop()
        return top(pstats.Stats(str(file)), effort.transfers)


async def run(sizes: Sequence[Size], effort: Effort) -> str:
    load = os.getloadavg()[0]
    found = [await measure(size, effort) for size in sizes]
    say("profile")
    functions = await profile(effort)
    return "\n".join(
        (
            "Median (minimum-maximum) of repeated measurements.",
            "",
            markdown(found),
            *conditions("Simulated Asterisk", "all on this machine", load),
            "",
            f"## Where the CPU of a transfer goes ({PROFILED.agents} agents)",
            "",
            functions,
        )
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two small sizes, as a trial")
    parser.add_argument("--agents", type=int, help="only the size with this many agents")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    sizes = QUICK if options.quick else SIZES
    if options.agents:
        sizes = tuple(size for size in sizes if size.agents == options.agents)
    table = asyncio.run(run(sizes, HASTY if options.quick else THOROUGH))
    print(table)
    if options.output:
        again = f"{COMMAND} --output {options.output}"
        title = "# Growth\n\nMade by\n\n"
        options.output.write_text(f"{title}    {again}\n\n{table}\n\n{NOTES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
