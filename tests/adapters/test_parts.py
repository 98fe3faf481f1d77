"""The daemon's parts: who hears of what, and that each ends whatever becomes of another."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.service import daemon as daemon_module
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.part import Dispatcher, Part, end_with, overrides
from tests.config.test_settings import NEEDED
from tests.ports import free_port

MANY = 5


class Recorder(Part):
    hears = (ev.StasisEntered,)

    def __init__(self, name: str, told: list[str], *, breaks: bool = False) -> None:
        self.name = name
        self.told = told
        self.breaks = breaks

    def handle(self, message: Message) -> Outcome | None:
        self.told.append(f"{self.name} hears")
        return Outcome(transfers=["t1"]) if self.breaks else None

    def perform(self, outcome: Outcome) -> None:
        self.told.append(f"{self.name} performs {outcome.transfers}")

    async def stop(self) -> None:
        if self.breaks:
            raise RuntimeError(f"{self.name} breaks")
        self.told.append(f"{self.name} ends")


def test_parts_hear_in_their_order_and_what_follows_comes_before_the_next() -> None:
    told: list[str] = []
    parts = [Recorder("a", told), Recorder("b", told, breaks=True), Recorder("c", told), Part()]
    dispatcher = Dispatcher(parts)
    dispatcher.handle(ev.StasisLeft("u1"))
    assert told == []
    dispatcher.handle(ev.StasisEntered("u1"))
    performed = [f"{name} performs ['t1']" for name in "abc"]
    assert told == ["a hears", "b hears", *performed, "c hears"]


async def test_each_part_ends_even_where_another_raised() -> None:
    told: list[str] = []
    parts = [Recorder(name, told, breaks=name in "bc") for name in "abcd"]
    with capture_logs() as lines, pytest.raises(RuntimeError, match="b breaks"):
        async with AsyncExitStack() as ending:
            end_with(ending, parts)
    assert told == ["d ends", "a ends"]
    assert [line["event"] for line in lines] == ["part_stop_failed"] * 2


async def test_a_daemon_whose_part_does_not_end_leaves_nothing_running() -> None:
    agi = str(free_port())
    environ = NEEDED | {"AVP_API__PORT": "0", "AVP_AGI__PORT": agi, "AVP_AMI__PORT": "9"}
    daemon = Daemon(Settings.load(environ, Path("/nonexistent")))
    ended = []

    async def breaks() -> None:
        raise RuntimeError("it does not end")

    for part in daemon._parts:
        if overrides(part, "stop"):
            name = type(part).__name__

            async def stop(name: str = name, really: object = part.stop) -> None:
                ended.append(name)
                await really()  # type: ignore[operator]
                if name in ("MemberVerifier", "Synchroniser"):
                    await breaks()

            part.stop = stop  # type: ignore[method-assign]
    before = asyncio.all_tasks()
    stop_now = asyncio.Event()
    with capture_logs() as lines:
        running = asyncio.create_task(daemon.run(stop_now))
        await eventually(lambda: any(x["event"] == "api_listening" for x in lines))
        stop_now.set()
        with pytest.raises(RuntimeError, match="it does not end"):
            await running
    names = [type(part).__name__ for part in reversed(daemon._parts) if overrides(part, "stop")]
    assert ended == names
    assert sum(line["event"] == "part_stop_failed" for line in lines) == 2
    await eventually(lambda: asyncio.all_tasks() <= before)


async def test_the_table_of_parts_is_true() -> None:
    """Whoever reads the composition root sees there who hears of what."""
    daemon = Daemon(Settings.load(NEEDED, Path("/nonexistent")))
    rows = []
    for part in daemon._parts:
        kinds = part.hears
        names = " ".join(kind.__name__ for kind in kinds)
        shown = f"{len(kinds)} facts" if len(kinds) > MANY else names
        others = [
            method
            for method in ("perform", "connected", "resynced", "wait_idle", "stop")
            if overrides(part, method)
        ]
        rows.append(f"{type(part).__name__:21} {shown or '-':37} {' '.join(others)}".split())
    assert daemon_module.__doc__ is not None
    table = [line.split() for line in daemon_module.__doc__.split(" calls\n")[1].splitlines()]
    assert [row for row in table if row] == rows
    await daemon._ari.close()
