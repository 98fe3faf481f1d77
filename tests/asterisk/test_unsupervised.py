"""Unsupervised transfer to an agent and to a group, and calls without a queue.

The call centre has a group for each max-hold action: sales hangs up, support returns the call to
the transferor, desk puts it at the head of the group's queue.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import groupby

import pytest
import pytest_asyncio
from bed import Agent, Bed, Event, Group, World, match
from bed.deadlines import patiently

from tests.asterisk.conftest import open_scene
from tests.asterisk.listening import listening
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

# Digits that a caller dials before the group's number: a choice of the inbound dialplan.
INBOUND = """
[callers](+)
exten => _3X.,1,Set(AVP_MAX_HOLD=3)
 same => n,Goto(${EXTEN:1},1)
exten => _5X.,1,Set(AVP_MAX_HOLD=6)
 same => n,Goto(${EXTEN:1},1)
exten => _6X.,1,Set(AVP_MAX_HOLD=60)
 same => n,Goto(${EXTEN:1},1)
exten => _9X.,1,Set(QUEUE_PRIO=9)
 same => n,Goto(${EXTEN:1},1)
"""


def world() -> World:
    names = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank")
    return World(
        agents=tuple(Agent(str(1001 + i), name) for i, name in enumerate(names)),
        groups=(
            Group("sales", ("1001", "1002"), number="800", strategy="linear"),
            Group("support", ("1003", "1004"), number="801", strategy="linear"),
            Group("desk", ("1005", "1006"), number="802", options={"maxlen": "2"}),
        ),
        extensions=INBOUND,
        settings={
            "AVP_SESSION__RING_SECONDS": "4",
            "AVP_GROUPS__SUPPORT__MAX_HOLD_ACTION": "return",
            "AVP_GROUPS__DESK__MAX_HOLD_ACTION": "group",
        },
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world()) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def delivered(scene: Scene, transfer: str, caller: str, target: str) -> None:
    """The target takes the call alone, in a bridge like any queue's."""
    await scene.phone(target).answer(within=6)
    await scene.talking(caller, target)
    await scene.plain(caller, target)
    await scene.ends(transfer, "completed", "completed")


# --- to an agent -----------------------------------------------------------------------------


@pytest.mark.containers
async def test_available_target(scene: Scene) -> None:
    """Both are released from each other at once; each has their own talk time in queue_log."""
    before = time.time()
    await scene.call("caller1", "1001")
    began = time.time()
    await scene.phone("1001").hears({"caller1"}, steady=1.5)
    asked = time.time()
    async with scene.passing("1001", "acw", within=3):
        transfer = await scene.transfer("1001", "unsupervised", "1002")
        await scene.gone("1001", within=1)
        await scene.phone("1002").ringing(within=1)
        await scene.on_music("caller1")
    handed = time.time()
    await delivered(scene, transfer, "caller1", "1002")
    await scene.agent_is("1001", "available", within=4)
    await scene.hang_up("1002")
    await scene.gone("caller1")
    books = await scene.booked(Alice=1, Bob=1)
    assert [row.event for row in (*books["Alice"], *books["Bob"])] == ["COMPLETEAGENT"] * 2
    talk = books["Alice"][0].talk
    assert asked - began - 2 <= talk <= handed - before + 2, "hers ends with the transfer"
    assert len(scene.entered()) == 2
    assert scene.offers("1001") == ["caller1"], "it was not offered to her again"


async def busy_target(
    scene: Scene, agent: str, target: str, group: str = "sales", number: str = "6800"
) -> str:
    """``target`` talks to caller2; ``agent`` transfers caller1 to them and is released."""
    await scene.call("caller1", agent, number=number)
    await scene.call("caller2", target, group)
    async with scene.passing(agent, "acw", within=3):
        transfer = await scene.transfer(agent, "unsupervised", target)
        await scene.gone(agent, within=1)
    await scene.reaches(transfer, "waiting")
    await scene.on_music("caller1")
    return transfer


