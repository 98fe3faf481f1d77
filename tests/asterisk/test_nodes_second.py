"""Second transfers, by agents who have a call of another node's: the anchor makes them.

The caller is on node a. However long the chain, at most one leg of the trunk is left at its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed.nodes import Nodes

from tests.asterisk.nodes_scene import NodesScene, open_nodes

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SETTINGS = {"AVP_ENTERPRISE__CONFERENCE": "true", "AVP_CODES__TRANSFER": "*7"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", settings={"AVP_ENTERPRISE__CONFERENCE": "true"}) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        for agent in ("1003", "1004", "1005"):
            await opened.sees("a", agent, state="available", waiting_transfer=False)
        for agent in ("1001", "1002"):
            await opened.sees("b", agent, state="available", waiting_transfer=False)
        yield opened


async def only_legs(scene: NodesScene, count: int) -> None:
    for one, other in (("a", "b"), ("b", "a")):

        async def look(one: str = one, other: str = other) -> bool | None:
            return await scene.legs(one, other) == count or None

        assert await scene.at(one).ami.until(look, 4.0), await scene.at(one).ami.channels()


async def hand_on(scene: NodesScene, agent: str, target: str, caller: str = "caller1") -> str:
    """The agent's own node is asked, on which the agent then completes it."""
    await scene.of(agent).has_call(agent, on_hold=False, consult=None)
    transfer = await scene.transfer(agent, "supervised", target)
    await scene.phone(target).answer()
    await scene.of(agent).reaches(transfer, "consulting")
    await scene.talking(agent, target)
    await scene.on_music(caller)
    await scene.of(agent).complete(transfer)
    await scene.talking(caller, target)
    await scene.gone(agent)
    return transfer


async def test_a_chain_of_four_keeps_at_most_one_leg(scene: NodesScene) -> None:
    await scene.call("caller1", "1001", "blend")
    for agent, target, legs in (
        ("1001", "1003", 1),
        ("1003", "1004", 1),
        ("1004", "1002", 0),
        ("1002", "1005", 1),
    ):
        transfer = await hand_on(scene, agent, target)
        await only_legs(scene, legs)
        await scene.of(agent).reaches(transfer, "completed")
    # The anchor has made them all.
    answer = await scene.at("a").api("GET", "/v1/transfers")
    assert len([x for x in answer.body if x["state"] == "completed"]) >= 4
    await scene.hang_up("1005")
    await scene.gone("caller1")
