"""Request transfers at a given rate, carry out each to its end, and check the outcome.

A request that the daemon refuses because Asterisk is too busy is counted apart. Failures are: any
other refused request, a step that takes longer than `STEP_SECONDS`, a transfer with an
unexpected end, a caller who is not connected to the right agent, and a caller whose call ends
unintentionally (`lost`).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from bed import ActionFailed, Bed

from tests.benchmarks.crowd.watch import Joining, Watch

STEP_SECONDS: Final = 10.0
FREE_SECONDS: Final = 2.5
"""How long a target must have been available: app_queue counts wrap-up in whole seconds, so an
available agent may be in wrap-up for up to one more second."""
TALK_SECONDS: Final = 1.0
"""How long a call must have been unchanged before it is transferred."""
FINAL: Final = ("completed", "cancelled", "failed", "abandoned")

COMPLETED, CANCELLED, TO_AGENT, TO_GROUP = "completed", "cancelled", "to agent", "to group"
SHARES: Final = {COMPLETED: 60, CANCELLED: 20, TO_AGENT: 15, TO_GROUP: 5}
"""Percent of transfers: supervised and completed, cancelled, and the unsupervised kinds."""


class Failure(Exception):
    """A transfer failed. Failures are counted by their text."""


class Refused(Failure):
    """Asterisk was too busy for it."""


@dataclass
class Results:
    """The outcome of the transfers that started in one phase. Times are milliseconds."""

    begun: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)
    lost: int = 0
    refused: int = 0
    """Requests that were answered 503 ``asterisk_busy``, with the caller still with their agent."""
    overtaken: int = 0
    """Transfers that were cancelled because a new call reached the target first."""
    starved: int = 0
    """How often no agent with a call or no free target existed, so that the rate was missed."""

    def add(self, key: str, seconds: float) -> None:
        self.times.setdefault(key, []).append(1000 * seconds)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


@dataclass
class Station:
    """Agents and transfers as the daemon reports them on one WebSocket."""

    agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    """When each agent entered the current state, on our monotonic clock."""
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: dict[str, tuple[Callable[[str], bool], asyncio.Future[dict[str, Any]]]] = field(
        default_factory=dict
    )

    def handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "snapshot":
                self.received.set()
                for agent in event["agents"]:
                    self._agent(agent)
                for transfer in event["transfers"]:
                    self._transfer(transfer)
            case "agent":
                self._agent(event["agent"])
            case "transfer":
                self._transfer(event["transfer"])

    def _agent(self, agent: dict[str, Any]) -> None:
        before = self.agents.get(agent["id"])
        self.agents[agent["id"]] = agent
        if before is None or (before["state"], _call(before)) != (agent["state"], _call(agent)):
            self.since[agent["id"]] = time.monotonic()

    def _transfer(self, transfer: dict[str, Any]) -> None:
        number = transfer["id"]
        test, future = self._waiting.get(number, (None, None))
        if (
            test is not None
            and future is not None
            and test(transfer["state"])
            and not future.done()
        ):
            future.set_result(transfer)
        self.transfers[number] = transfer

    def waits_for(self, transfer: dict[str, Any], *states: str) -> asyncio.Future[dict[str, Any]]:
        """The transfer when it is in one of these states or has ended."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def test(state: str) -> bool:
            return state in states or state in FINAL

        known = self.transfers.get(transfer["id"], transfer)
        if test(known["state"]):
            future.set_result(known)
        self._waiting[transfer["id"]] = test, future
        return future

    def forget(self, transfer: str) -> None:
        self._waiting.pop(transfer, None)
        self.transfers.pop(transfer, None)


def _call(agent: dict[str, Any]) -> str | None:
    call = agent["call"]
    return call["id"] if call else None


