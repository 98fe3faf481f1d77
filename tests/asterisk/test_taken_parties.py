"""Other programs take a party of a transfer: the agents as well as the caller, in every state.

Whoever remains talks to somebody or hears music, no transfer runs on without its call, and whoever
has the call then can transfer it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.test_conference import conference, consult_of_three, four, swapped
from tests.asterisk.test_taken import channel, has_the_call, parking, redirect, world

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world()) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def consulting(scene: Scene) -> str:
    return await scene.consult("caller1", "1001", "1002")


async def ringing(scene: Scene) -> str:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    return transfer


BEGINNINGS = {
    "ringing": ringing,
    "consulting": consulting,
    "swapped": swapped,
    "conference": conference,
    "three": consult_of_three,
    "four": four,
}
ALONE = ("consulting", "swapped", "conference")


async def can_send_on(scene: Scene, agent: str) -> None:
    """The agent of `sales` has the caller, is told of the call, and can transfer it."""
    await scene.talking("caller1", agent)
    await scene.has_call(agent, transfer=None)
    transfer = await scene.transfer(agent, "unsupervised", "support", kind="group")
    await scene.phone("1003").answer(within=8)
    await scene.talking("caller1", "1003")
    await scene.ends(transfer, "completed", "completed")


async def released(scene: Scene, begin: str) -> None:
    """Nothing of ours keeps the others; but colleagues who have talked with the caller talk on."""
    if begin in ("conference", "four"):
        await scene.talking("1001", "1002", within=8)
        await scene.plain("1001", "1002")
        assert await scene.variable("caller1", "AVP_SESSION_0") == ""
        await scene.hang_up("1001")
    await scene.gone("1001", "1002", "pstn", within=8)


async def over(scene: Scene, transfer: str, state: str, reason: str) -> None:
    await scene.ends(transfer, state, reason, within=10.0)
    for agent in ("1001", "1002"):
        await scene.slot_is_free(agent)


@pytest.mark.parametrize("begin", ["three", "four"])
async def test_redirect_of_the_caller(scene: Scene, begin: str) -> None:
    """With a fourth party, who is called in."""
    transfer = await BEGINNINGS[begin](scene)
    await redirect(scene, "caller1")
    await scene.phone("1004").answer(within=8)
    await over(scene, transfer, "failed", "taken")
    await released(scene, begin)
    await has_the_call(scene, "caller1", "1004")


@pytest.mark.parametrize("begin", ["ringing", *ALONE])
async def test_bridge_of_the_caller(scene: Scene, begin: str) -> None:
    """Another program bridges the caller with the agent of another call."""
    transfer = await BEGINNINGS[begin](scene)
    await scene.direct_call("caller2", "1004")
    first, second = await channel(scene, "1004"), await channel(scene, "caller1")
    await scene.ami.action("Bridge", Channel1=first, Channel2=second)
    await over(scene, transfer, "failed", "taken")
    await released(scene, begin)
    await has_the_call(scene, "caller1", "1004")


@pytest.mark.parametrize("begin", ["ringing", *ALONE])
async def test_redirect_of_the_transferor(scene: Scene, begin: str) -> None:
    """Caller and target go on, as if the transferor had hung up; their call elsewhere stays."""
    transfer = await BEGINNINGS[begin](scene)
    await redirect(scene, "1001")
    await scene.phone("1004").answer(within=8)
    await scene.hear_one_another("1001", "1004")
    if begin == "ringing":
        await scene.phone("1002").answer(within=8)
    await scene.talking("caller1", "1002")
    body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
    assert body["ended_reason"] is not None, body
    await scene.hear_one_another("1001", "1004")
    await can_send_on(scene, "1002")


@pytest.mark.parametrize("begin", ALONE)
async def test_redirect_of_the_target(scene: Scene, begin: str) -> None:
    transfer = await BEGINNINGS[begin](scene)
    await redirect(scene, "1002")
    await scene.phone("1004").answer(within=8)
    await over(scene, transfer, "failed", "target_hangup")
    await scene.hear_one_another("1002", "1004")
    await scene.talking("caller1", "1001")
    await scene.hear_one_another("1002", "1004")
    await can_send_on(scene, "1001")


@pytest.mark.parametrize("begin", ["ringing", *ALONE])
async def test_redirect_of_caller_and_transferor(scene: Scene, begin: str) -> None:
    """Both at once, as our own Redirect does it."""
    transfer = await BEGINNINGS[begin](scene)
    there = {"Context": "breakout", "Exten": "8", "Priority": "1"}
    extra = {"ExtraContext": "breakout", "ExtraExten": "silence", "ExtraPriority": "1"}
    await scene.ami.action(
        "Redirect",
        Channel=await channel(scene, "caller1"),
        ExtraChannel=await channel(scene, "1001"),
        **there,
        **extra,
    )
    await scene.phone("1004").answer(within=8)
    body = await scene.reaches(transfer, "failed", 10.0)
    assert body["ended_reason"] == "taken", body
    await scene.gone("1002", within=8)
    await scene.slot_is_free("1002")
    await has_the_call(scene, "caller1", "1004")


@pytest.mark.parametrize("who", ["1001", "1002"])
@pytest.mark.parametrize("begin", ALONE)
async def test_bridge_of_an_agent(scene: Scene, begin: str, who: str) -> None:
    """Another program bridges one of the agents with somebody else: the rest talk on."""
    transfer = await BEGINNINGS[begin](scene)
    await scene.direct_call("caller2", "1004")
    first, second = await channel(scene, "1004"), await channel(scene, who)
    await scene.ami.action("Bridge", Channel1=first, Channel2=second)
    (other,) = {"1001", "1002"} - {who}
    await scene.talking("caller1", other)
    await scene.hear_one_another(who, "1004")
    how = ("completed", "completed") if who == "1001" else ("failed", "target_hangup")
    await over(scene, transfer, *how)
    await scene.hear_one_another(who, "1004")
    await can_send_on(scene, other)


@pytest.mark.parametrize("begin", ALONE)
async def test_caller_and_target_are_bridged_by_another_program(scene: Scene, begin: str) -> None:
    """As an administrator does it by hand who wants the transfer done."""
    transfer = await BEGINNINGS[begin](scene)
    first, second = await channel(scene, "1002"), await channel(scene, "caller1")
    await scene.ami.action("Bridge", Channel1=first, Channel2=second)
    await scene.talking("caller1", "1002")
    await scene.reaches(transfer, "failed", 10.0)
    await scene.gone("1001", within=8)
    await can_send_on(scene, "1002")


async def test_pick_up_of_a_consultation(scene: Scene) -> None:
    """A colleague who picks up the phone that rings is not whom the transferor asked for."""
    transfer = await ringing(scene)
    await scene.phone("1004").dial("82")
    await scene.phone("1002").closed(within=8)
    body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
    if body["ended_reason"] is None:
        await scene.hear_one_another("1001", "1004")
        await scene.on_music("caller1")
        await scene.complete(transfer)
        await scene.talking("caller1", "1004")
        await scene.has_call("1004", caller="caller1", transfer=None)
    else:
        await scene.talking("caller1", "1001")


@pytest.mark.parametrize("by", ["1004", "1002"])
async def test_pick_up_of_a_group_transfer(scene: Scene, by: str) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.phone("1003").ringing(within=8)
    await scene.gone("1001")
    await scene.phone(by).dial("83")
    await scene.talking("caller1", by)
    how = ("completed", "completed") if by == "1004" else ("failed", "taken")
    await scene.ends(transfer, *how, within=10.0)
    await scene.has_call(by, caller="caller1", transfer=None)


async def test_park(scene: Scene) -> None:
    """One after the other, since Asterisk does not survive it if parking is loaded often."""
    async with parking(scene):
        for begin in (*ALONE, "completed"):
            first = "consulting" if begin == "completed" else begin
            transfer = await BEGINNINGS[first](scene)
            if begin == "completed":
                await scene.complete(transfer)
                await scene.ends(transfer, "completed", "completed")
                await scene.talking("caller1", "1002")
            caller = await channel(scene, "caller1")
            await scene.ami.action("Park", Channel=caller, Parkinglot="default")
            if begin != "completed":
                await over(scene, transfer, "failed", "taken")
            await released(scene, begin)
            await scene.talks_with("1002", None)
            await scene.phone("1004").dial("84")
            await has_the_call(scene, "caller1", "1004")
            await scene.hang_up("caller1")
            await scene.gone("1003")
            for agent in ("1001", "1002", "1003", "1004"):
                await scene.agent_is(agent, "available", within=15.0)
