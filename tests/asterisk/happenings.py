"""Possible actions in a call centre, by name. `CallCentre.plan` maps one to what is possible now.

An action is a name and two numbers, which select among those who can do it at the moment, so that
any list of actions is a history. An action that nobody can do (nobody rings, nobody talks) is
skipped. The numbers select from sorted lists: the same history selects the same people again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import requests
from bed import ActionFailed, Call, Group, NotOneChannel, Phone, PhoneError

from tests.asterisk.picture import FINAL, Picture
from tests.asterisk.scene import Answer, Scene
from tests.asterisk.withheld import tells

GOOD_NUMBERS: Final[Mapping[str, str]] = {"+12025550101": "pstn", "+12025550199": "pstn2"}
"""External numbers that agents may call, and the phone that answers."""
BAD_NUMBERS: Final = ("+442079460000", "911", "12", "+12025550101x")
RTP_TIMEOUT: Final = 5
"""After how many seconds without sound Asterisk ends a call, but for phones on hold."""
SHORT_HOLD: Final = "803"
"""The number whose callers wait for a transfer no longer than `SHORT_HOLD_SECONDS`."""
SHORT_HOLD_SECONDS: Final = 6
CALLED: Final = ("800", "801", SHORT_HOLD)
COMMANDS: Final = ("complete", "cancel", "swap", "conference")
RELOADS: Final = {
    "queue reload all": "queues.conf",
    "queue reload members": "queues.conf",
    "dialplan reload": "extensions.conf",
    "pjsip reload": "pjsip.conf",
}
"""Commands for Asterisk, and the file that each reads again."""
SETTINGS: Final = "histories.toml"
"""The daemon's file, beside its environment: it is empty, or has one of `CHANGES`."""
CHANGES: Final[Mapping[str, str]] = {
    "no conferences in sales": "[groups.sales]\nconference = false\n",
    "calls return after the longest hold": '[enterprise]\nmax_hold_action = "return"\n',
    "calls go to the group after the longest hold": '[enterprise]\nmax_hold_action = "group"\n',
}
MAX_HOLD: Final = tuple(name for name in CHANGES if "longest hold" in name)

T = TypeVar("T")
Target = dict[str, str]


def choose(among: Sequence[T], number: int) -> T | None:
    return among[number % len(among)] if among else None


@dataclass
class Happening:
    text: str
    run: Callable[[], Awaitable[None]]
    hangs_up: frozenset[str] = frozenset()
    """How a phone ends or refuses a call."""


