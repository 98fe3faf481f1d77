"""Hundreds of calls at once and many transfers per second, up to the limit.

    tests/run bench load [--minutes 10] [--calls 300] [--rate 20] [--rtp 60]   constant load
    tests/run bench load --ramp                                      increasing load, to the limit
    tests/run bench load --quick                                     a minute, as a trial

One Asterisk with the daemon beside it; sipp plays callers and agents' phones, all on this machine.
A call lasts some minutes and is transferred repeatedly: supervised and completed (60 %) or
cancelled (20 %), unsupervised to an agent (15 %) or the group (5 %). A number of callers (`--rtp`),
and the same share of the agents' phones, send sound all the time, 50 packets per second; the others
send one packet per second. After a completed transfer, the transferor is a target for others.

Aims: no failed transfer and no lost caller; complete to connected below 100 ms at the 99th
percentile; the daemon's processor time at most 15 % of Asterisk's; no memory growth after the
warm-up; nothing left at the end.

Latencies are measured from our request to Asterisk's own timestamp of the event.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from bed import ProcessId, Unavailable

from tests.benchmarks.crowd.driver import Driver, Results
from tests.benchmarks.crowd.sipp import Sipp
from tests.benchmarks.crowd.usage import (
    Snapshot,
    open_files,
    percent_of_one,
    rss_mib,
    thread_seconds,
)
from tests.benchmarks.crowd.watch import Watch
from tests.benchmarks.crowd.world import KEPT_SECONDS, CrowdBed, bed_and_sipp
from tests.benchmarks.figures import conditions, percentile, table

COMMAND: Final = "tests/run bench load"
RAMP: Final = (5, 10, 20, 30, 40, 60, 80)
AIM_COMPLETE_MS: Final = 100
AIM_CPU_PERCENT: Final = 15
ROWS: Final = (
    ("taken", "request answered (API 201)"),
    ("ringing", "request to the target's phone ringing"),
    ("complete", "complete to caller and target connected"),
    ("plain", "the same to nothing between them (callers who talk)"),
    ("cancel", "cancel to caller and transferor connected"),
    ("ringing unsupervised", "unsupervised: request to ringing"),
)


def say(text: str) -> None:
    print(f"load: {text}", file=sys.stderr, flush=True)


@dataclass
class Phase:
    """One rate for some time, and its cost."""

    rate: float
    seconds: float
    results: Results
    first: Snapshot
    last: Snapshot
    took: float
    threads: list[tuple[str, float]] = field(default_factory=list)

    @property
    def percent(self) -> dict[str, float]:
        return percent_of_one(self.first, self.last)

    @property
    def reached(self) -> float:
        return sum(self.results.done.values()) / max(self.took, 0.001)

    def p(self, key: str, percent: float) -> float | None:
        values = self.results.times.get(key)
        return percentile(values, percent) if values else None

    def missed(self) -> list[str]:
        """The aims that were missed."""
        found = []
        results = self.results
        if results.failed:
            found.append(f"{results.failed} transfers failed")
        if results.lost:
            found.append(f"{results.lost} callers lost")
        slow = self.p("complete", 99)
        if slow is not None and slow > AIM_COMPLETE_MS:
            found.append(f"p99 of complete {slow:.0f} ms")
        share = 100 * self.percent["daemon"] / max(self.percent["asterisk"], 0.001)
        if share > AIM_CPU_PERCENT:
            found.append(f"the daemon's processor time is {share:.0f} % of Asterisk's")
        if results.starved > 0.02 * self.rate * self.seconds:
            found.append(f"{results.starved} transfers not started, because no agent was free")
        return found


class Load:
    """The running call centre."""

    def __init__(self, bed: CrowdBed, people: Sipp, driver: Driver) -> None:
        self.bed, self.people, self.driver = bed, people, driver
        self.memory: list[tuple[float, float, float]] = []
        """Seconds since the start, MiB of the daemon, and MiB of Asterisk."""
        self.begun = time.monotonic()

    @property
    def processes(self) -> dict[str, ProcessId]:
        assert self.bed.asterisk is not None
        assert self.bed.daemon is not None
        return {
            "asterisk": self.bed.asterisk,
            "daemon": self.bed.daemon,
            "driver": ProcessId.mine(),
            **{f"sipp {kind}": process for kind, process in self.people.processes.items()},
        }

    async def fill(self, calls: int, talkers: int, within: float = 120) -> None:
        """Start callers and wait until all talk."""
        self.people.start_callers(talk=talkers, quiet=calls - talkers)
        deadline = time.monotonic() + within
        while len(self.driver.talking()) < calls:
            if time.monotonic() > deadline or self.people.ended():
                raise RuntimeError(
                    f"{len(self.driver.talking())} of {calls} calls; "
                    f"sipp: {self.people.ended()} {self.people.errors()}"
                )
            await asyncio.sleep(0.2)

    async def phase(self, rate: float, seconds: float, call_seconds: float) -> Phase:
        assert self.bed.asterisk is not None
        results = self.driver.results = Results()
        before = thread_seconds(self.bed.asterisk.pid)
        first = Snapshot.now(self.processes)
        begun = time.monotonic()
        sampling = asyncio.create_task(self._sample_memory())
        try:
            await self.driver.run(rate, seconds, call_seconds=call_seconds)
        finally:
            sampling.cancel()
        took = time.monotonic() - begun
        last = Snapshot.now(self.processes)
        threads = await self._threads(before, took)
        return Phase(rate, seconds, results, first, last, took, threads)

    async def _sample_memory(self) -> None:
        while True:
            processes = self.processes
            self.memory.append(
                (
                    time.monotonic() - self.begun,
                    rss_mib(processes["daemon"].pid),
                    rss_mib(processes["asterisk"].pid),
                )
            )
            await asyncio.sleep(5)

    async def _threads(self, before: dict[int, float], seconds: float) -> list[tuple[str, float]]:
        """Asterisk's busiest threads by what they run, in percent of one processor."""
        assert self.bed.asterisk is not None
        names: dict[int, str] = {}
        for line in (await self.bed.ami.command("core show threads")).splitlines():
            words = line.split()
            if len(words) > 2 and words[1].isdecimal():
                names[int(words[1])] = words[2]
        shares: dict[str, float] = {}
        for thread, spent in thread_seconds(self.bed.asterisk.pid).items():
            name = names.get(thread, "other")
            share = 100 * (spent - before.get(thread, 0.0)) / seconds
            shares[name] = shares.get(name, 0.0) + share
        return sorted(shares.items(), key=lambda item: -item[1])[:6]

    async def gauges(self) -> dict[str, float]:
        """The daemon's own gauges of what it holds."""
        names = ("channels_known", "workers", "timers", "tasks", "transfers_remembered")
        headers = {"Authorization": f"Bearer {self.bed.secrets.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.get(f"{self.bed.url}/metrics") as answer,
        ):
            text = await answer.text()
        found = {}
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            for wanted in names:
                if name.endswith(wanted):
                    found[wanted] = float(value)
        return found

    async def end(self) -> list[str]:
        """End all calls. Returns what is left."""
        self.people.stop_callers()
        watch = self.driver.watch
        self.driver.watch.hung_up = lambda _channel, _cause: None
        for row in await self.bed.ami.list("CoreShowChannels", within=30):
            if row["Channel"].startswith("PJSIP/trunk"):
                try:
                    await watch.action("Hangup", Channel=row["Channel"])
                except AssertionError:
                    continue
        left: list[str] = []
        deadline = time.monotonic() + 30
        while True:
            channels = await self.bed.ami.list("CoreShowChannels", within=30)
            bridges = await self.bed.ami.list("BridgeList", within=30)
            gauges = await self.gauges()
            left = [f"channel {row['Channel']} {row['Application']}" for row in channels]
            left += [f"bridge {row['BridgeUniqueid']}" for row in bridges]
            left += [
                f"{name} {gauges[name]:.0f} in the daemon"
                for name in ("channels_known", "workers", "timers")
                if gauges.get(name)
            ]
            if not left or time.monotonic() > deadline:
                return left
            await asyncio.sleep(0.5)


