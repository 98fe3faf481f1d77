"""Which calls' groups have to be read from Asterisk.

The settings that decide about a call are those of the group that its channel variable
``AVP_GROUP`` names. Asterisk tells of no variable by itself (unless it is made to tell of all, at
a price), so it is read as soon as an agent has the caller in a bridge, and again in the next
bridge: on the way there a transfer, or the dialplan, may have written another group. It is read
once more when a transfer is requested, so that a change in the middle of a call counts for the
decision, and is shown from then on.
"""

from __future__ import annotations

from collections.abc import Iterable

from asterisk_avp.core.engine.engine import TransferEngine


def unread(engine: TransferEngine, agents: Iterable[str]) -> list[str]:
    """The callers of these agents' calls whose group is to be read now. Names each only once."""
    found = []
    for agent_id in agents:
        agent = engine.agents.by_id.get(agent_id)
        for call in engine.calls_of(agent) if agent is not None else ():
            caller = engine.calls.channels[call.caller_channel]
            if caller.group_read_in != caller.bridge:
                caller.group_read_in = caller.bridge
                found.append(caller.id)
    return found
