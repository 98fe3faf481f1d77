"""A phone that dies: no BYE, no RTP, no answer to anything.

Whoever was connected to it goes on with somebody else, with or without the daemon: nobody hears
silence for longer than Asterisk needs to notice, and no caller is hung up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

RTP_TIMEOUT = 3
NOTICED = RTP_TIMEOUT + 3.0
"""Seconds within which Asterisk has ended a dead phone's call."""

THOROUGH = pytest.mark.thorough


def daemon(*, usual: bool) -> pytest.MarkDecorator:
    """With the daemon up, and killed; the usual run has one of the two."""
    other = [pytest.param(not usual, id="up" if usual else "down", marks=THOROUGH)]
    this = [pytest.param(usual, id="down" if usual else "up")]
    return pytest.mark.parametrize("killed", this + other)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    own = """
[callers](+)
exten => 804,1,Answer()
 same => n(queue),Queue(sales,icb(avp-pop-headers^s^1))
 same => n,Gosub(avp-partner,s,1)
 same => n,Set(QUEUE_PRIO=1000000)
 same => n,GotoIf($["${GOSUB_RETVAL}" = "dead"]?queue)
 same => n,Hangup()
"""
    made = replace(world(), rtp_timeout=RTP_TIMEOUT, max_hold_seconds=9, extensions=own)
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


async def back_in_the_group(scene: Scene, *, by: str, killed: bool, entered: int) -> None:
    """The caller waits at the head of the group, before another caller, and ``by`` answers."""
    await scene.phone(by).answer(within=NOTICED + 6)
    await scene.talking("caller1", by)
    assert len(scene.entered()) == entered
    if killed:
        await scene.bed.start_daemon()
    transfers = (await scene.api("GET", "/v1/transfers")).body
    assert all(transfer["ended_reason"] for transfer in transfers), transfers
    # And it is a call like any other: a phone that hangs up ends it.
    await scene.hang_up(by)
    await scene.gone("caller1", within=2.0)


@daemon(usual=True)
async def test_after_complete(scene: Scene, killed: bool) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1002")
    await back_in_the_group(scene, by="1001", killed=killed, entered=3)


@pytest.mark.thorough
@daemon(usual=False)
async def test_after_cancel(scene: Scene, killed: bool) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.gone("1002")
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1001")
    await back_in_the_group(scene, by="1002", killed=killed, entered=3)


@THOROUGH
@pytest.mark.parametrize("killed", [False, True], ids=["up", "down"])
async def test_after_unsupervised(scene: Scene, killed: bool) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1002")
    await back_in_the_group(scene, by="1001", killed=killed, entered=3)


@THOROUGH
@daemon(usual=False)
async def test_an_external_target_after_complete(scene: Scene, killed: bool) -> None:
    """Their network has stopped sending: the caller is not hung up with them."""
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": "+12025550100"}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    transfer = str(answer.body["id"])
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")
    await scene.gone("1001")
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("pstn")
    await back_in_the_group(scene, by="1002", killed=killed, entered=2)


@THOROUGH
async def test_the_transferor_in_a_consultation(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.die("1001")
    await scene.talking("caller1", "1002", within=NOTICED)
    await scene.ends(transfer, "completed", "completed")


@THOROUGH
async def test_the_target_in_a_consultation(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.die("1002")
    await scene.talking("caller1", "1001", within=NOTICED)
    await scene.ends(transfer, "failed", "target_hangup")


async def test_both_agents_in_a_consultation(scene: Scene) -> None:
    await scene.consult("caller1", "1001", "1002")
    await scene.die("1001", "1002")
    await scene.waits("sales", "caller1", within=NOTICED + 3)
    await scene.on_music("caller1")


@daemon(usual=False)
async def test_a_target_who_is_unplugged_while_ringing(scene: Scene, killed: bool) -> None:
    """The caller is not hung up at the maximum hold time."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    if killed:
        await scene.bed.stop_daemon(kill=True)
    await scene.die("1002")
    await scene.on_music("caller1")
    await scene.waits("sales", "caller1", within=NOTICED + 9)
    assert await scene.variable("caller1", "AVP_EXCLUDE") == "1002", "it is not rung again"
    await back_in_the_group(scene, by="1001", killed=killed, entered=3)
    if not killed:
        body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
        assert (body["ended_reason"], body["caller_outcome"]) == ("max_hold", "group"), body


@THOROUGH
async def test_a_phone_that_nobody_picks_up_is_not_dead(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.ends(transfer, "failed", "max_hold", within=12)
    await scene.gone("caller1", within=12)


@THOROUGH
@pytest.mark.parametrize("dead", ["1001", "1002"])
async def test_an_agent_in_a_conference(scene: Scene, dead: str) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await scene.die(dead)
    (other,) = {"1001", "1002"} - {dead}
    await scene.talking("caller1", other, within=NOTICED)
    await scene.plain("caller1", other)
    await scene.die(other)
    await scene.waits("sales", "caller1", within=NOTICED + 3)
    await scene.on_music("caller1")


@THOROUGH
async def test_a_call_that_was_not_transferred(scene: Scene) -> None:
    """The lines of docs/install.md for the administrator's own dialplan."""
    await scene.call("caller1", "1001", number="804")
    await scene.die("1001")
    await scene.waits("sales", "caller1", within=NOTICED + 3)
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.hang_up("1002")
    await scene.gone("caller1", within=2.0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def locals_centre() -> AsyncIterator[Bed]:
    made = replace(world(), rtp_timeout=RTP_TIMEOUT, local_members=True)
    async with Bed(made, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@THOROUGH
@pytest.mark.parametrize("how", ["complete", "unsupervised"])
async def test_members_that_are_local_channels(locals_centre: Bed, how: str) -> None:
    async with open_scene(locals_centre) as scene:
        if how == "complete":
            transfer = await scene.consult("caller1", "1001", "1002")
            await scene.complete(transfer)
        else:
            await scene.call("caller1", "1001")
            await scene.transfer("1001", "unsupervised", "1002")
            await scene.phone("1002").answer()
        await scene.talking("caller1", "1002")
        await scene.die("1002")
        await back_in_the_group(scene, by="1001", killed=False, entered=3)
