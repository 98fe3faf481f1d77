"""Write Asterisk configuration: the agents' personal queues, and their ids as extensions.

Each agent has a queue of their own for transferred calls, with one place in it and a weight above
every group. Such a queue gives "one transferred call may wait" and "it is the next call" from
app_queue itself, with the daemon or without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from asterisk_avp.core.model.world import (
    ConfiguredAgent,
    Group,
    World,
    agent_id_of_interface,
    personal_queue,
)
from asterisk_avp.core.numbers.emergency import found_in
from asterisk_avp.install.asterisk_conf import Member

PERSONAL_QUEUE_WEIGHT = 1_000_000

_HEADER = """\
; The personal queues of the agents, for transferred calls.
;
; Written by: {command}
; Do not edit; write it again after agents or groups have changed, then
; `queue reload all` (or `module reload app_queue.so`).
;
; Include it at the end of queues.conf, whose [general] needs
;   shared_lastcall = yes     so that wrap-up counts across all queues of an agent
;   persistentmembers = yes   so that the members, whom the daemon adds, outlive a restart
;
; There are no members here on purpose: the daemon mirrors who is logged in to the groups' queues
; and who is paused, and Asterisk does not let anybody remove a member that is in this file.

[avp-personal](!)
strategy = ringall
; One transferred call may wait for an agent; a second one is refused.
maxlen = 1
; Above the weight of every group's queue, so that the transferred call is the agent's next one.
weight = {weight}
ringinuse = no
; Ring again at once (the default waits 5 s), so that the call comes as soon as the agent is free.
retry = 1
timeout = {ring_seconds}
timeoutpriority = app
autofill = yes
autopause = no
; Nobody waits for an agent who is on a break or logged out. A busy one is waited for.
joinempty = paused,invalid,unavailable
leavewhenempty = paused,invalid,unavailable
musicclass = default
announce-frequency = 0
announce-holdtime = no
announce-position = no
periodic-announce-frequency = 0
reportholdtime = no
setinterfacevar = no
setqueuevar = no
setqueueentryvar = no
memberdelay = 0
"""

_QUEUE = """
[{queue}](avp-personal)
; The longest wrap-up of the agent's groups ({groups}).
wrapuptime = {wrapuptime}
"""


def agents_to_render(
    world: World,
    more: Iterable[str] = (),
    members: Mapping[str, Iterable[Member]] = MappingProxyType({}),
) -> dict[str, frozenset[str] | None]:
    """Every agent that is known, with the ids of their groups; None: not known which.

    ``more``: ids given by hand. ``members``: those of the administrator's queues.conf. Nobody
    whose id is an emergency number is among them, since what is rendered is dialled.
    """
    of_groups = [group.features.country for group in world.groups.values()]
    of_agents = [agent.country for agent in world.agents.values()]
    countries = {country for country in (*of_groups, *of_agents) if country is not None}
    found: dict[str, frozenset[str] | None] = {}

    def add(agent: str, groups: Iterable[str]) -> None:
        if found_in(agent, countries) is not None:
            return
        known = found.get(agent) or frozenset()
        found[agent] = (known | frozenset(groups)) or None

    for agent in world.agents.values():
        add(agent.id, agent.groups)
    for identifier in more:
        add(identifier, ())
    # app_queue does not care for the case of a queue's name.
    queues = {group.queue.lower(): group.id for group in world.groups.values()}
    for queue, static in members.items():
        group_id = queues.get(queue.lower())
        if group_id is None:
            continue
        for member in static:
            agent_id = _agent_of(member.interface, world.agents)
            if agent_id is not None:
                add(agent_id, (group_id,))
    return found


def _agent_of(interface: str, agents: Mapping[str, ConfiguredAgent]) -> str | None:
    for agent in agents.values():
        if agent.interface == interface:
            return agent.id
    return agent_id_of_interface(interface)


def render_queues(
    agents: Mapping[str, frozenset[str] | None],
    groups: Mapping[str, Group],
    *,
    ring_seconds: int,
    command: str,
) -> str:
    """The text of the file. The same arguments always give the same text."""
    parts = [
        _HEADER.format(command=command, weight=PERSONAL_QUEUE_WEIGHT, ring_seconds=ring_seconds)
    ]
    for agent in sorted(agents):
        own = agents[agent]
        counted = sorted(groups if own is None else own & groups.keys())
        parts.append(
            _QUEUE.format(
                queue=personal_queue(agent),
                groups=", ".join(counted)
                + (" - all, as no membership is known" if own is None else ""),
                wrapuptime=max((groups[group].acw_seconds for group in counted), default=0),
            )
        )
    return "".join(parts)


_EXTENSIONS_HEADER = """\
; The agents' ids, as colleagues dial them (context avp-agents).
;
; Written by: {command}
; Do not edit; write it again after agents have changed, then `dialplan reload`.
;
; asterisk_avp.conf includes this file by itself, from Asterisk's folder of configuration. An id is
; a literal line and never a pattern: what a phone dials is not looked at otherwise.

[avp-colleagues](+)
"""

_EXTENSION = """
exten => {agent},1,Set(AVP_COLLEAGUE={agent})
 same => n,Gosub(avp-colleague,s,1)
 same => n,Dial(${{AVP_PHONE}},30,i)
 same => n,Hangup()
"""

_OWN_MEANING = frozenset({"s", "h", "i", "t", "T", "o", "a", "e", "fax"})
"""Extensions that Asterisk goes to by itself (pbx.c, __ast_pbx_run)."""
_EMERGENCY = frozenset({"112", "911"})


def render_extensions(agents: Iterable[str], *, command: str) -> tuple[str, tuple[str, ...]]:
    """The text of the file, and for each agent who cannot be dialled a sentence that says why.

    Asterisk skips ``-`` in an extension (pbx.c, ext_cmp_exten): `ann-a` and `anna` are one.
    """
    parts = [_EXTENSIONS_HEADER.format(command=command)]
    remarks = []
    taken: dict[str, str] = {}
    for agent in sorted(agents):
        compared = agent.replace("-", "")
        why = ""
        if compared in _OWN_MEANING:
            why = "that name has a meaning of its own in a dialplan"
        elif compared in _EMERGENCY:
            why = "that is an emergency number"
        elif compared in taken:
            why = f"for Asterisk that is the same as {taken[compared]}"
        if why:
            remarks.append(f"agent {agent} cannot be dialled by colleagues: {why}.")
            continue
        taken[compared] = agent
        parts.append(_EXTENSION.format(agent=agent))
    return "".join(parts), tuple(remarks)
