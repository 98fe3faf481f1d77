"""Every log line in a step of a transfer has the ids of the transfer and the call."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from asterisk_avp.core.messages.effects import AmiEffect, AriEffect, HangUp, StartMusic
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.observe import log as logging_setup
from asterisk_avp.service.executor import Workers


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