@dataclass
class CallCentre:
    """Who can do what. ``picture``: the last known situation."""

    scene: Scene
    picture: Picture
    held: dict[str, Call] = field(default_factory=dict)
    """Calls on hold, by the phone that holds them."""
    hurry: bool = False
    """Do not wait for results: another action happens at the same time."""
    notes: list[str] = field(default_factory=list)
    """The answers, for the history."""
    dialling: set[str] = field(default_factory=set)
    """Agents who are asked for a number by their phones; between two questions there is silence."""

    # --- who there is, and where; of several nodes: `nodes_centre` -------------------------------

    @property
    def agents(self) -> list[str]:
        return [agent.id for agent in self.scene.bed.world.agents]

    @property
    def callers(self) -> list[str]:
        return list(self.scene.bed.world.callers)

    def scenes(self) -> list[Scene]:
        return [self.scene]

    def of(self, name: str) -> Scene:
        """The scene of somebody's phone."""
        del name
        return self.scene

    def groups_of(self, agent: str) -> tuple[Group, ...]:
        return self.scene.bed.world.groups_of(agent)

    def numbers_of(self, caller: str) -> tuple[str, ...]:
        """What a caller may call."""
        del caller
        return CALLED

    def group_names(self) -> tuple[str, ...]:
        """Groups as targets."""
        return ("sales", "support")

    def dialled_by(self, agent: str) -> list[str]:
        """Whose number an agent's phone can dial, and who can dial the agent's."""
        del agent
        return [*self.callers, *self.agents]

    def transferring(self) -> set[str]:
        """Who cannot consult anybody."""
        return {transfer["agent"] for transfer in self.picture.transfers}

    def outside(self, agent: str) -> Mapping[str, str]:
        """External numbers that may be called for the agent's call, and whose phone answers."""
        del agent
        return GOOD_NUMBERS

    def where(self, scene: Scene) -> str:
        """The node, for a history; empty: there is one Asterisk."""
        del scene
        return ""

    async def until(self, look: Callable[[], Awaitable[T | None]], within: float) -> T | None:
        return await self.scene.ami.until(look, within)

    def short_hold(self) -> set[str]:
        """The callers who wait for a transfer no longer than `SHORT_HOLD_SECONDS`."""
        return {
            name
            for name in self.callers
            if any(call.number == SHORT_HOLD for call in self.phone(name).live)
        }

    def holding(self) -> set[str]:
        self.held = {name: call for name, call in self.held.items() if call.live}
        return set(self.held)

    def plan(self, name: str, first: int, second: int) -> Happening | None:
        """The action in the present situation; None if nobody can do it."""
        return HAPPENINGS[name](self, first, second)

    # --- who can ---------------------------------------------------------------------------------

    def phones(self, *states: str) -> list[str]:
        """Phones with a call in one of these states."""
        return [n for n, calls in sorted(self.picture.calls.items()) if set(calls) & set(states)]

    def idle(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not self.picture.calls[name]]

    def free(self) -> list[str]:
        return [
            name
            for name in self.idle(self.agents)
            if self.picture.agents.get(name, {}).get("state") == "available"
        ]

    def with_a_call(self) -> list[str]:
        return [name for name in self.phones("established") if name in self.agents]

    def targets(self, agent: str) -> list[tuple[str, Target, bool]]:
        """Every possible request, and whether it may be allowed."""
        found: list[tuple[str, Target, bool]] = [
            (mode, {"kind": "agent", "id": other}, other != agent)
            for other in self.agents
            for mode in ("supervised", "unsupervised")
        ]
        found += [
            ("unsupervised", {"kind": "group", "id": group}, True) for group in self.group_names()
        ]
        found.append(("supervised", {"kind": "group", "id": "sales"}, False))
        found.append(("supervised", {"kind": "preset", "id": "billing"}, True))
        found.append(("unsupervised", {"kind": "preset", "id": "billing"}, False))
        outside = self.outside(agent)
        free = set(self.idle(list(outside.values())))
        for number, phone in outside.items():
            if phone in free:
                found.append(("supervised", {"kind": "number", "number": number}, True))
        found.append(
            ("unsupervised", {"kind": "number", "number": next(iter(GOOD_NUMBERS))}, False)
        )
        found += [("supervised", {"kind": "number", "number": bad}, False) for bad in BAD_NUMBERS]
        return found

    # --- what they do ----------------------------------------------------------------------------

    def phone(self, name: str) -> Phone:
        return self.of(name).phone(name)

    async def dial(self, name: str, number: str) -> None:
        await self.phone(name).dial(number)
        if not self.hurry and number in CALLED:
            await self.phone(name).established(within=5)

    async def answer(self, name: str, within: float = 5.0) -> None:
        if self.hurry:
            await self.phone(name).pick_up(0.5)
        else:
            await self.phone(name).answer(within)

    async def any_answers(self, names: Sequence[str]) -> None:
        """The first of these that rings answers."""

        async def look() -> str | None:
            return next(
                (n for n in names if any(c.state == "incoming" for c in self.phone(n).live)), None
            )

        name = await self.until(look, 5.0)
        if name is None:
            raise PhoneError(f"none of {names} rings")
        self.notes.append(f"{name} answers")
        await self.answer(name)

    async def hang_up(self, name: str) -> None:
        for call in self.phone(name).live:
            await self.phone(name).hangup(call)

    async def ask(
        self, agent: str, path: str, body: object = None, method: str = "POST"
    ) -> Answer | None:
        """The answer of the agent's daemon, which must be one that is not a fault of ours."""
        try:
            answer = await self.of(agent).api(method, path, body)
        except requests.RequestException:
            self.notes.append("nobody answers")
            assert self.hurry, f"{path}: no answer"
            return None
        text = answer.body.get("reason") or answer.body.get("error") or answer.body.get("state")
        self.notes.append(f"{answer.status} {text}")
        allowed = {200, 201, 403, 409, 503} if self.hurry else {200, 201, 403, 409}
        assert answer.status in allowed, f"{path} {body}: {answer}"
        assert not tells(answer.body), f"{path} tells who withholds it: {answer}"
        return answer

    async def transfer(self, agent: str, mode: str, target: Target, *, allowed: bool) -> bool:
        body = {"mode": mode, "target": target}
        answer = await self.ask(agent, f"/v1/agents/{agent}/transfers", body)
        taken = answer is not None and answer.status == 201
        assert allowed or not taken, f"{agent} {body} was taken: {answer}"
        return taken

    async def ends(self, caller: str, transfer_id: str) -> None:
        """Wait until a transfer of a caller with a short hold time is over."""

        async def look() -> dict[str, Any] | None:
            path = f"/v1/transfers/{transfer_id}"
            body: dict[str, Any] = (await self.of(caller).api("GET", path)).body
            return body if body["state"] in FINAL else None

        ended = await self.until(look, SHORT_HOLD_SECONDS + 6.0)
        assert ended is not None, f"{caller} waits for ever"
        self.notes.append(str(ended["ended_reason"]))


