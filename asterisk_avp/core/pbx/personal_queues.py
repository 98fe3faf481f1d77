"""Mirror each agent's memberships and pause in the agent's personal queue.

While ACW is extended, its penalty is the end of the extension (`core.pbx.extended_acw`).

Whoever is a member of one group as ``PJSIP/1002`` and of another as ``Local/1002@from-queue/n`` has
one membership in the personal queue that is rung, by the interface in their first group. The others
are there, too, and always paused: app_queue compares the weights of queues that have the same
interface, paused or not (app_queue.c, ``compare_weight``), so that a transferred call comes before
the calls of every group. A paused member does not count as available to take it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import (
    AddMember,
    Effect,
    PauseMember,
    RemoveMember,
    SetPenalty,
)
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import personal_queue
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.extended_acw import MAX_RUNG_PENALTY, penalty_of


class DesiredMembership(NamedTuple):
    """The membership that an agent's personal queue should have."""

    interface: str
    state_interface: str
    name: str
    paused: bool
    wrapup_seconds: int
    penalty: int


class PersonalQueues:
    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def mirror(self, agent: Agent) -> tuple[Effect, ...]:
        """The effects that make the personal queue's membership follow the agent's.

        Asterisk confirms each change; until then, the same effects are not returned again.
        """
        desired = self._desired(agent)
        others = {x.interface: x for x in agent.memberships.values()}
        if desired is not None:
            agent.elect(desired.interface)
            others.pop(desired.interface, None)
        effects = (
            *_difference(agent.id, agent.personal, desired, others, waiting=bool(agent.waiting)),
            *_others(agent, desired, others),
        )
        if effects == agent.pending_changes:
            return ()
        agent.pending_changes = effects
        return effects

    def mirror_all(self) -> tuple[Effect, ...]:
        """The same for all agents, after a resync."""
        effects: list[Effect] = []
        for agent in self._agents.by_id.values():
            agent.pending_changes = ()
            effects.extend(self.mirror(agent))
        return tuple(effects)

    def _desired(self, agent: Agent) -> DesiredMembership | None:
        first = self._agents.first_membership(agent)
        if first is None:
            return None
        return DesiredMembership(
            first.interface,
            first.state_interface,
            first.name,
            agent.paused,
            self._desired_wrapup(agent),
            # The renewed membership has none; what confirms it must not bring the extension back.
            0 if agent.acw_ending else penalty_of(agent.extended_until),
        )

    def _desired_wrapup(self, agent: Agent) -> int:
        """A member's own wrap-up overrides the queue's; the personal one must not be shorter."""
        members = agent.memberships.values()
        if not any(member.wrapup_seconds for member in members):
            return 0
        return max(self._agents.wrapup_seconds(agent, member) for member in members)


def _others(
    agent: Agent, desired: DesiredMembership | None, wanted: Mapping[str, MemberSeen]
) -> Iterator[Effect]:
    """The effects on the memberships that are never rung."""
    queue = personal_queue(agent.id)
    actual = dict(agent.others)
    if agent.personal is not None and agent.personal.interface in wanted:
        actual[agent.personal.interface] = agent.personal
    for interface, member in actual.items():
        if interface not in wanted:
            yield RemoveMember(queue, interface)
        elif not member.paused:
            yield PauseMember(queue, interface, paused=True)
    for interface, member in wanted.items():
        if interface not in actual and desired is not None:
            name = clean.member_name(desired.name)
            yield AddMember(queue, interface, member.state_interface, name, paused=True)


def _difference(
    agent_id: str,
    actual: MemberSeen | None,
    desired: DesiredMembership | None,
    others: Container[str],
    *,
    waiting: bool,
) -> Iterator[Effect]:
    """The effects that turn ``actual`` into ``desired``.

    ``others``: interfaces that stay in the queue beside it. ``waiting``: whether a call waits
    there.
    """
    queue = personal_queue(agent_id)
    if actual is not None and actual.interface in others:
        actual = None
    if actual is not None and (desired is None or _must_replace(actual, desired, waiting=waiting)):
        yield RemoveMember(queue, actual.interface)
        actual = None
    if desired is None:
        return
    if actual is None:
        yield AddMember(
            queue,
            desired.interface,
            desired.state_interface,
            clean.member_name(desired.name),
            desired.paused,
            desired.wrapup_seconds,
            desired.penalty,
        )
        return
    # Others may give it a penalty, with all memberships of the phone; that does no harm.
    if (actual.penalty > MAX_RUNG_PENALTY or desired.penalty) and actual.penalty != desired.penalty:
        yield SetPenalty(queue, desired.interface, desired.penalty)
    if actual.paused != desired.paused:
        yield PauseMember(queue, desired.interface, desired.paused)


def _must_replace(actual: MemberSeen, desired: DesiredMembership, *, waiting: bool) -> bool:
    """Whether the member must be removed and added again to match ``wanted``."""
    if actual.interface != desired.interface:
        return True
    # AMI cannot change a member's wrap-up, and removal would eject a waiting call from the queue.
    return actual.wrapup_seconds != desired.wrapup_seconds and not waiting
