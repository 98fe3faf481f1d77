"""The parts that take over what other nodes tell."""

from __future__ import annotations

import asyncio

import pytest
from servers.waiting import eventually

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Redirect, SetVariables
from asterisk_avp.core.messages.remote import NodeCall, NodeLost, RemoteAgentSeen
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.service import joins as joins_module
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.joins import JOIN, Joins
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


def consult(agent: str = "1002", call: str = "c-1", leg: str = "consult") -> NodeCall:
    queue = f"avp-agent-{agent}"
    return NodeCall("in-1", agent, queue, "t1", "a", call, "sales", leg, "1001")


def test_a_leg_is_joined_with_the_call_that_the_phone_has_made() -> None:
    made = engine()
    joins = Joins(made)
    with joins.expected(("a", "c-1", "1002"), "u-1002") as join:
        assert joins.handle(consult(call="c-2")) is None  # another caller's
        assert joins.handle(consult(agent="1003")) is None
        assert joins.handle(consult(leg="")) is None
        outcome = joins.handle(consult())
        assert outcome is not None
        made.fact(ev.ChannelSeen("in-1", "PJSIP/avp-node-a-1"), 1.0)
        made.fact(consult(), 1.0)
        assert joins.handle(consult()) is None  # once
    said = SetVariables("in-1", {"AVP_JOIN": "u-1002"})
    assert [effect for _, effect in outcome.effects] == [said]
    # The dialplan reads it before the queue. A leg that is faster is fetched from there.
    assert joins.handle(ev.QueueJoined("avp-agent-1002", "in-2")) is None
    late = joins.handle(ev.QueueJoined("avp-agent-1002", "in-1"))
    assert late is not None
    assert [effect for _, effect in late.effects] == [Redirect("in-1", JOIN)]
    # It takes the agent's only place no longer than until it is in the call.
    assert made.slot_taken("1002")
    assert not join.done.is_set()
    entered = joins.handle(ev.BridgeEntered("in-1", "b-1"))
    assert entered is not None
    assert entered.agents == {"1002"}
    assert not made.slot_taken("1002")
    assert join.done.is_set()


async def test_a_leg_that_is_gone_again_has_not_been_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The phone keeps its calls then."""
    monkeypatch.setattr(joins_module, "JOINED_SECONDS", 0.05)
    joins = Joins(engine())
    with joins.expected(("a", "c-1", "1002"), "u-1002") as join:
        assert joins.handle(consult()) is not None
        joins.handle(ev.ChannelGone("in-1"))
        assert joins.handle(ev.BridgeEntered("in-1", "b-1")) is None
        assert not await join.wait()


def test_a_leg_that_comes_too_late_waits_as_any() -> None:
    joins = Joins(engine())
    with joins.expected(("a", "c-1", "1002"), "u-1002"):
        pass
    assert joins.handle(consult()) is None
