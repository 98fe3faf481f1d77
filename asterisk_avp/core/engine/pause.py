"""Pause and unpause an agent in all queues of their groups at once.

The personal queue follows automatically (`PersonalQueues.mirror`). A pause ends neither a call
nor ringing that has begun; app_queue only offers no further call.
"""

from __future__ import annotations

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import PauseMember
from asterisk_avp.core.model.errors import UnknownAgent, WrongState
from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.core.pbx.agents import Agents

MAX_REASON = 79
"""Bytes of a reason that app_queue stores (app_queue.c, ``reason_paused[80]``)."""


def pause(
    agents: Agents, agent_id: str, *, paused: bool, reason: str = ""
) -> tuple[PauseMember, ...]:
    """The effects that pause or unpause the agent.

    Raises `UnknownAgent`, and `WrongState` for an agent who is not a member of any queue.
    """
    agent = agents.by_id.get(agent_id)
    if agent is None:
        raise UnknownAgent(agent_id)
    if not agent.memberships:
        raise WrongState("The agent is not logged in to any queue.", "not_logged_in")
    kept = _storable(reason) if paused else ""
    return tuple(
        PauseMember(member.queue, member.interface, paused, kept)
        for member in agent.memberships.values()
    )


def _storable(reason: str) -> str:
    """``reason`` on one line, truncated to `MAX_REASON`; empty where it is not a clean name.

    An unusable reason does not prevent the pause.
    """
    line = " ".join(reason.split())
    kept = clean.name(line.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore"))
    return "" if kept == ACW_REASON else kept  # which would not count as a break
