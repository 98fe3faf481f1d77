"""How fast a supervised transfer is, next to Asterisk's own attended transfer (AMI Atxfer).

    python -m tests.benchmarks.latency [--samples 20] [--output tests/benchmarks/RESULTS.md]

One call centre on real phones; the two kinds take turns, so that whatever else the machine does
meets both alike. Every time is from one clock of one process: the wall clock, because that is
what the kernel stamps sound packets with. A sample in which it was set is thrown out.

What the two do is not quite the same, and the table has to be read with that in mind. Atxfer
works by keys: Asterisk puts the feature code and the target's number into the agent's channel as
if they had been pressed, and each "key" takes its time. Its target is dialled directly, ours
through a personal queue. Atxfer is given all it needs: a feature code, Queue's option t, and a
context with nothing but Dial() in it; agent 1 completes it by hanging up. As it beeps into the
call by default, it is measured without that as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from bed import Bed, Unavailable, World, backend_named

from tests.asterisk.scene import Scene
from tests.benchmarks import moments

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m tests.benchmarks.latency"
CALLER, AGENT, TARGET = "caller1", "1001", "1002"
PARTIES = (CALLER, AGENT, TARGET)
OURS, THEIRS, QUICKER = "asterisk_avp", "Atxfer", "Atxfer*"
KINDS = (OURS, THEIRS, QUICKER)

_T = TypeVar("_T")

#: What Atxfer needs. The number 810 is `sales` with option t: agents may transfer.
EXTENSIONS = """
[callers](+)
exten => 810,1,Answer()
 same => n,Queue(sales,t)
 same => n,Hangup()

