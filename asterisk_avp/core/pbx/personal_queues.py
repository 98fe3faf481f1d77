"""The members of the agents' personal queues: there only while somebody needs them.

app_queue goes through the members of all queues for each change of a phone's state. So an agent is
a member of their personal queue only while a transferred call waits for them, is on its way, may
return to them, or was delivered from it, and while they transfer a call or extend ACW (``wanted``).
The member is added before the call enters the queue; from there on app_queue needs no daemon. As
long as it is there, pauses and log-outs are mirrored. Once nobody needs it, it stays for
`GRACE_SECONDS`, and is then removed, one agent at a time, but for the last `KEPT`. So are all those
that an earlier version has left.

A member that is added during ACW is not rung before its end (`core.pbx.wrapup`). While ACW is
extended, its penalty is the end of the extension (`core.pbx.extended_acw`).

Whoever is a member of one group as ``PJSIP/1002`` and of another as ``Local/1002@from-queue/n`` has
one membership in the personal queue that is rung, by the interface in their first group. The others
are there, too, and always paused: app_queue compares the weights of queues that have the same
interface, paused or not (app_queue.c, ``compare_weight``), so that a transferred call comes before
the calls of every group. A paused member does not count as available to take it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Final, NamedTuple

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
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from asterisk_avp.core.pbx.wrapup import end_of, with_end

KEPT: Final = 2
"""So many agents stay members whom nobody needs: after their next call, their memberships show
whether app_queue still notes its end in all queues (`core.pbx.shared_lastcall`)."""

GRACE_SECONDS: Final = 5.0
"""How long a member stays that nobody needs: the dialplan looks at it after a call has left the
queue (avp-unplugged), and the next transfer to the same agent finds it there."""


class DesiredMembership(NamedTuple):
    """The membership that an agent's personal queue should have."""

    interface: str
    state_interface: str
    name: str
    paused: bool
    wrapup_seconds: int
    acw_end: int
    """The end of ACW in Unix seconds, which the member must not be rung before; 0: it may be."""
    penalty: int


class PersonalQueues:
    def __init__(self, agents: Agents, wanted: Callable[[Agent], bool]) -> None:
        self._agents = agents
        self._wanted = wanted
        self._surplus: dict[str, float] = {}
        """Agents with a member that nobody needs, since when in Unix seconds; the first first."""

    def mirror(self, agent: Agent, now: float) -> tuple[Effect, ...]:
        """The effects that make the personal queue's members what they should be.

        Asterisk confirms each change; until then, the same effects are not returned again.
        """
        wanted = self._wanted(agent)
        if wanted:
            self._surplus.pop(agent.id, None)
        elif _removable(agent):
            self._surplus.setdefault(agent.id, now)
        elif agent.personal is None:
            agent.pending_changes = ()
            return ()
        desired = self._desired(agent, now)
        others = {x.interface: x for x in agent.memberships.values()}
        if desired is not None:
            agent.elect(desired.interface)
            others.pop(desired.interface, None)
        effects = (
            *_difference(agent, desired, others, now),
            *_others(agent, desired, others),
        )
        if not wanted and desired is not None:
            effects = tuple(x for x in effects if isinstance(x, PauseMember | SetPenalty))
        if effects == agent.pending_changes:
            return ()
        agent.pending_changes = effects
        return effects

    def mirror_all(self, now: float) -> tuple[Effect, ...]:
        """The same for all agents, after a resync."""
        effects: list[Effect] = []
        for agent in self._agents.by_id.values():
            agent.pending_changes = ()
            effects.extend(self.mirror(agent, now))
        return tuple(effects)

    def surplus(self) -> int:
        """How many agents have a member that nobody needs and that does not stay."""
        return max(0, len(self._surplus) - KEPT)

    def removals(self, now: float) -> tuple[Effect, ...]:
        """The effects that remove the members of one agent that nobody has needed for a while."""
        while len(self._surplus) > KEPT:
            agent_id, since = next(iter(self._surplus.items()))
            if now < since + GRACE_SECONDS:
                break
            del self._surplus[agent_id]
            agent = self._agents.by_id.get(agent_id)
            if agent is not None and not self._wanted(agent) and (found := _removable(agent)):
                return tuple(RemoveMember(personal_queue(agent_id), i) for i in found)
        return ()

    def _desired(self, agent: Agent, now: float) -> DesiredMembership | None:
        first = self._agents.first_membership(agent)
        if first is None:
            return None
        # At the end of a call, app_queue itself notes it for the member.
        in_call = any(member.in_call for member in agent.memberships.values())
        in_acw = now < agent.acw_until and not agent.acw_ending and not in_call
        return DesiredMembership(
            first.interface,
            first.state_interface,
            first.name,
            agent.paused,
            # A member's own wrap-up overrides the queue's; the personal one must not be shorter.
            self._agents.own_wrapup(agent),
            with_end(agent.acw_until) if in_acw else 0,
            # The renewed membership has none; what confirms it must not bring the extension back.
            0 if agent.acw_ending else penalty_of(agent.extended_until),
        )


def _removable(agent: Agent) -> list[str]:
    """The interfaces of the personal queue's members that can be removed."""
    members = (*agent.others.values(), *([agent.personal] if agent.personal is not None else []))
    return [member.interface for member in members if member.dynamic]


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
    agent: Agent, desired: DesiredMembership | None, others: Container[str], now: float
) -> Iterator[Effect]:
    """The effects that turn the agent's member into ``desired``.

    ``others``: interfaces that stay in the queue beside it.
    """
    queue, actual = personal_queue(agent.id), agent.personal
    if actual is not None and actual.interface in others:
        actual = None
    keeps_place = False
    if actual is not None and (desired is None or _must_replace(agent, actual, desired, now)):
        # Otherwise a call that waits would find the queue empty, and leave (`core.pbx.renewal`),
        # and one that is on its way could not enter.
        keeps_place = desired is not None
        if keeps_place:
            phone = actual.state_interface or actual.interface
            yield AddMember(queue, PLACEHOLDER, phone, "", paused=False)
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
            desired.acw_end or desired.wrapup_seconds,
            desired.penalty,
        )
        if keeps_place:
            yield RemoveMember(queue, PLACEHOLDER)
        return
    # Others may give it a penalty, with all memberships of the phone; that does no harm.
    if (actual.penalty > MAX_RUNG_PENALTY or desired.penalty) and actual.penalty != desired.penalty:
        yield SetPenalty(queue, desired.interface, desired.penalty)
    if actual.paused != desired.paused:
        yield PauseMember(queue, desired.interface, desired.paused)


def _must_replace(agent: Agent, actual: MemberSeen, desired: DesiredMembership, now: float) -> bool:
    """Whether the member must be removed and added again: AMI cannot change its wrap-up."""
    if actual.interface != desired.interface:
        return True
    if agent.acw_ending:
        return False  # it is being renewed
    if not (end := end_of(actual.wrapup_seconds)):
        if desired.acw_end and not actual.last_call and actual.login_time >= agent.last_call:
            return True  # added when the end of the call was not known here yet
        # A waiting call loses nothing by it.
        return actual.wrapup_seconds != desired.wrapup_seconds and not agent.waiting
    if actual.last_call > 0 or agent.last_call >= end:
        return True  # a call has ended since, which makes a duration of it: it would ring nobody
    return end != desired.acw_end and (now < end or not agent.waiting)
