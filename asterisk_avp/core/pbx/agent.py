"""One agent: their memberships in app_queue, and the state that follows.

An agent has one membership for each group. The state combines them: logged in if a member of any
queue, not ready if paused in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import AgentState

# enum ast_device_state (include/asterisk/devicestate.h)
NOT_IN_USE = 1
IN_USE = frozenset({2, 3, 7, 8})  # in use, busy, ring in use, on hold
RINGING = 6
NOT_THERE = frozenset({4, 5})  # invalid, unavailable


@dataclass(slots=True)
class Agent:
    id: str
    memberships: dict[str, MemberSeen] = field(default_factory=dict)
    """Queue to membership, for group queues only."""
    personal: MemberSeen | None = None
    """Membership in the agent's personal queue."""
    waiting: set[str] = field(default_factory=set)
    """Channels that wait in the personal queue."""
    former_queues: set[str] = field(default_factory=set)
    """Group queues that the agent was in when last logged in."""
    acw_until: float = 0.0
    last_call: float = 0.0
    last_queue: str = ""
    """The queue that delivered the call that ended at ``last_call``; empty: unknown."""
    call_queue: str = ""
    """The queue that delivered the current call."""
    acw_scheduled: float = 0.0
    """The ``acw_until`` for which `Agents` has a timer."""
    last_call_estimated: bool = False
    """``last_call`` is the time of receipt; Asterisk may still report the exact one."""
    state: AgentState = AgentState.OFFLINE
    since: float = 0.0
    last_pause: tuple[bool, str] = (False, "")
    """Whether paused, and the reason, as last reported."""
    reported_paused: bool = False
    """AMI reports a pause that is still unverified; used for the text of a reason only."""
    pending_changes: frozenset[Effect] = frozenset()
    """Changes of the personal membership that were requested and are not confirmed yet."""

    @property
    def paused(self) -> bool:
        for member in self.memberships.values():
            if not member.paused:
                return False
        return bool(self.memberships)

    @property
    def pause_reason(self) -> str:
        """The pause reason; empty: none, or not paused."""
        if not self.paused:
            return ""
        return next((m.paused_reason for m in self.memberships.values() if m.paused_reason), "")

    @property
    def interfaces(self) -> set[str]:
        found = set()
        for member in self.memberships.values():
            found |= {member.interface, member.state_interface or member.interface}
        return found

    def membership(self, queue: str) -> MemberSeen | None:
        if self.personal is not None and self.personal.queue == queue:
            return self.personal
        return self.memberships.get(queue)

    def state_at(self, now: float) -> AgentState:
        members = list(self.memberships.values())
        everywhere = [*members, self.personal] if self.personal is not None else members
        if not members or all(m.status in NOT_THERE for m in members):
            return AgentState.OFFLINE
        if any(m.status in IN_USE or m.in_call for m in everywhere):
            return AgentState.TALKING
        if any(m.status == RINGING for m in everywhere):
            return AgentState.RINGING
        if now < self.acw_until:
            return AgentState.ACW
        if self.paused:
            return AgentState.NOT_READY
        return AgentState.AVAILABLE