[atxfer-targets]
exten => _100X,1,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
"""
FEATURES = """
[featuremap](+)
atxfer = *2
"""


@dataclass(frozen=True)
class Figure:
    """One row of the table: from where to where, and the key of its measurements."""

    key: str
    start: str
    end: str


FIGURES: Final = (
    Figure("taken", "request", "it is answered (API 201, AMI Success)"),
    Figure("stasis", "request", "caller and agent 1 in Stasis"),
    Figure("seated", "request", "caller and agent 1 in bridges of ours"),
    Figure("music", "request", "MusicOnHoldStart for the caller"),
    Figure("music_heard", "request", "caller hears music only"),
    Figure("called", "request", "AgentCalled for the target"),
    Figure("channel", "request", "Newchannel towards the target"),
    Figure("rings", "request", "INVITE at the target's phone, it rings"),
    Figure("consult", "pick-up", "agent 1 hears the target only"),
    Figure("connected", "complete", "caller and target connected"),
    Figure("bridged", "complete", "both in one bridge, nothing between"),
    Figure("local_gone", "complete", "last Local channel gone"),
    Figure("heard", "complete", "caller hears the target only"),
)

Sample = dict[str, float]
"""Milliseconds by key."""


@dataclass
class Table:
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {k: [] for k in KINDS})

    def values(self, kind: str, key: str) -> list[float]:
        return [sample[key] for sample in self.samples[kind] if key in sample]

    def cell(self, kind: str, key: str) -> str:
        values = self.values(kind, key)
        if not values:
            return "-"
        return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"

    def ratio(self, kind: str, key: str) -> str:
        """How many times as long as ours."""
        ours, theirs = self.values(OURS, key), self.values(kind, key)
        if not (ours and theirs):
            return "-"
        return f"{statistics.median(theirs) / statistics.median(ours):.1f}"

    def markdown(self) -> str:
        head = ("from", "to", *KINDS, THEIRS, QUICKER)
        rows = [
            (
                *(figure.start, figure.end),
                *(self.cell(kind, figure.key) for kind in KINDS),
                *(self.ratio(kind, figure.key) for kind in (THEIRS, QUICKER)),
            )
            for figure in FIGURES
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

        def line(cells: tuple[str, ...]) -> str:
            padded = (
                c.ljust(w) if i < 2 else c.rjust(w)
                for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            )
            return f"| {' | '.join(padded)} |"

        rule = tuple("-" * w if i < 2 else "-" * (w - 1) + ":" for i, w in enumerate(widths))
        return "\n".join(line(cells) for cells in (head, rule, *rows))


class Bench:
    def __init__(self, bed: Bed, http: aiohttp.ClientSession) -> None:
        self.bed, self.ami, self.http = bed, bed.ami, http
        self.scene = Scene(bed)

    async def sample(self, kind: str) -> Sample:
        """One transfer of a kind, from nothing to nothing."""
        await self.scene.everybody_free()
        self.ami.events.clear()
        offset = time.time() - time.monotonic()
        sample = await (self._ours() if kind == OURS else self._theirs(beep=kind == THEIRS))
        for name in PARTIES:
            await self.bed.phones[name].idle()
        await self.ami.assert_clean()
        if abs(time.time() - time.monotonic() - offset) > 0.001:
            raise ClockSet
        return sample

    # --- the two kinds -------------------------------------------------------------------------

    async def _ours(self) -> Sample:
        caller, agent = await self._call("800")
        body = {"mode": "supervised", "target": {"kind": "agent", "id": TARGET}}
        asked = time.time()
        transfer = await self._post(f"/v1/agents/{AGENT}/transfers", body, 201)
        sample = {"taken": time.time() - asked}
        sample |= await self._consult(asked, caller)
        for key, found in (
            ("stasis", moments.both_in_stasis(self.ami, (caller, agent), asked)),
            ("seated", moments.all_entered_bridge(self.ami, (caller, agent), asked)),
            ("called", moments.agent_called(self.ami, f"PJSIP/{TARGET}", asked)),
        ):
            sample[key] = _must(found, key) - asked
        await self.scene.reaches(transfer, "consulting")
        completed = time.time()
        await self._post(f"/v1/transfers/{transfer}/complete", None, 200)
        return _milliseconds(sample | await self._completion(completed))

    async def _theirs(self, *, beep: bool) -> Sample:
        caller, agent = await self._call("810")
        if not beep:
            await self.ami.action("Setvar", Channel=agent, Variable="FEATURE(xfersound)", Value="")
        asked = time.time()
        await self.ami.action("Atxfer", Channel=agent, Exten=TARGET, Context="atxfer-targets")
        sample = {"taken": time.time() - asked}
        sample |= await self._consult(asked, caller)
        completed = time.time()
        hanging_up = asyncio.create_task(self.bed.phones[AGENT].hangup())
        sample |= await self._completion(completed)
        await hanging_up
        return _milliseconds(sample)

    # --- their parts ---------------------------------------------------------------------------

    async def _call(self, number: str) -> tuple[str, str]:
        """The caller reaches agent 1; the channels of both."""
        await self.bed.phones[CALLER].dial(number)
        await self.bed.phones[AGENT].answer()
        await self.scene.talking(CALLER, AGENT)
        channels = [(await self.ami.channel_of(name))["Channel"] for name in (CALLER, AGENT)]
        return channels[0], channels[1]

    async def _consult(self, asked: float, caller: str) -> Sample:
        """From the request until agent 1 and the target talk."""
        target = self.bed.phones[TARGET]
        # While something is being measured we only wait: looking at sound or asking Asterisk
        # would hold up the events whose arrival counts.
        ringing = await target.ringing(within=10)
        music = await self._until(lambda: moments.music_started(self.ami, caller, asked), "music")
        picked_up = time.time()
        await target.answer()
        await self.scene.phone(TARGET).hears({AGENT}, within=5)
        await self.scene.phone(AGENT).hears({TARGET}, within=5)
        await self.scene.phone(CALLER).hears({"music"})
        now = time.time()
        heard = moments.heard_from(self.bed.phones[CALLER], {"music"}, asked, now)
        consult = moments.heard_from(self.bed.phones[AGENT], {TARGET}, picked_up, now)
        channel = moments.channel_made(self.ami, TARGET, asked)
        return {
            "music": music - asked,
            "music_heard": _must(heard, "music heard") - asked,
            "channel": _must(channel, "channel to the target") - asked,
            "rings": ringing.began - asked,
            "consult": _must(consult, "consult heard") - picked_up,
        }

    async def _completion(self, completed: float) -> Sample:
        """From the command to complete until caller and target have a plain call."""

        def joined() -> float | None:
            return moments.together(self.ami, CALLER, TARGET, completed)

        bridged = await self._until(joined, "caller and target bridged")
        connected = moments.connected(self.ami, CALLER, TARGET, completed)
        gone = await self._until(lambda: moments.locals_gone(self.ami), "Local channels gone")
        await self.scene.talking(CALLER, TARGET)
        heard = moments.heard_from(self.bed.phones[CALLER], {TARGET}, completed, time.time())
        return {
            "connected": _must(connected, "caller and target connected") - completed,
            "bridged": bridged - completed,
            "heard": _must(heard, "target heard") - completed,
            "local_gone": gone - completed,
        }

    async def _until(self, look: Callable[[], _T | None], what: str) -> _T:
        async def again() -> _T | None:
            return look()

        return _must(await self.ami.until(again, 5.0), what)

    async def _post(self, path: str, body: object, status: int) -> str:
        """The id in the answer, which must have this status."""
        async with self.http.post(self.bed.url + path, json=body) as answer:
            if answer.status != status:
                raise AssertionError(f"POST {path}: {answer.status} {await answer.text()}")
            return str((await answer.json())["id"])


class ClockSet(Exception):
    """The wall clock was set during a sample."""


def _must(found: _T | None, what: str) -> _T:
    if found is None:
        raise AssertionError(f"not seen: {what}")
    return found


def _milliseconds(sample: Sample) -> Sample:
    return {key: 1000 * value for key, value in sample.items()}


async def run(samples: int, backend: str | None) -> str:
    """The measured table with what it was measured on."""
    world = World(wrapuptime=1, extensions=EXTENSIONS, features=FEATURES)
    world = world.with_group("sales", strategy="linear")
    world = replace(world, callers=(CALLER,), outside=())
    table = Table()
    load = os.getloadavg()[0]
    async with Bed(world, backend=backend_named(backend)) as bed:
        await bed.start_daemon()
        headers = {"Authorization": f"Bearer {bed.secrets.token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            bench = Bench(bed, http)
            for kind in KINDS:  # once each without counting: whatever is loaded at first use
                await bench.sample(kind)
            for index in range(samples):
                first = index % len(KINDS)  # who goes first changes too
                for kind in (*KINDS[first:], *KINDS[:first]):
                    await _counted(bench, kind, table)
                print(f"latency: {index + 1} of {samples}", file=sys.stderr, flush=True)
        asterisk = (await bed.ami.command("core show version")).split(" built")[0]
    machine = (
        f"{_cpu()}, {os.cpu_count()} processors; load average {load:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after"
    )
    return "\n".join(
        (
            f"Milliseconds: median of {samples} (least-most). Last two columns: times {OURS}.",
            f"{THEIRS}: Asterisk's AMI Atxfer. {QUICKER}: the same without its beep (xfersound).",
            "",
            table.markdown(),
            "",
            f"- Machine: {machine}",
            f"- {asterisk}, Python {platform.python_version()}, {bed.backend.name}",
            f"- asterisk_avp commit {_commit()}, {time.strftime('%Y-%m-%d')}",
        )
    )


async def _counted(bench: Bench, kind: str, table: Table) -> None:
    while True:
        try:
            table.samples[kind].append(await bench.sample(kind))
        except ClockSet:
            print("latency: the clock was set; this sample once more", file=sys.stderr)
        else:
            return


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


NOTES = """\
How to read it:

