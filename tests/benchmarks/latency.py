"""The latency of a supervised transfer, compared with a lower bound and with AMI's Atxfer.

    tests/run bench [--samples 14] [--output tests/benchmarks/RESULTS.md]

The benchmark runs one call centre with real phones. The kinds take turns, so that other load on the
machine affects all alike. All times come from one clock of one process: the wall clock, because the
kernel stamps sound packets with it. A sample in which the clock was set is discarded.

The *floor* is the lower bound: the same AMI and ARI actions, sent by a bare script (`floor`) that
decides, records and checks nothing. Any longer time is our overhead. In each sample of either, the
call is transferred twice: the first consultation is cancelled, the second completed.

Atxfer does not do quite the same. It works with keys: Asterisk puts the feature code and the
target's number into the agent's channel as if they were pressed, and each "key" takes time. It
dials its target directly; ours is dialled through a personal queue. Atxfer has all it needs: a
feature code, Queue's option t, and a context with nothing but Dial(). The transferor completes it
by hanging up. Because it beeps into the call by default, it is also measured without the beep. It
takes its turn only in every third round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiohttp
from bed import Bed, PhoneError, Unavailable, World, backend_named

from tests.asterisk.scene import Scene
from tests.benchmarks import floor, moments
from tests.benchmarks.figures import ROOT, conditions, percentile, ratio, spread, table

COMMAND = "tests/run bench"
CALLER, AGENT, TARGET = "caller1", "1001", "1002"
PARTIES = (CALLER, AGENT, TARGET)
OURS, FLOOR, THEIRS, QUICKER = "asterisk_avp", "floor", "Atxfer", "Atxfer*"
KINDS = (OURS, FLOOR, THEIRS, QUICKER)
EVERY: Final = {OURS: 1, FLOOR: 1, THEIRS: 3, QUICKER: 3}
"""A kind takes its turn in every n-th round."""
AIM_MEDIAN, AIM_P99, AIM_RING = 1.5, 3.0, 20.0

_T = TypeVar("_T")

#: The dialplan for Atxfer. The number 810 is `sales` with option t: agents may transfer.
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
    """One row of the table: start, end, and the key of its measurements."""

    key: str
    start: str
    end: str


FIGURES: Final = (
    Figure("taken", "request", "it is answered (API 201, AMI Success)"),
    Figure("stasis", "request", "caller and transferor in Stasis"),
    Figure("bridges", "request", "caller and transferor in bridges of ours"),
    Figure("music", "request", "MusicOnHoldStart for the caller"),
    Figure("music_heard", "request", "caller hears music only"),
    Figure("called", "request", "AgentCalled for the target"),
    Figure("channel", "request", "Newchannel towards the target"),
    Figure("rings", "request", "INVITE at the target's phone, it rings"),
    Figure("consult", "pick-up", "transferor hears the target only"),
    Figure("connected", "complete", "caller and target connected"),
    Figure("bridged", "complete", "both in one bridge, nothing between"),
    Figure("local_gone", "complete", "last Local channel gone"),
    Figure("heard", "complete", "caller hears the target only"),
    Figure("rejoined", "cancel", "caller and transferor connected"),
    Figure("caller_back", "cancel", "caller hears transferor only"),
    Figure("agent_back", "cancel", "transferor hears the caller only"),
)

Sample = dict[str, float]
"""Milliseconds by key."""


@dataclass
class Table:
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {k: [] for k in KINDS})

    def values(self, kind: str, key: str) -> list[float]:
        return [sample[key] for sample in self.samples[kind] if key in sample]

    def p99(self, kind: str, key: str) -> str:
        values = self.values(kind, key)
        return f"{percentile(values, 99):.0f}" if values else "-"

    def ratio(self, kind: str, to: str, key: str, percent: float = 50) -> str:
        return ratio(self.values(kind, key), self.values(to, key), percent)

    def markdown(self) -> str:
        head = (
            *("from", "to", OURS, "p99", FLOOR, "p99", THEIRS, QUICKER),
            *(f"{OURS} : {FLOOR}", "at p99", f"{THEIRS} : {OURS}", f"{QUICKER} : {OURS}"),
        )
        rows = [
            (
                *(figure.start, figure.end),
                *(spread(self.values(OURS, figure.key)), self.p99(OURS, figure.key)),
                *(spread(self.values(FLOOR, figure.key)), self.p99(FLOOR, figure.key)),
                *(spread(self.values(kind, figure.key)) for kind in (THEIRS, QUICKER)),
                self.ratio(OURS, FLOOR, figure.key),
                self.ratio(OURS, FLOOR, figure.key, 99),
                *(self.ratio(kind, OURS, figure.key) for kind in (THEIRS, QUICKER)),
            )
            for figure in FIGURES
        ]
        return table(head, rows, words=2)

    def aims(self) -> list[str]:
        """The aims, and whether they were reached."""
        slow = [
            f"{figure.start} to {figure.end}: {found} times the floor {where}"
            for figure in FIGURES
            for percent, most, where in (
                (50, AIM_MEDIAN, "at the median"),
                (99, AIM_P99, "at p99"),
            )
            if (found := self.ratio(OURS, FLOOR, figure.key, percent)) not in ("-", "")
            and float(found) > most
        ]
        rings = self.ratio(THEIRS, OURS, "rings")
        most = f"at most {AIM_MEDIAN} times the floor at the median, {AIM_P99:.0f} times at p99"
        quick = f"at least {AIM_RING:.0f} times as fast as {THEIRS} to the target's phone"
        return [
            f"- Aim: {most}: {'; '.join(slow) or 'reached in every row'}",
            f"- Aim: {quick}: {rings} times",
        ]


class Bench:
    def __init__(
        self, bed: Bed, http: aiohttp.ClientSession, floor: TransferMethod | None = None
    ) -> None:
        self.bed, self.ami = bed, bed.ami
        self.scene = Scene(bed)
        self.daemon: TransferMethod = Daemon(bed, http, self.scene)
        self.floor: TransferMethod = floor or self.daemon

    async def sample(self, kind: str) -> list[Sample]:
        """One call with its transfers, from an idle call centre to an idle one."""
        await self.scene.everybody_free()
        self.ami.events.clear()
        offset = time.time() - time.monotonic()
        if kind == OURS:
            samples = await self._twice(self.daemon)
        elif kind == FLOOR:
            try:
                samples = await self._twice(self.floor)
            except PhoneError as error:  # see `floor.Floor._stop_music`: it does not check again
                await self.bed.idle()
                raise InvalidSample(str(error)) from error
        else:
            samples = [await self._theirs(beep=kind == THEIRS)]
        for name in PARTIES:
            await self.bed.phones[name].idle()
        await self.ami.assert_clean()
        if abs(time.time() - time.monotonic() - offset) > 0.001:
            raise ClockSet
        return samples

    # --- the kinds -----------------------------------------------------------------------------

    async def _twice(self, how: TransferMethod) -> list[Sample]:
        """A consultation that is cancelled, and another of the same call that is completed."""
        caller, agent = await self._call("800")
        cancelled = await self._asked(how, caller, agent)
        asked = time.time()
        await how.cancel()
        cancelled |= await self._cancellation(asked)
        await self.bed.phones[TARGET].idle()
        await self.bed.available(TARGET)
        self.ami.events.clear()
        completed = await self._asked(how, caller, agent)
        asked = time.time()
        await how.complete()
        return [_milliseconds(cancelled), _milliseconds(completed | await self._completion(asked))]

    async def once(self) -> Sample:
        """A call with one completed transfer by the daemon."""
        caller, agent = await self._call("800")
        sample = await self._asked(self.daemon, caller, agent)
        asked = time.time()
        await self.daemon.complete()
        return _milliseconds(sample | await self._completion(asked))

    async def _asked(self, how: TransferMethod, caller: str, agent: str) -> Sample:
        asked = time.time()
        await how.consult(caller, agent)
        sample = {"taken": time.time() - asked}
        sample |= await self._consult(asked, caller)
        for key, found in (
            ("stasis", moments.both_in_stasis(self.ami, (caller, agent), asked)),
            ("bridges", moments.all_entered_bridge(self.ami, (caller, agent), asked)),
            ("called", moments.agent_called(self.ami, f"PJSIP/{TARGET}", asked)),
        ):
            sample[key] = _must(found, key) - asked
        await how.consulting()
        return sample

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
        """Connect the caller to the transferor. Returns the channels of both."""
        await self.bed.phones[CALLER].dial(number)
        await self.bed.phones[AGENT].answer()
        await self.scene.talking(CALLER, AGENT)
        channels = [(await self.ami.channel_of(name))["Channel"] for name in (CALLER, AGENT)]
        return channels[0], channels[1]

    async def _consult(self, asked: float, caller: str) -> Sample:
        """From the request until transferor and target talk."""
        target = self.bed.phones[TARGET]
        # Only wait during a measurement: analysing sound or querying Asterisk would delay the
        # events whose arrival is measured.
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
        """From the complete command until caller and target have a plain call."""

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

    async def _cancellation(self, asked: float) -> Sample:
        """From the cancel command until caller and transferor have their call again."""

        def joined() -> float | None:
            return moments.connected(self.ami, CALLER, AGENT, asked)

        rejoined = await self._until(joined, "caller and transferor connected")
        await self.scene.talking(CALLER, AGENT)
        now = time.time()
        caller = moments.heard_from(self.bed.phones[CALLER], {AGENT}, asked, now)
        agent = moments.heard_from(self.bed.phones[AGENT], {CALLER}, asked, now)
        return {
            "rejoined": rejoined - asked,
            "caller_back": _must(caller, "transferor heard") - asked,
            "agent_back": _must(agent, "caller heard") - asked,
        }


class TransferMethod(Protocol):
    """A way to transfer the transferor's call to the target, supervised."""

    async def consult(self, caller: str, agent: str) -> None:
        """Start the transfer. The arguments are the channel names of caller and transferor."""

    async def consulting(self) -> None:
        """Return when it can be completed or cancelled."""

    async def complete(self) -> None: ...

    async def cancel(self) -> None: ...


