"""Callers whom another program takes after their transfer has failed, while the dialplan has them.

They wait for the transferor, or in their group's queue (avp-recall). app_queue has no event of a
caller whom AMI Bridge takes from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Agent, Bed, Group, World

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

INBOUND = """
[callers](+)
exten => _2X.,1,Set(AVP_MAX_HOLD=2)
 same => n,Goto(${EXTEN:1},1)

[breakout]
exten => silence,1,Wait(60)
 same => n,Hangup()
"""
ELSEWHERE_SECONDS = 10.0
"""How long a call may be reported where it is no more."""


def world() -> World:
    names = ("Alice", "Bob", "Carol", "Dave", "Erin")
    return World(
        agents=tuple(Agent(str(1001 + i), name) for i, name in enumerate(names)),
        groups=(
            Group("sales", ("1001", "1002"), number="800", strategy="linear"),
            Group("support", ("1003", "1004"), number="801", strategy="linear"),
            Group("desk", ("1005",), number="802", strategy="linear"),
        ),
        extensions=INBOUND,
        settings={
            "AVP_SESSION__RING_SECONDS": "4",
            "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "return",
            "AVP_GROUPS__SUPPORT__MAX_HOLD_ACTION": "group",
        },
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


async def unanswered(scene: Scene, agent: str, target: str, number: str, other: str) -> str:
    """The target has not answered in time, and the transferor has another call meanwhile."""
    await scene.call("caller1", agent, number=f"2{number}")
    await scene.call("caller2", target, number=other)
    transfer = await scene.transfer(agent, "unsupervised", target)
    await scene.gone(agent)
    await scene.direct_call("caller3", agent)
    await scene.ends(transfer, "failed", "max_hold", within=8.0)
    return transfer


async def outcome_is(scene: Scene, transfer: str, expected: str) -> None:
    async def look() -> bool | None:
        body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
        return body["caller_outcome"] == expected or None

    assert await scene.ami.until(look, ELSEWHERE_SECONDS), await scene.api(
        "GET", f"/v1/transfers/{transfer}"
    )


async def take(scene: Scene, by: str) -> None:
    """Another program takes caller1's call."""
    caller = await channel(scene, "caller1")
    if by == "bridge":
        await scene.direct_call("caller4", "1005")
        agent = await channel(scene, "1005")
        await scene.ami.action("Bridge", Channel1=agent, Channel2=caller)
        await scene.talking("caller1", "1005")
    else:
        there = {"Context": "breakout", "Exten": "silence", "Priority": "1"}
        await scene.ami.action("Redirect", Channel=caller, **there)


BY = ["bridge", pytest.param("redirect", marks=pytest.mark.thorough)]


@pytest.mark.parametrize("by", BY)
async def test_taken_while_they_wait_for_the_transferor(scene: Scene, by: str) -> None:
    transfer = await unanswered(scene, "1001", "1002", "800", "800")
    await scene.waits("avp-agent-1001", "caller1", within=6.0)

    async def waits() -> bool | None:
        return (await scene.agent("1001"))["waiting_transfer"] or None

    assert await scene.ami.until(waits, 3.0)
    await outcome_is(scene, transfer, "returned")
    await take(scene, by)
    await scene.slot_is_free("1001", within=ELSEWHERE_SECONDS)
    await outcome_is(scene, transfer, "elsewhere")


@pytest.mark.parametrize("by", BY)
async def test_taken_while_they_wait_in_the_group(scene: Scene, by: str) -> None:
    transfer = await unanswered(scene, "1003", "1004", "801", "801")
    await scene.waits("support", "caller1", within=6.0)
    await outcome_is(scene, transfer, "group")
    await take(scene, by)
    await outcome_is(scene, transfer, "elsewhere")
