"""Where a transferred caller goes on: by the administrator's dialplan, into queues, by a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]

DIALPLAN = """
[breakout]
exten => 8,1,Dial(PJSIP/1004,20)
 same => n,Hangup()

[callers](+)
exten => 810,1,Answer()
 same => n,Set(AVP_AFTER=again,s,1)
 same => n,Goto(800,1)

[again]
exten => s,1,Set(AVP_AFTER=breakout,8,1)
 same => n,Queue(support,ic)
 same => n,Hangup()

[avp-external](+)
exten => +12025550151,1,Progress()
 same => n,Wait(4)
 same => n,Busy(1)
exten => +12025550152,1,Dial(Local/busy@network/n,20,i)

[network]
exten => busy,1,Progress()
 same => n,Playtones(!440/1000)
 same => n,Wait(4)
 same => n,Hangup(17)
"""


def world() -> World:
    settings = {
        "AVP_SESSION__RING_SECONDS": "4",
        "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "group",
        "AVP_GROUPS__SUPPORT__MAX_HOLD_ACTION": "return",
    }
    demo = World(extensions=DIALPLAN, settings=settings)
    key = {"context": "breakout"}
    demo = demo.with_group("sales", strategy="linear", options=key)
    return replace(demo.with_group("support", strategy="linear", options=key), max_hold_seconds=6)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world(), backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def send_on(scene: Scene, agent: str, group: str, by: str) -> None:
    """The agent has the caller, and can transfer them as any other call."""
    await scene.talking("caller1", agent)
    await scene.has_call(agent, caller="caller1", transfer=None)
    transfer = await scene.transfer(agent, "unsupervised", group, kind="group")
    await scene.phone(by).answer(within=8)
    await scene.talking("caller1", by)
    await scene.ends(transfer, "completed", "completed")


async def test_break_out_key_where_nobody_answered(scene: Scene) -> None:
    """The transfer has failed before; the caller waits in the group."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.waits("sales", "caller1", within=12.0)
    await scene.ends(transfer, "failed", "max_hold")
    await scene.phone("caller1").command("sndcode", "8")
    await scene.phone("1004").answer(within=8)
    await send_on(scene, "1004", "sales", "1001")


async def test_break_out_key_after_the_return_to_the_transferor(scene: Scene) -> None:
    """From the transferor's own queue, to which no key belongs, to their group, and out of it."""
    await scene.call("caller1", "1003", group="support")
    transfer = await scene.transfer("1003", "unsupervised", "1004")
    await scene.phone("1003").ringing(within=12.0)
    await scene.waits("avp-agent-1003", "caller1")
    await scene.phone("caller1").command("sndcode", "8")
    await scene.ends(transfer, "failed", "max_hold")
    await scene.waits("support", "caller1", within=12.0)
    await scene.pause("1003")
    await scene.phone("caller1").command("sndcode", "8")
    await scene.rung_again("1004")
    await scene.pause("1003", paused=False)
    await send_on(scene, "1004", "sales", "1001")


@pytest.mark.parametrize("how", ["complete", "unsupervised"])
async def test_another_queue_after_the_call(scene: Scene, how: str) -> None:
    """AVP_AFTER leads into a queue; its agent transfers the call once more."""
    await scene.call("caller1", "1001", number="810")
    if how == "complete":
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
    else:
        await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.hang_up("1002")
    await scene.phone("1003").answer(within=8)
    await scene.talking("caller1", "1003")
    await scene.has_call("1003", caller="caller1", group="support", transfer=None)
    transfer = await scene.transfer("1003", "supervised", "1004")
    await scene.phone("1004").answer()
    await scene.consulting(transfer, "caller1", "1003", "1004")
    await scene.complete(transfer)
    await scene.talking("caller1", "1004")
    await scene.agent_is("1003", "available", within=8)
    await send_on(scene, "1004", "sales", "1001")
    # The administrator's second place to go on, which rings 1004 without a queue.
    await scene.agent_is("1004", "available", within=8)
    await scene.hang_up("1001")
    await scene.phone("1004").answer(within=8)
    await scene.talking("caller1", "1004")


@pytest.mark.parametrize("number", ["+12025550151", "+12025550152"])
async def test_the_network_says_something_and_then_busy(scene: Scene, number: str) -> None:
    """183, with media or without, and 486: the transferor is back with the caller."""
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": number}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 201, answer
    transfer = str(answer.body["id"])
    await scene.reaches(transfer, "ringing")
    body = await scene.reaches(transfer, "failed", 10.0)
    assert body["ended_reason"] == "target_busy", body
    await scene.talking("caller1", "1001")
