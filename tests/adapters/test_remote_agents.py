"""The parts that take over what other nodes tell."""

from __future__ import annotations

import asyncio

from servers.waiting import eventually

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.remote import NodeLost, RemoteAgentSeen
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.remote_agents import AT_ONCE, RemoteStep
from tests.core.world import engine


async def test_a_lost_node_is_told_in_portions() -> None:
    """More at once than those who listen to events may keep would disconnect them."""
    made, posted = engine(), list[Message]()
    part = RemoteStep(made, posted.append)
    seen = RemoteAgent("b", AgentState.AVAILABLE, 1.0, ("sales",), ("sales",))
    names = [str(5000 + number) for number in range(1000)]
    for name in names:
        outcome = part.handle(RemoteAgentSeen(name, seen))
        assert outcome is not None
        assert outcome.agents == set()
    part.handle(NodeLost("b"))
    assert made.agents.by_id["5000"].state is AgentState.OFFLINE  # decisions know it at once
    assert posted == []

    def told() -> list[str]:
        return [agent for x in posted if isinstance(x, Outcome) for agent in x.agents]

    await eventually(lambda: len(told()) == len(names))
    assert sorted(told()) == names  # each once
    assert all(len(x.agents) <= AT_ONCE for x in posted if isinstance(x, Outcome))
    part.handle(RemoteAgentSeen("5000", seen))
    await part.stop()
    await asyncio.sleep(0)
    assert len(told()) == len(names)
