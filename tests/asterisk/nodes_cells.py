"""Creates the cells of `nodes_matrix` on real nodes: several phases in one cut, and listens."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import accumulate
from typing import Final

from bed import Call, Phone
from bed.deadlines import impatient, patiently
from bed.nodes import Nodes
from bed.phones import PhoneError
from bed.world import Agent, Group

from tests.asterisk import matrix, nodes_matrix
from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.silence import in_calls

SILENCE_SECONDS: Final = 5.0
"""Nobody with a call hears nothing for longer, but those whose Asterisk is gone."""
ALONE_SECONDS: Final = 6.0
"""For so long more the dialplan waits for a daemon to come back (avp-orphaned)."""
MEASURED_SECONDS: Final = 0.5
"""What the measurement adds: recordings are looked at in frames, and processes take turns."""
_RESULT_SECONDS: Final = 9.0
"""Within which a quiet machine gets to the result."""
_NEVER: Final = 120
"""A maximum hold time, and a ring time, that no test waits for."""

Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Parties:
    """Who plays a phase. ``group`` is that of caller, agent and target; `desk` of the target."""

    caller: str
    agent: str
    target: str
    fourth: str = ""
    other: str = ""
    first: str = ""
    """Who has transferred the call to the agent."""
    group: str = ""
    desk: str = ""

    def name(self, role: str) -> str:
        return str(getattr(self, role))

    @property
    def roles(self) -> list[str]:
        return [role for role in nodes_matrix.PARTIES if self.name(role)]


_BUSY: Final = {"caller": "a", "agent": "a", "target": "b", "other": "b"}
_SECOND: Final = {"caller": "a", "first": "a", "agent": "b", "target": "a"}
_SHAPES: Final[Mapping[str, Mapping[str, str]]] = {
    "conference of four": {"caller": "a", "agent": "a", "target": "a", "fourth": "b"},
    "second ringing": _SECOND,
    "second consulting": _SECOND,
    "waiting": _BUSY,
    "agent waiting": _BUSY,
    "group waiting": _BUSY,
}
"""Who is at home where."""
_USUAL: Final = {"caller": "a", "agent": "a", "target": "b"}


def cast(wave: str) -> dict[str, Parties]:
    """Who plays which phase of a wave."""
    agents, callers = iter(range(1001, 1100)), iter(range(1, 100))
    found = {}
    for number, phase in enumerate(nodes_matrix.WAVES[wave]):
        names = {}
        for role in _SHAPES.get(phase, _USUAL):
            outside = role in ("caller", "other")
            names[role] = f"caller{next(callers)}" if outside else str(next(agents))
        found[phase] = Parties(**names, group=f"group{number}", desk=f"desk{number}")
    return found


@asynccontextmanager
async def open_wave(wave: str) -> AsyncIterator[Wave]:
    """Two nodes with the people of a wave, and their daemons."""
    people = cast(wave)
    staff: dict[str, list[Agent]] = {"a": [], "b": []}
    callers: dict[str, list[str]] = {"a": [], "b": []}
    groups, settings = [], {"AVP_SESSION__RING_SECONDS": str(_NEVER)}
    for number, (phase, parties) in enumerate(people.items()):
        for role in _SHAPES.get(phase, _USUAL):
            name = parties.name(role)
            home = _SHAPES.get(phase, _USUAL)[role]
            if name.startswith("caller"):
                callers[home].append(name)
            else:
                staff[home].append(Agent(name, f"{role} {number}"))
        own = [parties.first, parties.agent, parties.target, parties.fourth]
        members = tuple(filter(None, own))
        long = {"timeout": _NEVER, "strategy": "linear"}
        groups.append(Group(parties.group, members, number=f"82{number}", **long))  # type: ignore[arg-type]
        groups.append(Group(parties.desk, (parties.target,), number=f"83{number}", **long))  # type: ignore[arg-type]
        # A caller is not hung up on because a node is lost, whatever follows the maximum hold time.
        action = ("hangup", "group", "return")[number % 3]
        settings[f"AVP_GROUPS__{parties.group.upper()}__MAX_HOLD_ACTION"] = action
    settings["AVP_ENTERPRISE__CONFERENCE"] = "true"
    async with Nodes(
        "ab",
        staff={home: tuple(agents) for home, agents in staff.items()},
        callers_of={home: tuple(names) for home, names in callers.items()},
        groups=tuple(groups),
        outside=(),
        settings=settings,
        max_hold_seconds=_NEVER,
        rtp_timeout=4,
        wrapuptime=1,
    ) as nodes:
        yield Wave(wave, nodes, people)


class Wave:
    def __init__(self, name: str, nodes: Nodes, people: Mapping[str, Parties]) -> None:
        self.name = name
        self.nodes = nodes
        self.people = people

    async def cell(self, fault: str, heal: str) -> Figures:
        """Create all phases, break and mend, listen. Returns what was measured, by phase."""
        async with open_nodes(self.nodes) as scene:
            await self._everybody_is_seen(scene)
            if fault == "home Asterisk":  # which answers before its queues are loaded
                scene.at("b").expected.add("[error")
            stages = [Stage(scene, phase, parties) for phase, parties in self.people.items()]
            await asyncio.gather(*(stage.build() for stage in stages))
            for stage in stages:
                await stage.agents_who_are_free_answer()
            began = time.time()
            await _break(self.nodes, fault)
            healing = asyncio.create_task(self._heal(fault, heal, began))
            try:
                if heal == "never":
                    await self._noticed(scene, fault)
                else:
                    await healing
                    await self._nothing_is_away(scene)
                results = await asyncio.gather(
                    *(stage.result(fault, heal, began) for stage in stages), return_exceptions=True
                )
            except BaseException:
                await healing
                await self._mended(scene)
                raise
            await healing
            wrong = [
                f"{stage.phase}: {result}"
                for stage, result in zip(stages, results, strict=True)
                if result is not None
            ]
            if wrong:
                await self._mended(scene)
                raise AssertionError("\n".join(wrong))
            self._nobody_had_two(began)
            await self._mended(scene)
            await self._everything_ends(scene)
        return {stage.phase: stage.figures for stage in stages}

    async def _everybody_is_seen(self, scene: NodesScene) -> None:
        """All agents are free, as every node knows."""
        for node in self.nodes:
            for agent in (a.id for other in self.nodes for a in other.world.agents):
                await scene.sees(
                    node.letter, agent, within=8.0, state="available", waiting_transfer=False
                )

    async def _heal(self, fault: str, heal: str, began: float) -> None:
        if heal == "never":
            return
        await asyncio.sleep(max(0.0, began + nodes_matrix.HEAL_SECONDS - time.time()))
        await _restore(self.nodes, fault)

    async def _noticed(self, scene: NodesScene, fault: str) -> None:
        """What would change has had the occasion to."""
        if fault in ("NATS of one", "NATS", "home daemon", "node"):
            await _warned(scene, "a" if fault != "NATS of one" else "b")
        elif fault in ("trunk", "daemons and trunk"):
            both = (
                self.nodes.a.reaches("b", reached=False),
                self.nodes.b.reaches("a", reached=False),
            )
            await asyncio.gather(*both)

    async def _mended(self, scene: NodesScene) -> None:
        """Everything is there again, and nobody is told that something is not."""
        self.nodes.mend()
        if self.nodes.nats.process is None:
            await self.nodes.nats.start()
        for node in self.nodes:
            if node.asterisk is None:
                await node.start_asterisk()
        await self.nodes.start_daemons()
        await self._nothing_is_away(scene)

    async def _nothing_is_away(self, scene: NodesScene) -> None:
        await self.nodes.trunks_up()
        for node in self.nodes:
            await _warned(scene, node.letter, warned=False)

    async def _everything_ends(self, scene: NodesScene) -> None:
        phones = [phone for node in self.nodes for phone in node.phones.values()]
        for phone in phones:
            await phone.auto_answer(False)
        await asyncio.gather(*(phone.idle() for phone in phones))
        await self.nodes.nothing_left()

    def _nobody_had_two(self, began: float) -> None:
        """No agent was offered a call while they had another one."""
        for node in self.nodes:
            for agent in node.world.agents:
                had = node.phones[agent.id].calls
                calls = [x for x in had if x.ended is None or x.ended >= began]
                assert _at_once(calls) <= 1, (agent, calls)


class Stage:
    """One phase, and who plays it."""

    def __init__(self, scene: NodesScene, phase: str, parties: Parties) -> None:
        self.scene = scene
        self.phase = phase
        self.parties = parties
        self.transfer = ""
        self.figures: list[float] = []
        self._left_out: set[str] = set()

    def phone(self, role: str) -> Phone:
        return self.scene.phone(self.parties.name(role))

    def _home(self, role: str) -> str:
        return _SHAPES.get(self.phase, _USUAL)[role]

    # --- before the cut ----------------------------------------------------------------------

    async def build(self) -> None:
        scene, p = self.scene, self.parties
        if p.other:
            await scene.phone(p.other).dial(p.target)
            await scene.phone(p.target).answer()
            await scene.talking(p.other, p.target)
            await scene.sees("a", p.target, state="talking")
        number = next(g.number for g in scene.nodes.a.world.groups if g.queue == p.group)
        await scene.call(p.caller, p.first or p.agent, number=number or "")
        await _STEPS[self.phase](self)
        await self._holds(nodes_matrix.HERE[self.phase], 6.0)

    async def ask(self, mode: str, target: str = "", kind: str = "agent") -> None:
        wanted = target or self.parties.target
        agent = self.parties.agent
        self.transfer = await self.scene.transfer(agent, mode, wanted, kind)

    async def supervised(self) -> None:
        await self.ask("supervised")

    async def consulting(self) -> None:
        await self.ask("supervised")
        await self.phone("target").answer()
        await self.scene.of(self.parties.agent).reaches(self.transfer, "consulting")

    async def swapped(self) -> None:
        await self.consulting()
        await self._act("swap")

    async def conference(self) -> None:
        await self.consulting()
        await self._act("conference")

    async def four(self) -> None:
        await self.consulting()
        body = {"agent": self.parties.fourth}
        path = f"/v1/transfers/{self.transfer}/parties"
        answer = await self.scene.at("a").api("POST", path, body)
        assert answer.status == 201, answer
        await self.phone("fourth").answer()
        await self.scene.talking(*map(self.parties.name, ("agent", "target", "fourth")))
        await self._act("conference")

    async def completed(self) -> None:
        await self.consulting()
        await self._act("complete")

    async def unsupervised(self) -> None:
        await self.ask("unsupervised")

    async def delivered(self) -> None:
        await self.ask("unsupervised")
        await self.phone("target").answer()

    async def to_group(self) -> None:
        await self.ask("unsupervised", self.parties.desk, "group")

    async def delivered_by_group(self) -> None:
        await self.to_group()
        await self.phone("target").answer()

    async def handed_on(self) -> None:
        """The call is a remote agent's, by a first transfer."""
        p = self.parties
        await self.scene.transfer(p.first, "unsupervised", p.agent)
        await self.phone("agent").answer()
        await self.scene.talking(p.caller, p.agent)

    async def second(self) -> None:
        await self.handed_on()
        await self.ask("supervised")

    async def second_consulting(self) -> None:
        await self.handed_on()
        await self.consulting()

    async def _act(self, action: str) -> None:
        await self.scene.of(self.parties.agent).act(self.transfer, action)

    async def agents_who_are_free_answer(self) -> None:
        """Whoever is offered the caller again takes them."""
        for role in ("agent", "first"):
            if self.parties.name(role) and not self.phone(role).live:
                await self.phone(role).auto_answer(True)

    # --- after it ----------------------------------------------------------------------------

    async def result(self, fault: str, heal: str, began: float) -> None:
        """Wait for the result, and measure."""
        wanted = nodes_matrix.cell(self.phase, fault, heal).split(" | ")
        if fault == "home Asterisk":  # whose phones hear nothing until they hang up by themselves
            self._left_out = {role for role in self.parties.roles if self._home(role) == "b"}
        known = not (heal == "never" and fault in ("anchor daemon", "daemons and trunk"))
        found = await self._one_of(wanted)
        until = time.time()
        if known:
            await self._state(wanted, again="daemon" in fault)
        changed = (
            found != nodes_matrix.HERE[self.phase]
            and found.partition(" =>")[0] != (nodes_matrix.HERE[self.phase].partition(" =>")[0])
        )
        alone = (fault, heal) == ("daemons and trunk", "never")
        self._measure(found, began, until, changed=changed, alone=alone)
        self._one_partner(found, began, until)

    async def _one_of(self, cells: list[str]) -> str:
        errors = []
        deadline = time.monotonic() + 3 * _RESULT_SECONDS
        while True:
            for each in reversed(cells):
                try:
                    with impatient():
                        await self._holds(each, 0.3 if len(cells) > 1 else _RESULT_SECONDS)
                except (PhoneError, AssertionError) as error:
                    errors.append(str(error))
                else:
                    return each
            if time.monotonic() > deadline:
                raise AssertionError("\n".join(errors[-len(cells) :]))

    async def _holds(self, text: str, within: float) -> None:
        """All parties are where the cell says."""
        cell = matrix.read(text)
        name = self.parties.name
        for talk in cell.talks:
            for role in talk:
                others = {name(other) for other in talk if other != role}
                await self.phone(role).hearing(others, within)
        for role, sound in cell.hears.items():
            if sound == "rings":
                await self._rings(role, within)
            else:
                await self.phone(role).hearing({sound}, within)
        for role in self.parties.roles:
            if role not in cell.named and role not in self._left_out:
                await self.scene.gone(name(role), within=within)

    async def _rings(self, role: str, within: float) -> None:
        phone = self.phone(role)
        assert await self.scene.at("a").ami.until(lambda: _is_rung(phone), within), phone.calls

    async def _state(self, cells: list[str], *, again: bool) -> None:
        """``again``: whether the daemon has been started again meanwhile."""
        ends = [matrix.read(text).ends[0].split() for text in cells]
        scene = self.scene.at("a")

        async def look() -> bool | None:
            answer = await scene.api("GET", f"/v1/transfers/{self.transfer}")
            body = answer.body
            found = [body.get("state"), body.get("ended_reason")]
            if again and answer.status == HTTPStatus.NOT_FOUND:  # it had ended before the kill
                return any(len(end) > 1 for end in ends) or None
            return any(found[: len(end)] == end for end in ends) or None

        assert await scene.ami.until(look, 3.0), (
            ends,
            await scene.api("GET", f"/v1/transfers/{self.transfer}"),
        )

    def _measure(
        self, found: str, began: float, until: float, *, changed: bool, alone: bool
    ) -> None:
        """Seconds of silence for the caller and for anybody, and until the result was heard."""
        cell, before = matrix.read(found), matrix.read(nodes_matrix.HERE[self.phase])
        longest = {}
        for role in self.parties.roles:
            if cell.hears.get(role) == "rings" or role in self._left_out:
                continue
            if before.hears.get(role) == "ringback" and not any(role in t for t in cell.talks):
                continue  # a pause between two rings is longer
            phone = self.phone(role)
            spans = in_calls(phone.calls, began, until)
            silent = [s for start, end in spans for s in phone.ear.silences(start, end)]
            longest[role] = max((end - start for start, end in silent), default=0.0)
        most = max(longest.values(), default=0.0)
        heard = -1.0
        if changed:
            partner = next((t for t in cell.talks if "caller" in t), ())
            others = {self.parties.name(role) for role in partner if role != "caller"}
            wanted = frozenset(others or {"music"})
            heard = max(0.0, self.phone("caller").ear.onset(wanted, until) - began)
        self.figures = [round(x, 1) for x in (longest.get("caller", 0.0), most, heard)]
        allowed = SILENCE_SECONDS + MEASURED_SECONDS + (ALONE_SECONDS if alone else 0.0)
        if not os.environ.get("AVP_TEST_MEASURES"):
            # A busy machine is late with everything. Silence for good is longer still.
            allowed = patiently(allowed)
        assert most <= allowed, (found, longest)

    def _one_partner(self, found: str, began: float, until: float) -> None:
        """The caller has never heard two agents who are not in a conference."""
        talk = next((t for t in matrix.read(found).talks if "caller" in t), ())
        if len(talk) > 2:
            return
        before = next((t for t in matrix.read(nodes_matrix.HERE[self.phase]).talks), ())
        if len(before) > 2:
            return
        people = {self.parties.name(role) for role in self.parties.roles}
        frames = self.phone("caller").ear.frames(began, until)
        both = sum(len(frame & people) > 1 for frame in frames)
        assert both <= 2, self.phone("caller").timeline(began, until)


