"""Agents who do not answer: app_queue's autopause, of the group and of a personal queue.

Personal queues are rendered without autopause: an agent who does not answer a transferred call
continues to ring until max hold, and is not paused. An administrator can change this in
queues.conf, below the #include: ``[avp-agent-1002](+)`` and ``autopause = all``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

RINGS = 4 + 3
"""The personal queue's time-out in these tests, with a margin."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(bed: Bed) -> AsyncIterator[Bed]:
    """Bob's personal queue pauses him everywhere; no call ends because of it."""
    queues = bed.directory / "etc" / "queues.conf"
    before = queues.read_text()
    queues.write_text(before + "\n[avp-agent-1002](+)\nautopause = all\n")
    await bed.ami.command("queue reload all")
    await bed.stop_daemon()
    await bed.start_daemon({"AVP_ENTERPRISE__MAX_HOLD_ACTION": "group"})
    yield bed
    queues.write_text(before)
    await bed.ami.command("queue reload all")
    await bed.stop_daemon()
    await bed.start_daemon()


@pytest_asyncio.fixture(loop_scope="session")
async def pausing(strict: Bed) -> AsyncIterator[Scene]:
    async with open_scene(strict) as opened:
        yield opened


async def paused(scene: Scene, *queues: str) -> None:
    """Wait until Bob is paused in exactly those of these queues that he is a member of.

    Of his own he is one only while it is needed.
    """

    async def look() -> bool | None:
        found: dict[str, str] = {}
        for queue in ("avp-agent-1002", "sales"):
            members = await scene.ami.members(queue)
            if "Bob" in members:
                found[queue] = members["Bob"]["Paused"]
        return found == {queue: str(int(queue in queues)) for queue in found} or None

    assert await scene.ami.until(look, 3.0), queues


async def test_an_unanswered_consultation_pauses_nobody_by_default(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.ends(transfer, "failed", "no_answer", within=RINGS)
    await scene.talking("caller1", "1001")
    await paused(scene)
    await scene.agent_is("1002", "available")


async def test_a_pause_of_the_group_is_followed(scene: Scene) -> None:
    """The effect of ``autopause=yes`` of the group: it pauses the member in its own queue."""
    interface = scene.bed.world.interface("1002")
    pause = {"Queue": "sales", "Interface": interface, "Reason": "Auto-Pause"}
    await scene.ami.action("QueuePause", Paused="true", **pause)
    await paused(scene, "avp-agent-1002", "sales")
    shown = await scene.agent_is("1002", "not_ready")
    assert shown["pause_reason"] == "Auto-Pause"
    await scene.call("caller1", "1001")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_not_ready"
    await scene.ami.action("QueuePause", Paused="false", **pause)
    await paused(scene)


async def test_a_consultation_that_pauses(pausing: Scene) -> None:
    scene = pausing
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    body = await scene.reaches(transfer, "failed", within=RINGS)
    assert body["ended_reason"] in ("no_answer", "target_not_ready")
    await scene.talking("caller1", "1001")
    await paused(scene, "avp-agent-1002", "sales")
    await scene.agent_is("1002", "not_ready")


@pytest.mark.thorough
async def test_an_unsupervised_transfer_that_pauses(pausing: Scene) -> None:
    """The caller does not wait for an absent agent: the max-hold action follows."""
    scene = pausing
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    await scene.gone("1001")
    await scene.phone("1001").answer(within=RINGS + 6)
    await scene.talking("caller1", "1001")
    await paused(scene, "avp-agent-1002", "sales")
    assert (await scene.api("GET", f"/v1/transfers/{transfer}")).body["state"] == "failed"