@asynccontextmanager
async def call_centre(
    agents: int, talk_share: float, backend: str | None, *, packet_ms: int = 20
) -> AsyncIterator[Load]:
    """Asterisk, the agents' phones (a share of them sends sound) and the daemon, no callers."""
    bed, people = bed_and_sipp(agents, talk_share, backend, packet_ms)
    keep = bool(os.environ.get("AVP_KEEP"))
    people.prepare()
    try:
        people.start_agents()
        await bed.start(phones=())
        watch = Watch(bed.ports.ami, bed.secrets.probe)
        await watch.connect()
        await bed.start_daemon()
        driver = Driver(bed, watch)
        # The test bed's own session receives all events, which costs more than all the rest.
        await bed.ami.action("Events", EventMask="off")
        yield Load(bed, people, driver)
        await watch.close()
    finally:
        await bed.stop()
        people.stop(keep=keep)


_KEPT: Final = (
    f"- The daemon keeps ended transfers for {KEPT_SECONDS} s here "
    "(session.keep_ended_seconds, 600 by default), and a history of 100 for each agent"
)

# --- the report --------------------------------------------------------------------------------


def latencies(phase: Phase) -> str:
    rows = []
    for key, what in ROWS:
        values = phase.results.times.get(key)
        if values:
            numbers = [f"{percentile(values, p):.0f}" for p in (50, 95, 99, 100)]
            rows.append((what, str(len(values)), *numbers))
    return table(("from, to", "times", "median", "p95", "p99", "longest"), rows)