@pytest.mark.smoke("unsupervised to a busy agent")
@pytest.mark.containers
async def test_talking_target(scene: Scene) -> None:
    """It waits alone: a second one is refused. It arrives as soon as the target's ACW has ended."""
    transfer = await busy_target(scene, "1001", "1002")
    assert (await scene.agent("1002"))["waiting_transfer"] is True
    await scene.agent_is("1001", "available", within=5)
    await scene.call("caller3", "1001")
    assert await scene.refused("1001", "unsupervised", "agent", "1002") == "target_queue_full"
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_queue_full"
    await scene.talking("caller3", "1001")
    await scene.talking("caller2", "1002")
    hung_up = time.time()
    await scene.hang_up("caller2")
    free = await scene.ami.wait(match("AgentComplete", MemberName="Bob"), 3, scene.since)
    rung = await scene.ami.wait(match("AgentCalled", Queue="avp-agent-1002"), 6, scene.since)
    # Asterisk counts in whole seconds; by its own times, since we may look later.
    assert float(rung["Timestamp"]) - hung_up >= 1, "after the ACW of 2 s"
    waited = float(rung["Timestamp"]) - float(free["Timestamp"])
    assert waited <= 3 + patiently(0.5), "and soon after it"
    await delivered(scene, transfer, "caller1", "1002")
    await scene.slot_is_free("1002")
    await scene.hang_up("caller1", "1001")
    await scene.gone("1002", "caller3")
    books = await scene.booked(Alice=2, Bob=2)
    assert books["Bob"][-1].event == "COMPLETECALLER"