def _at_once(calls: Iterable[Call]) -> int:
    """How many of these calls there were at the same moment, at most."""
    times = sorted(
        (moment, step)
        for call in calls
        for moment, step in ((call.began, 1), (call.ended, -1))
        if moment is not None
    )
    return max(accumulate(step for _, step in times), default=0)


async def _is_rung(phone: Phone) -> bool | None:
    return any(call.incoming and call.answered is None for call in phone.live) or None


_STEPS: Final[Mapping[str, Callable[[Stage], Awaitable[None]]]] = {
    "waiting": Stage.supervised,
    "ringing": Stage.supervised,
    "consulting": Stage.consulting,
    "swapped": Stage.swapped,
    "conference": Stage.conference,
    "conference of four": Stage.four,
    "completed": Stage.completed,
    "second ringing": Stage.second,
    "second consulting": Stage.second_consulting,
    "agent waiting": Stage.unsupervised,
    "agent ringing": Stage.unsupervised,
    "agent talking": Stage.delivered,
    "group waiting": Stage.to_group,
    "group ringing": Stage.to_group,
    "group talking": Stage.delivered_by_group,
}


# --- breaking and mending ----------------------------------------------------------------------


def _lines(nodes: Nodes, fault: str) -> Iterable[object]:
    if fault == "NATS of one":
        return [nodes.engine["b"]]
    if fault == "API":
        return list(nodes.peers.values())
    return []


