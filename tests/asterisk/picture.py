"""A call centre at one moment, and its faults.

Asterisk's channels and queues, the daemon's answers, and the phones with what they hear, side by
side. `Picture.wrong` compares them with each other and with the promises: nobody in silence, nobody
overhears, nothing of ours without a transfer, no transfer without its parties, no caller waiting
while an agent is free. It does not consider how the situation arose, so it is valid after any
history.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from bed import ActionFailed, Event, Phone, party
from bed.audio import Ear

from tests.asterisk.scene import Scene
from tests.asterisk.withheld import tells

FINAL = frozenset({"completed", "cancelled", "failed", "abandoned"})
PASSING = frozenset({"starting", "completing"})
"""Transient states of a transfer: Asterisk is working, or an agent is dialling."""
_OURS = re.compile(
    r"avp-([0-9a-f]{12})-"
)  # a transfer's legs and bridges (core/transfer/session.py)
_ALONE = {"music", "ringback", "speech"}
WITHHOLDS = "caller4"
"""The phone of the caller whom the daemon does not name."""
_NOT_IN_USE = "1"
_LISTENED_SECONDS = 0.4


@dataclass(frozen=True)
class Line:
    """A channel."""

    name: str
    id: str
    state: str
    application: str
    bridge: str
    context: str = "avp-"
    node: str = ""
    trunk: str = ""
    """The SIP call between two nodes of which it is one end; empty: it is none."""
    anchor: bool = False
    """Whether that call was made by this node."""

    @property
    def phone(self) -> str:
        return party(self.name) if self.name.startswith("PJSIP/") and not self.trunk else ""

    @property
    def local(self) -> str:
        """The common name of both halves of a Local channel."""
        name = self.name.rpartition(";")[0] if self.name.startswith("Local/") else ""
        return name and f"{self.node}{name}"


@dataclass(frozen=True)
class Picture:
    lines: tuple[Line, ...]
    members: tuple[Event, ...]
    entries: tuple[Event, ...]
    transfers: tuple[dict[str, Any], ...]
    """The running transfers, oldest first."""
    agents: dict[str, dict[str, Any]]
    details: dict[str, dict[str, Any]]
    """The calls of agents who are talking."""
    calls: dict[str, tuple[str, ...]]
    """For each phone, the states of its running calls."""
    heard: dict[str, frozenset[str]]
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Ended transfers that are still known, by id."""
    excluded: dict[str, str] = field(default_factory=dict)
    """For each waiting channel, the member (without technology) who is not offered the call."""
    told_secrets: tuple[str, ...] = ()
    """What the daemon answered that tells who the caller is who withholds it."""
    numbers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The phones of external numbers by which they may be told."""
    daemon: bool = True
    """Whether the daemon could be queried."""
    at: float = field(default_factory=time.monotonic)

    # --- who is with whom --------------------------------------------------------------------

    def components(self) -> list[set[Line]]:
        """Channels that are connected: by a bridge, as the two halves of a Local channel, or as the
        two ends of a call between nodes."""
        groups: list[tuple[set[str], set[Line]]] = []
        for line in self.lines:
            keys = {key for key in (line.bridge, line.local, line.trunk) if key}
            members = {line}
            apart = []
            for group in groups:
                if group[0] & keys:
                    keys |= group[0]
                    members |= group[1]
                else:
                    apart.append(group)
            groups = [*apart, (keys, members)]
        return [members for _, members in groups]

    def company(self, phone: str) -> set[str]:
        """The phones that this one is connected to, in any of its calls."""
        found: set[str] = set()
        for component in self.components():
            phones = {line.phone for line in component if line.phone and line.state == "Up"}
            if phone in phones:
                found |= phones
        return found - {phone}

    def transfer_of(self, phone: str) -> dict[str, Any] | None:
        """The running transfer of this caller."""
        return next((t for t in self.transfers if t["caller"] == phone), None)

    def given_by(self, agent: str) -> dict[str, Any] | None:
        return next((t for t in self.transfers if t["agent"] == agent), None)

    def may_hear_nothing(self, callers: AbstractSet[str], held: AbstractSet[str]) -> frozenset[str]:
        """Those with reasons: they are on hold by their own keys, and decide what is heard; or
        Asterisk has connected them with a caller who is on hold already (docs/limits.md)."""
        company = {name: self.company(name) for name in self.calls}
        return frozenset(
            held | {name for name, them in company.items() if them and them <= held & callers}
        )

    def signature(self) -> object:
        """Equal for two pictures of the same situation."""
        return (
            sorted(
                (line.phone or line.local, line.state, line.application, bool(line.bridge))
                for line in self.lines
            ),
            sorted(sorted(line.phone for line in part) for part in self.components()),
            [(t["id"], t["state"], [p["id"] for p in t["parties"]]) for t in self.transfers],
            sorted((name, agent["state"]) for name, agent in self.agents.items()),
            self.calls,
        )

    # --- what is wrong -----------------------------------------------------------------------

    def wrong(self, callers: AbstractSet[str], held: AbstractSet[str]) -> list[str]:
        """``held``: phones that have put a call on hold, which decide what is heard there."""
        found = [*self._silence(callers, held), *self._overheard(held), *self._between(callers)]
        if self.daemon:
            found += [
                *self._unsettled(),
                *self._ours_without_transfer(held),
                *self._transfers_without_people(),
                *(f"transfer {t['id']} runs, its call is elsewhere" for t in self.strays()),
                *self._slots(),
                *self._agents_are_as_told(),
                *self._waiting_for_nothing(),
            ]
        return found

    def _silence(self, callers: AbstractSet[str], held: AbstractSet[str]) -> Iterator[str]:
        quiet = self.may_hear_nothing(callers, held)
        for phone, states in self.calls.items():
            if "established" not in states or phone in quiet:
                continue
            # Without the daemon, an agent may be left alone in Stasis; a caller never.
            if (phone in callers or self.daemon) and not self.heard[phone]:
                yield f"{phone} hears nothing"

    def _between(self, callers: AbstractSet[str]) -> Iterator[str]:
        """Whose partner has left is gone as well in a moment (avp-partner), or waits in a queue."""
        for line in self.lines:
            if line.phone in callers and line.application == "Wait":
                yield f"{line.phone} is between two places"

    def _overheard(self, held: AbstractSet[str]) -> Iterator[str]:
        """Who is connected with others hears them, and music if all of them are on hold."""
        for phone, states in self.calls.items():
            if "established" not in states or phone in held:
                continue
            company = self.company(phone)
            voices, expected = self.heard[phone] - _ALONE, company - held
            if voices - expected:
                yield f"{phone} hears {sorted(voices)}, and is connected with {sorted(company)}"
            elif voices != expected or (expected and "music" in self.heard[phone]):
                yield f"{phone} hears {sorted(self.heard[phone])}, not {sorted(expected)}"
            elif company and not expected and self.heard[phone] - {"music"}:
                yield f"{phone} hears {sorted(self.heard[phone])}, and {sorted(company)} hold"

    def _unsettled(self) -> Iterator[str]:
        for transfer in self.transfers:
            if transfer["state"] in PASSING:
                yield f"transfer {transfer['id']} is still {transfer['state']}"
        for name, agent in self.agents.items():
            if agent["state"] == "acw":
                yield f"{name} is in ACW"

    def _ours_without_transfer(self, held: AbstractSet[str]) -> Iterator[str]:
        running = {transfer["id"] for transfer in self.transfers}
        for line in self.lines:
            ends = self._ends(line)
            if ends and ends <= held:
                continue  # no audio comes, with which Asterisk would optimise the channel away
            for name in (line.id, line.bridge):
                ours = _OURS.match(name)
                if ours is not None and ours[1] not in running:
                    yield f"{line.name} is left with {name}"
            if line.application == "Stasis" and not line.bridge:
                yield f"{line.name} is in Stasis and in no bridge"

    def _ends(self, line: Line) -> set[str]:
        """The phones at both ends of a Local channel."""
        halves = [half for half in self.lines if half.local == line.local != ""]
        bridges = {half.bridge for half in halves if half.bridge}
        return {each.phone for each in self.lines if each.bridge in bridges and each.phone}

    def _transfers_without_people(self) -> Iterator[str]:
        there = {line.phone for line in self.lines}
        for transfer in self.transfers:
            people = {p["role"]: p for p in transfer["parties"]}
            shared = transfer["state"] == "conference"
            if transfer["caller"] not in there and not shared:
                yield f"transfer {transfer['id']}, {transfer['state']}, without its caller"
            if people["transferor"]["state"] != "gone" and transfer["agent"] not in there:
                yield f"transfer {transfer['id']}, {transfer['state']}, without the transferor"

    def strays(self) -> list[dict[str, Any]]:
        """The running transfers whose callers are in a dialplan that is not ours."""
        there = {x.phone: x.context for x in self.lines if x.phone}
        return [
            transfer
            for transfer in self.transfers
            if transfer["state"] not in PASSING
            and not there.get(transfer["caller"], "avp-").startswith("avp-")
        ]

    def _slots(self) -> Iterator[str]:
        for queue in {entry["Queue"] for entry in self.entries}:
            waiting = [entry for entry in self.entries if entry["Queue"] == queue]
            if queue.startswith("avp-agent-") and len(waiting) > 1:
                yield f"{len(waiting)} calls wait in {queue}"
        for agent in self.agents:
            heading = [
                transfer
                for transfer in self.transfers
                for one in transfer["parties"]
                if one["id"] == agent
                and one["role"] in ("target", "fourth")
                and one["state"] in ("waiting", "ringing")
            ]
            if len(heading) > 1:
                yield f"{len(heading)} transfers wait for {agent}"

    def _agents_are_as_told(self) -> Iterator[str]:
        for name, agent in self.agents.items():
            told, states = agent["state"], {x.state for x in self.lines if x.phone == name}
            member = [m for m in self.members if m["Location"] == f"PJSIP/{name}"]
            groups = [m for m in member if not m["Queue"].startswith("avp-agent-")]
            own = [m for m in member if m["Queue"] == f"avp-agent-{name}"]
            paused = bool(groups) and all(m["Paused"] == "1" for m in groups)
            if not groups:
                true = "offline"
            elif states - {"Ringing", "Down"}:
                true = "talking"
            elif "Ringing" in states:
                true = "ringing"
            else:
                true = "not_ready" if paused else "available"
            if told not in (true, "acw"):
                yield f"{name} is {true} and told to be {told}"
            waited_for = any(e["Queue"] == f"avp-agent-{name}" for e in self.entries)
            follows = len(own) == 1 and groups and own[0]["Paused"] == str(int(paused))
            if not follows and (own or (groups and waited_for)):
                yield f"{name}'s personal queue does not follow: {groups} {own}"
            yield from self._call_is_as_told(name)

    def _call_is_as_told(self, agent: str) -> Iterator[str]:
        if agent not in self.details:
            return
        call, transfer = self.details[agent]["call"], self.given_by(agent)
        company = self.company(agent)
        if transfer is None and len(company) == 1:
            told = call["caller"] if call else None
            if not {told, *self.numbers.get(str(told), ())} & company:
                yield f"{agent} talks with {company}, told to talk with {told}"

    def _waiting_for_nothing(self) -> Iterator[str]:
        """As soon as an agent is free, app_queue offers a call within its queue's `retry`."""
        ringing = {line.phone for line in self.lines if line.state in ("Ringing", "Ring", "Down")}
        if ringing & set(self.agents) - {m["Location"].partition("/")[2] for m in self.members}:
            return  # an agent who logs out while ringing continues to ring, for any of these
        for entry in self.entries:
            members = [m for m in self.members if m["Queue"] == entry["Queue"]]
            if any(m["Location"].partition("/")[2] in ringing for m in members):
                continue  # for this one, or for the previous one
            excluded = self.excluded.get(entry["Channel"], "")
            others = [m for m in members if m["Location"].partition("/")[2] != excluded]
            free = [
                m["Name"]
                for m in members
                if (m["Status"], m["Paused"], m["InCall"]) == (_NOT_IN_USE, "0", "0")
            ]
            # As many may ring at the same time as members are free, from the head of the queue on
            # (app_queue.c, is_our_turn), though a head may have to wait for another member.
            if int(entry["Position"]) > len(free):
                continue
            if any(m["Paused"] == "0" for m in others):
                free = [m["Name"] for m in others if m["Name"] in free]
            if free:
                yield f"{entry['Channel']} waits in {entry['Queue']} while {free} are free"


