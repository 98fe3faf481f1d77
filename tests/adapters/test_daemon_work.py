"""The workers: the order of effects, what waits for what, and the fields of their log lines."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from servers.ami_server import AmiServer
from servers.waiting import eventually

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.core.messages.effects import (
    AddMember,
    AddToBridge,
    AmiEffect,
    AriEffect,
    BridgePair,
    CreateBridge,
    Destination,
    Effect,
    HangUp,
    LeaveStasis,
    Redirect,
    RemoveMember,
    RenewTranslation,
    SetVariables,
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


# --- what is sent before what --------------------------------------------------------------------


async def test_marks_are_on_the_wire_before_what_relies_on_them() -> None:
    """Nobody waits for their responses: Asterisk executes the actions of a connection in order."""
    long = {f"AVP_SESSION_a{n}": "x" * 400 for n in range(5)}
    async with AmiServer() as server:
        client = AmiClient("127.0.0.1", server.port, "avp", "s3cret")
        up = asyncio.Event()
        running = asyncio.create_task(client.run(lambda _event: None, lambda _up: up.set()))
        await up.wait()
        ami = AmiPerformer(client, lambda channel: f"PJSIP/{channel}")
        server.silent = True
        workers = Workers(ami, Slow(), lambda _message: None)
        workers.start("t1", SetVariables("caller", {**long, "AVP_SESSION_0": "a-5"}))
        workers.start("t1", SetVariables("agent", {**long, "AVP_STATE": "live"}))
        workers.start("t1", RenewTranslation("avp-t1-leg"))
        workers.start("t1", BridgePair("agent", "caller"))
        await eventually(lambda: "Bridge" in server.last.names())
        names = [x for x in server.last.names() if x in {"Setvar", "Bridge"}]
        assert names.count("Setvar") > 5
        assert names.index("Bridge") == len(names) - 1
        await workers.stop()
        running.cancel()


class Holding:
    """Holds effects of some types until they are released, and notes when each begins."""

    def __init__(self, *types: type[Effect]) -> None:
        self.types = types
        self.begun: list[Effect] = []
        self.free = asyncio.Event()

    async def perform(
        self, effect: AmiEffect | AriEffect, _report: Callable[[SessionEvent], None]
    ) -> None:
        self.begun.append(effect)
        if isinstance(effect, self.types):
            await self.free.wait()


async def test_an_effect_waits_only_for_what_it_depends_on() -> None:
    """A slow request holds up what depends on it, and not the whole step; the order is kept."""
    made, other = CreateBridge("hold", "hold"), CreateBridge("consult", "consult")
    joins = AddToBridge("consult", "agent"), AddToBridge("hold", "caller")
    slow = Holding(CreateBridge)
    workers = Workers(slow, slow, lambda _message: None)
    workers.start("t1", made)
    workers.start("t1", SetVariables("caller", {"AVP_STATE": "live"}))
    workers.start("t1", joins[0])  # there is such a bridge already
    workers.start("t1", joins[1])
    workers.start("t1", HangUp("leg"))
    await eventually(lambda: len(slow.begun) == 3)
    assert slow.begun[2] == joins[0]
    assert workers.is_busy("t1")
    slow.free.set()
    await workers.wait_idle(5)
    assert slow.begun[3:] == [joins[1], HangUp("leg")]
    assert not workers.is_busy("t1")
    assert workers.running == 0
    workers.start("t1", other)
    await workers.wait_idle(5)
    assert slow.begun[-1] == other


async def test_what_is_cancelled_leaves_nothing_behind() -> None:
    slow = Holding(CreateBridge)
    workers = Workers(slow, slow, lambda _message: None)
    workers.start("t1", CreateBridge("hold", "hold"))
    workers.start("t1", AddToBridge("hold", "caller"))
    await eventually(lambda: len(slow.begun) == 1)
    workers.hold()
    workers.start("t1", HangUp("leg"))
    workers.resume()
    workers.start("t1", HangUp("agent"))
    await workers.wait_idle(5)
    assert slow.begun[1:] == [HangUp("agent")]
    assert not workers.is_busy("t1")