# --- the happenings --------------------------------------------------------------------------


def call(centre: CallCentre, first: int, second: int) -> Happening | None:
    caller = choose(centre.idle(centre.callers), first)
    if caller is None:
        return None
    number = choose(centre.numbers_of(caller), second) or ""
    return Happening(f"{caller} calls {number}", lambda: centre.dial(caller, number))


def talk(centre: CallCentre, first: int, second: int) -> Happening | None:
    """A call that is answered immediately."""
    caller = choose(centre.idle(centre.callers), first)
    if caller is None or centre.picture.entries:
        return None
    agent = choose([x for x in centre.free() if centre.of(x) is centre.of(caller)], second)
    if agent is None:
        return None
    group = centre.groups_of(agent)[0]
    number = group.number or ""
    if group.queue == "sales" and (first + second) % 4 == 0:
        number = SHORT_HOLD

    async def run() -> None:
        await centre.dial(caller, number)
        if not centre.hurry:
            await centre.any_answers(group.agents)

    return Happening(f"{caller} calls {number} and is answered", run)


def direct(centre: CallCentre, first: int, second: int) -> Happening | None:
    """Without a queue; a colleague may call as well."""
    agent = choose(centre.free(), second)
    if agent is None:
        return None
    who = choose([n for n in centre.idle(centre.dialled_by(agent)) if n != agent], first)
    if who is None:
        return None
    return Happening(f"{who} dials {agent}", lambda: centre.dial(who, agent))


def answer(centre: CallCentre, first: int, _second: int) -> Happening | None:
    who = choose(centre.phones("incoming"), first)
    return Happening(f"{who} answers", lambda: centre.answer(who)) if who else None


def reject(centre: CallCentre, first: int, _second: int) -> Happening | None:
    who = choose(centre.phones("incoming"), first)
    if who is None:
        return None
    return Happening(
        f"{who} rejects the call", lambda: _reject(centre.phone(who)), frozenset({who})
    )


async def _reject(phone: Phone) -> None:
    await phone.reject(within=0.5)


def hang_up(centre: CallCentre, first: int, _second: int) -> Happening | None:
    who = choose(centre.phones("established", "outgoing", "ringing"), first)
    if who is None:
        return None
    return Happening(f"{who} hangs up", lambda: centre.hang_up(who), frozenset({who}))


