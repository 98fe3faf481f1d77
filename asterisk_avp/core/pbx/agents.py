"""Who is an agent, in which groups, and who is free. It follows app_queue's members.

After-call work. app_queue refuses a member until ``lastcall + wrapuptime`` in whole seconds of its
own clock, where the wrap-up is that of the queue of the *last* call (app_queue.c,
``can_ring_entry``), so that is when ACW ends here too. Which queue that was AgentConnect tells, and
``InCall`` while the call lasts; the end of the call is told for every queue of the agent, in no
useful order. Sometimes it is not told at all: app_queue sets ``lastcall`` and announces nothing
(``update_queue``), and where the phone's device state came in between, the announcement it led to
has the old one. AgentComplete then says that the call has ended, within a second of when. A queue
with a longer wrap-up of its own waits that long as well before it offers a call
(``is_member_available``); the agent counts as available meanwhile, as the others may ring. It
follows that our clock and Asterisk's must agree.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from asterisk_avp.core.messages.facts import AgentCompleted, MemberSeen
from asterisk_avp.core.model.tenants import Tenants
from asterisk_avp.core.model.world import (
    AgentState,
    World,
    agent_id_of_interface,
    agent_of_personal_queue,
    personal_queue,
)
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.calls import resource_of, resource_of_interface

# A ``lastcall`` no later than this after AgentComplete is that of the same call.
_GUESS_SECONDS = 1.0


@dataclass(slots=True)
class Agents:
    """All agents that are configured or are members of a configured group's queue."""

    world: World
    tenants: Tenants = field(init=False)
    """Who may know of whom."""
    by_id: dict[str, Agent] = field(default_factory=dict)
    _queue_group: dict[str, str] = field(default_factory=dict)
    _by_interface: dict[str, str] = field(default_factory=dict)
    _by_resource: dict[str, str] = field(default_factory=dict)
    _order: dict[str, int] = field(default_factory=dict)
    """By group, its place in the configuration."""
    _groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By agent, see `groups_of`."""
    _in_group: dict[str, set[str]] = field(default_factory=dict)
    """The other way round: by group, its agents."""
    _acw_ends: list[tuple[float, str]] = field(default_factory=list)
    """When which agent's ACW ends, as a heap. Some are out of date: the agent has left ACW since,
    or its end has moved."""

    def __post_init__(self) -> None:
        self.reconfigure(self.world)

    def reconfigure(self, world: World) -> None:
        """Go by another configuration. What Asterisk said of queues that stay is kept."""
        self.world = world
        self.tenants = Tenants(world, self.groups_of)
        self._by_interface = {a.interface: a.id for a in world.agents.values() if a.interface}
        self._queue_group = {group.queue: group.id for group in world.groups.values()}
        self._order = {group: place for place, group in enumerate(world.groups)}
        for configured in world.agents.values():
            self.by_id.setdefault(configured.id, Agent(configured.id))
            if configured.interface:
                self._by_resource[resource_of_interface(configured.interface)] = configured.id
        for agent in list(self.by_id.values()):
            agent.left &= self._queue_group.keys()
            for queue in agent.memberships.keys() - self._queue_group.keys():
                del agent.memberships[queue]
            if not (agent.id in world.agents or agent.memberships or agent.left or agent.personal):
                del self.by_id[agent.id]
        self._groups.clear()
        self._in_group.clear()
        for agent in self.by_id.values():
            self._regroup(agent)

    # --- facts -------------------------------------------------------------------------------

    def member_seen(self, seen: MemberSeen) -> Agent | None:
        """Take in one membership; the agent concerned, or None if it is not ours to know."""
        owner = agent_of_personal_queue(seen.queue)
        if owner is None and seen.queue not in self._queue_group:
            return None
        agent = self._agent(seen.interface, owner)
        if agent is None:
            return None
        if owner is None:
            before = agent.memberships.get(seen.queue)
            if not agent.memberships:
                agent.left.clear()
            agent.memberships[seen.queue] = seen
            if before is None:
                self._regroup(agent)
            if before is None or (before.interface, before.state_interface) != (
                seen.interface,
                seen.state_interface,
            ):
                for interface in {seen.interface, seen.state_interface} - {""}:
                    self._by_resource[resource_of_interface(interface)] = agent.id
        elif owner == agent.id:
            agent.personal = seen
        self._note_last_call(agent, seen)
        return agent

    def member_removed(self, queue: str, interface: str) -> Agent | None:
        owner = agent_of_personal_queue(queue)
        if owner is None and queue not in self._queue_group:
            return None
        agent = self._agent(interface, owner)
        if agent is None:
            return None
        if owner is None:
            if agent.memberships.pop(queue, None) is not None:
                agent.left.add(queue)
                self._regroup(agent)
        elif agent.personal is not None and agent.personal.interface == interface:
            agent.personal = None
        return agent

    def concerns(self, queue: str) -> bool:
        """Whether the queue is a group's or an agent's own."""
        return queue in self._queue_group or agent_of_personal_queue(queue) is not None

    def queues(self) -> list[str]:
        """The queues that concern us: the groups' and the agents' own."""
        return [*self._queue_group, *map(personal_queue, self.by_id)]

    def of_member(self, queue: str, interface: str) -> Agent | None:
        """Whose membership of this queue it would be; None where they are not known."""
        agent_id = (
            agent_of_personal_queue(queue)
            or self._by_interface.get(interface)
            or agent_id_of_interface(interface)
        )
        return self.by_id.get(agent_id or "")

    def waiting_joined(self, queue: str, channel: str) -> Agent | None:
        agent = self.by_id.get(agent_of_personal_queue(queue) or "")
        if agent is not None:
            agent.waiting.add(channel)
        return agent

    def waiting_left(self, queue: str, channel: str) -> Agent | None:
        agent = self.by_id.get(agent_of_personal_queue(queue) or "")
        if agent is not None:
            agent.waiting.discard(channel)
        return agent

    def connected(self, queue: str, interface: str) -> Agent | None:
        """app_queue gave the agent a call; ``interface`` as far as a channel's name has it."""
        agent = self.by_id.get(
            agent_of_personal_queue(queue)
            or self._by_resource.get(interface)
            or self._by_interface.get(interface)
            or agent_id_of_interface(interface)
            or ""
        )
        if agent is not None:
            agent.call_queue = queue
        return agent

    def completed(self, fact: AgentCompleted) -> Agent | None:
        """The agent's call has ended, and ``lastcall`` may never be told; the agent, if so."""
        agent = self._agent(fact.interface, agent_of_personal_queue(fact.queue))
        if agent is None or agent.call_queue != fact.queue:
            return None  # told already
        ended = float(int(fact.now))
        if ended <= agent.last_call:
            return None
        agent.last_call, agent.last_call_guessed = ended, True
        agent.last_queue, agent.call_queue = agent.call_queue, ""
        counts = agent.membership(agent.last_queue)
        agent.acw_until = ended + (self.wrapup_seconds(agent, counts) if counts else 0)
        return agent

    def clear(self) -> None:
        """Forget what Asterisk said, before a resync; the configuration stays."""
        for agent in self.by_id.values():
            agent.left |= agent.memberships.keys()
            agent.memberships.clear()
            agent.personal = None
            agent.waiting.clear()
            self._regroup(agent)

    # --- answers -----------------------------------------------------------------------------

    def of_channel(self, name: str) -> Agent | None:
        """Whose phone a channel is, by its name."""
        return self.by_id.get(self._by_resource.get(resource_of(name), ""))

    def groups_of(self, agent_id: str) -> tuple[str, ...]:
        """The agent's groups in the order of the configuration: by membership, else configured.

        A logged-out agent still belongs to the groups the configuration names and to those they
        logged out of, so that what they may do and who may transfer to them does not change with
        a log-out.
        """
        return self._groups.get(agent_id, ())

    def in_group(self, group_id: str) -> list[Agent]:
        """Its agents, in no order."""
        return [self.by_id[agent_id] for agent_id in self._in_group.get(group_id, ())]

    def _regroup(self, agent: Agent) -> None:
        """The agent's memberships have changed, or what they have left."""
        member_of = {self._queue_group[queue] for queue in agent.memberships or agent.left}
        configured = self.world.agents.get(agent.id)
        if configured is not None:
            member_of |= self._order.keys() & configured.groups
        before = self._groups.get(agent.id, ())
        for group in before:
            if group not in member_of:
                self._in_group[group].discard(agent.id)
        for group in member_of:
            self._in_group.setdefault(group, set()).add(agent.id)
        self._groups[agent.id] = tuple(sorted(member_of, key=self._order.__getitem__))

    def name_of(self, agent_id: str) -> str:
        configured = self.world.agents.get(agent_id)
        if configured is not None and configured.name:
            return configured.name
        agent = self.by_id.get(agent_id)
        for member in agent.memberships.values() if agent is not None else ():
            if member.name and member.name != member.interface:
                return member.name
        return agent_id

    def location_of(self, agent_id: str) -> str:
        """The agent's member interface without its technology; empty where not a member."""
        agent = self.by_id.get(agent_id)
        first = self.first_membership(agent) if agent is not None else None
        return first.interface.partition("/")[2] if first is not None else ""

    def first_membership(self, agent: Agent) -> MemberSeen | None:
        """The one in the group that the configuration names first; None where not a member."""
        place = self._order
        queue = min(agent.memberships, key=lambda x: place[self._queue_group[x]], default=None)
        return agent.memberships[queue] if queue is not None else None

    def refresh(self, agent: Agent, now: float) -> bool:
        """Recompute the state; whether it, or the agent's pause, changed."""
        state, pause = agent.state_at(now), (agent.paused, agent.pause_reason)
        another_pause = pause != agent.shown_pause
        agent.shown_pause = pause
        if state is AgentState.ACW and agent.acw_noted != agent.acw_until:
            agent.acw_noted = agent.acw_until
            heapq.heappush(self._acw_ends, (agent.acw_until, agent.id))
        if state is agent.state:
            return another_pause
        agent.state, agent.since = state, now
        return True

    def next_acw_end(self) -> float | None:
        """When the first ACW ends, in Unix seconds; None if nobody is in ACW."""
        while self._acw_ends:
            end, agent_id = self._acw_ends[0]
            agent = self.by_id.get(agent_id)
            if agent is not None and agent.state is AgentState.ACW and agent.acw_until == end:
                return end
            heapq.heappop(self._acw_ends)
            if agent is not None and agent.acw_noted == end:
                agent.acw_noted = 0.0
        return None

    def acw_over(self, now: float) -> list[Agent]:
        """Agents who are still said to be in ACW although it has ended."""
        over = []
        while (end := self.next_acw_end()) is not None and end <= now:
            _, agent_id = heapq.heappop(self._acw_ends)
            agent = self.by_id[agent_id]
            agent.acw_noted = 0.0
            over.append(agent)
        return over

    def _agent(self, interface: str, owner: str | None) -> Agent | None:
        agent_id = owner or self._by_interface.get(interface)
        agent_id = agent_id or agent_id_of_interface(interface)
        if agent_id is None:
            return None
        agent = self.by_id.get(agent_id)
        if agent is None:
            agent = self.by_id[agent_id] = Agent(agent_id)
        return agent

    def _note_last_call(self, agent: Agent, seen: MemberSeen) -> None:
        if seen.in_call:
            agent.call_queue = seen.queue
        if not seen.last_call or seen.last_call < agent.last_call:
            return
        if seen.last_call > agent.last_call:
            same = agent.last_call_guessed and seen.last_call <= agent.last_call + _GUESS_SECONDS
            if not same:
                agent.last_queue, agent.call_queue = agent.call_queue, ""
            agent.last_call, agent.last_call_guessed = seen.last_call, False
            agent.acw_until = 0.0
        counts = agent.membership(agent.last_queue) or seen  # not known: the longest
        acw_until = seen.last_call + self.wrapup_seconds(agent, counts)
        agent.acw_until = max(agent.acw_until, acw_until)

    def wrapup_seconds(self, agent: Agent, seen: MemberSeen) -> int:
        """How long the agent is kept from calls after one of this membership's queue."""
        if seen.wrapup_seconds:
            return seen.wrapup_seconds
        group = self._queue_group.get(seen.queue)
        if group is not None:
            return self.world.groups[group].acw_seconds
        return longest_acw(self.world, self.groups_of(agent.id))


def longest_acw(world: World, groups: tuple[str, ...]) -> int:
    """The wrap-up of a personal queue: nobody's ACW may be cut short by a transferred call."""
    return max((world.groups[group].acw_seconds for group in groups), default=0)
