"""Does every agent have a personal queue, and do the queues have the settings transfers need?"""

from __future__ import annotations

from collections.abc import Iterator

from asterisk_avp.core.model.world import PERSONAL_QUEUE_PREFIX, personal_queue
from asterisk_avp.core.pbx.versions import records_by_monitor, takes_last
from asterisk_avp.install.asterisk_conf import Conf, Section, is_true
from asterisk_avp.install.checks.agents import queue_members
from asterisk_avp.install.checks.model import Facts, Finding, Queue, Severity
from asterisk_avp.install.personal_queues import at_home
from asterisk_avp.install.running.overlay import is_written

_NO_SHARED_LASTCALL = (
    "app_queue measures wrap-up per queue of the last call. Without this setting, agents have no"
    " after-call work after a transferred call."
)
MONITOR_RECORDS = (
    "Without res_monitor nothing is recorded. With it, the recording follows the transferor's phone"
    " into the consultation, and a transfer to another recorded group overwrites the file."
)
_NO_PERSISTENT_MEMBERS = (
    "After Asterisk restarts, dynamic members are logged out, and the end of extended after-call"
    " work is lost."
)


def group_queues(facts: Facts) -> Iterator[Finding]:
    """Do the groups' queues exist, and does their wrap-up match the settings?"""
    if facts.world is None:
        return
    conf = facts.file("queues.conf")
    clean = True
    for group in facts.world.groups.values():
        section = conf.first(group.queue)
        live = facts.live.queues if facts.live is not None else None
        if live is not None and group.queue.lower() not in {name.lower() for name in live}:
            clean = False
            yield Finding(
                "group_queue",
                Severity.ERROR,
                f"Asterisk has no queue {group.queue}, the queue of group {group.id}",
                "The group has no agents and no calls, and nothing can be transferred to it.",
                "queues.conf",
                (f"; add [{group.queue}], or set AVP_GROUPS__{group.id.upper()}__QUEUE",),
            )
            continue
        if section is None or not is_written(section):
            continue  # in a database, or in a file that could not be read
        written = section.last("wrapuptime", "0")
        wrapup = int(written) if written.isdecimal() else 0
        if wrapup != group.acw_seconds:
            clean = False
            yield Finding(
                "group_queue",
                Severity.WARNING,
                f"wrapuptime of {group.queue} is {wrapup} s but ACW_SECONDS is {group.acw_seconds}",
                "Agents are shown as available, and rung by transferred calls, too soon or late."
                " Asterisk does not report a queue's wrap-up.",
                "the settings",
                (f"AVP_GROUPS__{group.id.upper()}__ACW_SECONDS={wrapup}",),
            )
    if clean and conf.found:
        yield Finding("group_queue", Severity.OK, "the groups' queues match the settings")


def queue_settings(facts: Facts) -> Iterator[Finding]:
    """[general] of queues.conf."""
    conf = facts.file("queues.conf")
    if not conf.found:
        return
    general = conf.first("general")
    last = takes_last(facts.version)
    clean = True
    for name, severity, why in (
        ("shared_lastcall", Severity.ERROR, _NO_SHARED_LASTCALL),
        ("persistentmembers", Severity.WARNING, _NO_PERSISTENT_MEMBERS),
    ):
        lines = general.retrieved(name, takes_last=last) if general is not None else []
        wrong = [line for line in lines if not is_true(line.value)]
        if lines and not wrong:
            continue
        clean = False
        for line in wrong:
            what = f"{name} is not enabled: replace line {line.place.line} of {line.place.file}"
            if general is not None and len(general.all(name)) > 1:
                what += f", because Asterisk takes the {_WHICH[last]} of several lines"
            mend = (f"{name} = yes",)
            yield Finding("queue_settings", severity, what, why, str(line.place), mend)
        if not lines:
            section = "[general](+)" if general is not None else "[general]"
            added = (section, f"{name} = yes")
            what = f"{name} is not enabled"
            yield Finding("queue_settings", severity, what, why, "queues.conf", added)
    if clean:
        yield Finding("queue_settings", Severity.OK, "wrap-up counts across an agent's queues")


_WHICH = {False: "first", True: "last", None: "first (up to 22) or the last (from 23 on)"}


def queue_recordings(facts: Facts) -> Iterator[Finding]:
    """Does `app_queue` record with MixMonitor, and not with Monitor as Asterisk 20 does?"""
    for section in recorded_by_monitor(facts.file("queues.conf"), facts.version):
        yield Finding(
            "queue_recording",
            Severity.ERROR,
            f"{section.name} records with Monitor, the default of Asterisk 20",
            MONITOR_RECORDS,
            "queues.conf",
            (f"[{section.name}](+)", "monitor-type = MixMonitor"),
        )


