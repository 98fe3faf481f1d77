"""Thousands of transfers of all kinds in one daemon, which must leave nothing behind.

    tests/run soak [--transfers 2000] [--lanes 4]

Lanes of a caller and two agents each, on real phones that answer automatically, repeat all kinds of
transfers at the same time. Now and then all lanes stop, every call has ended, and the daemon is
inspected: its tasks, timers, files and memory, every collection in it, and every kind of object.
After the first inspection nothing may grow except the history of each agent, which is bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import aiohttp
from bed import Agent, Bed, Group, Phone, World, backend_named
from bed.procs import DIE_WITH_PARENT, exited, spawn

from tests.asterisk.evidence import Evidence
from tests.asterisk.scene import Scene

KEPT_SECONDS: Final = 2
FINAL: Final = ("completed", "cancelled", "failed", "abandoned")
BOUNDED: Final = ("_history._by_agent", "_queue_log._written")
"""Collections of the daemon that keep entries for a while, and their limits."""
SPARE: Final = {"timers": 4, "files": 6}
"""A leak would be hundreds."""
IDLE_SECONDS: Final = 20.0
"""Longer than aiohttp keeps an idle connection to Asterisk (15 s), so that those are no growth."""
RSS_SPARE_KIB: Final = 2048
"""The accepted difference in memory between inspections of the second half: the allocator's."""
MOST_FAILURES: Final = 3
ROOT: Final = Path(__file__).resolve().parents[2]


def call_centre(lanes: int) -> World:
    """A group of two for each lane, no ACW, and an outside world of two phones."""
    agents = tuple(Agent(f"{lane}{i}", f"{lane}-{i}") for lane in range(1, lanes + 1) for i in "12")
    groups = tuple(
        Group(
            f"lane{lane}",
            (f"{lane}1", f"{lane}2"),
            number=f"80{lane}",
            strategy="linear",
            wrapuptime=0,
            options={"weight": "0"},
        )
        for lane in range(1, lanes + 1)
    )
    short = "\n".join(
        f"exten => 81{lane},1,Answer()\n same => n,Set(AVP_MAX_HOLD=1)\n"
        f" same => n,Queue(lane{lane},i)\n same => n,Hangup()"
        for lane in range(1, lanes + 1)
    )
    return World(
        agents=agents,
        groups=groups,
        callers=tuple(f"caller{lane}" for lane in range(1, lanes + 1)),
        outside=("pstn", "pstn2"),
        wrapuptime=0,
        max_hold_seconds=60,
        variables={"AVP_MAX_HOLD_SOUND": "beep"},
        extensions=f"""
[callers](+)
{short}

[avp-external](+)
exten => +12025550199,1,Dial(PJSIP/pstn2,60,i)
""",
        settings={
            "AVP_SESSION__RING_SECONDS": "30",
            "AVP_SESSION__KEEP_ENDED_SECONDS": str(KEPT_SECONDS),
            **{
                key: value
                for lane in range(1, lanes + 1)
                for key, value in (
                    (f"AVP_PRESETS__OUT{lane}__NUMBER", "+12025550101"),
                    (f"AVP_PRESETS__OUT{lane}__GROUP", f"lane{lane % lanes + 1}"),
                )
            },
        },
    )


@dataclass
class Told:
    """The daemon's events on its WebSocket, and the requests to it."""

    bed: Bed
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        headers = {"Authorization": f"Bearer {self.bed.secrets.token}"}
        # A connection per request: idle ones would be files and timers of the daemon.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            self.bed.url, headers=headers, connector=connector
        ) as http:
            self._http = http
            async with http.ws_connect("/v1/events") as socket:
                reading = asyncio.create_task(self._read(socket))
                try:
                    await self.until(lambda: bool(self.agents), "the snapshot")
                    yield
                finally:
                    reading.cancel()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            await self._take(json.loads(message.data))

    async def _take(self, told: dict[str, Any]) -> None:
        async with self._changed:
            if told["type"] == "snapshot":
                self.agents = {agent["id"]: agent for agent in told["agents"]}
            elif told["type"] == "agent":
                self.agents[told["agent"]["id"]] = told["agent"]
            elif told["type"] == "transfer":
                new = told["transfer"]
                before = self.transfers.get(new["id"])
                self.transfers[new["id"]] = new
                if new["state"] in FINAL and (before is None or before["state"] not in FINAL):
                    kind = (new["target"] or {"kind": "?"})["kind"]
                    self.ended[new["mode"], kind, new["state"], new["ended_reason"]] += 1
            self._changed.notify_all()

    async def until(
        self, test: Callable[[], bool], what: str | Callable[[], str], within: float = 20.0
    ) -> None:
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(test)
        except TimeoutError:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {within} s: {text}") from None

    async def ask(self, path: str, body: object = None, method: str = "POST") -> dict[str, Any]:
        assert self._http is not None
        async with self._http.request(method, path, json=body) as answer:
            text = await answer.text()
            assert answer.status in (200, 201), f"{path} {body}: {answer.status} {text}"
            return json.loads(text)  # type: ignore[no-any-return]


