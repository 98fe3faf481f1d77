"""Mirrors each agent's memberships and pause in the agent's personal queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import AddMember, Effect, PauseMember, RemoveMember
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import personal_queue
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents


class Wanted(NamedTuple):
    """The membership that an agent's personal queue should have."""

    interface: str
    state_interface: str
    name: str
    paused: bool
    wrapup_seconds: int


class PersonalQueues:
    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def mirror(self, agent: Agent) -> tuple[Effect, ...]:
        """What makes the personal queue's membership follow the agent's.

        Asterisk confirms each change; until then the same is not asked for again.
        """
        wanted = self._wanted(agent)
        effects = tuple(_difference(agent.id, agent.personal, wanted, waiting=bool(agent.waiting)))
        fresh = frozenset(effects)
        if fresh == agent.mirror_pending:
            return ()
        agent.mirror_pending = fresh
        return effects

    def mirror_all(self) -> tuple[Effect, ...]:
        """The same for everyone, after a resync."""
        effects: list[Effect] = []
        for agent in self._agents.by_id.values():
            agent.mirror_pending = frozenset()
            effects.extend(self.mirror(agent))
        return tuple(effects)

    def _wanted(self, agent: Agent) -> Wanted | None:
        first = self._agents.first_membership(agent)
        if first is None:
            return None
        return Wanted(
            first.interface,
            first.state_interface,
            first.name,
            agent.paused,
            self._wanted_wrapup(agent),
        )

    def _wanted_wrapup(self, agent: Agent) -> int:
        """A member's own wrap-up wins over the queue's, so the personal one must not be shorter."""
        members = agent.memberships.values()
        if not any(member.wrapup_seconds for member in members):
            return 0
        return max(self._agents.wrapup_seconds(agent, member) for member in members)


def _difference(
    agent_id: str, actual: MemberSeen | None, wanted: Wanted | None, *, waiting: bool
) -> Iterator[Effect]:
    """The effects that turn ``actual`` into ``wanted``.

    ``waiting``: whether a call waits in the queue.
    """
    queue = personal_queue(agent_id)
    if actual is not None and (wanted is None or _another(actual, wanted, waiting=waiting)):
        yield RemoveMember(queue, actual.interface)
        actual = None
    if wanted is None:
        return
    if actual is None:
        yield AddMember(
            queue,
            wanted.interface,
            wanted.state_interface,
            clean.member_name(wanted.name),
            wanted.paused,
            wanted.wrapup_seconds,
        )
    elif actual.paused != wanted.paused:
        yield PauseMember(queue, wanted.interface, wanted.paused)


def _another(actual: MemberSeen, wanted: Wanted, *, waiting: bool) -> bool:
    """Whether the member must be removed and added again to match ``wanted``."""
    if actual.interface != wanted.interface:
        return True
    # AMI cannot change a member's wrap-up, and removal would eject a waiting call from the queue.
    return actual.wrapup_seconds != wanted.wrapup_seconds and not waiting