- `Atxfer` works by keys: Asterisk puts the feature code and the target's number into agent 1's
  channel as if they had been pressed, one after the other, and each takes its time. Music starts
  after the feature code, dialling after the last digit.
- `Atxfer` dials the target directly. Ours goes through the target's personal queue, so that
  app_queue knows about the target's call; that is part of the figures for ringing.
- Complete: ours by the API, `Atxfer` by agent 1's phone hanging up. `Atxfer` then plays a beep to
  the target, and until it is over the two do not hear each other. `Atxfer*` is without it.
- "Connected" may be through Local channels, "nothing between" is not.
- "hears ... only": the arrival of the first packet of 20 ms with nothing else in it, looked for
  every 10 ms.
- AMI events count when they arrive at the process that measures.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=20, help="of each kind (default 20)")
    parser.add_argument("--backend", choices=("docker", "rootfs"), help="as for docker/up")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    try:
        table = asyncio.run(run(options.samples, options.backend))
    except Unavailable as error:
        print(f"latency: error: {error}", file=sys.stderr)
        return 1
    print(table)
    if options.output:
        again = f"{COMMAND} --samples {options.samples} --output {options.output}"
        title = "# Latency of a supervised transfer\n\nMade by\n\n"
        options.output.write_text(f"{title}    {again}\n\n{table}\n\n{NOTES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