@dataclass
class Lane:
    """A caller and two agents. ``has``: the agent with the call."""

    scene: Scene
    told: Told
    number: int
    done: int = 0

    @property
    def caller(self) -> str:
        return f"caller{self.number}"

    @property
    def agents(self) -> tuple[str, str]:
        return f"{self.number}1", f"{self.number}2"

    # --- words -------------------------------------------------------------------------------

    async def begin(self, number: str = "80") -> str:
        """A call, which one of the two receives. Returns who."""
        for agent in self.agents:
            await self.available(agent)
        await self.scene.phone(self.caller).dial(f"{number}{self.number}")
        await self.talks(self.agents[0])
        return self.agents[0]

    async def end(self) -> None:
        await self.scene.phone(self.caller).idle()
        for agent in self.agents:
            await self.available(agent)

    async def available(self, agent: str) -> None:
        await self.told.until(
            lambda: self.told.agents[agent]["state"] == "available", f"{agent} available"
        )
        await self.scene.phone(agent).closed(within=10)

    async def talks(self, agent: str) -> None:
        """The agent has the caller, and no transfer is running."""

        def so() -> bool:
            seen = self.told.agents[agent]
            call = seen["call"]
            return bool(
                seen["state"] == "talking"
                and call
                and call["caller"] == self.caller
                and (call["transfer"] is None or call["transfer"]["state"] in FINAL)
                and not call["id"].endswith("-leg-queue")  # Asterisk is still connecting it
            )

        await self.told.until(
            so, lambda: f"{agent} talks with {self.caller}, but {self.told.agents[agent]}"
        )
        assert self.scene.phone(self.caller).live, f"{self.caller} is lost"

    async def other(self, agent: str) -> str:
        """The colleague, once free."""
        found = self.agents[1] if agent == self.agents[0] else self.agents[0]
        await self.available(found)
        return found

    async def transfer(self, agent: str, mode: str, kind: str, target: str) -> str:
        key = "number" if kind == "number" else "id"
        body = {"mode": mode, "target": {"kind": kind, key: target}}
        return str((await self.told.ask(f"/v1/agents/{agent}/transfers", body))["id"])

    async def is_(self, transfer: str, *states: str) -> None:
        known = self.told.transfers
        await self.told.until(
            lambda: known.get(transfer, {}).get("state") in states,
            lambda: f"{transfer} {states}, but {known.get(transfer)}",
        )
        if states[0] in FINAL:
            self.done += 1

    async def do(self, transfer: str, *actions: str) -> None:
        for action in actions:
            await self.told.ask(f"/v1/transfers/{transfer}/{action}")

    async def consult(self, agent: str, kind: str, target: str) -> str:
        transfer = await self.transfer(agent, "supervised", kind, target)
        await self.is_(transfer, "consulting")
        return transfer

    # --- the kinds: each is given who has the call, and tells who has it then ------------------

    async def completed(self, agent: str) -> str:
        target = await self.other(agent)
        transfer = await self.consult(agent, "agent", target)
        await self.do(transfer, "complete")
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def cancelled(self, agent: str) -> str:
        transfer = await self.consult(agent, "agent", await self.other(agent))
        await self.do(transfer, "cancel")
        await self.is_(transfer, "cancelled")
        await self.talks(agent)
        return agent

    async def swapped(self, agent: str) -> str:
        target = await self.other(agent)
        transfer = await self.consult(agent, "agent", target)
        await self.do(transfer, "swap", "swap", "swap", "complete")
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def left(self, agent: str) -> str:
        """The transferor hangs up in the consultation, which completes it."""
        target = await self.other(agent)
        transfer = await self.consult(agent, "agent", target)
        await self.scene.phone(agent).idle()
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def unsupervised(self, agent: str) -> str:
        target = await self.other(agent)
        transfer = await self.transfer(agent, "unsupervised", "agent", target)
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def to_the_group(self, agent: str) -> str:
        target = await self.other(agent)
        transfer = await self.transfer(agent, "unsupervised", "group", f"lane{self.number}")
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def button(self, agent: str) -> str:
        target = await self.other(agent)
        await self.scene.phone(agent).transfer(target)
        await self.talks(target)
        self.done += 1
        return target

    async def code(self, agent: str) -> str:
        target = await self.other(agent)

        def asked() -> dict[str, Any] | None:
            found = (self.told.agents[agent]["call"] or {}).get("transfer")
            return found if found and found["state"] not in FINAL else None

        for within in (3.0, 3.0):  # on a busy machine a key may come too late
            await self.scene.press(agent, "*7")
            with suppress(AssertionError):
                await self.told.until(lambda: asked() is not None, "*7", within)
                break
        begun = asked()
        assert begun is not None, "*7 does nothing"
        transfer = begun["id"]
        await self.scene.phone(agent).hears({"speech"}, within=10, steady=0.1)  # the prompt
        await self.scene.press(agent, f"{target}#")
        await self.is_(transfer, "consulting")
        await self.do(transfer, "complete")
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def refused(self, agent: str) -> str:
        """The target does not answer: the transferor has the caller again."""
        target = await self.other(agent)
        await self.scene.phone(target).auto_answer(False)
        transfer = await self.transfer(agent, "supervised", "agent", target)
        await self.scene.phone(target).reject()
        await self.is_(transfer, "failed")
        await self.talks(agent)
        await self.scene.phone(target).auto_answer()
        return agent

    async def left_while_it_rings(self, agent: str) -> str:
        target = await self.other(agent)
        phone = self.scene.phone(target)
        await phone.auto_answer(False)
        transfer = await self.transfer(agent, "supervised", "agent", target)
        first = await phone.ringing()
        await self.is_(transfer, "ringing")
        await self.scene.phone(agent).idle()
        await phone.closed(first)
        await phone.answer(within=10)
        await phone.auto_answer()
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    async def conference(self, agent: str) -> str:
        transfer = await self.consult(agent, "number", "+12025550101")
        await self.do(transfer, "conference", "cancel")
        await self.is_(transfer, "cancelled")
        await self.talks(agent)
        return agent

    async def fourth(self, agent: str) -> str:
        """A conference of four, which the transferor and then the fourth party leave."""
        target = await self.other(agent)
        transfer = await self.consult(agent, "agent", target)
        path = f"/v1/transfers/{transfer}/parties"
        body = await self.told.ask(path, {"number": "+12025550199"})
        fourth = next(p["id"] for p in body["parties"] if p["role"] == "fourth")

        def talks(state: str) -> bool:
            parties = self.told.transfers[transfer]["parties"]
            return any(p["id"] == fourth and p["state"] == state for p in parties)

        await self.told.until(lambda: talks("talking"), "the fourth party talks")
        await self.do(transfer, "conference")
        await self.told.ask(f"{path}/{fourth}", method="DELETE")
        await self.told.until(lambda: not talks("talking"), "the fourth party is gone")
        await self.do(transfer, "complete")
        await self.is_(transfer, "completed")
        await self.talks(target)
        return target

    # --- kinds after which there is no call ----------------------------------------------------

    async def outside(self, agent: str) -> None:
        transfer = await self.consult(agent, "preset", f"out{self.number}")
        await self.do(transfer, "complete")
        await self.is_(transfer, "completed")
        await self.end()

    async def abandoned(self, agent: str) -> None:
        transfer = await self.consult(agent, "agent", await self.other(agent))
        await self.scene.phone(self.caller).idle()
        await self.is_(transfer, "abandoned")
        await self.end()

    async def held_too_long(self, agent: str) -> None:
        target = await self.other(agent)
        await self.scene.phone(target).auto_answer(False)
        transfer = await self.transfer(agent, "unsupervised", "agent", target)
        await self.is_(transfer, "failed")
        await self.scene.phone(self.caller).closed(within=10)
        await self.scene.phone(target).auto_answer()
        await self.end()

    async def crashed(self) -> int:
        """Restart phones that have crashed, as baresip 1.1 does now and then. Returns how many."""
        mine = (self.caller, *self.agents)
        dead = [name for name in mine if has_ended(self.scene.phone(name))]
        for name in dead:
            print(f"phone {name} crashed", flush=True)
            await self.scene.start_again(self.scene.phone(name))
        if dead:
            for name in mine:
                await self.scene.phone(name).idle()
                await self.scene.phone(name).auto_answer(name != self.caller)
            await self.end()
        return len(dead)

    async def round(self) -> None:
        """All kinds, over a few calls."""
        goes_on: tuple[Callable[[str], Awaitable[str]], ...] = (
            *(self.completed, self.cancelled, self.swapped, self.left, self.unsupervised),
            *(self.to_the_group, self.button, self.code, self.refused),
            *(self.left_while_it_rings, self.conference, self.fourth),
        )
        for first, last in enumerate((self.outside, self.abandoned)):
            agent = await self.begin("80")
            for kind in goes_on[first::2]:
                agent = await kind(agent)
            await last(agent)
        await self.held_too_long(await self.begin("81"))

    async def given_up(self, error: BaseException) -> str:
        """A round has failed: collect evidence, then reset the lane."""
        mine = [f"agent={agent} " for agent in self.agents]
        log = [
            line
            for line in self.scene.log_of_daemon().splitlines()
            if any(word in f"{line} " for word in mine)
        ]
        known = [
            f"{agent}: told {self.told.agents.get(agent)}, is {await self.scene.agent(agent)}"
            for agent in self.agents
        ]
        members = await self.scene.ami.command(f"queue show lane{self.number}")
        text = "\n".join([f"lane {self.number}: {error}", *known, members, *log[-40:]])
        for name in (self.caller, *self.agents):
            await self.scene.phone(name).idle()
            await self.scene.phone(name).auto_answer(name != self.caller)
        await self.end()
        return text