async def look(scene: Scene) -> Picture:
    """The picture now. Its parts are read one after the other, so two equal ones are needed."""
    channels = await scene.ami.channels()
    queues = await scene.ami.list("QueueStatus")
    told = await _told(scene)
    transfers: list[dict[str, Any]] = told.get("transfers", [])
    entries = tuple(row for row in queues if row.name == "QueueEntry")
    return Picture(
        lines=tuple(
            Line(
                c["Channel"],
                c["Uniqueid"],
                c["ChannelStateDesc"],
                c["Application"],
                c["BridgeId"],
                c["Context"],
            )
            for c in channels
        ),
        members=tuple(row for row in queues if row.name == "QueueMember"),
        entries=entries,
        transfers=tuple(
            sorted(
                (t for t in transfers if t["state"] not in FINAL),
                key=lambda t: (t["started"], t["agent"]),
            )
        ),
        ended={t["id"]: t for t in transfers if t["state"] in FINAL},
        told_secrets=told.get("secrets", ()),
        agents=told.get("agents", {}),
        details=told.get("details", {}),
        calls={
            name: tuple(call.state for call in phone.live)
            for name, phone in scene.bed.phones.items()
        },
        heard={name: _heard(phone) for name, phone in scene.bed.phones.items()},
        excluded={entry["Channel"]: await _excluded(scene, entry["Channel"]) for entry in entries},
        daemon=bool(told),
    )


