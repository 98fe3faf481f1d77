"""Ask Asterisk where the callers of running transfers are.

Events tell of most of what others do with a call, and AMI's only as a hint (`ami.translate`). So
Asterisk is asked soon after each hint, and every few seconds without one: no transfer is reported
as running for long after its call has gone elsewhere. `core.engine.whereabouts` judges the answers.

That includes callers whom the dialplan has after a transfer has failed.

Also ends channels that stay in a bridge although their phone has hung up
(`core.engine.hang_ups`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import HangUp
from asterisk_avp.core.model.errors import AriGone, AvpError
from asterisk_avp.core.transfer.session import is_bridge
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Hint, Message, Post
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

ROUND_SECONDS: Final = 3.0
"""Time between two questions about a caller without a hint."""

SOON_SECONDS: Final = 0.1
"""Time from a hint to the question: where the caller has left a queue as usual, the event of it is
here by then."""

AGAIN_SECONDS: Final = (0.1, 0.3, 0.6)
"""Further questions, while the caller is on the way from one place to another."""

TOGETHER_SECONDS: Final = (0.05, 0.1, 0.3, 0.6)
"""When to ask whether a caller has left with somebody; again only while they have left our
application, and Asterisk does not tell where to."""

STUCK_SECONDS: Final = (0.5, 1.0, 3.0)
"""Time in which Asterisk ends a channel whose end was asked for, before we ask for it again."""

CONFIRM_SECONDS: Final = 0.2
"""Time between two answers of which something follows."""

Locate = Callable[[str], Awaitable[ev.ChannelLocated]]


class Whereabouts(Part):
    """Post `ChannelLocated`. ``locate`` asks Asterisk; it raises `AriGone` or `AvpError`."""

    hears = (Hint, ev.StasisLeft, ev.ChannelGone, ev.BridgeEntered, ev.HangUpAsked)

    def __init__(self, engine: TransferEngine, links: Links, locate: Locate, post: Post) -> None:
        self._engine = engine
        self._links = links
        self._locate = locate
        self._post = post
        self._begun = False
        self._looking: set[str] = set()
        self._tasks = TaskSet("whereabouts")

    def handle(self, message: Message) -> None:
        if isinstance(message, ev.StasisLeft | ev.ChannelGone):
            for caller in self._engine.by_others.departures.to_ask():
                self._tasks.start(self._settle(caller))
        match message:
            case Hint(ev.QueueLeft(_, channel)) | ev.StasisLeft(channel):
                self._hint(channel)
            case ev.BridgeEntered(channel, bridge) if not is_bridge(bridge):
                self._hint(channel)
            case ev.HangUpAsked(channel) if channel in self._engine.by_others.hang_ups:
                self._tasks.start(self._end(channel))

    def connected(self) -> None:
        if not self._begun:
            self._begun = True
            self._tasks.start(self._ask_all())

    async def _ask_all(self) -> None:
        """Ask about all callers, again and again."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            if not self._links.both:
                continue  # the resync asks
            for caller in self._engine.by_others.callers(time.time() - ROUND_SECONDS):
                await self._look(caller)

    async def stop(self) -> None:
        self._tasks.cancel()

    def _hint(self, channel: str) -> None:
        if channel not in self._looking and self._engine.by_others.follows(channel):
            self._looking.add(channel)
            self._tasks.start(self._look_soon(channel))

    async def _look_soon(self, channel: str) -> None:
        try:
            for seconds in (SOON_SECONDS, *AGAIN_SECONDS):
                await asyncio.sleep(seconds)
                if not self._engine.by_others.follows(channel):
                    return
                await self._look(channel)
        finally:
            self._looking.discard(channel)

    async def _settle(self, caller: str) -> None:
        """Somebody has left a transfer, perhaps with its caller."""
        for seconds in TOGETHER_SECONDS:
            await asyncio.sleep(seconds)
            await self._look(caller)
            if not self._engine.by_others.departures.adrift(caller):
                break
        self._post(ev.CallerAsked(caller))

    async def _look(self, channel: str) -> None:
        """Post where a caller is if something follows from it, by two answers in a row.

        Answers and events come by different connections. An answer may be older than the events
        that have put the transfer in its state, and the events of bridges older than an answer.
        """
        by_others, session = self._engine.by_others, self._engine.by_others.session_of(channel)
        first = None
        for _ in range(2):
            try:
                located = await self._locate(channel)
            except AriGone:
                return  # its own event reports it
            except AvpError as error:
                log.debug("caller_not_located", channel=channel, error=str(error))
                return
            event = by_others.judged(located, time.time())
            if event is None or by_others.session_of(channel) is not session:
                return
            if first == event:
                self._post(located)
                return
            first = event
            await asyncio.sleep(CONFIRM_SECONDS)

    async def _end(self, channel: str) -> None:
        """End a channel that Asterisk has not ended, and that is in a bridge with somebody."""
        for seconds in STUCK_SECONDS:
            await asyncio.sleep(seconds)
            if channel not in self._engine.by_others.hang_ups:
                return  # it has ended
            if self._engine.by_others.stuck(channel):
                log.warning("hang_up_lost", channel=channel, hint="Asterisk did not end it")
                self._post(Outcome([(None, HangUp(channel))]))