@dataclass(frozen=True)
class Look:
    """The idle daemon, after this many transfers."""

    transfers: int
    seconds: float
    rss_kib: int
    files: int
    asterisk_rss_kib: int
    asterisk_files: int
    tasks: dict[str, int]
    timers: int
    collections: dict[str, int]
    objects: dict[str, int]

    def row(self) -> str:
        return (
            f"| {self.transfers:9} | {self.seconds:7.0f} | {self.rss_kib:9} | {self.files:5} "
            f"| {sum(self.tasks.values()):5} | {self.timers:6} "
            f"| {sum(self.collections.values()):7} | {sum(self.objects.values()):8} "
            f"| {self.asterisk_rss_kib:12} | {self.asterisk_files:14} |"
        )


HEAD: Final = (
    "| transfers | seconds | RSS (KiB) | files | tasks | timers | entries |  objects "
    "| Asterisk RSS | Asterisk files |\n"
    "|----------:|--------:|----------:|------:|------:|-------:|--------:|---------:"
    "|-------------:|---------------:|"
)


@dataclass
class Soak:
    bed: Bed
    told: Told
    lanes: list[Lane]
    looks: list[Look] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Failed rounds; the other lanes continued."""
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        return sum(lane.done for lane in self.lanes)

    async def run(self, transfers: int, looks: int) -> None:
        """``transfers`` and more, with a warm-up that loads and fills everything permanent."""
        await self.rounds(1)
        warm = (await self.look()).transfers
        for i in range(1, looks + 1):
            while self.done - warm < transfers * i // looks:
                await self.rounds(1)
            await self.look()

    async def rounds(self, count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(self._times(lane, count))

    async def _times(self, lane: Lane, count: int) -> None:
        for _ in range(count):
            try:
                await lane.round()
            except (AssertionError, TimeoutError) as error:
                if not await lane.crashed():
                    self.failures.append(await lane.given_up(error))
                    assert len(self.failures) <= MOST_FAILURES, "\n\n".join(self.failures)

    async def look(self) -> Look:
        """Wait until neither calls in Asterisk nor transfers in the daemon are left."""
        await self.bed.ami.assert_clean(within=10)
        self.bed.ami.events.clear()

        async def forgotten() -> dict[str, Any] | None:
            inside = await self._inside()
            left = inside["collections"]["daemon._engine.store.records"]
            return None if left else inside

        inside = await self.bed.ami.until(forgotten, KEPT_SECONDS * 3 + 10.0)
        assert inside is not None, f"transfers are remembered: {await self._inside()}"
        self.told.transfers.clear()
        assert self.bed.daemon is not None
        assert self.bed.asterisk is not None
        await self._idle_connections_closed(self.bed.daemon.pid)

        async def nothing_under_way() -> dict[str, Any] | None:
            """What is only used at this moment, such as an action without an answer yet."""
            inside = await self._inside()
            return None if self._more(inside["collections"], inside["tasks"]) else inside

        inside = await self.bed.ami.until(nothing_under_way, 10.0) or await self._inside()
        look = Look(
            self.done,
            time.monotonic() - self.began,
            *_process(self.bed.daemon.pid),
            *_process(self.bed.asterisk.pid),
            **inside,
        )
        self.looks.append(look)
        print(look.row(), flush=True)
        return look

    async def _idle_connections_closed(self, pid: int) -> None:
        """Wait until the daemon has closed the connections to ARI that a busy moment needed."""

        async def few() -> bool | None:
            return _process(pid)[1] <= self.looks[0].files + SPARE["files"] or None

        if self.looks:
            await self.bed.ami.until(few, IDLE_SECONDS)

    async def _inside(self) -> dict[str, Any]:
        file = self.bed.directory / "watched.json"
        file.unlink(missing_ok=True)
        assert self.bed.daemon is not None
        self.bed.daemon.signal(signal.SIGUSR1)

        async def written() -> dict[str, Any] | None:
            return json.loads(file.read_text()) if file.exists() else None

        found = await self.bed.ami.until(written, 10.0)
        assert found is not None, "the daemon does not say what it holds"
        return found

    # --- what has grown ------------------------------------------------------------------------

    def _more(self, collections: Mapping[str, int], tasks: Mapping[str, int]) -> list[str]:
        """What there is more of than at the first inspection."""
        if not self.looks:
            return []
        first = self.looks[0]
        return [
            f"{name}: {first.collections.get(name, 0)} -> {count}"
            for name, count in collections.items()
            if count > first.collections.get(name, 0) and not name.endswith(BOUNDED)
        ] + [
            f"task {name}: {first.tasks.get(name, 0)} -> {count}"
            for name, count in tasks.items()
            if count > first.tasks.get(name, 0)
        ]

    def grown(self) -> list[str]:
        """What has grown since the first inspection."""
        first, last = self.looks[0], self.looks[-1]
        found = self._more(last.collections, last.tasks)
        for what, spare in SPARE.items():
            if getattr(last, what) > getattr(first, what) + spare:
                found.append(f"{what}: {getattr(first, what)} -> {getattr(last, what)}")
        return found


def has_ended(phone: Phone) -> bool:
    return phone.process is not None and exited(phone.process) is not None


def _process(pid: int) -> tuple[int, int]:
    """Resident memory in KiB, and open files."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))
    return rss, len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def start_daemon(bed: Bed) -> None:
    """Like `Bed.start_daemon`, but with inspection."""
    environment = {
        **bed._inherited(),
        **bed.daemon_env(),
        "PYTHONPATH": str(ROOT),
        "WATCHED_FILE": str(bed.directory / "watched.json"),
    }
    command = [*DIE_WITH_PARENT, sys.executable, "-m", "tests.asterisk.watched", "run"]
    log = bed.directory / "log" / "daemon.log"
    bed.daemon = spawn(command, log=log, env=environment, cwd=bed.directory)
    deadline = time.monotonic() + 60
    while not await asyncio.to_thread(bed._ready):
        if exited(bed.daemon) is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text(errors="replace")[-3000:])
        await asyncio.sleep(0.05)


