"""What the dialplan is told of each group: how many could be offered a call on this node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from asterisk_avp.core.engine import remote
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.facts import MemberRemoved
from asterisk_avp.core.messages.remote import RemoteAgentSeen
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.model.world import Group, World
from asterisk_avp.service import group_staff
from asterisk_avp.service.group_staff import GroupStaff
from tests.core.test_remote_calls import CAROL
from tests.core.world import NOW, member

GROUPS = {name: Group(name, f"q-{name}", name) for name in ("sales", "desk")}


class Dialplan:
    """The global variables that were set, and how often."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.written = 0
        self.away = False
        self.news = asyncio.Event()

    async def action(self, name: str, fields: Mapping[str, str]) -> None:
        assert name == "Setvar"
        self.news.set()
        if self.away:
            raise AsteriskUnavailable("AMI is away")
        self.written += 1
        queue = fields["Variable"].removeprefix("GLOBAL(AVP_STAFF_").removesuffix(")")
        self.values[queue] = fields["Value"]

    async def shows(self, **values: str) -> None:
        wanted = {name.replace("_", "-"): value for name, value in values.items()}
        async with asyncio.timeout(5):
            while self.values != wanted:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def staff() -> AsyncIterator[tuple[TransferEngine, GroupStaff, Dialplan]]:
    engine, dialplan = TransferEngine(World(groups=dict(GROUPS)), new_id=str), Dialplan()
    part = GroupStaff(engine, dialplan.action)
    part.connected()
    await part.resynced()
    await dialplan.shows(q_sales="0", q_desk="0")
    yield engine, part, dialplan
    await part.stop()


def here(engine: TransferEngine, part: GroupStaff, *agents: str, paused: bool = False) -> None:
    for agent in agents:
        engine.fact(replace(member(agent), queue="q-sales", paused=paused), NOW)
    part.perform(Outcome(agents=set(agents)))


async def test_more_than_two_are_two() -> None:
    async with staff() as (engine, part, dialplan):
        for agent, told in (("1001", "1"), ("1002", "2"), ("1003", "2")):
            here(engine, part, agent)
            await dialplan.shows(q_sales=told, q_desk="0")
        assert dialplan.written == 4
        here(engine, part, "1001", "1002", paused=True)
        await dialplan.shows(q_sales="1", q_desk="0")
        engine.fact(MemberRemoved("q-sales", "PJSIP/1003", NOW), NOW)
        part.perform(Outcome(agents={"1003"}))
        await dialplan.shows(q_sales="0", q_desk="0")


async def test_agents_of_other_nodes_do_not_count() -> None:
    async with staff() as (engine, part, dialplan):
        here(engine, part, "1001", "1003")
        await dialplan.shows(q_sales="2", q_desk="0")
        remote.apply(engine, RemoteAgentSeen("1003", CAROL), NOW)
        part.perform(Outcome(agents={"1003"}))
        await dialplan.shows(q_sales="1", q_desk="0")


async def test_a_queue_that_is_no_groups_any_more() -> None:
    async with staff() as (engine, part, dialplan):
        engine.reconfigure(World(groups={"sales": GROUPS["sales"]}), NOW)
        await part.resynced()
        await dialplan.shows(q_sales="0", q_desk="")


async def test_asterisk_has_restarted() -> None:
    async with staff() as (engine, part, dialplan):
        here(engine, part, "1001")
        await dialplan.shows(q_sales="1", q_desk="0")
        dialplan.values.clear()
        part.connected()
        await part.resynced()
        await dialplan.shows(q_sales="1", q_desk="0")


async def test_asterisk_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_staff, "AGAIN_SECONDS", 0.0)
    async with staff() as (engine, part, dialplan):
        dialplan.away = True
        dialplan.news.clear()
        here(engine, part, "1001")
        await dialplan.news.wait()
        dialplan.away = False
        await dialplan.shows(q_sales="1", q_desk="0")