def processors(phase: Phase) -> str:
    percent = phase.percent
    asterisk = max(percent["asterisk"], 0.001)
    rows = [
        (kind, f"{percent[kind]:.1f}", f"{100 * percent[kind] / asterisk:.0f}")
        for kind in ("asterisk", "daemon", "sipp", "driver")
        if kind in percent
    ]
    rows.append(("the whole machine (100 = all processors busy)", f"{percent['machine']:.1f}", ""))
    return table(("process", "% of one processor", "% of Asterisk's"), rows)


def growth(memory: list[tuple[float, float, float]], warm_seconds: float) -> str:
    """The growth of memory after the warm-up."""
    warm = [row for row in memory if row[0] >= warm_seconds] or memory
    rows = []
    for name, column in (("daemon", 1), ("asterisk", 2)):
        values = [row[column] for row in warm]
        part = max(1, len(values) // 5)
        first, last = (sum(v) / len(v) for v in (values[:part], values[-part:]))
        minutes = max((warm[-1][0] - warm[0][0]) * (1 - 1 / 5) / 60, 0.001)
        rows.append(
            (
                name,
                f"{memory[0][column]:.0f}",
                f"{first:.1f}",
                f"{last:.1f}",
                f"{max(values):.1f}",
                f"{(last - first) / minutes:+.2f}",
            )
        )
    head = ("MiB resident", "before", "after the warm-up", "at the end", "most", "a minute")
    return table(head, rows)


def outcome(phase: Phase) -> list[str]:
    results = phase.results
    begun, done = sum(results.begun.values()), sum(results.done.values())
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(results.done.items()))
    reached = f"{phase.reached:.1f} per second until the last one ended"
    others = f"not started for lack of agents with a call or free agents: {results.starved}"
    lines = [
        f"- Transfers: {begun} started in {phase.seconds:.0f} s, {done} done ({reached}): {kinds}",
        f"- A new call reached the target first: {results.overtaken}; {others}",
        f"- Refused because Asterisk was too busy: {results.refused}",
        f"- Failed: {results.failed}; callers lost: {results.lost}",
    ]
    lines += [f"  - {number} x {why}" for why, number in results.failures.most_common(8)]
    return lines


def ramp_table(phases: list[Phase]) -> str:
    head = (
        *("asked/s", "done/s", "refused/s", "failed", "lost", "ring p50", "ring p99"),
        *("complete p50", "p99", "asterisk %", "daemon %", "sipp %", "driver %", "machine %"),
    )

    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    rows = []
    for phase in phases:
        percent = phase.percent
        rows.append(
            (
                f"{phase.rate:g}",
                f"{phase.reached:.1f}",
                f"{phase.results.refused / max(phase.took, 0.001):.1f}",
                str(phase.results.failed),
                str(phase.results.lost),
                *(cell(phase.p("ringing", p)) for p in (50, 99)),
                *(cell(phase.p("complete", p)) for p in (50, 99)),
                *(cell(percent.get(k)) for k in ("asterisk", "daemon", "sipp", "driver")),
                cell(percent["machine"]),
            )
        )
    return table(head, rows, words=0)


def breaking(phases: list[Phase]) -> list[str]:
    for phase in phases:
        missed = phase.missed()
        if missed:
            busy = ", ".join(f"{name} {share:.0f} %" for name, share in phase.threads)
            return [
                f"- First limit, at {phase.rate:g} per second: {'; '.join(missed)}.",
                f"- Asterisk's busiest threads then: {busy} (of one processor).",
            ]
    return [f"- No limit was reached up to {phases[-1].rate:g} per second."]


# --- running it --------------------------------------------------------------------------------


