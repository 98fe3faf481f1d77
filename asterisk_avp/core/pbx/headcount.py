"""Which agents each group has, and how many are logged in and free.

Every panel shows these numbers of every group. So that they cost the same however many agents a
group has, they are kept up to date with each change of an agent, and nothing counts when asked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.core.pbx.agent import NOT_THERE, Agent, on_break


class Headcount(NamedTuple):
    """Agents of a group."""

    logged_in: int = 0
    """Members of its queue whose phones can be reached, on a break or not."""
    ready: int = 0
    """Those of them who are not on a break in this queue, whatever they do now. A pause that keeps
    after-call work is no break."""
    available: int = 0
    """Those of them who are available."""

    def minus(self, other: Headcount) -> Headcount:
        return Headcount(
            self.logged_in - other.logged_in,
            self.ready - other.ready,
            self.available - other.available,
        )


NOBODY: Final = Headcount()


def headcount_of(agent: Agent, group: str, queue: str) -> Headcount:
    """What one agent adds to the count of the group that has this queue."""
    if agent.remote is not None:
        return _headcount_of_remote(agent.remote, group)
    member = agent.memberships.get(queue)
    there = member is not None and member.status not in NOT_THERE
    ready = there and member is not None and not on_break(member)
    available = ready and agent.state is AgentState.AVAILABLE
    return Headcount(int(there), int(ready), int(available))


def serves(agent: RemoteAgent, group: str) -> bool:
    """Whether their node's queue offers the agent calls of a group, as that node has last told."""
    return group in agent.logged_in and not agent.paused and group not in agent.on_break


def _headcount_of_remote(agent: RemoteAgent, group: str) -> Headcount:
    there = agent.reachable and group in agent.logged_in
    ready = there and serves(agent, group)
    available = ready and agent.state is AgentState.AVAILABLE
    return Headcount(int(there), int(ready), int(available))


class Headcounts:
    """The agents of all groups. `put` and `update` have to be called with each change of one."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[str, ...]] = {}
        self._agents: dict[str, set[str]] = {}
        self._counts: dict[str, Headcount] = {}
        self._parts: dict[tuple[str, str], Headcount] = {}
        """Group and agent to what that agent adds."""

    def groups_of(self, agent_id: str) -> tuple[str, ...]:
        return self._groups.get(agent_id, ())

    def agents_of(self, group_id: str) -> Collection[str]:
        return self._agents.get(group_id, ())

    def of(self, group_id: str) -> Headcount:
        return self._counts.get(group_id, NOBODY)

    def without(self, group_id: str, agent_id: str) -> Headcount:
        """The others' count."""
        return self.of(group_id).minus(self._parts.get((group_id, agent_id), NOBODY))

    def put(self, agent_id: str, groups: tuple[str, ...]) -> None:
        """The agent is in these groups from now on; `update` has to follow for each of them."""
        for group in self.groups_of(agent_id):
            if group not in groups:
                self._agents[group].discard(agent_id)
                self._set(group, agent_id, NOBODY)
        for group in groups:
            self._agents.setdefault(group, set()).add(agent_id)
        self._groups[agent_id] = groups

    def update(self, group_id: str, agent: Agent, queue: str) -> None:
        """An agent of this group has changed."""
        self._set(group_id, agent.id, headcount_of(agent, group_id, queue))

    def clear(self) -> None:
        for index in (self._groups, self._agents, self._counts, self._parts):
            index.clear()

    def _set(self, group_id: str, agent_id: str, now: Headcount) -> None:
        others = self.without(group_id, agent_id)
        self._counts[group_id] = Headcount(
            others.logged_in + now.logged_in,
            others.ready + now.ready,
            others.available + now.available,
        )
        if now == NOBODY:
            self._parts.pop((group_id, agent_id), None)
        else:
            self._parts[group_id, agent_id] = now
