"""End the active daemon beside a warm standby: how long until the standby has every transfer?

    tests/run bench failover [--sessions 0 100 300] [--ways kill freeze stop] [--rounds 2]

The call centre and its transfers are those of `recovery`, and so are the two ends of the time that
is measured: until GET /readyz returns 200, and until GET /v1/transfers has every transfer in its
former state. Before them, until any request is answered. After each round, the transfers are
brought to their ends by the daemon that took over, and a new standby begins to wait.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from bed import Unavailable
from bed.procs import ProcessId, end, spawn

from tests.benchmarks.crowd.driver import Results
from tests.benchmarks.figures import conditions, spread, table
from tests.benchmarks.load import Load, call_centre
from tests.benchmarks.recovery import PACKET_MS, WITHIN_SECONDS, Opened, Recovery, phases

COMMAND: Final = "tests/run bench failover"
SIGNALS: Final = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "stop": signal.SIGTERM}
AIMS: Final = {0: 1.0, 100: 2.0, 300: 5.0}
_POLL_SECONDS: Final = 0.01
_ONE_REQUEST_SECONDS: Final = 0.5


def say(text: str) -> None:
    print(f"failover: {text}", file=sys.stderr, flush=True)


@dataclass
class Round:
    way: str
    sessions: int
    answers_seconds: float
    ready_seconds: float
    all_seconds: float
    results: Results
    states: Counter[str] = field(default_factory=Counter)
    phases: list[str] = field(default_factory=list)


class Failover(Recovery):
    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._number = 0

    def _log(self) -> Path:
        return self.bed.directory / "log" / f"standby-{self._number}.log"

    async def _standby(self) -> ProcessId:
        """Start a standby; returns once it waits."""
        self._number += 1
        env = {**self.bed._inherited(), **self.bed.daemon_env()}
        command = self.bed.backend.daemon(self.bed.name, self.bed.program, env, outlive=False)
        process = spawn([*command, "--standby"], log=self._log(), env=env, cwd=self.bed.directory)
        deadline = time.monotonic() + WITHIN_SECONDS
        while "standby_ready" not in self._log().read_text(errors="replace"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        return process

    async def fail(self, way: str, sessions: int) -> Round:
        active = self.bed.daemon
        assert active is not None
        results = self.driver.results = Results()
        standby = await self._standby()
        opened: list[Opened] = []
        if sessions:
            async with self.driver.connected():
                opened = await self._open(sessions)
                await self._arranged()
        await asyncio.sleep(2.0)  # until neither has anything to do
        assert "taking_over" not in self._log().read_text(errors="replace"), "a false alarm"
        say(f"{len(opened)} transfers open; {way}")
        began = time.monotonic()
        active.signal(SIGNALS[way])
        answers, ready = await self._answers(began)
        everything, states = await self._all_known(opened, began)
        say(f"answers {answers:.2f} s, ready {ready:.2f} s, all known {everything:.2f} s")
        self.bed.daemon = standby
        await asyncio.to_thread(end, active, grace=15.0)
        if opened:
            await self._arranged()
            async with self.driver.connected():
                await self._close(opened)
        found = phases(self._log().read_text(errors="replace"))
        return Round(
            way, len(opened), answers, ready, max(ready, everything), results, states, found
        )

    async def _answers(self, began: float) -> tuple[float, float]:
        """Seconds until a request is answered by the next daemon, and until it is ready."""
        answers = 0.0
        limit = aiohttp.ClientTimeout(total=_ONE_REQUEST_SECONDS)
        took_over = False
        async with aiohttp.ClientSession(self.bed.url, timeout=limit) as http:
            while time.monotonic() - began < WITHIN_SECONDS:
                # The active daemon may still answer, while it stops.
                took_over = took_over or "api_listening" in self._log().read_text(errors="replace")
                try:
                    async with http.get("/readyz") as answer:
                        now = time.monotonic() - began
                        if took_over:
                            answers = answers or now
                            if answer.status == 200:
                                return answers, now
                except (aiohttp.ClientError, OSError, TimeoutError):
                    pass
                await asyncio.sleep(_POLL_SECONDS)
        return answers, WITHIN_SECONDS


async def run(options: argparse.Namespace) -> tuple[str, bool]:
    load_before = os.getloadavg()[0]
    calls = max(*options.sessions, 1)
    rounds: list[Round] = []
    rtp = min(options.rtp, calls)
    async with call_centre(
        max(4, int(calls * 1.6)), rtp / calls, options.backend, packet_ms=PACKET_MS
    ) as load:
        asterisk = (await load.bed.ami.command("core show version")).split(" built")[0]
        async with load.driver.connected():
            say(f"{calls} callers dial")
            await load.fill(calls, rtp)
        failover = Failover(load)
        for sessions in options.sessions:
            for way in options.ways:
                for _ in range(options.rounds):
                    rounds.append(await failover.fail(way, sessions))  # noqa: PERF401
        left = await load.end()
    lines = [report(rounds, options), ""]
    good = not left
    for found in rounds:
        results = found.results
        good = good and not (found.states or results.failed or results.lost)
        done = sum(results.done.values())
        lines.append(
            f"- {found.way}, {found.sessions} transfers: {done} brought to their end, "
            f"{results.failed} failed; callers lost: {results.lost}"
        )
        lines += [f"  - {line}" for line in found.phases]
        lines += [f"  - {n} x {why}" for why, n in found.states.items()]
        lines += [f"  - {n} x {why}" for why, n in results.failures.most_common(5)]
    lines.append(f"- Left in the end: {'; '.join(left[:10]) or 'no channel, no bridge'}")
    lines += conditions(asterisk, load.bed.backend.name, load_before)
    return "\n".join(lines), good


def report(rounds: list[Round], options: argparse.Namespace) -> str:
    rows = []
    for sessions in options.sessions:
        for way in options.ways:
            own = [x for x in rounds if x.way == way and x.sessions == sessions]
            times = (
                [x.answers_seconds for x in own],
                [x.ready_seconds for x in own],
                [x.all_seconds for x in own],
            )
            cells = [spread([1000 * value for value in each]) if each else "-" for each in times]
            aim = AIMS.get(sessions)
            rows.append((f"{sessions} transfers, {way}", *cells, f"{aim:g} s" if aim else ""))
    head = ("Milliseconds", "a request answered", "ready", "every transfer in hand", "aim")
    return table(head, rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[0, 100, 300])
    parser.add_argument("--ways", nargs="+", choices=tuple(SIGNALS), default=list(SIGNALS))
    parser.add_argument("--rounds", type=int, default=2, help="of each kind (default 2)")
    parser.add_argument("--rtp", type=int, default=10, help="calls with sound all the time")
    parser.add_argument("--backend", choices=("rootfs",), help="both need one machine's processes")
    parser.add_argument("--output", type=Path, help="also write the report to this file")
    given = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(given)
    try:
        text, good = asyncio.run(run(options))
    except Unavailable as error:
        print(f"failover: error: {error}", file=sys.stderr)
        return 1
    print(text)
    if options.output:
        title = "# A standby takes over\n\nMade by\n\n"
        options.output.write_text(f"{title}    {COMMAND} {' '.join(given)}\n\n{text}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