async def run(options: argparse.Namespace) -> tuple[str, bool]:
    load_before = os.getloadavg()[0]
    agents = options.agents or int(options.calls * 1.6)
    lines: list[str] = []
    share = options.rtp / options.calls
    async with call_centre(agents, share, options.backend) as load, load.driver.connected():
        asterisk = (await load.bed.ami.command("core show version")).split(" built")[0]
        say(f"{agents} agents are ready; {options.calls} callers dial")
        await load.fill(options.calls, options.rtp)
        if options.ramp:
            phases = []
            for rate in options.rates:
                say(f"{rate} per second for {options.step} s")
                phases.append(await load.phase(rate, options.step, options.call_seconds))
                say("; ".join(phases[-1].missed()) or "all aims reached")
                say(", ".join(f"{k} {v:.0f} %" for k, v in phases[-1].percent.items()))
                if phases[-1].results.failed > 0.2 * rate * options.step:
                    break
            lines += [ramp_table(phases), "", *breaking(phases)]
            good = True
        else:
            load.begun = time.monotonic()
            say(f"warm-up: {options.warm_up} s")
            await load.phase(options.rate, options.warm_up, options.call_seconds)
            say(f"{options.rate:g} transfers per second for {options.minutes:g} minutes")
            phases = [await load.phase(options.rate, options.minutes * 60, options.call_seconds)]
            lines += report(phases[0], load, options)
            good = not phases[0].missed()
        files = open_files(load.processes["daemon"].pid)
        left = await load.end()
        good = good and not left
        lines.append(
            f"- Left when all calls had ended: {'; '.join(left[:10]) or 'no channel, no bridge'}"
            f"; the daemon: {await load.gauges()}, {files} files open under load"
        )
        ended = load.people.ended()
        if ended:
            lines.append(f"- sipp ended unexpectedly: {ended}")
        for phase in phases:
            for example in phase.results.examples[:8]:
                say(example)
    lines += conditions(asterisk, load.bed.backend.name, load_before)
    lines.append(
        f"- {options.calls} calls, {options.rtp} of them with sound all the time, {agents} agents "
        f"in groups of 50, {agents + len(load.bed.world.groups)} queues; calls of "
        f"{options.call_seconds:.0f} s on average"
    )
    return "\n".join(lines), good


def report(phase: Phase, load: Load, options: argparse.Namespace) -> list[str]:
    missed = phase.missed()
    busy = ", ".join(f"{name} {share:.0f} %" for name, share in phase.threads)
    return [
        "Milliseconds.",
        "",
        latencies(phase),
        "",
        processors(phase),
        "",
        growth(load.memory, options.warm_up),
        "",
        f"- Aims: {'all reached' if not missed else 'missed: ' + '; '.join(missed)}",
        *outcome(phase),
        f"- Asterisk's busiest threads: {busy} (of one processor)",
        _KEPT,
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="of load, after the warm-up")
    parser.add_argument("--calls", type=int, default=300, help="at once (default 300)")
    parser.add_argument("--rate", type=float, default=20, help="transfers per second (default 20)")
    parser.add_argument("--rtp", type=int, default=60, help="calls with sound all the time")
    parser.add_argument("--agents", type=int, help="default: 1.6 for each call")
    parser.add_argument("--call-seconds", type=float, default=180, help="how long a call lasts")
    parser.add_argument("--warm-up", type=float, default=90, help="seconds before the measurement")
    parser.add_argument("--ramp", action="store_true", help="increase the rate up to the limit")
    parser.add_argument("--rates", type=float, nargs="+", default=list(RAMP), help="of the ramp")
    parser.add_argument("--step", type=float, default=40, help="seconds of each rate of the ramp")
    parser.add_argument("--quick", action="store_true", help="a minute of it, with fewer calls")
    parser.add_argument("--backend", choices=("docker", "rootfs"), help="as for docker/up")
    parser.add_argument("--output", type=Path, help="also write the report to this file")
    given = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(given)
    if options.quick:
        options.minutes, options.warm_up = 0.5, 10
        options.calls, options.rtp, options.rate = 60, 20, 5
    options.rtp = min(options.rtp, options.calls)
    try:
        text, good = asyncio.run(run(options))
    except Unavailable as error:
        print(f"load: error: {error}", file=sys.stderr)
        return 1
    print(text)
    if options.output:
        title = "# Transfers under load\n\nMade by\n\n"
        options.output.write_text(f"{title}    {COMMAND} {' '.join(given)}\n\n{text}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
