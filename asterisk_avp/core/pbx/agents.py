"""All agents: their groups and states, derived from the members of app_queue.

After-call work. app_queue offers a member no call until ``lastcall + wrapuptime``, in whole seconds
of its own clock, with the wrap-up time of the queue of the *last* call (app_queue.c,
``can_ring_entry``). ACW ends at that time here too. AgentConnect names the queue, and so does
``InCall`` during the call; the end of the call is reported for every queue of the agent, in no
particular order. Sometimes it is not reported: app_queue sets ``lastcall`` without an event
(``update_queue``), and if the phone's device state changes at that moment, its event contains the
old ``lastcall``. AgentComplete then reports the end of the call, accurate to a second. A queue with
a longer wrap-up time of its own waits that long before it offers a call (``is_member_available``);
the agent counts as available meanwhile, because other queues may ring. Our clock and Asterisk's
must agree.
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
from asterisk_avp.core.pbx.channel import resource_of, resource_of_interface
from asterisk_avp.core.pbx.headcount import Headcounts
from asterisk_avp.core.pbx.member_phones import PhoneIndex
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from asterisk_avp.core.pbx.wrapup import LEAST_END, longest_acw

# A ``lastcall`` up to this long after AgentComplete belongs to the same call.
_ESTIMATE_SECONDS = 1.0


@dataclass(slots=True)
class Agents:
    """All agents that are configured or are members of a configured group's queue."""

    world: World
    tenants: Tenants = field(init=False)
    """The scopes of the agents."""
    by_id: dict[str, Agent] = field(default_factory=dict)
    _group_of_queue: dict[str, str] = field(default_factory=dict)
    _by_interface: dict[str, str] = field(default_factory=dict)
    phones: PhoneIndex = field(default_factory=PhoneIndex)
    _order: dict[str, int] = field(default_factory=dict)
    """Group to its position in the configuration."""
    headcounts: Headcounts = field(default_factory=Headcounts)
    _acw_ends: list[tuple[float, str]] = field(default_factory=list)
    """Heap of ACW ends and agents. Some are stale: the agent has left ACW, or its end has moved."""

    def __post_init__(self) -> None:
        self.reconfigure(self.world)

    def reconfigure(self, world: World) -> None:
        """Use another configuration. Memberships in queues that remain are kept."""
        self.world = world
        self.tenants = Tenants(world, self.groups_of)
        self._by_interface = {a.interface: a.id for a in world.agents.values() if a.interface}
        self._group_of_queue = {group.queue: group.id for group in world.groups.values()}
        self._order = {group: place for place, group in enumerate(world.groups)}
        for configured in world.agents.values():
            self.by_id.setdefault(configured.id, Agent(configured.id))
        self.phones.configure(world.agents.values())
        for agent in list(self.by_id.values()):
            agent.former_queues &= self._group_of_queue.keys()
            for queue in agent.left.keys() - self._group_of_queue.keys():
                del agent.left[queue]
            for queue in agent.memberships.keys() - self._group_of_queue.keys():
                del agent.memberships[queue]
            if not (
                agent.id in world.agents
                or agent.memberships
                or agent.former_queues
                or agent.personal
                or agent.remote
            ):
                del self.by_id[agent.id]
        self.headcounts.clear()
        for agent in self.by_id.values():
            self.regroup(agent)

    # --- facts -------------------------------------------------------------------------------

    def member_seen(self, seen: MemberSeen) -> Agent | None:
        """Update one membership; return its agent, or None where the queue is not ours."""
        owner = agent_of_personal_queue(seen.queue)
        if owner is None and seen.queue not in self._group_of_queue:
            return None
        agent = self._agent(seen.interface, owner)
        if agent is None:
            return None
        if owner is None:
            before = agent.memberships.get(seen.queue)
            if not agent.memberships:
                agent.former_queues.clear()
            agent.memberships[seen.queue] = seen
            agent.left.pop(seen.queue, None)
            if before is None:
                self.regroup(agent)
            self._recount(agent, (self._group_of_queue[seen.queue],))
            if before is None or (before.interface, before.state_interface) != (
                seen.interface,
                seen.state_interface,
            ):
                for interface in {seen.interface, seen.state_interface} - {""}:
                    self.phones.member(resource_of_interface(interface), agent.id)
        elif owner == agent.id:
            agent.seen_in_personal(seen)
        self._note_last_call(agent, seen)
        return agent

    def member_removed(self, queue: str, interface: str) -> Agent | None:
        owner = agent_of_personal_queue(queue)
        if owner is None and queue not in self._group_of_queue:
            return None
        agent = self._agent(interface, owner)
        if agent is None:
            return None
        if owner is None:
            if agent.memberships.pop(queue, None) is not None:
                agent.former_queues.add(queue)
                self.regroup(agent)
            if not agent.memberships:  # a membership that is added again has no wrap-up
                agent.acw_until = agent.extended_until = 0.0
        else:
            agent.removed_from_personal(interface)
        return agent

    def concerns(self, queue: str) -> bool:
        """Whether the queue is a group's or a personal queue."""
        return queue in self._group_of_queue or agent_of_personal_queue(queue) is not None

    def queues(self) -> list[str]:
        """All queues of groups and all personal queues of this node."""
        own = (agent.id for agent in self.by_id.values() if agent.remote is None)
        return [*self._group_of_queue, *map(personal_queue, own)]

    def of_member(self, queue: str, interface: str) -> Agent | None:
        """The known agent with this interface in the queue; None: no such agent."""
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

    def connected(self, queue: str, interface: str, now: float) -> Agent | None:
        """app_queue connected a call to a member; ``interface`` as in its channel's name."""
        agent = self.by_id.get(
            agent_of_personal_queue(queue)
            or self.phones.agent_of(interface)
            or self._by_interface.get(interface)
            or agent_id_of_interface(interface)
            or ""
        )
        if agent is not None:
            self._in_call(agent, queue, now)
        return agent

    def completed(self, fact: AgentCompleted) -> Agent | None:
        """The agent's call has ended, and ``lastcall`` may not be reported; return the agent."""
        agent = self._agent(fact.interface, agent_of_personal_queue(fact.queue))
        over = agent is not None and agent.call_over(fact.queue, fact.interface)
        ended = float(int(fact.now))
        if agent is None or agent.call_queue != fact.queue or ended <= agent.last_call:
            return agent if over else None  # the end was reported already
        agent.last_call, agent.last_call_estimated = ended, True
        agent.last_queue, agent.call_queue = agent.call_queue, ""
        counts = agent.membership(agent.last_queue)
        agent.acw_until = ended + (self.wrapup_seconds(agent, counts) if counts else 0)
        return agent

    def clear(self) -> None:
        """Drop the state of Asterisk before a resync; the configuration stays."""
        for agent in self.by_id.values():
            agent.former_queues |= agent.memberships.keys()
            agent.memberships.clear()
            agent.personal = None
            agent.others.clear()
            agent.waiting.clear()
            agent.extended_until = 0.0
            self.regroup(agent)

    # --- queries -----------------------------------------------------------------------------

    def of_channel(self, name: str) -> Agent | None:
        """The agent whose phone the channel of this name is."""
        return self.by_id.get(self.phones.agent_of(resource_of(name)))

    def groups_of(self, agent_id: str) -> tuple[str, ...]:
        """The agent's groups, by membership and by configuration, in the configuration's order.

        A logged-out agent belongs to their configured groups and to those they logged out of, so
        that a log-out does not change permissions.
        """
        return self.headcounts.groups_of(agent_id)

    def in_group(self, group_id: str) -> list[Agent]:
        """The group's agents, in no particular order."""
        return [self.by_id[agent_id] for agent_id in self.headcounts.agents_of(group_id)]

    def regroup(self, agent: Agent) -> None:
        """Update the indexes of groups after a change of memberships."""
        member_of = {
            self._group_of_queue[queue] for queue in agent.memberships or agent.former_queues
        }
        configured = self.world.agents.get(agent.id)
        if configured is not None:
            member_of |= self._order.keys() & configured.groups
        member_of |= self._order.keys() & agent.remote_groups
        groups = tuple(sorted(member_of, key=self._order.__getitem__))
        self.headcounts.put(agent.id, groups)
        self._recount(agent, groups)

    def _recount(self, agent: Agent, groups: tuple[str, ...]) -> None:
        for group in groups:
            self.headcounts.update(group, agent, self.world.groups[group].queue)

    def name_of(self, agent_id: str) -> str:
        configured = self.world.agents.get(agent_id)
        if configured is not None and configured.name:
            return configured.name
        agent = self.by_id.get(agent_id)
        return (agent.told_name if agent is not None else "") or agent_id

    def location_of(self, agent_id: str) -> str:
        """The agent's member interface without its technology; empty where not a member."""
        agent = self.by_id.get(agent_id)
        first = self.first_membership(agent) if agent is not None else None
        return first.interface.partition("/")[2] if first is not None else ""

    def first_membership(self, agent: Agent) -> MemberSeen | None:
        """The membership in the first group of the configuration; None where not a member."""
        place = self._order
        queue = min(agent.memberships, key=lambda x: place[self._group_of_queue[x]], default=None)
        return agent.memberships[queue] if queue is not None else None

    def refresh(self, agent: Agent, now: float, *, seen: bool = True) -> bool:
        """Recompute the state; return whether it, or `Agent.news`, changed. ``seen``: just now."""
        state = agent.state_at(now)
        acw_end = agent.acw_end if state is AgentState.ACW else 0.0
        changed = agent.news(acw_end)
        if agent.awaits_acw_end(state) and agent.acw_scheduled != agent.acw_end:
            agent.acw_scheduled = agent.acw_end
            heapq.heappush(self._acw_ends, (agent.acw_end, agent.id))
        if state is agent.state:
            return changed
        # How long it had been so when the daemon started, nobody has told it.
        agent.since = agent.told_since or (now if seen or agent.since else 0.0)
        agent.state = state
        self._recount(agent, self.groups_of(agent.id))
        return True

    def next_acw_end(self) -> float | None:
        """The next end of ACW in Unix seconds; None: no agent is in ACW, nor has extended it."""
        while self._acw_ends:
            end, agent_id = self._acw_ends[0]
            agent = self.by_id.get(agent_id)
            if agent is not None and agent.acw_end == end and agent.awaits_acw_end(agent.state):
                return end
            heapq.heappop(self._acw_ends)
            if agent is not None and agent.acw_scheduled == end:
                agent.acw_scheduled = 0.0
        return None

    def acw_over(self, now: float) -> list[Agent]:
        """The agents whose state is still ACW although it has ended, or whose extension has."""
        over = []
        while (end := self.next_acw_end()) is not None and end <= now:
            _, agent_id = heapq.heappop(self._acw_ends)
            agent = self.by_id[agent_id]
            agent.acw_scheduled = 0.0
            over.append(agent)
        return over

    def group_of_queue(self, queue: str) -> str | None:
        return self._group_of_queue.get(queue)

    def _agent(self, interface: str, owner: str | None) -> Agent | None:
        if interface == PLACEHOLDER:
            return None
        agent_id = owner or self._by_interface.get(interface) or agent_id_of_interface(interface)
        if agent_id is None:
            return None
        agent = self.by_id.get(agent_id)
        if agent is None:
            agent = self.by_id[agent_id] = Agent(agent_id)
        return agent

    @staticmethod
    def _in_call(agent: Agent, queue: str, now: float) -> None:
        if not agent.call_queue:
            agent.call_since = now
        agent.call_queue = queue
        agent.acw_ended_call = 0.0  # this call may end in the second of the one before

    def _note_last_call(self, agent: Agent, seen: MemberSeen) -> None:
        if seen.in_call:
            self._in_call(agent, seen.queue, seen.now)
        if not seen.last_call or seen.last_call < agent.last_call:
            return
        if seen.last_call > agent.last_call:
            same = (
                agent.last_call_estimated and seen.last_call <= agent.last_call + _ESTIMATE_SECONDS
            )
            if not same:
                agent.last_queue, agent.call_queue = agent.call_queue, ""
            agent.last_call, agent.last_call_estimated = seen.last_call, False
            agent.acw_until = 0.0
        if seen.last_call <= agent.acw_ended_call:
            return  # a membership that has not been renewed yet
        counts = agent.membership(agent.last_queue) or seen  # not known: the longest
        acw_until = seen.last_call + self.wrapup_seconds(agent, counts)
        agent.acw_until = max(agent.acw_until, acw_until)

    def wrapup_seconds(self, agent: Agent, seen: MemberSeen) -> int:
        """The wrap-up time in seconds after a call of this membership's queue."""
        if 0 < seen.wrapup_seconds < LEAST_END:
            return seen.wrapup_seconds
        if (group := self._group_of_queue.get(seen.queue)) is not None:
            return self.world.groups[group].acw_seconds
        return self.own_wrapup(agent) or longest_acw(self.world, self.groups_of(agent.id))

    def own_wrapup(self, agent: Agent) -> int:
        """What keeps the personal queue from overriding a member's own wrap-up; 0: none has one."""
        members = agent.memberships.values()
        own = any(m.wrapup_seconds for m in members)
        return max(self.wrapup_seconds(agent, m) for m in members) if own else 0
