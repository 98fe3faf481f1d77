"""What other nodes tell: their agents, who waits in their queues, and whether they can be reached.

An agent at home on another node is one of `Agents` with `Agent.remote` set. So every list, count
and decision knows them, and none of Asterisk's members here says anything about them. Nobody here
may offer them a call: memberships of theirs on this node are removed when their home is known to be
elsewhere (`HomeElsewhere`), as far as they are dynamic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from asterisk_avp.core.engine.elsewhere import Elsewhere
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.groups import Waiting
from asterisk_avp.core.engine.remote_rings import ring_ended, stopped
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import remote as told
from asterisk_avp.core.messages.effects import RemoveMember
from asterisk_avp.core.messages.facts import Fact, MemberSeen
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.headcount import NOBODY, Headcount, headcount_of

FACTS: Final = (
    told.RemoteAgentSeen,
    told.RemoteAgentGone,
    told.HomeElsewhere,
    told.RemoteGroupSeen,
    told.NodeLost,
    told.NodeBack,
    told.TrunkLost,
    told.TrunkBack,
)
"""The facts that `apply` knows."""


def apply(engine: TransferEngine, fact: Fact, now: float) -> Outcome:
    """Take over what another node tells. ``now`` is in Unix seconds."""
    outcome, elsewhere = Outcome(), engine.elsewhere
    match fact:
        case told.RemoteAgentSeen(agent_id, seen):
            agent = engine.agents.by_id.setdefault(agent_id, Agent(agent_id))
            (elsewhere.lost.discard if seen.reachable else elsewhere.lost.add)(seen.node)
            before, agent.remote = agent.remote, _as_reached(elsewhere, seen)
            same = before is not None and _membership(before) == _membership(agent.remote)
            _changed(engine, agent, now, outcome, same_groups=same)
            if before is not None and stopped(before.state, seen.state):
                ring_ended(engine.agents, engine.store, agent_id, now, outcome)
        case told.RemoteAgentGone(agent_id, node):
            agent = engine.agents.by_id.get(agent_id, Agent(agent_id))
            if agent.remote is not None and agent.remote.node == node:
                agent.remote = None
                _changed(engine, agent, now, outcome)
        case told.HomeElsewhere(agent_id):
            agent = engine.agents.by_id.get(agent_id, Agent(agent_id))
            outcome.effects.extend((None, effect) for effect in removals(agent))
        case told.RemoteGroupSeen(group, node, callers, since):
            if group in engine.world.groups:
                engine.waiting.elsewhere.setdefault(group, {})[node] = Waiting(callers, since)
        case told.NodeLost(node):
            for others in engine.waiting.elsewhere.values():
                others.pop(node, None)
            elsewhere.lost.add(node)
            _look_again(engine, node, now, outcome)
        case told.NodeBack(node):
            elsewhere.lost.discard(node)
            _look_again(engine, node, now, outcome)
        case told.TrunkLost(node):
            elsewhere.cut.add(node)
            _look_again(engine, node, now, outcome)
        case told.TrunkBack(node):
            elsewhere.cut.discard(node)
            _look_again(engine, node, now, outcome)
    return outcome


def removals(agent: Agent) -> Iterator[RemoveMember]:
    """What takes an agent who is at home elsewhere out of this node's queues.

    Members of Asterisk's own configuration cannot be removed; nobody's phone should be registered
    on two nodes with such a membership.
    """
    members: list[MemberSeen] = [*agent.memberships.values(), *agent.others.values()]
    if agent.personal is not None:
        members.append(agent.personal)
    for member in members:
        if member.dynamic:
            yield RemoveMember(member.queue, member.interface)


def staff_by_node(engine: TransferEngine, group_id: str) -> dict[str, Headcount]:
    """The group's agents who are logged in, ready and available, by node; this one's is empty."""
    queue = engine.world.groups[group_id].queue
    found: dict[str, Headcount] = {}
    for agent in engine.agents.in_group(group_id):
        node = agent.remote.node if agent.remote is not None else ""
        counted = headcount_of(agent, group_id, queue)
        if counted != NOBODY:
            found[node] = Headcount(*map(sum, zip(found.get(node, NOBODY), counted, strict=True)))
    return found


def _as_reached(elsewhere: Elsewhere, seen: RemoteAgent) -> RemoteAgent:
    """The agent, as far as calls reach their node."""
    cut = seen.node in elsewhere.cut
    reachable = not cut and seen.node not in elsewhere.lost
    if (seen.reachable, seen.cut) == (reachable, cut):
        return seen
    return replace(seen, reachable=reachable, cut=cut)


def _look_again(engine: TransferEngine, node: str, now: float, outcome: Outcome) -> None:
    for agent in engine.agents.by_id.values():
        if agent.remote is None or agent.remote.node != node:
            continue
        before, agent.remote = agent.remote, _as_reached(engine.elsewhere, agent.remote)
        if agent.remote is not before:
            _changed(engine, agent, now, outcome)


def _membership(agent: RemoteAgent) -> tuple[object, ...]:
    """What of an agent the groups' counts depend on, but for the state."""
    return (
        agent.groups,
        agent.logged_in,
        agent.on_break,
        agent.paused,
        agent.reachable,
    )


def _changed(
    engine: TransferEngine,
    agent: Agent,
    now: float,
    outcome: Outcome,
    *,
    same_groups: bool = False,
) -> None:
    if not same_groups:
        engine.agents.regroup(agent)
    engine.member_changed(agent, now, outcome)
    agent.since = agent.told_since or agent.since
