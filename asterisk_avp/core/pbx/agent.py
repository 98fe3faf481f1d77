"""One agent: their memberships in app_queue, and the state that follows.

An agent has one membership for each group. The state combines them: logged in if a member of any
queue, not ready if paused in all of them.

After-call work (ACW) ends with app_queue's wrap-up, unless the agent has extended it: then the
daemon pauses the memberships for the reason `ACW_REASON` until ``extended_until``. Such a pause is
no break: the agent is in ACW, and transferred calls may wait for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState

# enum ast_device_state (include/asterisk/devicestate.h)
NOT_IN_USE = 1
IN_USE = frozenset({2, 3, 7, 8})  # in use, busy, ring in use, on hold
RINGING = 6
NOT_THERE = frozenset({4, 5})  # invalid, unavailable

ACW_REASON: Final = "AVP-ACW"
"""The reason of a pause that extends ACW. No administrator's or agent's reason may be the same."""


def on_break(member: MemberSeen) -> bool:
    """Whether the member is paused for another reason than ACW that the daemon keeps."""
    return member.paused and member.paused_reason != ACW_REASON


@dataclass(slots=True)
class Agent:
    id: str
    memberships: dict[str, MemberSeen] = field(default_factory=dict)
    """Queue to membership, for group queues only."""
    personal: MemberSeen | None = None
    """Membership in the agent's personal queue."""
    others: dict[str, MemberSeen] = field(default_factory=dict)
    """Interface to further memberships in it (`core.pbx.personal_queues`)."""
    waiting: set[str] = field(default_factory=set)
    """Channels that wait in the personal queue."""
    former_queues: set[str] = field(default_factory=set)
    """Group queues that the agent was in when last logged in."""
    left: dict[str, MemberSeen] = field(default_factory=dict)
    """Queue to membership, of the groups that the agent logged out of through the daemon."""
    acw_until: float = 0.0
    """The end of app_queue's wrap-up in Unix seconds."""
    extended_until: float = 0.0
    """Until when the agent has extended ACW; 0: not at all."""
    acw_ended_call: float = 0.0
    """The ``last_call`` whose ACW the agent has ended early."""
    last_call: float = 0.0
    last_queue: str = ""
    """The queue that delivered the call that ended at ``last_call``; empty: unknown."""
    call_queue: str = ""
    """The queue that delivered the current call."""
    call_since: float = 0.0
    """When the current or last call of a queue was first seen, in Unix seconds; 0: none was."""
    acw_scheduled: float = 0.0
    """The ``acw_end`` for which `Agents` has a timer."""
    last_call_estimated: bool = False
    """``last_call`` is the time of receipt; Asterisk may still report the exact one."""
    state: AgentState = AgentState.OFFLINE
    since: float = 0.0
    last_pause: tuple[bool, str] = (False, "")
    """Whether paused, and the reason, as last reported."""
    last_acw_end: float = 0.0
    """``acw_end`` as last reported."""
    last_members: tuple[tuple[object, ...], ...] = ()
    """What is told of each group's membership, as last reported."""
    reported_paused: bool = False
    """AMI reports a pause that is still unverified; used for the text of a reason only."""
    acw_ending: bool = False
    """The agent has asked for the end of ACW, and Asterisk is making it (`core.engine.acw`)."""
    pending_changes: tuple[Effect, ...] = ()
    """Changes of the personal membership that were requested and are not confirmed yet."""
    pending_unpauses: tuple[Effect, ...] = ()
    """Pauses of an extended ACW whose end was requested and is not confirmed yet."""
    remote: RemoteAgent | None = None
    """What another node tells of the agent, if they are at home there."""

    @property
    def paused(self) -> bool:
        """Whether on a break: paused in all groups, and not only to extend ACW."""
        if self.remote is not None:
            return self.remote.paused
        for member in self.memberships.values():
            if not on_break(member):
                return False
        return bool(self.memberships)

    @property
    def acw_end(self) -> float:
        """The end of ACW in Unix seconds, whether or not the agent is in ACW."""
        if self.remote is not None:
            return self.remote.acw_end
        return max(self.acw_until, self.extended_until)

    @property
    def pending(self) -> tuple[Effect, ...]:
        """What Asterisk has not confirmed yet of what follows from the agent's state."""
        return self.pending_changes + self.pending_unpauses

    @property
    def pause_reason(self) -> str:
        """The pause reason; empty: none, or not paused."""
        if self.remote is not None:
            return self.remote.pause_reason
        if not self.paused:
            return ""
        return next((m.paused_reason for m in self.memberships.values() if m.paused_reason), "")

    @property
    def interfaces(self) -> set[str]:
        found = set()
        for member in self.memberships.values():
            found |= {member.interface, member.state_interface or member.interface}
        return found

    def news(self, acw_end: float) -> bool:
        """Note what the agent's views tell of pause, ACW and memberships; whether it has changed.

        ``acw_end``: the end of ACW that is told; 0: the agent is not in ACW.
        """
        pause = self.paused, self.pause_reason
        # Their groups' counts change with status and pause, also while the state stays.
        members: tuple[tuple[object, ...], ...] = tuple(
            sorted(
                (m.queue, m.dynamic, m.name, m.status in NOT_THERE, on_break(m))
                for m in self.memberships.values()
            )
        )
        if self.remote is not None:
            members = (*members, (self.remote,))
        same = (pause, acw_end, members) == (self.last_pause, self.last_acw_end, self.last_members)
        self.last_pause, self.last_acw_end, self.last_members = pause, acw_end, members
        return not same

    def seen_in_personal(self, seen: MemberSeen) -> None:
        """Take over a membership in the personal queue, as reported."""
        first = self.personal is None or self.personal.interface == seen.interface
        if first and seen.interface not in self.others:
            self.personal = seen
        else:
            self.others[seen.interface] = seen

    def removed_from_personal(self, interface: str) -> None:
        self.others.pop(interface, None)
        if self.personal is not None and self.personal.interface == interface:
            self.personal = None

    def elect(self, interface: str) -> None:
        """Let the interface's membership in the personal queue, if there is one, be `personal`."""
        if interface in self.others:
            found = self.others.pop(interface)
            if self.personal is not None:
                self.others[self.personal.interface] = self.personal
            self.personal = found

    def member(self, queue: str, interface: str) -> MemberSeen | None:
        """The membership of this interface in the queue; None: there is none."""
        known = self.membership(queue)
        if known is not None and known.interface == interface:
            return known
        other = self.others.get(interface)
        return other if other is not None and other.queue == queue else None

    def membership(self, queue: str) -> MemberSeen | None:
        if self.personal is not None and self.personal.queue == queue:
            return self.personal
        return self.memberships.get(queue)

    def call_over(self, queue: str, interface: str) -> bool:
        """The queue's call with this member has ended; whether it was known as being in a call.

        app_queue reports a member as its device state changes (app_queue.c, update_status). If the
        phone was free before the call ended, because a colleague had picked it up, no report
        follows.
        """
        known = self.member(queue, interface)
        if known is None or not known.in_call:
            return False
        ended = replace(known, in_call=False)
        if self.personal is known:
            self.personal = ended
        elif self.memberships.get(queue) is known:
            self.memberships[queue] = ended
        else:
            self.others[interface] = ended
        return True

    @property
    def remote_groups(self) -> tuple[str, ...]:
        """The groups that another node tells of."""
        return self.remote.groups if self.remote is not None else ()

    @property
    def told_name(self) -> str:
        """The name that a queue or another node has; empty: none."""
        for member in self.memberships.values():
            if member.name and member.name != member.interface:
                return member.name
        return self.remote.name if self.remote is not None else ""

    @property
    def told_since(self) -> float:
        """When another node's agent entered the state, in Unix seconds; 0: not told."""
        there = self.remote is not None and self.remote.reachable
        return self.remote.since if there and self.remote is not None else 0.0

    @property
    def is_awaited(self) -> bool:
        """Whether a transferred call waits in the personal queue, here or on another node."""
        return bool(self.waiting) or (self.remote is not None and self.remote.waiting_transfer)

    @property
    def there(self) -> bool:
        """Whether logged in on this node: member of a group's queue, by a phone that is there."""
        return any(member.status not in NOT_THERE for member in self.memberships.values())

    def awaits_acw_end(self, state: AgentState) -> bool:
        """Whether the daemon has to know of the end of ACW; another node ends its own agents'."""
        return self.remote is None and (state is AgentState.ACW or bool(self.extended_until))

    def state_at(self, now: float) -> AgentState:
        if self.remote is not None:
            return self.remote.state if self.remote.reachable else AgentState.OFFLINE
        members = list(self.memberships.values())
        everywhere = [*members, self.personal] if self.personal is not None else members
        if not members or all(m.status in NOT_THERE for m in members):
            return AgentState.OFFLINE
        if any(m.status in IN_USE or m.in_call for m in everywhere):
            return AgentState.TALKING
        if any(m.status == RINGING for m in everywhere):
            return AgentState.RINGING
        if now < self.acw_end:
            return AgentState.ACW
        if self.paused:
            return AgentState.NOT_READY
        return AgentState.AVAILABLE
