"""How long app_queue lets an agent wrap up, and when a wrap-up ends that a membership has missed.

app_queue times wrap-up from the member's ``lastcall``, which a member that is added has not, and
which nothing can set: it would be rung in the middle of after-call work. But ``can_ring_entry``
compares ``time() - lastcall`` with the member's own wrap-up time. So that time is the end of ACW in
Unix seconds instead: the member is rung when the clock reaches it, whether or not a daemon runs. An
``int`` has room for it until 2038-01-19.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.model.world import World

LEAST_END: Final = 1_000_000_000
"""Wrap-up times from here on are points in time (this one is in 2001)."""

_GREATEST: Final = 2_147_483_647


def with_end(end: float) -> int:
    """The wrap-up time of a member that is added before its agent's ACW ends."""
    return min(round(end), _GREATEST)


def end_of(wrapup_seconds: int) -> float:
    """The end of ACW that a member's wrap-up time is, in Unix seconds; 0: it is a duration."""
    return float(wrapup_seconds) if wrapup_seconds >= LEAST_END else 0.0


def longest_acw(world: World, groups: tuple[str, ...]) -> int:
    """The wrap-up time of a personal queue, so that a transferred call cannot shorten ACW."""
    return max((world.groups[group].acw_seconds for group in groups), default=0)
