"""The personal queues' members: there while somebody needs them, and like the agents' others.

1002 is in both groups. The rendered queues have no members at all: the daemon adds them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, Event, World, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

WORLD: World = replace(
    world().with_group("support", agents=("1003", "1004", "1002")), members="dynamic"
)
LOCAL = {"Interface": "Local/1002@agents/n", "StateInterface": "PJSIP/1002"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(WORLD, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def personal(scene: Scene, agent: str, interface: str, *, paused: bool = False) -> Event:
    """Wait until the agent's queue has this member and no other. Returns the member."""

    async def look() -> Event | None:
        found = list((await scene.ami.members(f"avp-agent-{agent}")).values())
        fits = len(found) == 1 and found[0]["Location"] == interface
        return found[0] if fits and found[0]["Paused"] == str(int(paused)) else None

    found = await scene.ami.until(look, 2.0)
    assert found is not None, await scene.ami.members(f"avp-agent-{agent}")
    return found


async def nobody(scene: Scene, agent: str, within: float = 2.0) -> None:
    """Wait until the agent's queue has no member."""

    async def look() -> bool | None:
        return None if await scene.ami.members(f"avp-agent-{agent}") else True

    assert await scene.ami.until(look, within), await scene.ami.members(f"avp-agent-{agent}")


async def pause_in(scene: Scene, agent: str, queue: str, *, paused: bool) -> None:
    await scene.ami.action(
        "QueuePause",
        Queue=queue,
        Interface=scene.bed.world.interface(agent),
        Paused="true" if paused else "false",
    )


async def colleagues_dial(scene: Scene, agent: str, interface: str) -> None:
    """Wait until who dials the agent's id reaches this interface; empty: PJSIP/<id>."""

    async def look() -> bool | None:
        answer = await scene.ami.action("Getvar", Variable=f"GLOBAL(AVP_MEMBER_{agent})")
        return answer.get("Value", "") == interface or None

    assert await scene.ami.until(look, 5.0)


async def delivered(scene: Scene, agent: str, *, by: str) -> str:
    """The agent talks to a caller whom a colleague has transferred. Returns the transfer."""
    await scene.call("caller4", by)
    transfer = await scene.transfer(by, "unsupervised", agent)
    await scene.phone(agent).answer(within=8)
    await scene.talking("caller4", agent)
    await scene.ends(transfer, "completed", "completed")
    return transfer


async def test_nobody_is_a_member_at_rest(scene: Scene) -> None:
    """But the last two, whose next calls show whether app_queue notes the end in all queues."""
    for agent in ("1001", "1002", "1003", "1004"):
        await nobody(scene, agent)
    await delivered(scene, "1002", by="1001")
    member = await personal(scene, "1002", "PJSIP/1002")
    assert member["Membership"] == "dynamic"
    assert member["Name"] == "Bob"
    await nobody(scene, "1003")
    await scene.hang_up("caller4")
    await scene.call("caller1", "1003", "support")
    await scene.transfer("1003", "unsupervised", "1004")
    await scene.phone("1004").answer(within=8)
    await nobody(scene, "1001", within=8.0)
    await scene.hang_up("1004")
    await nobody(scene, "1002", within=8.0)
    await personal(scene, "1004", "PJSIP/1004")


async def test_log_in_break_and_log_out(scene: Scene) -> None:
    """For as long as they are a member: during a transferred call, for example."""
    await delivered(scene, "1002", by="1001")
    await personal(scene, "1002", "PJSIP/1002")
    await scene.pause("1002")
    await personal(scene, "1002", "PJSIP/1002", paused=True)
    await scene.pause("1002", paused=False)
    await personal(scene, "1002", "PJSIP/1002")
    await scene.log_out("1002")
    await nobody(scene, "1002")
    await scene.log_in("1002", Paused="true")
    await personal(scene, "1002", "PJSIP/1002", paused=True)
    await scene.hang_up("caller4")
    await scene.agent_is("1002", "not_ready")