def recorded_by_monitor(conf: Conf, version: str | None) -> list[Section]:
    """The queues of queues.conf that record by Monitor, on a version that still has it.

    ``version``: Asterisk's, if it is known.
    """
    if records_by_monitor(version) is not True:
        return []
    general = conf.first("general")
    default = general.retrieved("monitor-type", takes_last=False) if general is not None else []
    # Within a queue, MixMonitor cannot be taken back (app_queue.c, queue_set_param).
    return [
        section
        for section in conf.sections
        if not section.template
        and section.name.lower() != "general"
        and section.last("monitor-format")
        and "mixmonitor"
        not in {x.lower() for x in (*section.all("monitor-type"), *(y.value for y in default))}
    ]


def _line(section: Section | None, name: str) -> str:
    lines = [x for x in section.lines if x.name.lower() == name] if section is not None else []
    return str(lines[-1].place) if lines else "queues.conf"


def personal_queues(facts: Facts) -> Iterator[Finding]:
    """Does each agent have a personal queue with one place and a weight above every group?"""
    live = facts.live.queues if facts.live is not None else None
    conf = facts.file("queues.conf")
    if facts.world is None or (live is None and not conf.found):
        return
    known = _agents(facts)
    sections = {s.name.lower(): s for s in conf.sections if not s.template and is_written(s)}
    highest = max((queue.weight for queue in _others(facts)), default=0)
    clean = bool(known)
    for agent, wrapup in sorted(known.items()):
        name = personal_queue(agent)
        section = sections.get(name.lower())
        queue = (live or {}).get(name)
        lines = (f"[{name}](avp-personal)", f"wrapuptime = {wrapup}")
        if queue is None and (live is not None or section is None):
            clean = False
            yield Finding(
                "personal_queue",
                Severity.ERROR,
                f"agent {agent} has no queue {name}",
                "A call that is transferred to this agent has no place to wait, and returns.",
                "avp_queues.conf",
                (*lines, "; or run asterisk-avp render queues again, then `queue reload all`"),
            )
            continue
        faults: dict[str, str] = {}
        if queue is not None:
            if queue.maxlen != 1:
                faults["maxlen = 1"] = f"maxlen is {queue.maxlen}"
            if queue.weight <= highest:
                weight = f"weight = {max(1_000_000, highest + 1)}"
                faults[weight] = f"weight is {queue.weight}, but a group's queue has {highest}"
        if section is not None:
            faults |= _of_file(section, wrapup)
        for line, what in faults.items():
            clean = False
            yield Finding(
                "personal_queue",
                Severity.ERROR,
                f"{name}: {what}",
                _WHY[line.partition(" ")[0]],
                _line(section, line.partition(" ")[0]) if section is not None else name,
                (f"[{name}](+)", line) if section is not None else (f"[{name}]", line),
            )
    if clean:
        yield Finding("personal_queue", Severity.OK, f"{len(known)} agents have a personal queue")


_WHY = {
    "maxlen": "One transferred call may wait for an agent. A second one must be refused.",
    "weight": "A transferred call must be the agent's next one, ahead of every group call.",
    "wrapuptime": "app_queue measures wrap-up per queue of the last call. The agent's after-call"
    " work would be different after a transferred call.",
    "retry": "A transferred call must arrive as soon as the agent is free. The default waits 5 s.",
    "ringinuse": "A transferred call would ring a phone that is in a call.",
}


def _of_file(section: Section, wrapup: int) -> dict[str, str]:
    """The faults in settings that Asterisk does not report and only the file shows."""
    found = {}
    for name, wanted, default in (
        ("wrapuptime", str(wrapup), "0"),
        ("retry", "1", "5"),
        ("ringinuse", "no", "yes"),
    ):
        written = section.last(name, default).lower()
        if written != wanted and not (wanted == "no" and not is_true(written)):
            found[f"{name} = {wanted}"] = f"{name} is {written}, not {wanted}"
    return found


def _others(facts: Facts) -> list[Queue]:
    live = facts.live.queues if facts.live is not None else None
    return [q for name, q in (live or {}).items() if not name.startswith(PERSONAL_QUEUE_PREFIX)]


def _agents(facts: Facts) -> dict[str, int]:
    """Every agent, with the longest wrap-up of their groups in seconds."""
    world = facts.world
    if world is None:
        return {}
    groups: dict[str, set[str]] = {agent.id: set(agent.groups) for agent in world.agents.values()}
    queues = {group.queue.lower(): group.id for group in world.groups.values()}
    for queue, found in queue_members(facts).items():
        if queue.lower() in queues:
            for agent in found:
                groups.setdefault(agent, set()).add(queues[queue.lower()])
    live = facts.live.queues if facts.live is not None else None
    for name, known in (live or {}).items():
        if name.lower() in queues:
            for agent in known.agents:
                groups.setdefault(agent, set()).add(queues[name.lower()])
    here = at_home({agent: frozenset(own) for agent, own in groups.items()}, world)
    return {
        agent: max((world.groups[x].acw_seconds for x in own or world.groups), default=0)
        for agent, own in here.items()
    }