def die(centre: CallCentre, first: int, _second: int) -> Happening | None:
    """An agent's phone loses its power in a call, and starts again.

    Not one on hold, of which Asterisk expects no sound.
    """
    who = choose([n for n in centre.with_a_call() if n not in centre.holding()], first)
    if who is None:
        return None
    mine = [line.name for line in centre.picture.lines if line.phone == who]

    async def noticed() -> bool | None:
        there = {row["Channel"] for row in await centre.of(who).ami.channels()}
        return there.isdisjoint(mine) or None

    async def run() -> None:
        await centre.of(who).die(who)
        await centre.of(who).revive()
        assert await centre.until(noticed, RTP_TIMEOUT + 3.0), f"{who} is not missed"

    return Happening(f"{who}'s phone loses its power", run, frozenset({who}))


def transfer(centre: CallCentre, first: int, second: int) -> Happening | None:
    agent = choose(centre.with_a_call(), first)
    if agent is None:
        return None
    mode, target, allowed = centre.targets(agent)[second % len(centre.targets(agent))]

    async def run() -> None:
        await centre.transfer(agent, mode, target, allowed=allowed)

    return Happening(f"{agent} asks for {mode} to {_named(target)}", run)


def consult(centre: CallCentre, first: int, second: int) -> Happening | None:
    """A supervised transfer that is answered immediately."""
    busy = centre.transferring()
    agent = choose([name for name in centre.with_a_call() if name not in busy], first)
    if agent is None:
        return None
    colleagues = {a for g in centre.groups_of(agent) for a in g.agents}
    targets: list[tuple[Target, str]] = [
        ({"kind": "agent", "id": name}, name)
        for name in centre.free()
        if name in colleagues and name != agent
    ]
    targets += [
        ({"kind": "number", "number": number}, phone)
        for number, phone in centre.outside(agent).items()
        if not centre.picture.calls[phone]
    ]
    chosen = choose(targets, second)
    if chosen is None:
        return None
    target, phone = chosen

    async def run() -> None:
        if await centre.transfer(agent, "supervised", target, allowed=True) and not centre.hurry:
            await centre.answer(phone)

    return Happening(f"{agent} consults {_named(target)}, who answers", run)


def _named(target: Target) -> str:
    return f"{target['kind']} {target.get('id') or target.get('number')}"


def command(centre: CallCentre, first: int, second: int) -> Happening | None:
    found = choose(centre.picture.transfers, first)
    if found is None:
        return None
    what, path = COMMANDS[second % len(COMMANDS)], f"/v1/transfers/{found['id']}"

    async def run() -> None:
        await centre.ask(found["agent"], f"{path}/{what}")

    return Happening(f"{found['agent']} asks to {what}", run)


def add_colleague(centre: CallCentre, first: int, second: int) -> Happening | None:
    """Whoever it is: busy, on a break, logged out, of another group, or in the transfer already."""
    found = choose(centre.picture.transfers, first)
    agent = choose(centre.agents, second)
    if found is None or agent is None:
        return None
    groups = centre.groups_of(found["agent"])
    allowed = agent != found["agent"] and any(agent in group.agents for group in groups)

    async def run() -> None:
        path = f"/v1/transfers/{found['id']}/parties"
        taken = await centre.ask(found["agent"], path, {"agent": agent})
        accepted = taken is not None and taken.status == 201
        assert allowed or not accepted, f"{agent} was called into {found}: {taken}"
        if accepted and agent in centre.free() and not centre.hurry and first % 3:
            await centre.answer(agent)
            centre.notes.append("who answers")

    return Happening(f"{found['agent']} calls colleague {agent} into it", run)


def add_party(centre: CallCentre, first: int, second: int) -> Happening | None:
    found = choose(centre.picture.transfers, first)
    if found is None:
        return None
    outside = centre.outside(found["agent"])
    numbers = [n for n, phone in outside.items() if not centre.picture.calls[phone]]
    number = choose([*numbers, BAD_NUMBERS[0]], second)
    if number is None:
        return None

    async def run() -> None:
        path = f"/v1/transfers/{found['id']}/parties"
        taken = await centre.ask(found["agent"], path, {"number": number})
        assert number not in BAD_NUMBERS or taken is None or taken.status >= 400, taken
        if taken is not None and taken.status < 400 and not centre.hurry and second % 2:
            await centre.answer(outside[number])
            centre.notes.append("who answers")

    return Happening(f"{found['agent']} calls {number} into it", run)


