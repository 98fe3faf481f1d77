"""Unsupervised transfer to an agent of another node, and to a group with members on both nodes.

The caller stays on node a, where they called in; the target's queue, with its one place and the
maximum hold time, is on node b.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import match
from bed.deadlines import patiently
from bed.nodes import Nodes
from bed.world import Group

from tests.asterisk.listening import listening
from tests.asterisk.nodes_scene import NodesScene, open_nodes

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SETTINGS = {
    "AVP_SESSION__RING_SECONDS": "4",
    "AVP_CLUSTER__LOST_SECONDS": "3",  # this process, which passes the lines on, may stand still
    "AVP_GROUPS__BLEND__MAX_HOLD_ACTION": "return",
    "AVP_GROUPS__DESK__MAX_HOLD_ACTION": "group",
}
EVERYBODY = ("1001", "1002", "1003", "1004", "1005")
GROUPS = (
    Group("sales", ("1001", "1002", "1005"), number="800", strategy="linear"),
    Group("support", ("1003", "1004"), number="801", strategy="linear"),
    Group("blend", EVERYBODY, number="803", strategy="linear"),
    Group("desk", EVERYBODY, number="802", strategy="linear"),
)
MAX_HOLD = 8


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes(
        "ab", settings=SETTINGS, groups=GROUPS, max_hold_seconds=MAX_HOLD, members="dynamic"
    ) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


async def busy(scene: NodesScene, agent: str = "1003") -> None:
    """An agent of node b talks to a caller of node b."""
    await scene.phone("caller3").dial("801")
    await scene.phone(agent).answer()
    await scene.talking("caller3", agent)
    await scene.sees("a", agent, state="talking")


async def waits(scene: NodesScene, agent: str = "1003") -> None:
    await scene.at("b").waits(f"avp-agent-{agent}", "avp-node-a")


async def waited(scene: NodesScene, agent: str) -> float:
    """How many seconds the caller was in the agent's queue, by Asterisk's own clock."""
    there, queue = scene.at("b"), f"avp-agent-{agent}"
    left = await there.ami.wait(match("QueueCallerLeave", Queue=queue), 3.0, there.since)
    (joined,) = there.ami.seen(match("QueueCallerJoin", Queue=queue), there.since)
    return float(left["Timestamp"]) - float(joined["Timestamp"])


async def answered_here(scene: NodesScene) -> None:
    """Caller 1 waits in a group of node a: Alice or Bob is rung, and answers."""
    rings = {x: asyncio.create_task(scene.phone(x).ringing(8.0)) for x in ("1001", "1002")}
    await asyncio.wait(rings.values(), return_when=asyncio.FIRST_COMPLETED)
    name = next(x for x, ring in rings.items() if ring.done())  # both may ring for a moment
    for ring in rings.values():
        ring.cancel()
    await scene.phone(name).answer()
    await scene.talking("caller1", name)


async def test_to_a_free_agent(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")

    transfer = await scene.transfer("1001", "unsupervised", "1005")

    await scene.phone("1005").ringing()
    await scene.on_music("caller1")
    await scene.at("a").reaches(transfer, "ringing")
    await scene.gone("1001")
    await scene.phone("1005").answer()
    await scene.talking("caller1", "1005")
    body = await scene.at("a").reaches(transfer, "completed")
    assert (body["ended_reason"], body["caller_outcome"]) == ("completed", "connected")
    await scene.only_legs(1)
    async with listening(scene.at("b").bed) as events:
        await scene.hang_up("1005")
        await scene.gone("caller1")
        await events.state("1005", "acw")
    await scene.at("a").booked(Alice=1)
    await scene.at("b").booked(Erin=1)


async def test_it_is_the_next_call_of_a_busy_agent(scene: NodesScene) -> None:
    """Before a caller of the agent's own group who has waited longer."""
    await scene.at("b").pause("1004")
    await busy(scene)
    await scene.phone("caller4").dial("801")
    await scene.at("b").waits("support", "caller4")
    await scene.call("caller1", "1001")

    transfer = await scene.transfer("1001", "unsupervised", "1003")

    await waits(scene)
    await scene.on_music("caller1")
    await scene.sees("a", "1003", waiting_transfer=True)
    await scene.hang_up("caller3")
    await scene.phone("1003").ringing(6.0)
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    await scene.at("a").reaches(transfer, "completed")
    await scene.at("b").waits("support", "caller4")


@pytest.mark.parametrize(
    "group", ["blend", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("sales", "desk"))]
)
async def test_the_maximum_hold_time_and_what_follows(scene: NodesScene, group: str) -> None:
    number = {"sales": "800", "blend": "803", "desk": "802"}[group]
    target = "1005" if group == "sales" else "1003"
    if group == "sales":
        await scene.call("caller3", "1003", number="803")
        await scene.at("b").pause("1004")
        await scene.phone("caller4").dial("803")
        await scene.phone("1005").answer()
        await scene.sees("a", "1005", state="talking")
    else:
        await busy(scene)
    await scene.call("caller1", "1001", number=number)
    transfer = await scene.transfer("1001", "unsupervised", target)
    await waits(scene, target)

    await scene.at("a").ends(transfer, "failed", "max_hold", within=MAX_HOLD + 3)

    assert MAX_HOLD - 2 < await waited(scene, target) < MAX_HOLD + patiently(2.5)
    if group == "sales":
        await scene.gone("caller1", within=12.0)  # after an announcement
    else:
        await answered_here(scene)  # back at Alice, or at the head of her group


