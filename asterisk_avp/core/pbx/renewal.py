"""Renew a dynamic membership, which ends its wrap-up.

app_queue offers a member no call until ``lastcall + wrapuptime`` (app_queue.c, ``can_ring_entry``
and ``is_member_available``). No action and no function changes ``lastcall``, except QueueReset,
which also does it for all other members of the queue and ends the record of their calls
(``clear_queue``). A member that is removed and added again has none. Static and realtime members
cannot be removed.

While the member is out, ``leavewhenempty`` may send waiting callers away (``wait_our_turn``). So
a placeholder with the same state keeps its place meanwhile. It can be rung in vain only: its
Local channel leads to a context that does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.messages.effects import AddMember, RemoveMember, SetRingInUse
from asterisk_avp.core.messages.facts import MemberSeen

PLACEHOLDER: Final = "Local/avp-renewal@avp-renewal/n"
"""The placeholder's interface, which belongs to no agent."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The changes that renew one membership. Asterisk must get them at once and in this order."""

    before: AddMember | None
    out: RemoveMember
    back: AddMember
    ring_in_use: SetRingInUse | None
    after: RemoveMember | None

    @property
    def changes(self) -> tuple[AddMember | RemoveMember | SetRingInUse, ...]:
        found = (self.before, self.out, self.back, self.ring_in_use, self.after)
        return tuple(change for change in found if change is not None)


def renewal(
    member: MemberSeen, *, unpaused: bool, penalty: int, needs_placeholder: bool
) -> Renewal:
    """Renew ``member`` as Asterisk has just reported it, with this penalty.

    ``unpaused``: it is not paused afterwards; otherwise its pause and the reason are kept.
    """
    back = AddMember(
        member.queue,
        member.interface,
        member.state_interface,
        member.name,
        paused=member.paused and not unpaused,
        wrapup_seconds=member.wrapup_seconds,
        penalty=penalty,
        reason="" if unpaused else member.paused_reason,
    )
    keeps = AddMember(
        member.queue, PLACEHOLDER, member.state_interface or member.interface, "", paused=False
    )
    return Renewal(
        keeps if needs_placeholder else None,
        RemoveMember(member.queue, member.interface),
        back,
        rings_in_use(member),
        RemoveMember(member.queue, PLACEHOLDER) if needs_placeholder else None,
    )


def rings_in_use(member: MemberSeen) -> SetRingInUse | None:
    """What keeps the member's own ``ringinuse``; None: it has not been read.

    QueueAdd has no such header, and gives a new member the queue's value (app_queue.c,
    ``add_to_queue``).
    """
    if member.ring_in_use is None:
        return None
    return SetRingInUse(member.queue, member.interface, member.ring_in_use)


@dataclass(slots=True)
class Placeholders:
    """Placeholders that a daemon has left behind, as a resync finds them."""

    queues: set[str] = field(default_factory=set)

    def seen(self, member: MemberSeen) -> bool:
        """Whether the member is a placeholder."""
        if member.interface != PLACEHOLDER:
            return False
        self.queues.add(member.queue)
        return True

    def removed(self) -> tuple[RemoveMember, ...]:
        found = tuple(RemoveMember(queue, PLACEHOLDER) for queue in sorted(self.queues))
        self.queues.clear()
        return found
