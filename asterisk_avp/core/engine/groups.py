"""Agent groups: who is logged in, and how many callers wait. Pure.

How many callers wait is what Asterisk answers (QueueSummary). Its events are only the occasion to
ask, because callers can forge them (`core.messages.facts.QueueWaiting`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.engine import work
from asterisk_avp.core.messages.facts import QueueWaiting
from asterisk_avp.core.model.work import GroupView, MembershipView
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.headcount import headcount_of

_SAME_SECONDS: Final = 2.0
"""Answers in whole seconds differ by this much for the same caller."""


@dataclass(slots=True)
class Waiting:
    callers: int = 0
    since: float | None = None
    """When the first of them joined, in Unix seconds; None: nobody waits."""


@dataclass(slots=True)
class WaitingCallers:
    """The callers who wait in groups' queues."""

    by_group: dict[str, Waiting] = field(default_factory=dict)
    elsewhere: dict[str, dict[str, Waiting]] = field(default_factory=dict)
    """Group to node, with those who wait there."""

    def update(self, group_id: str | None, fact: QueueWaiting, others: int = 0) -> None:
        """``group_id``: None where the queue is no group's. ``others``: callers of other nodes."""
        if group_id is None:
            return
        known = self.by_group.setdefault(group_id, Waiting())
        callers = max(0, fact.callers - others)
        since = fact.now - fact.longest_seconds if callers else None
        if known.since is None or since is None or abs(since - known.since) > _SAME_SECONDS:
            known.since = since
        known.callers = callers

    def of(self, group_id: str) -> Waiting:
        """Those of the whole call centre."""
        here, others = self.here(group_id), self.elsewhere.get(group_id)
        if not others:
            return here
        every = (here, *others.values())
        since = min((x.since for x in every if x.callers and x.since is not None), default=None)
        return Waiting(sum(x.callers for x in every), since)

    def here(self, group_id: str) -> Waiting:
        """Those who wait on this node."""
        return self.by_group.get(group_id, Waiting())

    def retain(self, groups: Iterable[str]) -> None:
        """Forget all other groups."""
        kept = set(groups)
        for known in (self.by_group, self.elsewhere):
            for group_id in known.keys() - kept:
                del known[group_id]


def group_view(agents: Agents, waiting: WaitingCallers, group_id: str) -> GroupView:
    """The group as everybody sees it who may see it. Raises `KeyError`."""
    group = agents.world.groups[group_id]
    there = agents.headcounts.of(group_id)
    waits = waiting.of(group_id)
    return GroupView(
        group.id,
        group.name,
        there.logged_in,
        there.ready,
        there.available,
        waits.callers,
        waits.since,
    )


def membership(agents: Agents, agent: Agent, group_id: str) -> MembershipView:
    queue = agents.world.groups[group_id].queue
    member = agent.memberships.get(queue)
    elsewhere = agent.remote is not None and group_id in agent.remote.logged_in
    if member is not None or elsewhere:
        dynamic = member is not None and member.dynamic and not elsewhere
        may: tuple[str, ...] = ("logout",) if dynamic else ()
        counted = headcount_of(agent, group_id, queue)
        return MembershipView(
            group_id,
            member=True,
            dynamic=dynamic,
            actions=may,
            logged_in=bool(counted.logged_in),
            ready=bool(counted.ready),
            available=bool(counted.available),
        )
    may = ("login",) if work.may_log_in(agents, agent, group_id) else ()
    return MembershipView(group_id, member=False, dynamic=bool(may), actions=may)


def memberships(agents: Agents, agent: Agent) -> tuple[MembershipView, ...]:
    """The agent and each of their groups, in the configuration's order."""
    return tuple(membership(agents, agent, group) for group in agents.groups_of(agent.id))
