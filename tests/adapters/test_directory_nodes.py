"""Daemons of several nodes, each with a simulated Asterisk, over a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from servers.nats import NatsServer
from servers.node import WITHIN, Node, asterisks
from servers.pbx import Pbx
from servers.waiting import eventually

from asterisk_avp.core.model.world import AgentState

Begin = Callable[..., Node]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def pbxes() -> AsyncIterator[dict[str, Pbx]]:
    async with asterisks() as found:
        yield found


@pytest.fixture
async def begin(nats: NatsServer, pbxes: dict[str, Pbx]) -> AsyncIterator[Begin]:
    started: list[Node] = []

    def start(name: str, **more: str) -> Node:
        started.append(Node(name, pbxes[name], nats, **more))
        return started[-1]

    yield start
    for node in started:
        await node.kill()


async def both(begin: Begin) -> tuple[Node, Node]:
    a, b = begin("a"), begin("b")
    await a.ready()
    await b.ready()
    await eventually(lambda: a.remote("1005", "b") and b.remote("1001", "a"), WITHIN)
    return a, b


async def test_nodes_know_each_others_agents(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, b = await both(begin)
    erin = a.agent("1005")
    assert erin.state is AgentState.AVAILABLE
    assert b.agent("1005").remote is None
    assert a.engine.agents.groups_of("1005") == ("sales",)
    await eventually(lambda: a.engine.agents.headcounts.of("sales").available == 3, WITHIN)
    await eventually(lambda: b.engine.agents.headcounts.of("support").available == 2, WITHIN)
    call = pbxes["b"].offer("1005", "sales")
    await eventually(lambda: a.agent("1005").state is AgentState.RINGING, WITHIN)
    pbxes["b"].answer(call)
    await eventually(lambda: a.agent("1005").state is AgentState.TALKING, WITHIN)
    assert a.engine.agents.headcounts.of("sales").available == 2
    pbxes["b"].pause("1005", paused=True)
    await eventually(lambda: a.agent("1005").paused, WITHIN)
    assert a.engine.agents.headcounts.of("sales").ready == 2
    pbxes["b"].hang_up(call.caller)
    await eventually(lambda: a.agent("1005").state is AgentState.NOT_READY, WITHIN)
