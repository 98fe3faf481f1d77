"""After a transfer the call is plain Asterisk: hang-ups, and a daemon that dies.

With the daemon up and after it was killed: whoever hangs up, nobody is queued again, queue_log is
right and nothing is left over. Calls that wait in app_queue are delivered without the daemon.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

NAMES = {"1001": "Alice", "1002": "Bob"}


def daemon_up_and_down(agent: str) -> pytest.MarkDecorator:
    """Who hangs up, with the daemon up, and killed; the usual run has two of the four."""
    return pytest.mark.parametrize(
        ("who", "killed"),
        [
            pytest.param(agent, False, id=f"{agent}-up"),
            pytest.param("caller1", True, id="caller1-down"),
            pytest.param("caller1", False, id="caller1-up", marks=pytest.mark.thorough),
            pytest.param(agent, True, id=f"{agent}-down", marks=pytest.mark.thorough),
        ],
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world(), backend=backend_named(None)) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    """The call centre with the daemon up; if it was killed, it is restarted afterwards."""
    if centre.daemon is None:
        await centre.start_daemon()
    async with open_scene(centre) as opened:
        yield opened
        if centre.daemon is None:
            await centre.start_daemon()


async def check_the_end(
    scene: Scene, kept: str, who: str, entered: int, completed: dict[str, int]
) -> None:
    """``who`` of caller1 and the agent ``kept`` hangs up, and then everything has ended."""
    await scene.hang_up(who)
    await scene.gone("caller1", kept)
    await scene.ami.assert_clean()
    books = await scene.booked(**completed)
    last = books[NAMES[kept]][-1]
    assert last.event == ("COMPLETECALLER" if who == "caller1" else "COMPLETEAGENT")
    assert len(scene.entered()) == entered, "nobody entered a queue again"
    rows = scene.bed.queue_log.rows(scene.books_mark)
    assert [row.event for row in rows if row.event in ("ABANDON", "EXITWITHTIMEOUT")] == []


@daemon_up_and_down("1002")
async def test_after_complete(scene: Scene, who: str, killed: bool) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    if killed:
        await scene.bed.stop_daemon(kill=True)
        await scene.talking("caller1", "1002")
    await check_the_end(scene, "1002", who, entered=2, completed={"Alice": 1, "Bob": 1})


@pytest.mark.thorough
@daemon_up_and_down("1001")
async def test_after_cancel(scene: Scene, who: str, killed: bool) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.gone("1002")
    if killed:
        await scene.bed.stop_daemon(kill=True)
        await scene.talking("caller1", "1001")
    await check_the_end(scene, "1001", who, entered=2, completed={"Alice": 1, "Bob": 1})


@pytest.mark.parametrize("who", [pytest.param("caller1", marks=pytest.mark.thorough), "1002"])
@pytest.mark.thorough
async def test_after_unsupervised_with_the_daemon_down(scene: Scene, who: str) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.bed.stop_daemon(kill=True)
    await check_the_end(scene, "1002", who, entered=2, completed={"Alice": 1, "Bob": 1})


async def test_the_daemon_comes_back_to_calls_it_transferred(scene: Scene) -> None:
    """It recognises them as calls that can be transferred again."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    assert (await scene.agent("1002"))["call"]["caller"] == "caller1"
    await scene.agent_is("1001", "available", within=4)
    back = await scene.transfer("1002", "supervised", "1001")
    await scene.phone("1001").answer()
    await scene.consulting(back, "caller1", "1002", "1001")
    await scene.complete(back)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("1002")
    await check_the_end(scene, "1001", "caller1", entered=3, completed={"Alice": 2, "Bob": 1})


async def test_calls_reach_agents_without_the_daemon(scene: Scene) -> None:
    await scene.bed.stop_daemon(kill=True)
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    await scene.hang_up("caller1", "1002")
    await scene.gone("1001", "caller2")
    await scene.booked(Alice=1, Bob=1)


async def waiting_for_the_busy(scene: Scene, max_hold: str = "") -> None:
    """caller1, transferred by 1001, waits for 1002, who talks to caller2; the daemon dies."""
    await scene.call("caller1", "1001")
    if max_hold:
        caller = (await scene.ami.channel_of("caller1"))["Channel"]
        await scene.ami.action("Setvar", Channel=caller, Variable="AVP_MAX_HOLD", Value=max_hold)
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.bed.stop_daemon(kill=True)


async def test_who_waits_is_next_without_the_daemon(scene: Scene) -> None:
    await waiting_for_the_busy(scene, max_hold="60")
    await scene.pause("1001")
    await scene.phone("caller3").dial("800")
    await scene.on_music("caller3")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")
    await scene.phone("caller3").hears({"music"})
    await scene.phone("caller3").hangup()
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=2)


async def test_max_hold_without_the_daemon(scene: Scene) -> None:
    since = time.time()
    await waiting_for_the_busy(scene)
    await scene.gone("caller1", within=scene.bed.world.max_hold_seconds + 6)
    assert "speech" in scene.phone("caller1").heard(since)
    await scene.talking("caller2", "1002")
    rows = scene.bed.queue_log.rows(scene.books_mark)
    (timed_out,) = [row for row in rows if row.event == "EXITWITHTIMEOUT"]
    assert timed_out.queue == "avp-agent-1002"