def drop_party(centre: CallCentre, first: int, second: int) -> Happening | None:
    found = choose(centre.picture.transfers, first)
    if found is None:
        return None
    others = [p for p in found["parties"] if p["role"] in ("target", "fourth")]
    party = choose(others, second)
    if party is None:
        return None

    async def run() -> None:
        path = f"/v1/transfers/{found['id']}/parties/{party['id']}"
        await centre.ask(found["agent"], path, method="DELETE")

    return Happening(f"{found['agent']} drops {party['role']} {party['id']}", run)


def pause(centre: CallCentre, first: int, _second: int) -> Happening | None:
    agent = centre.agents[first % len(centre.agents)]
    mine = [m for m in centre.picture.members if m["Location"] == f"PJSIP/{agent}"]
    if not mine:
        return None
    paused = mine[0]["Paused"] != "1"
    text = f"{agent} {'takes a break' if paused else 'is back'}"
    return Happening(text, lambda: centre.of(agent).pause(agent, paused=paused))


def log_in_or_out(centre: CallCentre, first: int, _second: int) -> Happening | None:
    agent = centre.agents[first % len(centre.agents)]
    groups = {g.queue for g in centre.groups_of(agent)}
    there = any(
        m["Location"] == f"PJSIP/{agent}" and m["Queue"] in groups for m in centre.picture.members
    )
    if there:
        return Happening(f"{agent} logs out", lambda: centre.of(agent).log_out(agent))
    return Happening(f"{agent} logs in", lambda: centre.of(agent).log_in(agent))


def hold(centre: CallCentre, first: int, _second: int) -> Happening | None:
    """Or cancel it."""
    who = choose(centre.phones("established"), first)
    if who is None:
        return None
    phone = centre.phone(who)
    if who in centre.holding():
        return Happening(f"{who} resumes", lambda: _resume(centre, phone))
    return Happening(f"{who} holds", lambda: _hold(centre, phone))


async def _hold(centre: CallCentre, phone: Phone) -> None:
    one = phone.call
    centre.held[phone.name] = one
    await phone.hold(one)


async def _resume(centre: CallCentre, phone: Phone) -> None:
    await phone.resume(centre.held[phone.name])
    centre.held.pop(phone.name, None)


def button(centre: CallCentre, first: int, second: int) -> Happening | None:
    """The phone's Transfer button, blind."""
    agent = choose([n for n in centre.with_a_call() if n not in centre.holding()], first)
    if agent is None:
        return None
    to = choose([*centre.agents, "800", "801", *centre.outside(agent)], second) or ""
    return Happening(
        f"{agent} presses Transfer and {to}",
        lambda: centre.phone(agent).transfer(to),
    )


def code(centre: CallCentre, first: int, second: int) -> Happening | None:
    """The feature code and the target."""
    agent = choose([n for n in centre.with_a_call() if n not in centre.holding()], first)
    if agent is None:
        return None
    to = choose([*centre.agents, "800", "2025550199", "91"], second) or ""

    async def run() -> None:
        centre.dialling.add(agent)
        await centre.of(agent).press(agent, "*7")
        if not centre.hurry:
            await centre.phone(agent).hears({"speech"}, within=3, steady=0.1)
        await centre.of(agent).press(agent, f"{to}#")

    return Happening(f"{agent} keys in *7 and {to}#", run)


def move(centre: CallCentre, first: int, second: int) -> Happening | None:
    """Another program sends a caller to a queue, whatever they are doing."""
    caller = choose([n for n in centre.phones("established") if n in centre.callers], first)
    if caller is None:
        return None
    number = centre.numbers_of(caller)[second % 2]

    async def run() -> None:
        ami = centre.of(caller).ami
        line = await ami.channel_of(caller)
        to = {"Context": "callers", "Exten": number, "Priority": "1"}
        await ami.action("Redirect", Channel=line["Channel"], **to)

    return Happening(f"{caller} is moved to {number} by another program", run)


