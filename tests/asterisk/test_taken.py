"""Calls that leave a transfer by another way than an end: a queue's break-out key, other programs.

Whoever then has the call can transfer it, and the target can be sent another call at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from bed import Bed, World

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

# Where callers come to who press 8 in the queue, and where another program sends them.
DIALPLAN = """
[breakout]
exten => 8,1,Dial(PJSIP/1004,20)
 same => n,Hangup()
exten => silence,1,Wait(60)
 same => n,Hangup()

[avp-internal](+)
exten => 83,1,PickupChan(PJSIP/1003)
exten => 82,1,PickupChan(PJSIP/1002)
exten => 84,1,ParkedCall(default,701)
"""


def world() -> World:
    demo = World(extensions=DIALPLAN, settings={"AVP_SESSION__RING_SECONDS": "4"})
    return demo.with_group("sales", strategy="linear").with_group(
        "support", strategy="linear", options={"context": "breakout"}
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


async def channel(scene: Scene, name: str) -> str:
    return (await scene.ami.channel_of(name))["Channel"]


async def redirect(scene: Scene, name: str, extension: str = "8") -> None:
    """Another program moves this phone's call, for example one of the administrator's own."""
    there = {"Context": "breakout", "Exten": extension, "Priority": "1"}
    await scene.ami.action("Redirect", Channel=await channel(scene, name), **there)


PARKING = """
[default]
parkpos => 701-710
context => parked
comebacktoorigin = no
comebackcontext = breakout
parkingtime = 60
"""


@asynccontextmanager
async def parking(scene: Scene) -> AsyncIterator[None]:
    """Asterisk has parking, from now on. Its lot is a bridge, also while nobody is parked.

    It is not unloaded: now and then Asterisk 22 crashes in main/bridge.c soon after, because it
    still has what the module was asked for.
    """
    (scene.bed.directory / "etc" / "res_parking.conf").write_text(PARKING)
    loaded = await scene.ami.command("module show like res_parking")
    if "1 modules loaded" not in loaded:
        await scene.ami.action("ModuleLoad", LoadType="load", Module="res_parking.so")
    yield
    for phone in scene.bed.phones.values():
        await phone.idle()


async def has_the_call(scene: Scene, caller: str, agent: str) -> None:
    """The agent talks with the caller, is told of the call, and can transfer it as any other."""
    await scene.talking(caller, agent)
    await scene.has_call(agent, transfer=None)
    transfer = await scene.transfer(agent, "unsupervised", "1003")
    await scene.phone("1003").answer(within=6)
    await scene.talking(caller, "1003")
    await scene.ends(transfer, "completed", "completed")


async def test_break_out_key(scene: Scene) -> None:
    """The caller leaves the group's queue by a key, to somebody who is no target."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.phone("1003").ringing(within=8)
    await scene.phone("caller1").command("sndcode", "8")
    await scene.phone("1004").answer(within=8)
    await scene.ends(transfer, "failed", "left_queue")
    outcome = (await scene.api("GET", f"/v1/transfers/{transfer}")).body["caller_outcome"]
    assert outcome == "elsewhere"
    await has_the_call(scene, "caller1", "1004")


@pytest.mark.parametrize(
    "rings",
    [True, pytest.param(False, marks=pytest.mark.thorough)],
    ids=["ringing", "waiting"],
)
async def test_redirect_of_a_caller_who_waits(scene: Scene, rings: bool) -> None:
    """The target is free again at once: the next call can be sent to them."""
    if not rings:
        await scene.direct_call("caller2", "1002")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "ringing" if rings else "waiting")
    await redirect(scene, "caller1", "silence")
    await scene.ends(transfer, "failed", "taken")
    assert not (await scene.agent("1002"))["waiting_transfer"]


@pytest.mark.thorough
async def test_bridge_of_a_caller_who_waits(scene: Scene) -> None:
    """Another program bridges the caller with the agent of another call."""
    await scene.call("caller1", "1001")
    await scene.direct_call("caller2", "1004")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "ringing")
    first, second = await channel(scene, "1004"), await channel(scene, "caller1")
    await scene.ami.action("Bridge", Channel1=first, Channel2=second)
    await scene.ends(transfer, "failed", "taken")
    await has_the_call(scene, "caller1", "1004")


async def test_redirect_of_a_caller_on_hold(scene: Scene) -> None:
    """Those who consulted are released; the caller has no time limit of ours, and no music."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await redirect(scene, "caller1")
    await scene.phone("1004").answer(within=8)
    await scene.ends(transfer, "failed", "taken")
    await scene.gone("1001", "1002")

    async def released() -> bool | None:
        limit = await scene.variable("caller1", "TIMEOUT(absolute)")
        return (limit, await scene.variable("caller1", "AVP_STATE")) == ("0", "") or None

    assert await scene.ami.until(released, 3.0)
    await has_the_call(scene, "caller1", "1004")


@pytest.mark.thorough
async def test_bridge_of_a_caller_on_hold(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.direct_call("caller2", "1004")
    first, second = await channel(scene, "1004"), await channel(scene, "caller1")
    await scene.ami.action("Bridge", Channel1=first, Channel2=second)
    await scene.ends(transfer, "failed", "taken")
    await has_the_call(scene, "caller1", "1004")


@pytest.mark.parametrize(
    "mode", ["unsupervised", pytest.param("supervised", marks=pytest.mark.thorough)]
)
async def test_parked(scene: Scene, mode: str) -> None:
    """Whoever takes the call from the parking lot can transfer it."""
    async with parking(scene):
        await scene.call("caller1", "1001")
        transfer = await scene.transfer("1001", mode, "1002")
        await scene.reaches(transfer, "ringing")
        caller = await channel(scene, "caller1")
        await scene.ami.action("Park", Channel=caller, Parkinglot="default")
        await scene.ends(transfer, "failed", "taken")
        await scene.slot_is_free("1002")
        await scene.gone("1001", "1002")
        await scene.phone("1004").dial("84")
        await has_the_call(scene, "caller1", "1004")


@pytest.mark.thorough
async def test_the_groups_queue_is_deleted(scene: Scene) -> None:
    """The caller is let go as if nobody had answered, and whoever gets the call can transfer it."""
    queues = scene.bed.directory / "etc" / "queues.conf"
    text = queues.read_text()
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.phone("1003").ringing(within=8)
    try:
        queues.write_text(text.replace("[support]", "[supported]"))
        await scene.ami.command("queue reload all")
        body = await scene.reaches(transfer, "failed", 15.0)
        assert body["ended_reason"] in ("max_hold", "left_queue"), body
    finally:
        queues.write_text(text)
        await scene.ami.command("queue reload all")


async def test_pick_up_by_a_stranger(scene: Scene) -> None:
    """An agent who is no target picks up the call that rings the target."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing(within=8)
    await scene.phone("1004").dial("82")
    await scene.talking("caller1", "1004")
    await scene.ends(transfer, "failed", "taken")
    assert not (await scene.agent("1002"))["waiting_transfer"]
    await has_the_call(scene, "caller1", "1004")
