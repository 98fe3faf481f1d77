"""Helpers for tests of the phones' Transfer button: pressing it, and the records of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from bed import Agent, Bed, Group, Phone, StubbornPhone, World
from bed.audio import PHONE_TONES

from tests.asterisk import guard
from tests.asterisk.scene import Scene

SETTINGS = {"AVP_SESSION__RING_SECONDS": "4"}


def world() -> World:
    """Sales has one more agent, so that a call that returns can be answered."""
    demo = World()
    return replace(
        demo,
        agents=(*demo.agents, Agent("1005", "Erin")),
        groups=(
            Group("sales", ("1001", "1002", "1005"), number="800", strategy="linear"),
            Group("support", ("1003", "1004"), number="801", strategy="linear"),
        ),
        settings=SETTINGS,
        wrapuptime=1,
    )


def known(scene: Scene) -> int:
    """A mark for `decision`."""
    return len(guard.records(scene.bed, "decision"))


async def decision(scene: Scene, before: int) -> dict[str, Any]:
    """The one decision that was recorded since then."""

    async def look() -> list[dict[str, Any]] | None:
        return guard.records(scene.bed, "decision")[before:] or None

    found = await scene.ami.until(look, 4.0)
    assert found is not None, "nothing was decided"
    (only,) = found
    return only


async def pressed(
    scene: Scene, before: int, agent: str, decided: str, reason: str, mode: str = "unsupervised"
) -> dict[str, Any]:
    """The result of a press: the record of its decision, which must be this."""
    record = await decision(scene, before)
    assert (record["agent"], record["mode"]) == (agent, mode), record
    assert (record["decision"], record["reason"]) == (decided, reason), record
    assert record["channel"].startswith((f"PJSIP/{agent}-", f"Local/{agent}@")), record
    assert bool(record["transfer"]) == (decided == "allow"), record
    return record


async def press(scene: Scene, agent: str, number: str) -> str:
    """Press Transfer for an allowed target. Returns the transfer."""
    before = known(scene)
    await scene.phone(agent).transfer(number)
    return str((await pressed(scene, before, agent, "allow", "ok"))["transfer"])


def told(phone: Phone, since: float) -> str:
    """How the phone understood the answer to its button: "done", "refused", or nothing."""
    for event in phone.events:
        if event["at"] < since or event.get("class") != "call":
            continue
        if event["type"] == "TRANSFER_FAILED":
            return "refused"
        if event["type"] == "CALL_CLOSED" and event["param"] == "Call transfered":
            return "done"
    return ""


async def fails(scene: Scene, reason: str) -> None:
    """The refused transfer is reported as failed, with this reason."""

    async def look() -> bool | None:
        transfers = (await scene.api("GET", "/v1/transfers")).body
        newest = max(transfers, key=lambda transfer: transfer["started"])
        return (newest["state"], newest["ended_reason"]) == ("failed", reason) or None

    assert await scene.ami.until(look, 6.0), (await scene.api("GET", "/v1/transfers")).body


async def back_to_the_group(scene: Scene, by: str = "1002", caller: str = "caller1") -> None:
    """The caller, whose agent's phone has hung up, is the next one that the group answers."""
    await scene.phone(by).answer()
    await scene.talking(caller, by)
    await scene.plain(caller, by)
    assert await scene.variable(caller, "AVP_GROUP") == "sales"


@asynccontextmanager
async def stubborn(scene: Scene, agent: str = "1001") -> AsyncIterator[StubbornPhone]:
    """The agent has a phone that keeps its call when its transfer is refused."""
    bed: Bed = scene.bed
    tone = PHONE_TONES[bed.world.accounts.index(agent)]
    async with scene.without_phone(agent):
        phone = StubbornPhone(scene.phone(agent), tone)
        async with phone:
            await scene.agent_is(agent, "available")
            try:
                yield phone
            finally:
                if any(talk.live for talk in phone.calls):
                    await phone.hang_up()
