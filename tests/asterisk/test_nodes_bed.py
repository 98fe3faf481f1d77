"""The test bed of several nodes: trunks carry calls both ways, refuse strangers, and can be cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed.nodes import Nodes

from tests.asterisk.nodes_scene import NodesScene, open_nodes

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

#: 87 and an agent's id: that agent, on the other node.
DIALPLAN = """
[avp-node-in](+)
exten => _bed-X.,1,Dial(PJSIP/${EXTEN:4},20)
 same => n,Hangup()

[callers](+)
exten => _871XXX,1,Answer()
 same => n,Dial(PJSIP/bed-${EXTEN:2}@avp-node-${IF($[${EXTEN:2} > 1002]?b:a)},20)
 same => n,Hangup()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", extensions=DIALPLAN) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        yield opened


@pytest.mark.parametrize(("caller", "agent"), [("caller1", "1003"), ("caller3", "1001")])
async def test_a_call_over_the_trunk_is_heard_both_ways(
    scene: NodesScene, caller: str, agent: str
) -> None:
    await scene.phone(caller).dial(f"87{agent}")
    await scene.phone(agent).answer()

    await scene.talking(caller, agent)

    assert await scene.legs("a", "b") == 1
    assert await scene.legs("b", "a") == 1
    await scene.hang_up(agent)
    await scene.gone(caller)


async def test_a_cut_trunk_loses_everything_silently_and_is_noticed_within_seconds(
    scene: NodesScene,
) -> None:
    nodes = scene.nodes
    await scene.phone("caller1").dial("871003")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")

    nodes.cut("a", "b")
    since = time.monotonic()
    await asyncio.gather(nodes.a.reaches("b", reached=False), nodes.b.reaches("a", reached=False))
    await scene.gone("caller1", "1003", within=8)  # rtp_timeout, with no dialplan of ours

    assert time.monotonic() - since < 10
    nodes.mend()
    await nodes.trunks_up()


async def test_each_node_has_its_own_agents_callers_and_tones(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("caller3").dial("801")
    await scene.phone("1003").answer()
    await scene.talking("caller3", "1003")
    await scene.talking("caller1", "1001")
