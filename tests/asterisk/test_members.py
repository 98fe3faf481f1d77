"""Transfers with other kinds of members than static ones with their phone.

`dynamic`: they log in to their queues and out of them. `local`: they are members as
``Local/1001@agents/n`` with their phone as state interface, so that no phone is ever in app_queue's
bridge itself.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.listening import Listener, listening
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

WORLDS: dict[str, World] = {
    "dynamic": replace(world(), members="dynamic"),
    "local": replace(world(), local_members=True),
}


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=["local", pytest.param("dynamic", marks=pytest.mark.thorough)],
)
async def members(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    async with Bed(WORLDS[request.param], backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(members: Bed) -> AsyncIterator[Scene]:
    async with open_scene(members) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def told(scene: Scene) -> AsyncIterator[Listener]:
    """All states of the agents, also one that is over before a test looks: ACW lasts a second."""
    async with listening(scene.bed) as events:
        yield events


async def test_a_personal_queue_has_the_member_of_the_group(scene: Scene) -> None:
    """Exactly one, added by the daemon as somebody waits: the rendered file has none."""
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "supervised", "1002")
    agent = scene.bed.world.agent("1002")
    found = [*(await scene.ami.members("avp-agent-1002")).values()]
    assert len(found) == 1, found
    assert found[0]["Membership"] == "dynamic"
    assert found[0]["Location"] == scene.bed.world.interface(agent.id)
    assert found[0]["StateInterface"] == f"PJSIP/{agent.id}"
    assert found[0]["Name"] == agent.name
    assert found[0]["Paused"] == "0"


async def test_supervised_complete(scene: Scene, told: Listener) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    music = await scene.phone("caller1").hearing({"music"})
    await scene.phone("1001").hears({"ringback"})
    before = time.time()
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    began = time.time()
    await scene.phone("1001").hears({"1002"}, steady=1.0)
    assert scene.phone("caller1").understood(music, began) == {"music"}
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    await scene.ends(transfer, "completed", "completed")
    await told.state("1001", "acw")
    await scene.talks_with("1002", "caller1")
    assert (await scene.agent("1002"))["state"] == "talking"
    await scene.agent_is("1001", "available", within=4)
    ended = time.time()
    await scene.hang_up("1002")
    await scene.gone("caller1")
    over = time.time()
    await told.state("1002", "acw")
    books = await scene.booked(Alice=1, Bob=1)
    assert books["Alice"][0].queue == "sales"
    assert books["Bob"][0].queue == "avp-agent-1002"
    talk = books["Bob"][0].talk
    assert ended - began - 2 <= talk <= over - before + 2, "Bob's talk runs from his answer"
    assert len(scene.entered()) == 2, "nobody entered a queue again"


@pytest.mark.thorough
async def test_supervised_cancel_and_again(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("1002")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.agent_is("1002", "available", within=4)
    second = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.cancel(second)
    await scene.talking("caller1", "1001")
    await scene.gone("1002")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    books = await scene.booked(Alice=1, Bob=1)
    assert books["Alice"][0].event == "COMPLETECALLER"


@pytest.mark.thorough
async def test_busy_target_is_next(scene: Scene) -> None:
    """The consultation waits for the busy target, and comes before a call of the group."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.on_music("caller1")
    assert (await scene.agent("1002"))["waiting_transfer"] is True
    await scene.phone("caller3").dial("800")
    await scene.on_music("caller3")
    await scene.hang_up("caller2")
    await scene.gone("1002")
    await scene.phone("1002").answer(within=6)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.phone("caller3").hears({"music"})
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.phone("1001").answer(within=6)  # free again, and so is caller3's agent
    await scene.talking("caller3", "1001")
    await scene.hang_up("1001", "1002")
    await scene.gone("caller1", "caller3")
    await scene.booked(Alice=2, Bob=2)


@pytest.mark.thorough
async def test_unsupervised_to_an_available_agent(scene: Scene, told: Listener) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await told.state("1001", "acw")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.plain("caller1", "1002")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    books = await scene.booked(Alice=1, Bob=1)
    assert books["Alice"][0].event == "COMPLETEAGENT"
    assert len(scene.entered()) == 2


@pytest.mark.thorough
async def test_unsupervised_to_a_busy_agent(scene: Scene, told: Listener) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.reaches(transfer, "waiting")
    await scene.talking("caller2", "1002")
    await scene.hang_up("1002")
    await scene.gone("caller2")
    await told.state("1002", "acw")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=2)


@pytest.mark.thorough
async def test_unsupervised_to_a_group(scene: Scene) -> None:
    """The first member of the group takes it; here that is another group."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.gone("1001")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    await scene.ends(transfer, "completed", "completed")
    await scene.plain("caller1", "1003")
    await scene.hang_up("1003")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Carol=1)


@pytest.mark.thorough
async def test_unsupervised_to_the_own_group_is_not_offered_back(scene: Scene) -> None:
    """1001 is free again first, after ACW, but the call is for the others."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "sales", kind="group")
    await scene.gone("1001")
    await scene.agent_is("1001", "available", within=5)
    await scene.on_music("caller1")
    await scene.hang_up("caller2")
    await scene.gone("1002")
    await scene.phone("1002").answer(within=6)
    assert not scene.phone("1001").live
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=2)