@pytest.mark.thorough
async def test_target_in_acw(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    hung_up = time.time()
    async with scene.passing("1002", "acw"):
        await scene.hang_up("1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.on_music("caller1")
    await delivered(scene, transfer, "caller1", "1002")
    assert scene.phone("1002").call.began - hung_up >= 1, "Asterisk counts in whole seconds"


@pytest.mark.smoke("max hold")
@pytest.mark.containers
async def test_max_hold_hangs_up(scene: Scene) -> None:
    """The caller hears the reason before the hang-up; AVP_MAX_HOLD applies, not the setting."""
    transfer = await busy_target(scene, "1001", "1002", number="3800")
    await scene.ends(transfer, "failed", "max_hold", within=5)
    await scene.phone("caller1").hears({"speech"}, steady=0.2)
    (left,) = [row for row in scene.bed.queue_log.endings(scene.books_mark) if row.agent == "NONE"]
    assert (left.queue, left.event) == ("avp-agent-1002", "EXITWITHTIMEOUT")
    assert 2 <= int(left.data[-1]) <= 5, "by Asterisk's own watch"
    await scene.gone("caller1", within=8)
    await scene.talking("caller2", "1002")
    assert scene.endings() == ["COMPLETEAGENT", "EXITWITHTIMEOUT"]
    await scene.slot_is_free("1002")
    await scene.booked(Alice=1)


async def test_max_hold_returns(scene: Scene) -> None:
    """Back to the transferor, who can transfer it again."""
    transfer = await busy_target(scene, "1003", "1004", "support", "5801")
    await scene.ends(transfer, "failed", "max_hold", within=8)
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    await scene.has_call("1003", group="support")
    second = await scene.transfer("1003", "supervised", "1004")
    await scene.reaches(second, "waiting")
    await scene.cancel(second)
    await scene.talking("caller1", "1003")
    await scene.hang_up("1003", "1004")
    await scene.gone("caller1", "caller2")
    await scene.booked(Carol=2, Dave=1)


@pytest.mark.thorough
async def test_max_hold_returns_to_the_group_if_the_transferor_left(scene: Scene) -> None:
    transfer = await busy_target(scene, "1003", "1004", "support", "5801")
    await scene.pause("1003")
    await scene.ends(transfer, "failed", "max_hold", within=8)
    await scene.waits("support", "caller1")
    await scene.on_music("caller1")
    await scene.hang_up("caller2")
    await scene.phone("1004").answer(within=6)
    await scene.talking("caller1", "1004")


async def test_max_hold_to_the_head_of_the_group(scene: Scene) -> None:
    # Long enough for caller3 to be there before.
    transfer = await busy_target(scene, "1005", "1006", "desk", "5802")
    await scene.pause("1005")
    await scene.phone("caller3").dial("9802")
    await scene.waits("desk", "caller3")
    await scene.ends(transfer, "failed", "max_hold", within=8)
    await scene.waits("desk", "caller1", "caller3")
    await scene.on_music("caller1")
    await scene.hang_up("1006")
    await scene.phone("1006").answer(within=6)
    await scene.talking("caller1", "1006")


@pytest.mark.parametrize(
    ("agent", "target", "group", "number"),
    [
        pytest.param("1001", "1002", "sales", "6800", id="hangup", marks=pytest.mark.thorough),
        pytest.param("1003", "1004", "support", "6801", id="return"),
    ],
)
async def test_target_pauses(
    scene: Scene, agent: str, target: str, group: str, number: str
) -> None:
    """The max-hold action follows immediately."""
    transfer = await busy_target(scene, agent, target, group, number)
    await scene.pause(target)
    await scene.ends(transfer, "failed", "target_not_ready", within=3)
    if group == "sales":
        await scene.phone("caller1").hears({"speech"}, steady=0.2)
        await scene.gone("caller1", within=8)
    else:
        await scene.phone(agent).answer()
        await scene.talking("caller1", agent)
    await scene.talking("caller2", target)


@pytest.mark.thorough
async def test_target_logs_out() -> None:
    """A dynamic member is removed from the group's queue while a call waits for them."""
    small = replace(
        World(members="dynamic", callers=("caller1", "caller2"), outside=()),
        agents=world().agents[:2],
        groups=world().groups[:1],
    )
    async with Bed(small) as bed:
        await bed.start_daemon()
        scene = Scene(bed)
        for agent in small.agents:
            await bed.ami.action("QueueAdd", **small.member_action(agent.id, "sales"))
            await scene.agent_is(agent.id, "available")
        scene.begin()
        transfer = await busy_target(scene, "1001", "1002", number="800")
        await bed.ami.action("QueueRemove", Queue="sales", Interface="PJSIP/1002")
        await scene.ends(transfer, "failed", "target_offline", within=3)
        await scene.phone("caller1").hears({"speech"}, steady=0.2)
        await scene.talking("caller2", "1002")
        await scene.gone("caller1", within=8)
        await scene.booked(Alice=1)
        await scene.call("caller1", "1001")
        for mode in ("supervised", "unsupervised"):
            assert await scene.refused("1001", mode, "agent", "1002") == "target_offline"
        await scene.talking("caller1", "1001")


async def test_target_is_rung_until_they_answer(scene: Scene) -> None:
    """Rejected, then left ringing, then taken: one call all the time."""
    await scene.call("caller1", "1001", number="6800")
    async with listening(scene.bed) as heard:
        transfer = await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").reject()
        await scene.phone("1002").ringing()
        await scene.reaches(transfer, "ringing")
        await scene.on_music("caller1")
        await scene.phone("1002").closed(within=6)
        await delivered(scene, transfer, "caller1", "1002")
        await heard.wait(lambda told: told.get("transfer", {}).get("state") == "completed")
    # It waits for a second each time, before the phone rings again.
    states = [state for state, _ in groupby(told["state"] for told in heard.transfers(transfer))]
    assert [state for state in states if state in ("waiting", "ringing")][-5:] == [
        *("ringing", "waiting") * 2,
        "ringing",
    ]
    assert scene.offers("1002") == ["caller1"] * 3
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_target_does_not_answer(scene: Scene) -> None:
    await scene.call("caller1", "1001", number="3800")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    await scene.ends(transfer, "failed", "max_hold", within=6)
    await scene.gone("1002")
    await scene.phone("caller1").hears({"speech"}, steady=0.2)
    await scene.gone("caller1", within=8)
    await scene.booked(Alice=1)


async def test_caller_hangs_up_while_waiting(scene: Scene) -> None:
    transfer = await busy_target(scene, "1001", "1002")
    await scene.hang_up("caller1")
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.slot_is_free("1002")
    await scene.talking("caller2", "1002")
    assert scene.endings() == ["COMPLETEAGENT", "ABANDON"]


# --- to a group ------------------------------------------------------------------------------


@pytest.mark.smoke("unsupervised to a group")
@pytest.mark.containers
async def test_group_at_the_head(scene: Scene) -> None:
    """Ahead of earlier callers of that group, even one with a priority; it is their call now."""
    await scene.pause("1004")
    await scene.call("caller2", "1003", "support")
    await scene.phone("caller3").dial("801")
    await scene.waits("support", "caller3")
    await scene.phone("caller4").dial("9801")
    await scene.waits("support", "caller4", "caller3")
    await scene.call("caller1", "1001", number="6800")
    transfer = await scene.transfer("1001", "unsupervised", "support", "group")
    await scene.gone("1001", within=1)
    await scene.waits("support", "caller1", "caller4", "caller3")
    await scene.on_music("caller1")
    await scene.hang_up("caller2")
    await delivered(scene, transfer, "caller1", "1003")
    assert await scene.variable("caller1", "AVP_GROUP") == "support"
    await scene.pause("1004", paused=False)
    await scene.phone("1004").answer()
    await scene.talking("caller4", "1004")
    await scene.has_call("1003", group="support")
    # Support's settings apply from now on: they allow a transfer to an agent of support.
    consult = await scene.transfer("1003", "supervised", "1004")
    await scene.reaches(consult, "waiting")
    await scene.cancel(consult)
    await scene.talking("caller1", "1003")
    await scene.hang_up("1003")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Carol=2)


async def test_own_group_is_not_the_transferor_again(scene: Scene) -> None:
    """While another member is logged in, however long they are busy."""
    await scene.call("caller1", "1001", number="6800")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "sales", "group")
    await scene.gone("1001", within=1)
    await scene.agent_is("1001", "available", within=5)
    # app_queue creates a channel to her, and the dialplan stops it before it rings; twice.
    since = time.time()
    for _ in range(2):
        tried = await scene.ami.wait(_channel_of("1001"), within=5, since=since)
        since = tried.at + 0.001
    assert not scene.phone("1001").live
    await scene.hang_up("caller2")
    await delivered(scene, transfer, "caller1", "1002")
    assert scene.offers("1001") == ["caller1"]
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=2)


