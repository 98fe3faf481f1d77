"""Is anybody a static member of queues on a node where they are not at home?"""

from __future__ import annotations

from collections.abc import Iterator

from asterisk_avp.install.asterisk_conf import members
from asterisk_avp.install.checks.agents import agent_of
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_SOME = 5
_WHY = (
    "Static members cannot be logged out: once their phone registers here, queues of both nodes"
    " offer them calls. Keep the line on the node where the phone is, or let them log in."
)


def static_members(facts: Facts) -> Iterator[Finding]:
    nodes = facts.nodes
    if nodes is None:
        return
    told = nodes.nats.at_home if nodes.nats is not None else {}
    pinned = {x.id: x.node for x in facts.world.agents.values()} if facts.world is not None else {}
    there: dict[str, set[str]] = {}
    lines: dict[str, None] = {}
    for queue, static in members(facts.file("queues.conf")).items():
        for member in static:
            agent = agent_of(facts, member.interface)
            home = pinned.get(agent or "") or told.get(agent or "")
            if agent and home not in (None, nodes.own):
                there.setdefault(f"{agent} (node {home})", set()).add(queue)
                lines[f"; {queue}: without member => {member.interface}"] = None
    if there:
        names = sorted(there)
        more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
        yield Finding(
            "node_members",
            Severity.WARNING,
            f"agents of other nodes are static members here: {', '.join(names[:_SOME])}{more}",
            _WHY,
            "queues.conf",
            tuple(lines),
        )
    else:
        yield Finding("node_members", Severity.OK, "no static member is at home on another node")
