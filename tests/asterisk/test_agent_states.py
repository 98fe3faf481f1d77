"""Agent states in the daemon, compared with phones and app_queue.

Wrap-up is 2 s in sales and 4 s in support. 1002 is in both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, backend_named, match
from bed.procs import end

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import NUMBERS, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SALES_ACW, SUPPORT_ACW = 2, 4
RETRY = 1.0
"""The queues check for a free member once a second."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    ours = world().with_group("sales", wrapuptime=SALES_ACW)
    ours = ours.with_group(
        "support", wrapuptime=SUPPORT_ACW, agents=("1003", "1004", "1002"), strategy="linear"
    )
    async with Bed(replace(ours, members="dynamic"), backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def shown(scene: Scene, agent: str) -> dict[str, Any]:
    """The agent in the list of all agents."""
    agents = (await scene.api("GET", "/v1/agents")).body
    (found,) = [row for row in agents if row["id"] == agent]
    assert isinstance(found, dict)
    return found


async def left_acw(scene: Scene, agent: str) -> float:
    """Wait until the agent is in another state. Returns when that was seen."""
    await scene.agent_is(agent, "acw")

    async def look() -> float | None:
        return time.time() if (await shown(scene, agent))["state"] != "acw" else None

    seen = await scene.ami.until(look, 8.0)
    assert seen is not None
    return seen


async def next_call(
    scene: Scene, agent: str, caller: str, group: str, acw: int, offered: int | None = None
) -> None:
    """The agent has just hung up. ``caller`` dials the group, and is offered after ``acw``.

    Or after ``offered``, if that is longer. app_queue counts in whole seconds, so a second too
    early is in time. It checks once a second, so it may ring a second after the state has changed,
    but never before.
    """
    ended = time.time()
    await scene.phone(caller).dial(NUMBERS[group])
    free = await left_acw(scene, agent)
    rung = await scene.ami.wait(match("AgentCalled", Queue=group), within=4, since=ended)
    assert acw - 1 <= free - ended <= acw + 0.5, "the state changes on time"
    due = (offered or acw) - acw
    assert due - 0.3 <= rung.at - free <= due + RETRY + 0.5, "a call is offered after it"
    await scene.agent_is(agent, "ringing")
    await scene.phone(caller).hangup()


async def alone(scene: Scene, agent: str) -> None:
    """No other agent is logged in."""
    for other in scene.bed.world.agents:
        if other.id != agent:
            await scene.log_out(other.id)


async def test_through_a_call(scene: Scene) -> None:
    assert (await shown(scene, "1001"))["state"] == "available"
    assert (await shown(scene, "1001"))["groups"] == ["sales"]
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").ringing()
    await scene.agent_is("1001", "ringing")
    await scene.phone("1001").answer()
    await scene.agent_is("1001", "talking")
    await scene.talking("caller1", "1001")
    call = (await scene.agent("1001"))["call"]
    assert (call["caller"], call["group"]) == ("caller1", "sales")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.agent_is("1001", "acw")
    assert (await scene.agent("1001"))["call"] is None
    await scene.agent_is("1001", "available", within=SALES_ACW + 0.5)
    assert (await shown(scene, "1002"))["state"] == "available"


async def test_a_direct_call_has_no_acw(scene: Scene) -> None:
    await scene.direct_call("caller1", "1001")
    await scene.agent_is("1001", "talking")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.agent_is("1001", "available", within=1)


async def test_a_break(scene: Scene) -> None:
    """A break that begins during a call is shown when the call and its ACW have ended."""
    await scene.call("caller1", "1001")
    await scene.pause("1001")
    assert (await shown(scene, "1001"))["state"] == "talking"
    await scene.hang_up("1001")
    await scene.gone("caller1")
    await scene.agent_is("1001", "acw")
    await scene.agent_is("1001", "not_ready", within=SALES_ACW + 0.5)
    await scene.pause("1001", paused=False)
    await scene.agent_is("1001", "available")


async def test_a_phone_that_is_not_there(scene: Scene) -> None:
    phone = scene.phone("1002")
    assert phone.process is not None
    await phone.detach()
    await asyncio.to_thread(end, phone.process)  # it unregisters
    try:
        await scene.agent_is("1002", "offline")
        await scene.call("caller1", "1001")
        assert await scene.refused("1001", "supervised", "agent", "1002") == "target_offline"
    finally:
        await phone.start()
    await scene.agent_is("1002", "available")
    await scene.log_out("1002")
    await scene.agent_is("1002", "offline")


async def test_acw_of_the_group(scene: Scene) -> None:
    await alone(scene, "1001")
    await scene.call("caller1", "1001")
    await scene.hang_up("1001")
    await next_call(scene, "1001", "caller2", "sales", SALES_ACW)


@pytest.mark.parametrize(
    ("first", "then", "acw", "offered"),
    [
        ("sales", "support", SALES_ACW, SUPPORT_ACW),
        pytest.param("support", "sales", SUPPORT_ACW, SUPPORT_ACW, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.thorough
async def test_acw_goes_by_the_queue_of_the_last_call(
    scene: Scene, first: str, then: str, acw: int, offered: int
) -> None:
    """app_queue counts like this, and so does the state. Each queue keeps its own wrap-up."""
    await alone(scene, "1002")
    await scene.call("caller1", "1002", first)
    await scene.hang_up("1002")
    await next_call(scene, "1002", "caller2", then, acw, offered)


async def test_acw_after_a_transferred_call_is_the_longest(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await alone(scene, "1002")
    await scene.hang_up("1002")
    await next_call(scene, "1002", "caller2", "sales", SUPPORT_ACW)


@pytest.mark.thorough
async def test_acw_of_the_member(scene: Scene) -> None:
    """A wrap-up of the member's own, for calls of the group and for transferred ones."""
    await scene.log_out("1002")
    await scene.log_in("1002", "sales", Wrapuptime="4")
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.on_music("caller1")
    ended = time.time()
    await scene.hang_up("1002")
    free = await left_acw(scene, "1002")
    await scene.phone("1002").answer()
    rung = scene.ami.seen(match("AgentCalled", Queue="avp-agent-1002"), ended)[0]
    assert 3 <= free - ended <= 4.5
    assert 3 <= rung.at - ended <= 4 + RETRY + 0.5, "a transferred call comes after it as well"
    await scene.talking("caller1", "1002")
    await alone(scene, "1002")
    await scene.hang_up("1002")
    await next_call(scene, "1002", "caller3", "sales", 4)