async def _break(nodes: Nodes, fault: str) -> None:
    for line in _lines(nodes, fault):
        line.silence()  # type: ignore[attr-defined]
    match fault:
        case "trunk":
            nodes.cut("a", "b")
        case "NATS":
            await nodes.nats.stop(kill=True)
        case "node":
            nodes.cut_node("b")
        case "home Asterisk":
            await nodes.b.kill_asterisk()
        case "home daemon":
            await nodes.b.stop_daemon(kill=True)
        case "anchor daemon":
            await nodes.a.stop_daemon(kill=True)
        case "daemons and trunk":
            nodes.cut("a", "b")
            await asyncio.gather(*(node.stop_daemon(kill=True) for node in nodes))


async def _restore(nodes: Nodes, fault: str) -> None:
    match fault:
        case "NATS":
            await nodes.nats.start()
        case "home Asterisk":
            await nodes.b.start_asterisk()
        case "home daemon" | "anchor daemon":
            await nodes.start_daemons()
        case "daemons and trunk":
            nodes.mend()
            await nodes.start_daemons()
        case _:
            nodes.mend()


async def _warned(scene: NodesScene, letter: str, *, warned: bool = True) -> None:
    """A node's daemon says that something is away, or nothing any more."""

    async def look() -> bool | None:
        with suppress(OSError):
            answer = await scene.at(letter).api("GET", "/readyz")
            return bool(answer.body["warnings"]) is warned or None
        return None

    assert await scene.at(letter).ami.until(look, 15.0), await scene.at(letter).api(
        "GET", "/readyz"
    )
