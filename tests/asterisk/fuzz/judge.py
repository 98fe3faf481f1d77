"""After a batch: what Asterisk ran, who was connected, which calls went out, and the daemon's
state."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass
from typing import Final

from bed import ActionFailed, Probe
from bed.procs import exited

from asterisk_avp.core import numbers

from .centre import AGENTS, OUTSIDE, Centre
from .inputs import PRODUCT
from .play import api
from .trace import Allowed, Ran, allowed, ran
from .trunk import ENDPOINT

_SETTLED_SECONDS: Final = 12.0
_BELIEVED_SECONDS: Final = 6.0
_DAEMON_FAULTS: Final = re.compile(r"Traceback \(most recent|effect_crashed|handler_failed")

_PLAIN: Final = frozenset({"Set", "GotoIf", "Goto", "Gosub", "GosubIf", "Return", "NoOp", "Hangup"})
_OURS: Final = _PLAIN | {"ExecIf", "Answer", "Playback", "Dial", "AGI"}
_TRANSLATION: Final = {
    "avp-(translation|connected(-outside)?|withheld)": _PLAIN
    | {"ExecIf", "Playtones", "StopPlaytones", "Wait"}
}
"""When a channel's connected line changes, or it enters a transfer."""
_WATCHING: Final = r"Local/[0-9A-Za-z_.-]+@avp-(orphans|caller-gone|answered-by)"
RULES: Final[Allowed] = {
    # An agent's phone that dials.
    r"PJSIP/100[1-4]": {
        **_TRANSLATION,
        "avp-(agents|phones|always|colleagues?|dialled|gate|gate-refused)": _OURS,
        "avp-(emergency|internal|clean|end)": _OURS,
        "avp-external": frozenset({"Dial", "Hangup", "Playback"}),
        # Before it rings, if the queue of the inbound dialplan says so.
        "avp-(pop-headers|watch|phone-ended|guard|member|somebody-there)": _PLAIN,
        # A transfer that an agent requested.
        "avp-stasis": _PLAIN | {"ExecIf", "Stasis"},
        "avp-told": _PLAIN,
        "avp-own-(limit|priority)": _PLAIN | {"ExecIf"},
        # They hang up in it.
        "avp-orphaned": _PLAIN | {"Originate"},
    },
    # A caller, including the trunk's: the administrator's inbound dialplan.
    r"PJSIP/(caller[12]|trunk)": {
        **_TRANSLATION,
        "callers|agents": _PLAIN | {"Answer", "Queue", "Dial"},
        "avp-(stasis|recall|group-queue|own-[a-z]+|head-of-queue|clean|somebody-there|end)": _OURS
        | {"Stasis", "Queue", "UserEvent"},
        "avp-(watch|phone-ended)": _PLAIN,
        "avp-partner": _PLAIN | {"Wait"},
        "avp-orphaned": _PLAIN | {"Originate"},
        "avp-(recording|told|offer)": _PLAIN,
    },
    # Another node's call for an agent or a group: nothing dials, and nothing is answered by us.
    "PJSIP/avp-node-b": {
        **_TRANSLATION,
        "avp-node-in": _PLAIN | {"Queue", "Wait"},
        "avp-node-(member|wait)": _PLAIN | {"Wait"},
        "avp-node-read": _PLAIN | {"UserEvent", "QueueLog"},
        "avp-(queue-parameters|offer|colleague|head-of-queue|somebody-there|clean|end)": _PLAIN
        | {"UserEvent"},
        "avp-partner": _PLAIN | {"Wait"},
        "avp-(watch|phone-ended|nowhere|unplugged)": _PLAIN,
        # Without the ids of its call it is a caller like any other, whom an agent hands on.
        "avp-(stasis|recall|group-queue|own-[a-z]+)": _OURS | {"Stasis", "Queue", "UserEvent"},
        "avp-orphaned": _PLAIN | {"Originate"},
        "avp-(recording|told)": _PLAIN,
    },
    # Our own leg to an external party.
    rf"Local/\{OUTSIDE}@avp-external-leg": {
        **_TRANSLATION,
        "avp-external-leg": _PLAIN | {"ExecIf"},
        "avp-(watch|phone-ended)": _PLAIN,
        "avp-orphaned": _PLAIN | {"Originate"},
        "avp-clean": _PLAIN,
        "avp-external": frozenset({"Dial", "Hangup"}),
    },
    # After a hang-up in a transfer: is the daemon there?
    _WATCHING: {
        "avp-(orphans|caller-gone|heartbeat|who|clean|end)": _PLAIN | {"ExecIf", "Wait"},
        # Who has answered for a member that is no phone?
        "avp-(answered-by|own-phone)": _PLAIN | {"SendDTMF", "WaitForCondition"},
    },
    # The rest of a channel that was moved into another bridge.
    r"Surrogate/PJSIP/(100[1-4]|caller[12]|trunk|avp-node-b)": {
        ".*": frozenset({"Goto", "GotoIf", "NoOp"})
    },
    r"PJSIP/pstn": {**_TRANSLATION, "avp-(watch|phone-ended|clean)": _PLAIN},
}
_QUEUES: Final = re.compile(r"(avp-agent-100[1-4]|sales|support),")
_CHANNELS: Final = re.compile(
    rf"PJSIP/(100[1-4]|caller[12]|trunk|avp-node-b|pstn)|Local/\{OUTSIDE}@avp-external-leg|{_WATCHING}"
)


