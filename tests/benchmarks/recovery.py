"""Kill a daemon with hundreds of open transfers: how long until it has recovered all of them?

    tests/run bench recovery [--sessions 300] [--rounds 3] [--away SECONDS]

The call centre is that of `load`. Supervised transfers are opened: in one half transferor and
target talk, in the other the target talks to somebody else and the transfer waits. The daemon is
killed with SIGKILL and restarted immediately. The benchmark measures the time from the kill until
GET /readyz returns 200, and until GET /v1/transfers has every transfer in its former state. Then
each transfer is completed or cancelled through the API, and the caller must be connected
accordingly. A caller whose call ends meanwhile is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from bed import Unavailable

from tests.benchmarks.crowd.driver import CANCELLED, COMPLETED, Driver, Failure, Results
from tests.benchmarks.figures import conditions, percentile, spread, table
from tests.benchmarks.load import Load, call_centre

COMMAND: Final = "tests/run bench recovery"
OPEN_AT_ONCE: Final = 4
PACKET_MS: Final = 60
"""There are hundreds of music streams at once: with packets of 20 ms they would be more than 20,000
packets per second, which alone would keep both processors busy."""
CLOSE_AT_ONCE: Final = 8
WITHIN_SECONDS: Final = 60.0
READY, ALL = "kill to GET /readyz 200", "kill to every transfer known, in its state"
RECONNECT = "then AMI's connection lost to GET /readyz 200"


def say(text: str) -> None:
    print(f"recovery: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Opened:
    """A transfer as it was before the kill."""

    id: str
    state: str
    call: str
    agent: str
    target: str


@dataclass
class Round:
    opened: Counter[str]
    ready_seconds: float
    all_seconds: float
    results: Results
    states: Counter[str]
    """The states of transfers that differed from before."""
    phases: list[str]
    """What the daemon's log says of how long it took, from its start on."""
    reconnected_seconds: float


