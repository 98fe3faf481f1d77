"""The workers: log lines have the ids of transfer and call, and calls wait for queues' members."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from servers.waiting import eventually

from asterisk_avp.core.messages.effects import (
    AddMember,
    AmiEffect,
    AriEffect,
    Destination,
    Effect,
    HangUp,
    LeaveStasis,
    Redirect,
    RemoveMember,
    StartMusic,
)
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.legs import dial_leg
from asterisk_avp.core.transfer.states import State
from asterisk_avp.observe import log as logging_setup
from asterisk_avp.service.executor import Workers
from tests.core.sessions import session as session_in


class Talkative:
    """Performs nothing, and records it."""

    async def perform(
        self, effect: AmiEffect | AriEffect, report: Callable[[SessionEvent], None]
    ) -> None:
        await asyncio.sleep(0)
        structlog.get_logger("x").info("performed", what=type(effect).__name__)
        if isinstance(effect, HangUp) and effect.channel == "breaks":
            raise RuntimeError("unforeseen")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    logging_setup.configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


async def test_lines_of_sessions_that_run_at_the_same_time(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    workers = Workers(
        Talkative(),
        Talkative(),
        lambda _message: None,
        about=lambda session: {"transfer": session, "call": f"call-of-{session}"},
    )
    for session in ("t1", "t2", None):
        workers.start(session, HangUp("x"))
        workers.start(session, StartMusic("x"))
    workers.start("t2", HangUp("breaks"))
    await workers.wait_idle(5)
    found = lines()
    about = [(x["event"], x.get("transfer"), x.get("call")) for x in found]
    assert about.count(("performed", "t1", "call-of-t1")) == 2
    assert about.count(("performed", "t2", "call-of-t2")) == 3
    assert about.count(("performed", None, None)) == 2  # of no transfer
    assert about.count(("effect_crashed", "t2", "call-of-t2")) == 1
    assert structlog.contextvars.get_contextvars() == {}


# --- calls and the members of the queue that they enter ------------------------------------------

SLOT = "avp-agent-1002"
WAITING = session_in(State.WAITING)
ADD = AddMember(SLOT, "PJSIP/1002", "PJSIP/1002", "Bob", paused=False)
ENTERS = (
    dial_leg(WAITING, "avp-t1-leg", "avp-t1-leg-queue", WAITING.permission, fourth=False),
    Redirect("u-caller1", Destination("avp-agent-queue", "1002")),
    LeaveStasis("u-caller1", Destination("avp-agent-queue", "1002")),
)
ELSEWHERE = (
    Redirect("u-caller1", Destination("avp-agent-queue", "1003")),
    Redirect("u-caller1", Destination("avp-group-queue", "sales")),
    LeaveStasis("u-caller1"),
    HangUp("u-caller1"),
)


class Slow:
    """Performs changes of members when it is told to."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.free = asyncio.Event()

    async def perform(
        self, effect: AmiEffect | AriEffect, _report: Callable[[SessionEvent], None]
    ) -> None:
        if isinstance(effect, AddMember | RemoveMember):
            await self.free.wait()
        self.done.append(effect)


@pytest.mark.parametrize("effect", ENTERS, ids=lambda effect: type(effect).__name__)
@pytest.mark.parametrize("ahead", [(ADD,), (RemoveMember(SLOT, "PJSIP/1002"), ADD)], ids=len)
async def test_a_call_enters_a_queue_after_earlier_changes_of_its_members(
    effect: Effect, ahead: tuple[Effect, ...]
) -> None:
    """Otherwise an agent who has just logged in would have no member to take the call."""
    slow = Slow()
    workers = Workers(slow, slow, lambda _message: None)
    for each in ahead:
        workers.start(None, each)
    workers.start("t1", effect)
    for number, other in enumerate(ELSEWHERE):
        workers.start(f"other-{number}", other)
    await eventually(lambda: len(slow.done) == len(ELSEWHERE))
    assert workers.is_busy("t1")  # so that its timer does not expire meanwhile
    slow.free.set()
    await workers.wait_idle(5)
    assert slow.done[len(ELSEWHERE) :] == [*ahead, effect]
    workers.start("t1", effect)
    await workers.wait_idle(5)
    assert slow.done[-2:] == [effect, effect]


async def test_changes_that_are_cancelled_keep_no_call_waiting() -> None:
    slow = Slow()
    workers = Workers(slow, slow, lambda _message: None)
    workers.start(None, ADD)
    workers.hold()
    workers.resume()
    workers.start("t1", ENTERS[1])
    await workers.wait_idle(5)
    assert slow.done == [ENTERS[1]]
