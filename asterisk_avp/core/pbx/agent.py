"""One agent: what app_queue says of their memberships, and the state that follows from it.

An agent has one membership for each group. Their state is taken from all of them: logged in if in
any, on a break if paused in all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import AgentState

# enum ast_device_state (include/asterisk/devicestate.h)
_IN_USE = frozenset({2, 3, 7, 8})  # in use, busy, ring in use, on hold
_RINGING = 6
_NOT_THERE = frozenset({4, 5})  # invalid, unavailable


@dataclass(slots=True)
class Agent:
    id: str
    memberships: dict[str, MemberSeen] = field(default_factory=dict)
    """By queue: the group queues only."""
    personal: MemberSeen | None = None
    """Membership in the agent's own personal queue."""
    waiting: set[str] = field(default_factory=set)
    """Channels that wait in the personal queue."""
    left: set[str] = field(default_factory=set)
    """Group queues the agent was a member of when last a member of any."""
    acw_until: float = 0.0
    last_call: float = 0.0
    last_queue: str = ""
    """The queue that delivered the call that ended at ``last_call``; empty: not known."""
    call_queue: str = ""
    """The queue that delivered the call that goes on."""
    acw_noted: float = 0.0
    """The ``acw_until`` that `Agents` waits for."""
    last_call_guessed: bool = False
    """``last_call`` is when we heard that the call had ended; Asterisk may know better."""
    state: AgentState = AgentState.OFFLINE
    since: float = 0.0
    shown_pause: tuple[bool, str] = (False, "")
    """Whether paused and why, as it was told last."""
    said_paused: bool = False
    """AMI has said so, and Asterisk is being asked: good for nothing but a reason in words."""
    mirror_pending: frozenset[Effect] = frozenset()
    """Changes of the personal membership that were asked for and not confirmed yet."""

    @property
    def paused(self) -> bool:
        for member in self.memberships.values():
            if not member.paused:
                return False
        return bool(self.memberships)

    @property
    def pause_reason(self) -> str:
        """What was said when they paused; empty where nothing was, or they are not paused."""
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
        if not members or all(m.status in _NOT_THERE for m in members):
            return AgentState.OFFLINE
        if any(m.status in _IN_USE or m.in_call for m in everywhere):
            return AgentState.TALKING
        if any(m.status == _RINGING for m in everywhere):
            return AgentState.RINGING
        if now < self.acw_until:
            return AgentState.ACW
        if self.paused:
            return AgentState.NOT_READY
        return AgentState.AVAILABLE