@pytest.mark.thorough
async def test_a_break_in_one_group_and_in_both(scene: Scene) -> None:
    """An agent on a break in one group still serves the other, and is a target."""
    await scene.log_out("1002", "support")
    await scene.log_in("1002", "support")  # after the others of the group
    await pause_in(scene, "1002", "sales", paused=True)
    await scene.call("caller1", "1003", "support")
    transfer = await scene.transfer("1003", "supervised", "1002")
    await personal(scene, "1002", "PJSIP/1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1003", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1003")
    await pause_in(scene, "1002", "support", paused=True)
    await personal(scene, "1002", "PJSIP/1002", paused=True)
    assert await scene.refused("1003", "supervised", "agent", "1002") == "target_not_ready"
    await pause_in(scene, "1002", "sales", paused=False)
    await scene.agent_is("1002", "available", within=5)


async def works_in(scene: Scene, agent: str, *groups: str) -> None:
    """Wait until the daemon knows the agent's groups: AMI's answer comes before its events."""

    async def look() -> bool | None:
        return (await scene.agent(agent))["groups"] == list(groups) or None

    assert await scene.ami.until(look, 5.0), await scene.agent(agent)


async def test_log_out_of_one_group_and_of_both(scene: Scene) -> None:
    await scene.log_out("1002", "sales")
    await works_in(scene, "1002", "support")
    await scene.call("caller1", "1001")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "not_in_group"
    await scene.log_out("1002", "support")
    await scene.agent_is("1002", "offline")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_offline"
    await scene.log_in("1002", "support")
    await scene.agent_is("1002", "available")


@pytest.mark.thorough
async def test_another_interface(scene: Scene) -> None:
    """The same agent returns as a Local member, and is reached there."""
    await scene.log_out("1002")
    await scene.log_in("1002", "sales", **LOCAL)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    member = await personal(scene, "1002", "Local/1002@agents/n")
    assert member["StateInterface"] == "PJSIP/1002"
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.gone("1002")
    await scene.log_out("1002", "sales", interface="Local/1002@agents/n")
    await nobody(scene, "1002")


async def test_changes_in_quick_succession(scene: Scene) -> None:
    """In whatever order they arrive, the last one applies, and nothing is logged as a problem."""
    await delivered(scene, "1002", by="1001")
    for _ in range(5):
        await scene.log_out("1002")
        await scene.log_in("1002")
        await scene.pause("1002")
        await scene.pause("1002", paused=False)
    await scene.pause("1002")
    await personal(scene, "1002", "PJSIP/1002", paused=True)
    await scene.pause("1002", paused=False)
    await scene.log_out("1002")
    await scene.log_in("1002", "sales", **LOCAL)
    await personal(scene, "1002", "Local/1002@agents/n")
    await scene.hang_up("caller4")
    await scene.agent_is("1002", "available", within=8)
    await scene.log_out("1002", "sales", interface="Local/1002@agents/n")


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(False, id="stopped", marks=pytest.mark.thorough),
        pytest.param(True, id="killed"),
    ],
)
async def test_changes_while_the_daemon_is_down(scene: Scene, kill: bool) -> None:
    await delivered(scene, "1002", by="1001")
    await scene.log_out("1004")
    await scene.bed.stop_daemon(kill=kill)
    await scene.log_out("1001")
    await scene.log_out("1002")
    await scene.log_in("1002", "support", **LOCAL)
    await scene.ami.action("QueuePause", Queue="support", Interface="PJSIP/1003", Paused="true")
    await scene.log_in("1004")
    await personal(scene, "1002", "PJSIP/1002")
    left = {"Variable": "GLOBAL(AVP_MEMBER_1003)", "Value": "PJSIP/elsewhere"}
    await scene.ami.action("Setvar", **left)
    await scene.bed.start_daemon()
    await personal(scene, "1002", "Local/1002@agents/n")
    await colleagues_dial(scene, "1002", "Local/1002@agents/n")
    await colleagues_dial(scene, "1003", "")
    await scene.agent_is("1001", "offline")
    await scene.agent_is("1002", "talking")
    await scene.agent_is("1003", "not_ready")
    await scene.agent_is("1004", "available")
    await scene.hang_up("caller4")
    await scene.log_out("1002", "support", interface="Local/1002@agents/n")
    await colleagues_dial(scene, "1002", "")


async def test_what_an_earlier_version_left_is_removed(scene: Scene) -> None:
    """It made every agent a member. One who has a call from there stays, until it is over."""
    await delivered(scene, "1002", by="1001")
    await scene.bed.stop_daemon(kill=True)
    for agent in ("1001", "1003", "1004"):
        if not await scene.ami.members(f"avp-agent-{agent}"):
            action = scene.bed.world.member_action(agent, f"avp-agent-{agent}")
            await scene.ami.action(action.pop("Action"), **action)
    await scene.bed.start_daemon()

    async def left(count: int) -> None:
        async def look() -> bool | None:
            queues = [await scene.ami.members(f"avp-agent-{x.id}") for x in WORLD.agents]
            return sum(map(bool, queues)) == count or None

        assert await scene.ami.until(look, 10.0)

    await left(3)
    await personal(scene, "1002", "PJSIP/1002")
    await scene.talking("caller4", "1002")
    await scene.hang_up("caller4")
    await left(2)


async def test_target_logs_out_while_a_call_waits(scene: Scene) -> None:
    """Supervised: the transferor gets the caller back, with the reason."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.log_out("1002")
    await scene.ends(transfer, "failed", "target_offline")
    await scene.talking("caller1", "1001")
    await scene.talking("caller2", "1002")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_offline"


@pytest.mark.thorough
async def test_target_logs_out_while_a_caller_waits(scene: Scene) -> None:
    """Unsupervised: the max-hold action immediately, here the hang-up with its announcement."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.on_music("caller1")
    since = time.time()
    await scene.log_out("1002")
    await scene.ends(transfer, "failed", "target_offline")
    await scene.gone("caller1", within=7)
    assert "speech" in scene.phone("caller1").heard(since)
    await scene.talking("caller2", "1002")


@pytest.mark.thorough
async def test_target_takes_a_break_while_a_call_waits(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.pause("1002")
    await scene.ends(transfer, "failed", "target_not_ready")
    await scene.talking("caller1", "1001")
    await scene.talking("caller2", "1002")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_not_ready"


async def test_target_takes_a_break_while_a_caller_waits(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    since = time.time()
    await scene.pause("1002")
    await scene.ends(transfer, "failed", "target_not_ready")
    await scene.gone("caller1", within=7)
    assert "speech" in scene.phone("caller1").heard(since)
    await scene.talking("caller2", "1002")