async def _told(scene: Scene) -> dict[str, Any]:
    """The daemon's answer; empty if it is not ready."""
    if scene.bed.daemon is None or (await scene.api("GET", "/readyz")).status != 200:
        return {}
    agents = {agent["id"]: agent for agent in (await scene.api("GET", "/v1/agents")).body}
    details = {
        name: await scene.agent(name)
        for name, agent in agents.items()
        if agent["state"] == "talking" and not agent.get("node")
    }
    transfers = (await scene.api("GET", "/v1/transfers")).body
    for detail in details.values():
        detail["call"] = detail["call"] and _named(detail["call"])
    return {
        "agents": agents,
        "details": details,
        "transfers": list(map(_named, transfers)),
        "secrets": tuple(
            map(str, filter(tells, (*agents.values(), *details.values(), *transfers)))
        ),
    }


def _named(told: dict[str, Any]) -> dict[str, Any]:
    """A transfer or a call, with the one caller who is not named."""
    return told | {"caller": WITHHOLDS} if told["caller_withheld"] else told


async def _excluded(scene: Scene, channel: str) -> str:
    try:
        return await scene.ami.variable(channel, "AVP_EXCLUDE")
    except ActionFailed:
        return ""  # gone meanwhile


def _heard(phone: Phone) -> frozenset[str]:
    """What the phone has heard just now."""
    if "established" not in (call.state for call in phone.live):
        return frozenset()
    until = time.time() - Ear.SETTLE
    return frozenset(phone.heard(until - _LISTENED_SECONDS, until) - {"silence"})