class Driver:
    def __init__(self, bed: Bed, watch: Watch, seed: int = 1) -> None:
        self.bed, self.watch = bed, watch
        self.station = Station()
        self.results = Results()
        self.groups = {a: g.queue for g in bed.world.groups for a in g.agents}
        self._random = random.Random(seed)
        self._busy: set[str] = set()
        self._ours: set[str] = set()
        """Channels of callers that we hung up ourselves."""
        self._callers: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        watch.hung_up = self._hung_up

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connected to the daemon, without the state of an earlier connection."""
        self.station = Station()
        headers = {"Authorization": f"Bearer {self.bed.secrets.token}"}
        # The daemon closes idle connections after 5 s. Avoid a request at that moment.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        async with aiohttp.ClientSession(
            self.bed.url, headers=headers, connector=connector
        ) as http:
            self._http = http
            async with http.ws_connect("/v1/events", max_msg_size=0) as socket:
                reading = asyncio.create_task(self._read(socket))
                try:
                    await self.station.received.wait()
                    yield
                finally:
                    reading.cancel()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            self.station.handle(json.loads(message.data))

    async def post(self, path: str, body: object = None) -> dict[str, Any]:
        assert self._http is not None
        async with self._http.post(path, json=body) as answer:
            content = await answer.json(content_type=None)
            if answer.status not in (200, 201):
                reason = content.get("reason") or content.get("error") or ""
                if reason == "asterisk_busy":
                    raise Refused(reason)
                raise Failure(f"{path.rpartition('/')[2]} answered {answer.status} {reason}")
            return dict(content)

    # --- callers -----------------------------------------------------------------------------

    def _hung_up(self, channel: str, cause: str) -> None:
        if channel in self._ours:
            self._ours.discard(channel)
        elif channel in self._callers:
            self.results.lost += 1
            self.results.examples.append(f"lost: caller {channel}, cause {cause}")
        self._callers.discard(channel)

    def expect(self, call: str) -> None:
        """Count this caller as lost if the call ends and we did not end it."""
        self._callers.add(call)

    def talking(self) -> list[str]:
        """Agents who are in a plain call with a caller."""
        return [
            agent["id"]
            for agent in self.station.agents.values()
            if agent["state"] == "talking"
            and agent["id"] not in self._busy
            and agent["call"]
            and (agent["call"]["transfer"] is None or agent["call"]["transfer"]["state"] in FINAL)
            and not agent["call"]["id"].endswith("-leg-queue")
            and not agent["waiting_transfer"]
        ]

    async def hang_up_one(self) -> None:
        """Hang up the caller who has talked longest."""
        agents = sorted(self.talking(), key=self.station.since.__getitem__)
        if not agents:
            return
        agent = agents[0]
        call = self.station.agents[agent]["call"]["id"]
        self._busy.add(agent)
        self._ours.add(call)
        try:
            await self.watch.action("Hangup", Channel=self.watch.names.get(call, call))
        except (ActionFailed, TimeoutError):
            self._ours.discard(call)
        finally:
            self._busy.discard(agent)

    # --- transfers -----------------------------------------------------------------------------

    async def run(self, rate: float, seconds: float, *, call_seconds: float = 0) -> None:
        """Start transfers at a rate for some time, then wait for them to end.

        `rate`: transfers per second. Calls last `call_seconds` on average; 0: until the end.
        """
        begin = time.monotonic()
        count = round(rate * seconds)
        ended = 0
        for number in range(count):
            await asyncio.sleep(begin + number / rate - time.monotonic())
            if not self.begin():
                self.results.starved += 1
            if call_seconds:
                due = (time.monotonic() - begin) * len(self.talking()) / call_seconds
                if due > ended + 1:
                    ended += 1
                    self._spawn(self.hang_up_one())
        await self.wait_idle()

    async def wait_idle(self) -> None:
        while self._running:
            await asyncio.wait(tuple(self._running))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def begin(self, kind: str | None = None) -> bool:
        """Start a transfer of some kind. Returns False if no agents are available for it."""
        kind = kind or self._random.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        now = time.monotonic()
        agents = [a for a in self.talking() if now - self.station.since[a] > TALK_SECONDS]
        self._random.shuffle(agents)
        for agent in agents:
            target = self.free(self.groups[agent], now)
            if target is None:
                continue
            if kind == TO_GROUP:
                self._busy.add(agent)
                self._spawn(self._guarded(kind, agent, ""))
            else:
                self._busy |= {agent, target}
                self._spawn(self._guarded(kind, agent, target))
            return True
        return False

    def free(self, group: str, now: float) -> str | None:
        """The agent of the group who became free last, among those who can be rung immediately."""
        since = self.station.since
        found = [
            agent["id"]
            for agent in self.station.agents.values()
            if agent["state"] == "available"
            and self.groups[agent["id"]] == group
            and agent["id"] not in self._busy
            and now - since[agent["id"]] > FREE_SECONDS
        ]
        return max(found, key=since.__getitem__, default=None)

    async def _guarded(self, kind: str, agent: str, target: str) -> None:
        trail: list[str] = [f"{time.time():.3f} {kind}: {agent} -> {target}"]
        try:
            if kind in (COMPLETED, CANCELLED):
                await self._counted(kind, self._supervised(kind, agent, target, trail), trail)
            else:
                await self._counted(kind, self._unsupervised(kind, agent, target, trail), trail)
        finally:
            self._busy -= {agent, target}

    async def guarded_end(self, kind: str, number: str, call: str, stays: str) -> None:
        """Complete or cancel an existing transfer. The caller must then be with ``stays``."""
        trail = [f"{time.time():.3f} {kind}: {number}, {stays} stays"]
        await self._counted(kind, self._ended(kind, number, call, stays), trail)

    async def _ended(self, kind: str, number: str, call: str, stays: str) -> None:
        try:
            await self._end(kind, number, call, stays, talks=False)
            self._expect(await self.state({"id": number, "state": ""}, *FINAL), kind)
        finally:
            self.station.forget(number)

    async def _counted(self, kind: str, work: Awaitable[None], trail: list[str]) -> None:
        results = self.results
        results.begun[kind] += 1
        try:
            await work
            results.done[kind] += 1
        except _Overtaken:
            results.overtaken += 1
        except Refused:
            results.refused += 1
        except Failure as failure:
            results.failures[f"{kind}: {failure}"] += 1
            results.examples.append(f"{'; '.join(trail)}: {failure}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            results.failures[f"{kind}: {type(error).__name__}"] += 1
            results.examples.append(f"{'; '.join(trail)}: {error!r}")

    async def _request(self, mode: str, agent: str, kind: str, target: str) -> dict[str, Any]:
        body = {"mode": mode, "target": {"kind": kind, "id": target}}
        return await self.post(f"/v1/agents/{agent}/transfers", body)

    async def _supervised(self, kind: str, agent: str, target: str, trail: list[str]) -> None:
        call = self.station.agents[agent]["call"]["id"]
        talks = self.station.agents[agent]["call"]["caller"].startswith("talker")
        self.expect(call)
        rings = self.watch.ringing(target)
        asked = time.time()
        begun = time.monotonic()
        transfer = await self._request("supervised", agent, "agent", target)
        self.results.add("taken", time.monotonic() - begun)
        number = transfer["id"]
        trail.append(number)
        try:
            found = await self.state(transfer, "consulting")
            if found is None and self._took_another(target, call):
                await self.post(f"/v1/transfers/{number}/cancel")
                raise _Overtaken
            self._expect(found, "consulting")
            self.results.add("ringing", await self._at(rings, "ringing") - asked)
            await asyncio.sleep(self._random.uniform(0.3, 1.0))
            stays = agent if kind == CANCELLED else target
            await self._end(kind, number, call, stays, talks=talks)
            final = await self.state(transfer, *FINAL)
            self._expect(final, kind)
        finally:
            self.station.forget(number)

    async def _end(self, kind: str, number: str, call: str, stays: str, *, talks: bool) -> None:
        """Complete or cancel. The caller must then be connected to ``stays``.

        ``talks``: whether the caller sends sound all the time.
        """
        asked = time.time()
        joining = self.watch.joining(call, stays, asked)
        try:
            action, key = ("complete", "complete") if kind == COMPLETED else ("cancel", "cancel")
            await self.post(f"/v1/transfers/{number}/{action}")
            self.results.add(key, await self._at(joining.connected, "connected") - asked)
            if kind == COMPLETED and talks:
                self.results.add("plain", await self._at(joining.bridged, "one bridge") - asked)
        finally:
            self.watch.joined(joining)

    async def _unsupervised(self, kind: str, agent: str, target: str, trail: list[str]) -> None:
        call = self.station.agents[agent]["call"]["id"]
        self.expect(call)
        group = self.groups[agent]
        rings = self.watch.ringing(target) if target else None
        asked = time.time()
        if kind == TO_AGENT:
            transfer = await self._request("unsupervised", agent, "agent", target)
        else:
            transfer = await self._request("unsupervised", agent, "group", group)
        trail.append(transfer["id"])
        try:
            final = await self.state(transfer, *FINAL)
            if final is None and target and self._took_another(target, call):
                # It correctly waits for the end of the target's call.
                raise _Overtaken
            self._expect(final, "completed")
            if rings is not None:
                self.results.add("ringing unsupervised", await self._at(rings, "ringing") - asked)
        finally:
            self.station.forget(transfer["id"])
        if target:
            joining = Joining(call, target, asked)
            await self._together(joining)

    async def _together(self, joining: Joining) -> None:
        for _ in range(100):
            if self.watch.together(joining.channel, joining.agent):
                return
            await asyncio.sleep(STEP_SECONDS / 100)
        raise Failure("caller and target are not connected")

    def _took_another(self, target: str, call: str) -> bool:
        now = self.station.agents[target]["call"]
        return bool(now and now["id"] != call)

    async def state(self, transfer: dict[str, Any], *states: str) -> dict[str, Any] | None:
        """The transfer when it is in one of these states or has ended; None: not in time."""
        try:
            async with asyncio.timeout(STEP_SECONDS):
                return await self.station.waits_for(transfer, *states)
        except TimeoutError:
            return None

    @staticmethod
    def _expect(found: dict[str, Any] | None, state: str) -> None:
        if found is None:
            raise Failure(f"not {state} within {STEP_SECONDS:.0f} s")
        if found["state"] != state:
            raise Failure(f"{found['state']}, {found['ended_reason']}, not {state}")

    @staticmethod
    async def _at(moment: asyncio.Future[float], what: str) -> float:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                return await moment
        except TimeoutError:
            raise Failure(f"not {what} within {STEP_SECONDS:.0f} s") from None


class _Overtaken(Exception):
    """Another call reached the target first."""
