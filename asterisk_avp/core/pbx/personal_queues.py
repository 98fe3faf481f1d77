"""What makes a personal queue's membership follow its agent's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import AddMember, Effect, PauseMember, RemoveMember
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import personal_queue


class Wanted(NamedTuple):
    """The membership of an agent's personal queue as it should be."""

    interface: str
    state_interface: str
    name: str
    paused: bool
    wrapup_seconds: int


def difference(
    agent_id: str, actual: MemberSeen | None, wanted: Wanted | None, *, waiting: bool
) -> Iterator[Effect]:
    """What makes the membership as it should be. ``waiting``: whether a call waits in the queue."""
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
    """Whether the member must be taken out and put in again to become the one that is wanted."""
    if actual.interface != wanted.interface:
        return True
    # AMI cannot change a member's wrap-up; a call that waits would be thrown out of the queue.
    return actual.wrapup_seconds != wanted.wrapup_seconds and not waiting