class Recovery:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.bed = load.bed
        self.driver: Driver = load.driver

    async def round(self, sessions: int, away_seconds: float) -> Round:
        results = self.driver.results = Results()
        async with self.driver.connected():
            opened = await self._open(sessions)
            await self._arranged()
        say(f"{len(opened)} transfers open; the daemon is killed")
        log = self.bed.directory / "log" / "daemon.log"
        written = log.stat().st_size
        killed = time.monotonic() + away_seconds
        await self.bed.stop_daemon(kill=True)
        await asyncio.sleep(away_seconds)
        await self.bed.start_daemon(within=WITHIN_SECONDS)
        ready = time.monotonic() - killed
        everything, states = await self._all_known(opened, killed)
        say(f"ready after {ready:.2f} s, all recovered after {everything:.2f} s; ending them now")
        await self._arranged()
        said = phases(log.read_text(errors="replace")[written:])
        reconnected = await self._reconnected()
        say(f"{'; '.join(said)}; reconnected after {reconnected:.2f} s")
        async with self.driver.connected():
            await self._close(opened)
        kinds = Counter(transfer.state for transfer in opened)
        return Round(kinds, ready, everything, results, states, said, reconnected)

    async def _reconnected(self) -> float:
        """End the daemon's AMI connection; the seconds until it is ready again."""
        sessions = (await self.bed.ami.command("manager show connected")).splitlines()
        ours = next(line.split() for line in sessions if line.split()[:1] == ["avp"])
        descriptor = ours[4]  # Username, IP Address, Start, Elapsed, FileDes, …
        begun = time.monotonic()
        await self.bed.ami.command(f"manager kick session {descriptor}")
        async with aiohttp.ClientSession(self.bed.url) as http:
            seen_down = False
            while time.monotonic() - begun < WITHIN_SECONDS:
                async with http.get("/readyz") as answer:
                    if answer.status == 200 and seen_down:
                        break
                    seen_down |= answer.status != 200
                await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def _open(self, sessions: int) -> list[Opened]:
        """Open transfers: one half consulting, the other waiting for the targets of the first."""
        driver = self.driver
        slots = asyncio.Semaphore(OPEN_AT_ONCE)
        await self._quiet()
        agents = driver.talking()
        free: dict[str, list[str]] = defaultdict(list)
        for agent in driver.station.agents.values():
            if agent["state"] == "available":
                free[driver.groups[agent["id"]]].append(agent["id"])
        talkers: dict[str, list[str]] = defaultdict(list)
        for agent in agents[:sessions]:
            talkers[driver.groups[agent]].append(agent)
        pairs: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        for group, members in talkers.items():
            half = (len(members) + 1) // 2
            targets = free[group][:half]
            pairs += zip(members[:half], targets, strict=False)
            others += zip(members[half:], targets, strict=False)

        async def ask(agent: str, target: str, state: str) -> Opened | None:
            async with slots:
                for _ in range(10):
                    try:
                        return await begin(agent, target, state)
                    except Failure as failure:  # the machine is overloaded
                        say(f"not opened: {failure}")
                        await asyncio.sleep(2)
            return None

        async def begin(agent: str, target: str, state: str) -> Opened:
            now = driver.station.agents[agent]["call"]
            if now is None:
                raise Failure(f"{agent} has no call any more")
            call = now["id"]
            driver.expect(call)
            body = {"mode": "supervised", "target": {"kind": "agent", "id": target}}
            transfer = await driver.post(f"/v1/agents/{agent}/transfers", body)
            found = await driver.state(transfer, state)
            driver.station.forget(transfer["id"])
            if found is None or found["state"] != state:
                raise Failure(f"{agent} -> {target} not {state}: {found}")
            return Opened(transfer["id"], state, call, agent, target)

        consulting = await asyncio.gather(*(ask(a, t, "consulting") for a, t in pairs))
        waiting = await asyncio.gather(*(ask(a, t, "waiting") for a, t in others))
        return [opened for opened in (*consulting, *waiting) if opened is not None]

    async def _arranged(self) -> None:
        """Wait until no effect is in flight, which may rightly end in another state."""
        for _ in range(150):
            if not (await self.load.gauges())["workers"]:
                return
            await asyncio.sleep(0.2)

    async def _quiet(self) -> None:
        """Wait until no agent is ringing, in wrap-up or in a transfer."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            states = Counter(a["state"] for a in self.driver.station.agents.values())
            if not set(states) - {"available", "talking"}:
                await asyncio.sleep(1.5)  # app_queue counts wrap-up in whole seconds
                return
            await asyncio.sleep(0.2)
        raise Failure(f"the call centre does not come to rest: {states}")

    async def _all_known(self, opened: list[Opened], killed: float) -> tuple[float, Counter[str]]:
        headers = {"Authorization": f"Bearer {self.bed.secrets.token}"}
        wanted = {transfer.id: transfer.state for transfer in opened}
        wrong: Counter[str] = Counter()
        async with aiohttp.ClientSession(self.bed.url, headers=headers) as http:
            while time.monotonic() - killed < WITHIN_SECONDS:
                async with http.get("/v1/transfers") as answer:
                    found: list[dict[str, Any]] = await answer.json()
                states = {transfer["id"]: transfer["state"] for transfer in found}
                wrong = Counter(
                    f"{state}, then {states.get(number, 'unknown')}"
                    for number, state in wanted.items()
                    if states.get(number) != state
                )
                if not wrong:
                    break
                await asyncio.sleep(0.05)
        return time.monotonic() - killed, wrong

    async def _close(self, opened: list[Opened]) -> None:
        """Cancel the waiting transfers, complete one half of the others, and cancel the rest."""
        waiting = [transfer for transfer in opened if transfer.state == "waiting"]
        consulting = [transfer for transfer in opened if transfer.state != "waiting"]
        slots = asyncio.Semaphore(CLOSE_AT_ONCE)
        kinds = {transfer.id: CANCELLED for transfer in waiting}
        kinds |= {transfer.id: COMPLETED for transfer in consulting[::2]}
        kinds |= {transfer.id: CANCELLED for transfer in consulting[1::2]}

        async def end(transfer: Opened) -> None:
            kind = kinds[transfer.id]
            stays = transfer.target if kind == COMPLETED else transfer.agent
            async with slots:
                await self.driver.guarded_end(kind, transfer.id, transfer.call, stays)

        await asyncio.gather(*map(end, waiting))
        await asyncio.gather(*map(end, consulting))


def phases(log: str) -> list[str]:
    """The lines about the resync, without what is the same in all lines."""
    found = re.findall(r"\] ((?:synchronised|restored) .*seconds=.*)", log)
    return [re.sub(r"\s+\[\S+\]", "", line) for line in found]


async def run(options: argparse.Namespace) -> tuple[str, bool]:
    load_before = os.getloadavg()[0]
    calls = options.sessions
    agents = int(calls * 1.6)
    rounds: list[Round] = []
    async with call_centre(
        agents, options.rtp / calls, options.backend, packet_ms=PACKET_MS
    ) as load:
        asterisk = (await load.bed.ami.command("core show version")).split(" built")[0]
        async with load.driver.connected():
            say(f"{agents} agents there; {calls} callers dial")
            await load.fill(calls, options.rtp)
        recovery = Recovery(load)
        while len(rounds) < options.rounds:
            rounds.append(await recovery.round(options.sessions, options.away))
        left = await load.end()
    lines = [report(rounds), ""]
    good = not left
    for number, found in enumerate(rounds, 1):
        results = found.results
        done = sum(results.done.values())
        good = good and not (found.states or results.failed or results.lost)
        opened = ", ".join(f"{n} {state}" for state, n in found.opened.items())
        ends = f"{done} brought to their end, {results.failed} failed"
        lines.append(f"- Round {number}: {opened}; {ends}; callers lost: {results.lost}")
        lines += [f"  - {line}" for line in found.phases]
        lines += [f"  - {n} x {why}" for why, n in found.states.items()]
        lines += [f"  - {n} x {why}" for why, n in results.failures.most_common(5)]
        say("; ".join(results.examples[:5]) or "well")
    lines.append(f"- Left in the end: {'; '.join(left[:10]) or 'no channel, no bridge'}")
    lines.append(
        f"- Sound in packets of {PACKET_MS} ms: everybody on hold hears music of their own"
    )
    lines += conditions(asterisk, load.bed.backend.name, load_before)
    return "\n".join(lines), good


def report(rounds: list[Round]) -> str:
    times = [t for found in rounds for t in found.results.times.get("complete", ())]
    backs = [t for found in rounds for t in found.results.times.get("cancel", ())]
    rows = [
        (READY, spread([1000 * r.ready_seconds for r in rounds])),
        (ALL, spread([1000 * r.all_seconds for r in rounds])),
        (RECONNECT, spread([1000 * r.reconnected_seconds for r in rounds])),
    ]
    for what, values in (("complete", times), ("cancel", backs)):
        if values:
            middle, most = percentile(values, 50), percentile(values, 99)
            text = f"{middle:.0f}, p99 {most:.0f}"
            rows.append((f"then {what} to connected, {CLOSE_AT_ONCE} at once", text))
    return table(("Milliseconds", f"median of {len(rounds)} (least-most)"), rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=300, help="open at once (default 300)")
    parser.add_argument("--rounds", type=int, default=3, help="kills (default 3)")
    parser.add_argument("--away", type=float, default=0, help="seconds until the next daemon")
    parser.add_argument("--rtp", type=int, default=10, help="calls with sound all the time")
    parser.add_argument("--backend", choices=("docker", "rootfs"), help="as for docker/up")
    parser.add_argument("--output", type=Path, help="also write the report to this file")
    given = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(given)
    options.rtp = min(options.rtp, options.sessions)
    try:
        text, good = asyncio.run(run(options))
    except Unavailable as error:
        print(f"recovery: error: {error}", file=sys.stderr)
        return 1
    print(text)
    if options.output:
        title = "# Recovery of a daemon that was killed\n\nMade by\n\n"
        options.output.write_text(f"{title}    {COMMAND} {' '.join(given)}\n\n{text}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
