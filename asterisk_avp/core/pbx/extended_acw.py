"""After-call work (ACW) that the agent has extended beyond app_queue's wrap-up.

app_queue cannot make a member's wrap-up longer. So the group memberships are paused for the reason
`agent.ACW_REASON`. The personal membership is not: a paused member makes that queue empty, which
would send a waiting transferred call away. Its penalty is the end of the extension instead, and the
dialplan lets transferred calls wait for such a member (QUEUE_MAX_PENALTY in
``avp-queue-parameters``). So Asterisk itself keeps the end for the next daemon.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.messages.effects import PauseMember
from asterisk_avp.core.pbx.agent import Agent, on_break

_EPOCH: Final = 1_577_836_800
"""2020-01-01, so that a penalty (``int``) lasts until 2088."""

MAX_RUNG_PENALTY: Final = 1_000_000
"""The dialplan lets transferred calls wait for a member with a greater penalty."""


def penalty_of(extended_until: float) -> int:
    """The personal membership's penalty while ACW is extended; 0: it is not."""
    return max(0, round(extended_until) - _EPOCH) if extended_until else 0


def end_of(penalty: int) -> float:
    """The end of the extension with this penalty in Unix seconds; 0: none."""
    return float(penalty + _EPOCH) if penalty > MAX_RUNG_PENALTY else 0.0


def restored(agent: Agent, now: float) -> tuple[PauseMember, ...]:
    """Take over the extension that Asterisk has kept, after a resync."""
    if agent.personal is not None:
        agent.extended_until = end_of(agent.personal.penalty)
    agent.pending_unpauses = ()
    return settled(agent, now)


def settled(agent: Agent, now: float) -> tuple[PauseMember, ...]:
    """The effects that end the pauses of an extension that is over, whoever began it.

    Asterisk confirms each; until then, the same effects are not returned again.
    """
    if agent.extended_until and now >= agent.extended_until:
        agent.extended_until = 0.0
    found = tuple(
        PauseMember(member.queue, member.interface, paused=False)
        for member in agent.memberships.values()
        if member.paused and not on_break(member)
    )
    given_up = agent.acw_ending and not agent.extended_until
    if found and now < agent.acw_end and not given_up:
        agent.extended_until = agent.extended_until or agent.acw_end
        found = ()
    if found == agent.pending_unpauses:
        return ()
    agent.pending_unpauses = found
    return found
