"""An agent's own pause and return, in all of their groups' queues at once.

The personal queue follows by itself (`Agents.mirror`). A pause does not end a call or a ring that
is there already: app_queue offers no further one.
"""

from __future__ import annotations

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import PauseMember
from asterisk_avp.core.model.errors import UnknownAgent, WrongState
from asterisk_avp.core.pbx.agents import Agents

MAX_REASON = 79
"""What app_queue keeps of a reason (app_queue.c, ``reason_paused[80]``), in bytes."""


def pause(
    agents: Agents, agent_id: str, *, paused: bool, reason: str = ""
) -> tuple[PauseMember, ...]:
    """Raises `UnknownAgent`, and `WrongState` for an agent who is in no queue."""
    agent = agents.by_id.get(agent_id)
    if agent is None:
        raise UnknownAgent(agent_id)
    if not agent.memberships:
        raise WrongState("The agent is logged in to no queue.")
    kept = _kept(reason) if paused else ""
    return tuple(
        PauseMember(member.queue, member.interface, paused, kept)
        for member in agent.memberships.values()
    )


def _kept(reason: str) -> str:
    """``reason`` on one line and cut to what app_queue keeps; empty where it is not a clean name.

    The pause counts, whatever its reason says.
    """
    line = " ".join(reason.split())
    return clean.name(line.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore"))