@dataclass(frozen=True)
class Fault:
    """``channel``: where it was observed, if on a channel."""

    what: str
    channel: str = ""

    @property
    def sort(self) -> str:
        """The same for faults with the same cause."""
        owner = re.search(r"(PJSIP/\w+|Local/|Message/)", self.what.partition(":")[2])
        first = self.what.partition(":")[0].partition(" of Local/")[0]
        return f"{first[:40]} {owner[1] if owner else ''}".strip()

    def __str__(self) -> str:
        return self.what


async def settle(centre: Centre) -> list[Fault]:
    """Wait until nothing of the batch is left. Remaining channels are ended, and are a fault."""
    victims = sorted(centre.victims)
    deadline = time.monotonic() + _SETTLED_SECONDS
    while (left := await centre.channels()) != victims:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.02)
    else:
        return []
    for name in set(left) - set(victims):
        with contextlib.suppress(ActionFailed):
            await centre.bed.ami.action("Hangup", Channel=name)
    faults = [Fault(f"left over: {name}", name) for name in left if name not in victims]
    if gone := set(victims) - set(left):
        faults.append(Fault(f"a call is over that nobody ended: {sorted(gone)}"))
        await centre.begin_call()
    return faults


async def judge(centre: Centre, before: frozenset[str]) -> list[Fault]:
    """All current faults; empty if there are none."""
    faults = await settle(centre)
    records = await _records(centre)
    lines = list(ran(records))
    centre.ran += len(lines)
    faults += [
        Fault(f"ran what it may not: {one}", one.channel)
        for one in lines
        if not allowed(RULES, one)
    ]
    faults += [
        Fault(f"ran what is not in the dialplan: {one}", one.channel)
        for one in lines
        if allowed(RULES, one) and not centre.dialplan.fits(one)
    ]
    faults += _evaluated(centre, records)
    faults += _outside(lines)
    faults += _queued(lines)
    faults += [Fault(text) for text in centre.wrong]
    centre.wrong.clear()
    faults += _met(centre)
    if new := centre.files() - before:
        faults.append(Fault(f"files were made: {sorted(new)}"))
        for path in new & {"spool/fz"}:
            (centre.bed.directory / path).unlink(missing_ok=True)
    if await centre.globals_hit():
        faults.append(Fault("a function that sets a variable was evaluated"))
        await centre.bed.ami.action("Setvar", Variable="FUZZ_HIT", Value="")
    faults += await _believed(centre)
    faults += _alive(centre)
    return faults


async def _records(centre: Centre) -> list[str]:
    """The log so far: Asterisk writes it in order, so it is complete once a log-in of ours is in
    it."""
    records: list[str] = []
    mark = centre.log.marks
    probe = Probe(centre.bed.ports.ami, centre.bed.secrets.probe)
    await probe.connect()
    await probe.close()
    deadline = time.monotonic() + _SETTLED_SECONDS
    while centre.log.marks == mark:
        records += centre.log.new()
        if time.monotonic() > deadline:
            raise AssertionError("Asterisk writes no log any more")
        await asyncio.sleep(0.01)
    return records


def _evaluated(centre: Centre, records: list[str]) -> list[Fault]:
    product = str(PRODUCT[0] * PRODUCT[1])
    faults = []
    for record in records:
        if centre.secret in record or product in record:
            channel = re.search(r"(PJSIP|Local|Message)/[^\s\"',)]*", record)
            faults.append(Fault(f"evaluated: {record!r}", channel[0] if channel else ""))
    leaks = (*centre.leaks, *centre.events.leaks)
    faults += [Fault(f"what was evaluated is told: {text[:400]!r}") for text in leaks]
    centre.leaks.clear()
    centre.events.leaks.clear()
    return faults