def reload(centre: CallCentre, first: int, second: int) -> Happening | None:
    """An administrator has Asterisk, or the daemon, read its files again."""
    what = choose([*RELOADS, "settings"], second) or ""
    scene = centre.scenes()[first % len(centre.scenes())]
    if what == "settings":
        if scene.bed.daemon is None:
            return None
        return Happening(
            f"the daemon{centre.where(scene)} reads its settings again",
            lambda: new_settings(centre, scene, first // len(centre.scenes())),
        )
    text = f"somebody does a {what}{centre.where(scene)}"
    return Happening(text, lambda: reload_asterisk(scene, what))


async def reload_asterisk(scene: Scene, what: str) -> None:
    """Asterisk reads a file only if it has changed."""
    file = scene.bed.directory / "etc" / RELOADS[what]
    later = file.stat().st_mtime + 2
    os.utime(file, (later, later))
    await scene.ami.command(what)


async def new_settings(centre: CallCentre, scene: Scene, number: int) -> None:
    changed = bool((scene.bed.directory / SETTINGS).read_text())
    name = "as at first" if changed else choose([*CHANGES], number) or ""
    text = CHANGES.get(name, "")
    centre.notes.append(name)
    await reload_daemon(scene, text, wait=not centre.hurry)


async def reload_daemon(scene: Scene, text: str, *, wait: bool = True) -> None:
    """With this text as its file of settings."""
    (scene.bed.directory / SETTINGS).write_text(text)
    mark = len(scene.log_of_daemon())
    scene.bed.signal_daemon(signal.SIGHUP)

    async def read() -> bool | None:
        return "] reloaded " in scene.log_of_daemon(mark) or None

    assert not wait or await scene.ami.until(read, 5.0), "the settings were not read again"


def patience(centre: CallCentre, _first: int, _second: int) -> Happening | None:
    """Wait until a transfer of a caller with a short hold time has ended."""
    waiting = [
        t
        for t in centre.picture.transfers
        if t["hold_until"] and t["caller"] in centre.short_hold()
    ]
    if not waiting:
        return None
    transfer_id, caller = waiting[0]["id"], waiting[0]["caller"]

    async def run() -> None:
        await centre.ends(caller, transfer_id)

    return Happening("the longest hold time passes", run)


def outstay(centre: CallCentre, first: int, second: int) -> Happening | None:
    """A caller is transferred to somebody who does not take them, until the longest hold time has
    passed; what becomes of them then is set before, on all nodes."""
    short, busy = centre.short_hold(), centre.transferring()
    who = [
        (agent, caller)
        for agent in centre.with_a_call()
        for caller in sorted(centre.picture.company(agent) & short)
        if agent not in busy and centre.picture.transfer_of(caller) is None
    ]
    chosen = choose(who, first)
    if chosen is None:
        return None
    agent, caller = chosen
    target = choose([x for x in centre.agents if x != agent], second)
    action = choose([*MAX_HOLD, "as at first"], first // len(who)) or ""
    if target is None:
        return None

    async def run() -> None:
        centre.notes.append(action)
        for scene in centre.scenes():
            await reload_daemon(scene, CHANGES.get(action, ""))
        body = {"mode": "unsupervised", "target": {"kind": "agent", "id": target}}
        taken = await centre.ask(agent, f"/v1/agents/{agent}/transfers", body)
        if taken is not None and taken.status == 201:
            await centre.ends(caller, taken.body["id"])

    return Happening(f"{agent} gives {caller} to agent {target}, until the hold time passes", run)


HAPPENINGS: Final[dict[str, Callable[[CallCentre, int, int], Happening | None]]] = {
    function.__name__: function
    for function in (
        *(talk, call, direct, answer, reject, hang_up, die),
        *(transfer, consult, command, add_party, add_colleague, drop_party),
        *(pause, log_in_or_out, hold, button, code, move, reload, patience, outstay),
    )
}

EXPECTED: Final = (PhoneError, ActionFailed, NotOneChannel, TimeoutError)
"""Possible results of an action whose call has just ended."""
