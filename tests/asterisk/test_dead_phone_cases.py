"""A phone that dies where `test_dead_phone` does not look: on hold, in groups, with others dead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import FOURTH, Scene
from tests.asterisk.test_conference import conference, four, swapped
from tests.asterisk.test_dead_phone import NOTICED, RTP_TIMEOUT, daemon

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]

SURVEY = """
[callers](+)
exten => 805,1,Answer()
 same => n,Set(AVP_AFTER=survey,s,1)
 same => n,Queue(sales,icb(avp-pop-headers^s^1))
 same => n,Hangup()
[survey]
exten => s,1,Dial(PJSIP/1004,20)
 same => n,Hangup()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    made = replace(world(), rtp_timeout=RTP_TIMEOUT, max_hold_seconds=9, extensions=SURVEY)
    # Within the longest hold time a phone is rung more than once.
    made = made.with_group("support", timeout=4)
    async with Bed(made, backend=backend_named(None)) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    if centre.daemon is None:
        await centre.start_daemon()
    async with open_scene(centre) as opened:
        yield opened
        if centre.daemon is None:
            await centre.start_daemon()


async def went_to_the_group(scene: Scene, transfer: str) -> None:
    body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
    found = (body["state"], body["ended_reason"], body["caller_outcome"])
    assert found == ("failed", "max_hold", "group"), body


async def back(scene: Scene, *, by: str) -> None:
    await scene.phone(by).answer(within=NOTICED + 6)
    await scene.talking("caller1", by)


@pytest.mark.parametrize("begin", ["swapped", "conference"])
@pytest.mark.parametrize("killed", [False, True], ids=["up", "down"])
async def test_both_agents(scene: Scene, begin: str, killed: bool) -> None:
    await (swapped if begin == "swapped" else conference)(scene)
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1001", "1002")
    await scene.waits("sales", "caller1", within=NOTICED + 15)
    await scene.on_music("caller1")


@pytest.mark.parametrize("begin", ["consulting", "swapped", "conference"])
@pytest.mark.parametrize("dead", ["1001", "1002"])
async def test_with_the_daemon_dead(scene: Scene, begin: str, dead: str) -> None:
    if begin == "consulting":
        await scene.consult("caller1", "1001", "1002")
    else:
        await (swapped if begin == "swapped" else conference)(scene)
    await scene.bed.stop_daemon(kill=True)
    await scene.die(dead)
    (other,) = {"1001", "1002"} - {dead}
    await scene.talking("caller1", other, within=NOTICED + 12)
    await scene.die(other)
    await scene.waits("sales", "caller1", within=NOTICED + 3)
    await scene.on_music("caller1")


async def test_twice(scene: Scene) -> None:
    """The agent to whom the caller came back dies as well."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    await scene.die("1002")
    await back(scene, by="1001")
    await scene.revive()
    await scene.die("1001")
    await back(scene, by="1002")


@daemon(usual=True)
async def test_of_another_group(scene: Scene, killed: bool) -> None:
    """A caller who was sent to a group is back in it, or in the group they came from."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.phone("1003").pick_up(within=8)
    await scene.talking("caller1", "1003")
    await scene.ends(transfer, "completed", "completed")
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1003")

    async def waits() -> bool | None:
        found = [*await scene.ami.waiting("sales"), *await scene.ami.waiting("support")]
        return bool(found) or None

    assert await scene.ami.until(waits, NOTICED + 3)
    await scene.on_music("caller1")


@daemon(usual=True)
async def test_before_a_survey(scene: Scene, killed: bool) -> None:
    """AVP_AFTER is for calls that have ended."""
    await scene.call("caller1", "1001", number="805")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1002")
    await back(scene, by="1001")
    await scene.hang_up("1001")
    await scene.phone("1004").answer(within=8)
    await scene.talking("caller1", "1004")


async def test_a_call_by_no_queue(scene: Scene) -> None:
    """A direct call has no group of its own: the agent's first counts."""
    await scene.direct_call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    await scene.die("1002")
    await back(scene, by="1001")


async def test_on_hold_by_its_key(scene: Scene) -> None:
    """Asterisk expects no sound of a phone on hold (`rtp_timeout_hold`): the caller hears music."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    await scene.phone("1002").hold()
    await scene.on_music("caller1")
    await scene.die("1002")
    await scene.phone("caller1").hearing({"music"}, within=NOTICED + 3, steady=NOTICED)


async def test_external_target_in_a_consultation(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    transfer = str(answer.body["id"])
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.die("pstn")
    await scene.talking("caller1", "1001", within=NOTICED)
    await scene.ends(transfer, "failed", "target_hangup")


@pytest.mark.parametrize("killed", [False, True], ids=["up", "down"])
async def test_all_but_the_caller_of_four(scene: Scene, killed: bool) -> None:
    await four(scene)
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1001", "1002", "pstn")
    await scene.waits("sales", "caller1", within=NOTICED + 15)
    await scene.on_music("caller1")


@pytest.mark.parametrize("killed", [False, True], ids=["up", "down"])
async def test_unplugged_in_a_consultation_that_rings(scene: Scene, killed: bool) -> None:
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1002")
    await scene.hang_up("1001")
    await back(scene, by="1001")


@pytest.mark.parametrize("killed", [False, True], ids=["up", "down"])
async def test_the_only_member_of_a_group_is_unplugged(scene: Scene, killed: bool) -> None:
    await scene.pause("1004")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.phone("1003").ringing(within=8)
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1003")
    await scene.on_music("caller1")
    try:
        await scene.phone("1002").answer(within=NOTICED + 9)
        await scene.talking("caller1", "1002")
        if not killed:
            await went_to_the_group(scene, transfer)
    finally:
        await scene.pause("1004", paused=False)


@pytest.mark.parametrize("killed", [False, True], ids=["up", "down"])
async def test_unplugged_by_the_transfer_button(scene: Scene, killed: bool) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("1001").transfer("1002")
    await scene.phone("1002").ringing(within=8)
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1002")
    await scene.on_music("caller1")
    await back(scene, by="1001")