@asynccontextmanager
async def soaking(lanes: int) -> AsyncIterator[Soak]:
    async with Bed(call_centre(lanes), backend=backend_named(None)) as bed:
        await start_daemon(bed)
        told = Told(bed)
        scene = Scene(bed)
        for agent in bed.world.agents:
            await bed.phones[agent.id].auto_answer()
        for name in bed.world.outside:
            await bed.phones[name].auto_answer()
        evidence = Evidence(bed)
        async with told.connected():
            try:
                yield Soak(bed, told, [Lane(scene, told, i) for i in range(1, lanes + 1)])
            except BaseException:
                print(await evidence.report())
                raise


async def _main(chosen: argparse.Namespace) -> int:
    async with soaking(chosen.lanes) as soak:
        print(HEAD)
        await soak.run(chosen.transfers, chosen.looks)
        for (mode, kind, state, reason), count in sorted(soak.told.ended.items()):
            print(f"{count:6}  {mode} to {kind}: {state}, {reason}")
        grown = soak.grown()
        half = soak.looks[len(soak.looks) // 2 :]
        rss = max(look.rss_kib for look in half) - half[0].rss_kib
        if rss > RSS_SPARE_KIB:
            grown.append(f"RSS in the second half: {rss} KiB")
        print("nothing has grown" if not grown else "\n".join(["has grown:", *grown]))
        first, last = soak.looks[1].objects, soak.looks[-1].objects
        most = sorted(last, key=lambda name: first.get(name, 0) - last[name])[:12]
        print("objects:", {n: (first.get(n, 0), last[n]) for n in most})
        print(f"{len(soak.failures)} rounds failed", *soak.failures, sep="\n\n")
        return bool(grown or soak.failures)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/run soak")
    parser.add_argument("--transfers", type=int, default=2000)
    parser.add_argument("--lanes", type=int, default=4, help="at the same time")
    parser.add_argument("--looks", type=int, default=10)
    return asyncio.run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