def _channel_of(agent: str) -> Callable[[Event], bool]:
    def test(event: Event) -> bool:
        return event.name == "Newchannel" and event["Channel"].startswith(f"PJSIP/{agent}-")

    return test


@pytest.mark.thorough
async def test_own_group_when_alone(scene: Scene) -> None:
    """With nobody else logged in, the transferor gets the call again after their ACW."""
    async with scene.without_phone("1002"):
        await scene.call("caller1", "1001")
        transfer = await scene.transfer("1001", "unsupervised", "sales", "group")
        await scene.agent_is("1001", "acw")
        await delivered(scene, transfer, "caller1", "1001")
    await scene.hang_up("1001")
    await scene.gone("caller1")
    await scene.booked(Alice=2)


@pytest.mark.thorough
async def test_group_on_a_break(scene: Scene) -> None:
    await scene.pause("1001")
    await scene.pause("1002")
    await scene.agent_is("1001", "not_ready")
    await scene.agent_is("1002", "not_ready")
    await scene.call("caller1", "1003", number="6801")
    assert await scene.refused("1003", "unsupervised", "group", "sales") == "target_not_ready"
    await scene.talking("caller1", "1003")
    await scene.hang_up("1003")
    await scene.gone("caller1")
    await scene.booked(Carol=1)


@pytest.mark.thorough
async def test_full_group(scene: Scene) -> None:
    await scene.pause("1005")
    await scene.call("caller2", "1006", "desk")
    for caller in ("caller3", "caller4"):
        await scene.phone(caller).dial("802")
    assert await scene.ami.until(lambda: _two_wait(scene), 3)
    await scene.call("caller1", "1001", number="6800")
    transfer = await scene.transfer("1001", "unsupervised", "desk", "group")
    await scene.ends(transfer, "failed", "target_queue_full", within=3)
    await scene.phone("caller1").hears({"speech"}, steady=0.2)
    await scene.gone("caller1", within=8)
    await scene.talking("caller2", "1006")


async def _two_wait(scene: Scene) -> bool | None:
    return len(await scene.ami.waiting("desk")) == 2 or None


# --- calls that came by no queue -------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "mode"),
    [
        ("direct", "unsupervised"),
        ("outbound", "supervised"),
        pytest.param("direct", "supervised", marks=pytest.mark.thorough),
        pytest.param("outbound", "unsupervised", marks=pytest.mark.thorough),
    ],
)
async def test_by_no_queue(scene: Scene, way: str, mode: str) -> None:
    """Such a call is in queue_log from the transfer on, and only there."""
    if way == "direct":
        other = "caller1"
        await scene.direct_call(other, "1001")
    else:
        other = "pstn"
        await scene.phone("1001").dial("2025550100")
        await scene.phone(other).answer()
        await scene.talking(other, "1001")
    await scene.has_call("1001", group="sales")
    transfer = await scene.transfer("1001", mode, "1002")
    if mode == "supervised":
        await scene.phone("1002").answer()
        await scene.consulting(transfer, other, "1001", "1002")
        await scene.complete(transfer)
        await scene.talking(other, "1002")
        await scene.plain(other, "1002")
        await scene.ends(transfer, "completed", "completed")
    else:
        await scene.on_music(other)
        await delivered(scene, transfer, other, "1002")
    await scene.gone("1001")
    await scene.agent_is("1001", "available")
    await scene.hang_up("1002")
    await scene.gone(other)
    books = await scene.booked(Bob=1)
    assert books["Bob"][0].event == "COMPLETEAGENT"


@pytest.mark.thorough
async def test_by_no_queue_cancelled_and_to_a_group(scene: Scene) -> None:
    await scene.direct_call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    second = await scene.transfer("1001", "unsupervised", "support", "group")
    await delivered(scene, second, "caller1", "1003")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1003")
    books = await scene.booked(Carol=1)
    assert books["Carol"][0].event == "COMPLETECALLER"
