"""Agent states in the daemon, compared with phones and app_queue.

Wrap-up is 2 s in sales and 4 s in support. 1002 is in both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, backend_named, match
from bed.deadlines import patiently
from bed.procs import end

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.listening import Listener, listening
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
    ours = replace(ours, members="dynamic", max_hold_seconds=30)
    async with Bed(ours, backend=backend_named(None)) as started:
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


def seconds(time: str) -> float:
    """A time of the API in Unix seconds."""
    return datetime.fromisoformat(time).timestamp()


async def left_acw(scene: Scene, panel: Listener, agent: str) -> tuple[float, float]:
    """Wait until the agent has been in ACW, and is in another state.

    Returns when ACW was to end, as last told, and when the state changed: the daemon's times, since
    we may look later.
    """

    async def look() -> tuple[float, float] | None:
        due = None
        for message in panel.messages:
            if message["type"] != "agent" or message["agent"]["id"] != agent:
                continue
            if message["agent"]["state"] == "acw":
                due = seconds(message["agent"]["acw_until"])
            elif due is not None:
                return due, seconds(message["agent"]["since"])
        return None

    seen = await scene.ami.until(look, 8.0)
    assert seen is not None, panel.messages
    return seen


def on_time(scene: Scene, began: float, acw: int, due: float, free: float) -> None:
    """ACW ended ``acw`` after the end of a call that was hung up from ``began`` on.

    app_queue counts in whole seconds, so a second too early is in time.
    """
    ended = float(scene.ami.seen(match("AgentComplete"), began)[0]["Timestamp"])
    assert acw - 1 <= due - began, "ACW ends on time"
    assert due - ended <= acw + 0.01, "ACW ends on time"
    assert -0.01 <= free - due <= patiently(0.5), "the state changes on time"


async def next_call(
    scene: Scene, agent: str, caller: str, group: str, acw: int, offered: int | None = None
) -> None:
    """The agent hangs up. ``caller`` dials the group, and is offered after ``acw``.

    Or after ``offered``, if that is longer. app_queue checks once a second, so it may ring a second
    after the end, but never before.
    """
    async with listening(scene.bed) as panel:
        began = time.time()
        await scene.hang_up(agent)
        await scene.phone(caller).dial(NUMBERS[group])
        due, free = await left_acw(scene, panel, agent)
    rung = await scene.ami.wait(match("AgentCalled", Queue=group), within=4, since=began)
    on_time(scene, began, acw, due, free)
    waited = float(rung["Timestamp"]) - due
    more = (offered or acw) - acw
    assert more - 0.01 <= waited <= more + RETRY + patiently(0.5), "a call is offered after it"
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
    call = await scene.has_call("1001")
    assert (call["caller"], call["group"]) == ("caller1", "sales")
    async with scene.passing("1001", "acw"):
        await scene.hang_up("caller1")
        await scene.gone("1001")

    async def no_call() -> bool | None:  # by another of Asterisk's connections than the state
        return (await scene.agent("1001"))["call"] is None or None

    assert await scene.ami.until(no_call, 3.0)
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
    async with scene.passing("1001", "acw"):
        await scene.hang_up("1001")
        await scene.gone("caller1")
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


@pytest.mark.thorough
async def test_acw_of_the_group(scene: Scene) -> None:
    await alone(scene, "1001")
    await scene.call("caller1", "1001")
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
    await next_call(scene, "1002", "caller2", then, acw, offered)


async def test_acw_after_a_transferred_call_is_the_longest(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await alone(scene, "1002")
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
    async with listening(scene.bed) as panel:
        began = time.time()
        await scene.hang_up("1002")
        due, free = await left_acw(scene, panel, "1002")
    await scene.phone("1002").answer()
    on_time(scene, began, 4, due, free)
    rung = scene.ami.seen(match("AgentCalled", Queue="avp-agent-1002"), began)[0]
    waited = float(rung["Timestamp"]) - due
    assert -0.01 <= waited <= RETRY + patiently(0.5), "a transferred call comes after it as well"
    await scene.talking("caller1", "1002")
    await alone(scene, "1002")
    await next_call(scene, "1002", "caller3", "sales", 4)