class Daemon:
    """asterisk_avp, through its API."""

    def __init__(self, bed: Bed, http: aiohttp.ClientSession, scene: Scene) -> None:
        self._bed, self._http, self._scene = bed, http, scene
        self._transfer = ""

    async def consult(self, caller: str, agent: str) -> None:
        body = {"mode": "supervised", "target": {"kind": "agent", "id": TARGET}}
        self._transfer = await self._post(f"/v1/agents/{AGENT}/transfers", body, 201)

    async def consulting(self) -> None:
        await self._scene.reaches(self._transfer, "consulting")

    async def complete(self) -> None:
        await self._post(f"/v1/transfers/{self._transfer}/complete", None, 200)

    async def cancel(self) -> None:
        await self._post(f"/v1/transfers/{self._transfer}/cancel", None, 200)

    async def _post(self, path: str, body: object, status: int) -> str:
        """Send a request that must have this status. Returns the id in the answer."""
        async with self._http.post(self._bed.url + path, json=body) as answer:
            if answer.status != status:
                raise AssertionError(f"POST {path}: {answer.status} {await answer.text()}")
            return str((await answer.json())["id"])


class BareScript:
    """The script without the daemon (`floor`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, bed: Bed) -> AsyncIterator[BareScript]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.floor"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        bare = cls(process)
        await bare._tell(
            ari=f"http://127.0.0.1:{bed.ports.http}/ari",
            ari_user="avp",
            ari_password=bed.secrets.ari,
            ami_port=bed.ports.ami,
            ami_user="avp",
            ami_secret=bed.secrets.ami,
        )
        try:
            yield bare
        finally:
            process.terminate()
            await process.wait()

    async def _tell(self, **order: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer = await asyncio.wait_for(self._process.stdout.readline(), 10)
        if answer not in (b"ready\n", b"True\n"):
            raise AssertionError(f"floor: {order} answered {answer!r}")

    async def consult(self, caller: str, agent: str) -> None:
        await self._tell(do="consult", caller=caller, agent=agent, target=TARGET)

    async def consulting(self) -> None:
        """Nothing to wait for: the sound has already been heard."""

    async def complete(self) -> None:
        await self._tell(do="complete")

    async def cancel(self) -> None:
        await self._tell(do="cancel")


class InvalidSample(Exception):
    """The bare script left a party on music."""


class ClockSet(Exception):
    """The wall clock was set during a sample."""


def _must(found: _T | None, what: str) -> _T:
    if found is None:
        raise AssertionError(f"not seen: {what}")
    return found


def _milliseconds(sample: Sample) -> Sample:
    return {key: 1000 * value for key, value in sample.items()}


async def run(samples: int, backend: str | None) -> str:
    """The table of measurements, with the conditions."""
    world = World(wrapuptime=1, extensions=EXTENSIONS + floor.EXTENSIONS, features=FEATURES)
    world = world.with_group("sales", strategy="linear")
    world = replace(world, callers=(CALLER,), outside=())
    found = Table()
    load = os.getloadavg()[0]
    async with Bed(world, backend=backend_named(backend)) as bed:
        await bed.start_daemon()
        headers = {"Authorization": f"Bearer {bed.secrets.token}"}
        http = aiohttp.ClientSession(headers=headers)
        async with http, BareScript.running(bed) as bare:
            bench = Bench(bed, http, bare)
            for kind in KINDS:  # warm-up, not counted
                await _counted(bench, kind, Table())
            for index in range(samples):
                first = index % len(KINDS)  # the order changes too
                for kind in (*KINDS[first:], *KINDS[:first]):
                    if index % EVERY[kind] == 0:
                        await _counted(bench, kind, found)
                print(f"latency: {index + 1} of {samples}", file=sys.stderr, flush=True)
        asterisk = (await bed.ami.command("core show version")).split(" built")[0]
    ends = "half of which were cancelled and half completed"
    what = (
        f"Milliseconds: median (least-most) and 99th percentile of {2 * samples} requests, {ends}."
    )
    atxfer = f"{THEIRS}: Asterisk's AMI Atxfer. {QUICKER}: the same without its beep (xfersound)."
    about = conditions(asterisk, bed.backend.name, load)
    return "\n".join((what, atxfer, "", found.markdown(), "", *found.aims(), *about))


async def _counted(bench: Bench, kind: str, table: Table) -> None:
    while True:
        try:
            table.samples[kind] += await bench.sample(kind)
        except ClockSet:
            print("latency: the clock was set; repeating this sample", file=sys.stderr)
        except InvalidSample as error:
            print(f"latency: the bare script failed ({error}); repeating", file=sys.stderr)
        else:
            return


NOTES = """\
How to read it:

- The floor is the lower bound: the same actions by a bare script (`tests/benchmarks/floor.py`) that
  decides, records and checks nothing, in its own process and Stasis application.
- With so few values, the 99th percentile is the maximum.
- `Atxfer` works with keys: Asterisk puts the feature code and the target's number into the
  transferor's channel as if they were pressed, one after the other, and each takes time. Music
  starts after the feature code, dialling after the last digit.
- `Atxfer` dials the target directly. Ours goes through the target's personal queue, so that
  app_queue knows about the target's call. The figures for ringing include this.
- Complete: ours through the API, `Atxfer` by hanging up the transferor's phone. `Atxfer` then plays
  a beep to the target, during which the two do not hear each other. `Atxfer*` has no beep.
- "Connected" may be through Local channels; "nothing between" is not.
- "hears ... only": the arrival of the first packet of 20 ms with nothing else in it, checked every
  10 ms.
- AMI events count when they arrive at the measuring process.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=14, help="rounds (default 14)")
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
