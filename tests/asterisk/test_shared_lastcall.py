"""After `queue reload members`, which switches shared_lastcall off in Asterisk (issue 1255).

The daemon keeps after-call work by pauses of its own, and gives these back.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from asterisk_avp.core.pbx.shared_lastcall import TOLERANCE_SECONDS
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ACW = 4
REASON = "AVP-ACW"
OFF = "asterisk_avp_shared_lastcall_off"
KINDS = ("static", pytest.param("dynamic", marks=pytest.mark.thorough))


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=KINDS)
async def centre(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    ours = replace(world(), wrapuptime=ACW, members=request.param)
    async with Bed(ours, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def reload_queues(scene: Scene, what: str) -> None:
    """Asterisk reads a file only if it has changed. What it has read is older than the next call.

    A membership proves nothing in a call that began in its second (`is_proof`).
    """
    file = scene.bed.directory / "etc" / "queues.conf"
    later = file.stat().st_mtime + 2
    os.utime(file, (later, later))
    await scene.ami.command(f"queue reload {what}")
    read = time.time()

    async def is_older() -> bool | None:
        return time.time() - read > 2 * TOLERANCE_SECONDS or None

    await scene.ami.until(is_older, 5)


async def transferred_call_ends(scene: Scene) -> float:
    """1002 has had a call of 1001's, by the personal queue. It ended after the returned time."""
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer(within=8)
    await scene.talking("caller1", "1002")
    await scene.pause("1001")
    ended = time.time()
    await scene.hang_up("caller1")
    await scene.gone("1002")
    return ended


async def reason(scene: Scene, agent: str) -> str:
    """Why the agent is paused in their group, as Asterisk says; empty: they are not."""
    for row in (await scene.ami.members("sales")).values():
        if scene.bed.world.interface(agent) in (row["Location"], row["StateInterface"]):
            return str(row["PausedReason"]) if row["Paused"] == "1" else ""
    raise AssertionError(f"{agent} is no member")


async def has_reason(scene: Scene, agent: str, expected: str) -> None:
    async def look() -> bool | None:
        return await reason(scene, agent) == expected or None

    assert await scene.ami.until(look, ACW + 3.0), await reason(scene, agent)


async def rung_after(scene: Scene, ended: float) -> float:
    await scene.phone("caller2").dial("800")
    await scene.phone("1002").ringing(within=ACW + 8)
    rung = time.time() - ended
    await scene.phone("caller2").hangup()
    return rung


async def test_after_call_work_is_kept_and_the_pause_given_back(scene: Scene) -> None:
    await reload_queues(scene, "members")
    ended = await transferred_call_ends(scene)
    await has_reason(scene, "1002", REASON)
    await scene.agent_is("1002", "acw")
    assert await rung_after(scene, ended) > ACW - 1
    await has_reason(scene, "1002", "")
    assert await reason(scene, "1001") != REASON, "their break is theirs"
    assert await scene.metric(OFF) == 1
    # Asterisk keeps it again after the whole file has been read, and the next call shows that.
    await scene.pause("1001", paused=False)
    await reload_queues(scene, "all")
    ended = await transferred_call_ends(scene)
    assert await rung_after(scene, ended) > ACW - 1
    assert await scene.metric(OFF) == 0
    await scene.pause("1001", paused=False)


@pytest.mark.thorough
async def test_a_reload_during_the_call(scene: Scene) -> None:
    """A static membership is another one for app_queue, which notes no time in it at all."""
    await scene.call("caller1", "1001")
    await reload_queues(scene, "members")
    await scene.pause("1002")
    ended = time.time()
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.agent_is("1001", "acw")
    await scene.phone("caller2").dial("800")
    await scene.phone("1001").ringing(within=ACW + 8)
    assert time.time() - ended > ACW - 1
    await scene.phone("caller2").hangup()
    await scene.pause("1002", paused=False)
    await reload_queues(scene, "all")


@pytest.mark.thorough
async def test_the_next_daemon_gives_the_pause_back(scene: Scene) -> None:
    await reload_queues(scene, "members")
    await transferred_call_ends(scene)
    await has_reason(scene, "1002", REASON)
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await has_reason(scene, "1002", "")
    await scene.pause("1001", paused=False)
    await reload_queues(scene, "all")


@pytest.mark.thorough
async def test_a_pause_of_others_stays(scene: Scene) -> None:
    await reload_queues(scene, "members")
    await transferred_call_ends(scene)
    await has_reason(scene, "1002", REASON)
    interface = scene.bed.world.interface("1002")
    await scene.ami.action("QueuePause", Interface=interface, Paused="true", Reason="lunch")
    await scene.agent_is("1002", "not_ready", within=ACW + 3.0)
    assert await reason(scene, "1002") == "lunch"
    await scene.pause("1002", paused=False)
    await scene.pause("1001", paused=False)
    await reload_queues(scene, "all")