def _outside(lines: list[Ran]) -> list[Fault]:
    """Numbers that were dialled outside, of which policy allows only some."""
    faults = []
    for one in lines:
        if one.context != "avp-external" or one.app != "Dial":
            continue
        agent = bool(re.match(r"PJSIP/100[1-4]-", one.channel))
        own = one.channel.startswith(f"Local/{OUTSIDE}@avp-external-leg")
        if not (agent and _permitted(one.exten)) and not (own and one.exten == OUTSIDE):
            faults.append(Fault(f"went outside: {one}", one.channel))
    return faults


def _queued(lines: list[Ran]) -> list[Fault]:
    """Queues that another node has entered which are no agent's and no group's."""
    return [
        Fault(f"entered a queue: {one}", one.channel)
        for one in lines
        if one.owner == f"PJSIP/{ENDPOINT}" and one.app == "Queue" and not _QUEUES.match(one.data)
    ]


def _permitted(number: str) -> bool:
    if number in ("112", "911"):
        return True
    verdict = numbers.check(
        number,
        agent_country="US",
        client_country="US",
        toll_free_service=True,
        toll_service=True,
    )
    return bool(verdict.allowed) and verdict.e164 == number


def _met(centre: Centre) -> list[Fault]:
    """Unexpected channels, and strangers in a bridge with somebody."""
    faults = [
        Fault(f"a channel of {owner}", owner)
        for owner in centre.events.created
        if not _CHANNELS.fullmatch(owner)
    ]
    victims = {centre.victim_ids[name] for name in centre.victims}
    for name, others in centre.events.entered:
        if victims & others or not _CHANNELS.fullmatch(name.rpartition("-")[0]):
            faults.append(Fault(f"{name} entered a bridge with {sorted(others)}", name))
    return faults


async def _believed(centre: Centre) -> list[Fault]:
    """The daemon's picture, once it has had time to become correct."""
    deadline = time.monotonic() + _BELIEVED_SECONDS
    while wrong := await _wrong(centre):
        if time.monotonic() > deadline:
            await centre.bed.stop_daemon(kill=True)  # it must not affect the next batch
            await centre.bed.start_daemon()
            return [Fault(f"the daemon believes {text}") for text in wrong]
        await asyncio.sleep(0.05)
    return []


async def _wrong(centre: Centre) -> list[str]:
    code, agents = await api(centre, "GET", "/v1/agents")
    if code != 200:
        return [f"nothing: {code} {agents}"]
    wrong = []
    if sorted(agent["id"] for agent in agents) != sorted(AGENTS):
        wrong.append(f"in agents {[agent['id'] for agent in agents]}")
    for agent in agents:
        if agent["id"] not in AGENTS:
            continue
        groups = [g["id"] if isinstance(g, dict) else g for g in agent["groups"]]
        true_groups = [group.queue for group in centre.bed.world.groups_of(agent["id"])]
        state = "talking" if agent["id"] == "1004" else "available"
        if groups != true_groups or agent["state"] != state or agent["waiting_transfer"]:
            wrong.append(f"of {agent['id']}: {agent['state']} {groups} {agent['waiting_transfer']}")
    _, transfers = await api(centre, "GET", "/v1/transfers")
    final = ("completed", "cancelled", "failed", "abandoned")
    wrong += [f"in a transfer: {t}" for t in transfers if t["state"] not in final]
    for agent_id in AGENTS:
        _, agent = await api(centre, "GET", f"/v1/agents/{agent_id}")
        caller = (agent.get("call") or {}).get("caller")
        told = caller.get("number") if isinstance(caller, dict) else caller
        if told != ("caller2" if agent_id == "1004" else None):
            wrong.append(f"of {agent_id}: a call with {told}")
    return wrong


def _alive(centre: Centre) -> list[Fault]:
    faults = []
    for name, process in (("Asterisk", centre.bed.asterisk), ("the daemon", centre.bed.daemon)):
        if process is None or exited(process) is not None:
            faults.append(Fault(f"{name} is gone"))
    text = _daemon_log(centre)
    if found := _DAEMON_FAULTS.search(text):
        faults.append(Fault(f"the daemon logs {text[found.start() : found.start() + 1500]!r}"))
    return faults


_log_at: dict[str, int] = {}


def _daemon_log(centre: Centre) -> str:
    path = centre.bed.directory / "log" / "daemon.log"
    with path.open("rb") as file:
        file.seek(_log_at.get(str(path), 0))
        data = file.read()
        _log_at[str(path)] = file.tell()
    return data.decode(errors="replace")
