"""What this node tells the others of its agents and its queues, from the engine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from asterisk_avp.cluster.messages import Told, Waits
from asterisk_avp.cluster.wire import PAGE
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.core.pbx.agent import NOT_THERE, Agent, on_break


def own_agent(engine: TransferEngine, agent: Agent, node: str) -> RemoteAgent:
    """One of this node's agents, as the other nodes are told."""
    agents = engine.agents
    there = [m for m in agent.memberships.values() if m.status not in NOT_THERE]
    name = agents.name_of(agent.id)
    return RemoteAgent(
        node=node,
        state=agent.state,
        since=agent.since,
        groups=agents.groups_of(agent.id),
        logged_in=_groups(engine, (m.queue for m in there)),
        on_break=_groups(engine, (m.queue for m in there if on_break(m))),
        paused=agent.paused,
        pause_reason=agent.pause_reason,
        acw_end=agent.acw_end if agent.state is AgentState.ACW else 0.0,
        waiting_transfer=engine.slot_taken(agent.id),
        name=name if name != agent.id else "",
    )


def _groups(engine: TransferEngine, queues: Iterable[str]) -> tuple[str, ...]:
    found = map(engine.agents.group_of_queue, queues)
    return tuple(sorted(group for group in found if group is not None))


class OwnAgents:
    """What was told of this node's agents, with the number of the message."""

    def __init__(self, engine: TransferEngine, node: str) -> None:
        self._engine = engine
        self._node = node
        self._told: dict[str, Told] = {}
        self._ids: list[str] | None = None
        self.seq = 0

    def changed(
        self, changed: Iterable[str], held: Mapping[str, int]
    ) -> tuple[tuple[Told, ...], tuple[str, ...]]:
        """The agents of ``changed`` of whom something else has to be told, and those who are gone.

        Where there are any, `seq` is the number of the message that tells it.
        """
        news, gone = [], []
        for agent_id in changed:
            agent, revision = self._engine.agents.by_id.get(agent_id), held.get(agent_id)
            if agent is None or revision is None or agent.remote is not None:
                if self._told.pop(agent_id, None) is not None:
                    gone.append(agent_id)
                    self._ids = None
                continue
            now = Told(agent_id, revision, 0, own_agent(self._engine, agent, self._node))
            before = self._told.get(agent_id)
            if before is None:
                self._ids = None
            elif before._replace(seq=0) == now:
                continue
            news.append(now)
        if not news and not gone:
            return (), ()
        self.seq += 1
        numbered = tuple(told._replace(seq=self.seq) for told in news)
        self._told.update((told.id, told) for told in numbered)
        return numbered, tuple(gone)

    def page(self, after: str) -> tuple[tuple[Told, ...], str]:
        """The agents after this id, and the last of them if there are more."""
        if self._ids is None:
            self._ids = sorted(self._told)
        first = bisect_right(self._ids, after) if after else 0
        some = self._ids[first : first + PAGE]
        more = first + PAGE < len(self._ids)
        return tuple(self._told[agent] for agent in some), some[-1] if more else ""


class OwnGroups:
    """How many callers wait in this node's queues, as it was told."""

    def __init__(self, engine: TransferEngine) -> None:
        self._engine = engine
        self._told: dict[str, Waits] = {}

    def changed(self) -> tuple[Waits, ...]:
        news = []
        for group in self._engine.world.groups:
            here = self._engine.waiting.here(group)
            now = Waits(group, here.callers, here.since)
            if self._told.get(group, Waits(group, 0, None)) != now:
                self._told[group] = now
                news.append(now)
        return tuple(news)

    def forget(self) -> None:
        """Tell all of them again."""
        self._told = {group: Waits(group, -1, None) for group in self._engine.world.groups}
