"""Who waits for another node's agent is hung up only if that node has said that nobody comes.

Whatever else ends the call over the trunk, and however it is told, takes the caller to the head of
their group. `MAX_HOLD_ACTION` is `hangup`, as usual.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed.nodes import Nodes
from bed.world import Group

from tests.asterisk.nodes_scene import NodesScene, open_nodes

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

MAX_HOLD = 8
GROUPS = (
    Group("support", ("1003", "1004"), number="801", strategy="linear"),
    Group("desk", ("1001", "1002", "1003", "1004", "1005"), number="802", strategy="linear"),
)
GONE = 15.0
SETTINGS = {
    "AVP_SESSION__RING_SECONDS": "3",  # a second ring finds the phone dead
    "AVP_CLUSTER__LOST_SECONDS": "5",  # a daemon that has died is not missed at once
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes(
        "ab",
        settings=SETTINGS,
        groups=GROUPS,
        max_hold_seconds=MAX_HOLD,
        members="dynamic",
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


async def at_the_head_of_the_group(scene: NodesScene, transfer: str, *reasons: str) -> None:
    """On node a, where Bob answers."""
    await scene.phone("1002").answer(within=GONE)
    await scene.talking("caller1", "1002")
    body = await scene.at("a").reaches(transfer, "failed")
    assert body["caller_outcome"] == "group", body
    assert body["ended_reason"] in reasons, body


async def with_bob_only(scene: NodesScene) -> None:
    await scene.at("a").pause("1001")


@pytest.mark.parametrize("where", ["rejected", pytest.param("refused", marks=pytest.mark.thorough)])
async def test_the_other_node_ends_the_call(scene: NodesScene, where: str) -> None:
    """As its daemon does that finds the trunk cut before ours (403, cause 21)."""
    await busy(scene)
    await scene.call("caller1", "1001", number="802")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    await with_bob_only(scene)

    trunk = await scene.at("b").ami.channel_of("avp-node-a")
    await scene.at("b").ami.action(
        "Redirect", Channel=trunk["Channel"], Context="avp-node-in", Exten=where, Priority="1"
    )

    await at_the_head_of_the_group(scene, transfer, "target_unreachable")


async def test_the_password_of_the_trunk_is_another_one(scene: NodesScene) -> None:
    """As while a node's token is being changed: 401, which Asterisk tells as 21, too."""
    etc = scene.nodes.b.directory / "etc" / "pjsip.conf"
    before = etc.read_text(encoding="utf-8")
    changed = []
    for block in before.split("["):
        own = block.startswith("avp-node-a-in]")
        changed.append(block.replace("password = ", "password = x") if own else block)
    await scene.call("caller1", "1001", number="802")
    try:
        etc.write_text("[".join(changed), encoding="utf-8")
        assert etc.read_text(encoding="utf-8") != before
        await scene.at("b").ami.command("module reload res_pjsip.so")
        transfer = await scene.transfer("1001", "unsupervised", "1005")
        await at_the_head_of_the_group(scene, transfer, "target_unreachable")
    finally:
        etc.write_text(before, encoding="utf-8")
        await scene.at("b").ami.command("module reload res_pjsip.so")


async def test_a_phone_dies_while_it_rings(scene: NodesScene) -> None:
    """As on one node: the caller is not hung up at the maximum hold time."""
    await scene.call("caller1", "1001", number="802")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await scene.phone("1003").ringing()
    await with_bob_only(scene)

    await scene.at("b").die("1003")

    await scene.on_music("caller1")
    await at_the_head_of_the_group(scene, transfer, "target_unreachable")


@pytest.mark.parametrize("kind", ["agent", "group"])
async def test_a_phone_is_dead_when_it_is_rung(scene: NodesScene, kind: str) -> None:
    """Asterisk does not know it yet: the phone is still registered, and says nothing."""
    await scene.at("b").pause("1004")
    await scene.call("caller1", "1001", number="802")
    await with_bob_only(scene)
    await scene.at("b").die("1003")

    target = "1003" if kind == "agent" else "support"
    transfer = await scene.transfer("1001", "unsupervised", target, kind)

    await at_the_head_of_the_group(scene, transfer, "target_unreachable", "max_hold")


async def test_the_homes_daemon_has_just_died(scene: NodesScene) -> None:
    """It cannot add the agent to their queue, and nobody knows yet that it is away."""
    await scene.call("caller1", "1001", number="802")
    await with_bob_only(scene)
    await scene.nodes.b.stop_daemon(kill=True)

    answer = await scene.ask("1001", "unsupervised", "agent", "1005")
    assert answer.status == 201, answer
    await at_the_head_of_the_group(scene, answer.body["id"], "target_unreachable")
    await scene.nodes.b.start_daemon()


async def test_the_last_question_over_the_trunk_is_lost_when_the_agent_hangs_up(
    scene: NodesScene,
) -> None:
    """The BYE has arrived: the agent has ended the call, and no line."""
    transfer = await scene.consult("caller1", "1001", "1005", number="802")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1005")
    scene.nodes.cut("a", "b")
    try:
        assert await scene.nodes.a.ami.until(lambda: unreachable(scene), 5.0)
    finally:
        scene.nodes.mend()

    await scene.hang_up("1005")

    await scene.gone("caller1")
    assert not scene.phone("1002").live


@pytest.mark.thorough  # on a slow machine, the trunk counts as cut before it is mended
async def test_a_question_is_lost_while_the_trunk_has_another_call(scene: NodesScene) -> None:
    """A trunk with a channel is "in use", whether its contact answers or not."""
    await scene.consult("caller2", "1001", "1005", number="802")
    await scene.call("caller1", "1002", number="802")
    scene.nodes.cut("a", "b")
    try:
        assert await scene.nodes.a.ami.until(lambda: unreachable(scene), 5.0)
    finally:
        scene.nodes.mend()

    await scene.transfer("1002", "unsupervised", "1003")

    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")


async def unreachable(scene: NodesScene) -> bool | None:
    contacts = await scene.nodes.a.ami.command("pjsip show contacts")
    return any("avp-node-b" in x and "Unavail" in x for x in contacts.splitlines()) or None


@pytest.mark.thorough  # on a slow machine, the two seconds are over before the place is free
async def test_the_place_becomes_free_a_second_later(scene: NodesScene) -> None:
    """As that of the caller's own consult leg, whose CANCEL was lost and is repeated."""
    await busy(scene)
    b = scene.at("b").ami

    async def dial() -> None:
        await scene.at("a").ami.action(
            "Originate",
            Channel="PJSIP/agent-1003@avp-node-b",
            Application="Wait",
            Data="60",
            Timeout="60000",
            Async="true",
        )

    async def runs(application: str) -> str | None:
        """The name of a trunk's channel that does."""
        rows = [x for x in await b.channels() if x["Channel"].startswith("PJSIP/avp-node-a-")]
        return next((x["Channel"] for x in rows if x["Application"] == application), None)

    async def waits(channel: str) -> bool | None:
        return [x["Channel"] for x in await b.waiting("avp-agent-1003")] == [channel] or None

    await dial()
    first = await b.until(lambda: runs("Queue"), 5.0)
    assert await b.until(lambda: waits(first), 5.0)
    await dial()
    second = await b.until(lambda: runs("Wait"), 5.0)
    assert second not in (None, first)
    await b.action("Hangup", Channel=first)

    assert await b.until(lambda: waits(second), 5.0)
    await b.action("Hangup", Channel=second)