@pytest.mark.parametrize("how", ["out", pytest.param("break", marks=pytest.mark.thorough)])
async def test_the_target_leaves_while_the_caller_waits(scene: NodesScene, how: str) -> None:
    await busy(scene)
    await scene.call("caller1", "1001", number="802")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await waits(scene)

    if how == "break":
        await scene.at("b").pause("1003")
    else:
        await scene.at("b").log_out("1003")

    reason = "target_not_ready" if how == "break" else "target_offline"
    await scene.at("a").ends(transfer, "failed", reason)
    await answered_here(scene)


@pytest.mark.thorough
async def test_the_caller_hangs_up(scene: NodesScene) -> None:
    await busy(scene)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await waits(scene)

    await scene.hang_up("caller1")

    await scene.at("a").ends(transfer, "abandoned", "caller_hangup")
    await scene.at("b").waits("avp-agent-1003")
    await scene.only_legs(0)


async def test_the_trunk_is_cut_while_the_caller_waits(scene: NodesScene) -> None:
    await busy(scene)
    await scene.call("caller1", "1001", number="802")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await waits(scene)

    scene.nodes.cut_node("b")

    await scene.at("a").ends(transfer, "failed", "target_unreachable", within=7.0)
    await answered_here(scene)
    scene.nodes.mend()
    await scene.nodes.trunks_up()


# --- a group with members on both nodes ----------------------------------------------------------


@pytest.mark.thorough
async def test_a_group_whose_only_free_agent_is_on_the_other_node(scene: NodesScene) -> None:
    await scene.at("a").pause("1002")
    await scene.sees("a", "1002", paused=True)
    await scene.call("caller1", "1001")

    transfer = await scene.transfer("1001", "unsupervised", "sales", kind="group")

    await scene.phone("1005").answer()
    await scene.talking("caller1", "1005")
    await scene.at("a").reaches(transfer, "completed")
    await scene.gone("1001", "1002")
    await scene.only_legs(1)
    await scene.hang_up("caller1")
    await scene.at("b").booked(Erin=1)


async def test_a_group_whose_free_agent_is_here(scene: NodesScene) -> None:
    await scene.at("b").pause("1005")
    await scene.sees("a", "1005", paused=True)
    await scene.call("caller1", "1001")

    transfer = await scene.transfer("1001", "unsupervised", "sales", kind="group")

    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    body = await scene.at("a").reaches(transfer, "completed")
    assert body["ended_reason"] == "completed"
    await scene.at("a").plain("caller1", "1002")  # nothing is between the two
    await scene.only_legs(0)
    await scene.at("a").talks_with("1002", "caller1")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.at("a").booked(Alice=1, Bob=1)


async def test_both_ring_and_one_gets_the_caller(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")

    await scene.transfer("1001", "unsupervised", "sales", kind="group")

    await scene.phone("1002").ringing()
    await scene.phone("1005").ringing()
    await scene.phone("1005").answer()
    await scene.talking("caller1", "1005")
    await scene.gone("1002")


@pytest.mark.thorough
async def test_a_group_that_nobody_is_in(scene: NodesScene) -> None:
    await scene.at("a").pause("1002")
    await scene.at("b").pause("1005")
    await scene.sees("a", "1002", paused=True)
    await scene.sees("a", "1005", paused=True)
    await scene.call("caller1", "1001")

    refused = await scene.at("a").refused("1001", "unsupervised", "group", "sales")

    assert refused == "target_not_ready"


@pytest.mark.thorough
async def test_a_group_of_the_other_node_alone(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")

    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")

    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    await scene.at("a").reaches(transfer, "completed")


@pytest.mark.thorough
async def test_nobody_of_the_group_answers(scene: NodesScene) -> None:
    await scene.at("a").pause("1002")
    await scene.call("caller1", "1001", number="803")
    await scene.sees("a", "1002", paused=True)
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")

    await scene.at("a").ends(transfer, "failed", "max_hold", within=MAX_HOLD + 4)

    await scene.phone("1001").answer(within=6.0)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_the_trunk_is_cut_while_they_talk_and_no_daemon_runs(scene: NodesScene) -> None:
    """The caller is not hung up, but waits at the head of the group: Bob answers."""
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "unsupervised", "1005")
    await scene.phone("1005").answer()
    await scene.talking("caller1", "1005")
    await scene.at("a").pause("1001")
    await asyncio.gather(*(node.stop_daemon(kill=True) for node in scene.nodes))

    scene.nodes.cut("a", "b")

    await scene.phone("1002").answer(within=8.0)
    await scene.talking("caller1", "1002")
    scene.nodes.mend()
    await scene.nodes.trunks_up()
    await scene.nodes.start_daemons()
