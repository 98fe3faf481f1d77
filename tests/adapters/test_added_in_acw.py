"""A member that was added in after-call work, while app_queue still noted the end of the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from servers.ami_server import Action, AmiServer, message, success
from servers.waiting import eventually

from asterisk_avp.ami import translate
from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import AddMember
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import World
from asterisk_avp.service.inbox import Inbox, Message
from asterisk_avp.service.shared_lastcall import SharedLastcallWatch

END = 1_796_096_240
ADDED = AddMember(
    "avp-agent-1001", "PJSIP/1001", "PJSIP/1001", "Alice", paused=False, wrapup_seconds=END
)


class Asterisk:
    """What app_queue knows of the member."""

    def __init__(self) -> None:
        self.last_call = 0
        self.wrapup = END
        self.asked = 0

    def answer(self, action: Action) -> bytes:
        self.asked += 1
        end = (("Event", "QueueStatusComplete"), ("EventList", "Complete"), ("ListItems", "2"))
        member = {
            "Queue": "avp-agent-1001",
            "Name": "Alice",
            "Location": "PJSIP/1001",
            "StateInterface": "PJSIP/1001",
            "Membership": "dynamic",
            "Penalty": "0",
            "CallsTaken": "1",
            "LastCall": str(self.last_call),
            "LastPause": "0",
            "LoginTime": "1796096232",
            "InCall": "0",
            "Status": "1",
            "Paused": "0",
            "PausedReason": "",
            "Wrapuptime": str(self.wrapup),
        }
        number = ("ActionID", action["ActionID"])
        start = success(action, EventList="start")
        queue = {"Queue": "avp-agent-1001", "Max": "0", "Strategy": "rrmemory", "Calls": "0"}
        items = message(("Event", "QueueParams"), *queue.items(), number)
        items += message(("Event", "QueueMember"), *member.items(), number)
        return bytes(start + items + message(*end, number))


@asynccontextmanager
async def watching(asterisk: Asterisk, told: list[Message]) -> AsyncIterator[SharedLastcallWatch]:
    """The watch of a daemon that reads from this Asterisk, and tells its engine ``told``."""
    async with AmiServer() as server:
        server.answers["QueueStatus"] = asterisk.answer
        client = AmiClient(
            "127.0.0.1",
            server.port,
            "avp",
            server.secret,
            wanted=translate.EVENTS,
            on_defect=lambda _event, _problem: None,
        )
        task = asyncio.create_task(client.run(lambda _event: None, lambda _up: None))
        await eventually(lambda: client.connected)
        inbox = Inbox()
        inbox.consume(told.append)
        engine = TransferEngine(World(groups={}, agents={}), lambda: "x")
        watch = SharedLastcallWatch(inbox, engine, AmiReader(client, str), lambda _off: None)
        yield watch
        await watch.stop()
        task.cancel()
        await asyncio.wait([task])


async def test_the_end_of_the_call_came_after_the_member() -> None:
    """The engine is told, and adds the member again (tests/core/test_personal_queues.py)."""
    asterisk = Asterisk()
    told: list[Message] = []
    asterisk.last_call = 1_796_096_233
    async with watching(asterisk, told) as watch:
        watch.perform(Outcome(effects=[(None, ADDED)]))
        await eventually(lambda: told)
    (seen,) = told
    assert isinstance(seen, MemberSeen)
    assert (seen.last_call, seen.wrapup_seconds) == (1_796_096_233, END)


async def test_it_came_later_still() -> None:
    asterisk = Asterisk()
    told: list[Message] = []
    async with watching(asterisk, told) as watch:
        watch.perform(Outcome(effects=[(None, ADDED)]))
        await eventually(lambda: asterisk.asked == 1)
        asterisk.last_call = 1_796_096_233
        await eventually(lambda: told)
    assert asterisk.asked == 2


async def test_a_member_as_it_should_be() -> None:
    asterisk = Asterisk()
    told: list[Message] = []
    async with watching(asterisk, told) as watch:
        watch.perform(Outcome(effects=[(None, ADDED)]))
        watch.perform(Outcome(effects=[(None, replace(ADDED, wrapup_seconds=5))]))
        await eventually(lambda: asterisk.asked == 2)
        assert told == []


async def test_it_has_been_added_again_meanwhile() -> None:
    asterisk = Asterisk()
    told: list[Message] = []
    asterisk.last_call, asterisk.wrapup = 1_796_096_233, 0
    async with watching(asterisk, told) as watch:
        watch.perform(Outcome(effects=[(None, ADDED)]))
        await eventually(lambda: asterisk.asked == 2)
        assert told == []
