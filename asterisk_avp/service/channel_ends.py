"""Ends of channels: those that ARI does not report, and those that a response precedes.

Asterisk sends no event about a channel that it cannot encode as JSON, such as one at an extension
that is not UTF-8 (main/stasis_channels.c, ``ast_channel_snapshot_to_json``). Such a channel would
stay in our state forever. AMI reports every end; since a caller may have injected that event,
Asterisk is queried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.service.inbox import Inbox, Message
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

EXPECTED_SECONDS: Final = 0.5
"""Time to wait for ARI's event about a channel that AMI has just reported as missing."""

MAX_WAIT_SECONDS: Final = 1.0
"""Time to wait for ARI's event after AMI's; usually ARI's comes first."""


class EndWatch(Part):
    """Post the end of channels that no longer exist. ``exists`` queries Asterisk."""

    hears = (ev.ChannelEnding, ev.ChannelGone)

    def __init__(
        self,
        calls: Calls,
        exists: Callable[[str], Awaitable[bool]],
        inbox: Inbox,
    ) -> None:
        self._calls = calls
        self._exists = exists
        self._inbox = inbox
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._expected: dict[asyncio.Future[None], frozenset[str]] = {}

    def handle(self, message: Message) -> None:
        match message:
            case ev.ChannelEnding(channel):
                self._hint(channel)
            case ev.ChannelGone(channel):
                self._gone(channel)

    def hold(self, channels: Sequence[str], /) -> Callable[[], None]:
        """See `ami.perform.Ends`."""
        return self._inbox.hold_ends(channels)

    def _gone(self, channel: str) -> None:
        """ARI reports the end of a channel."""
        for future, channels in self._expected.items():
            if channel in channels and not future.done():
                future.set_result(None)

    async def expected(self, channels: Sequence[str], /) -> None:
        """Wait up to `EXPECTED_SECONDS` for the end of one of these channels."""
        if all(channel in self._calls.channels for channel in channels):
            future = asyncio.get_running_loop().create_future()
            self._expected[future] = frozenset(channels)
            try:
                await asyncio.wait((future,), timeout=EXPECTED_SECONDS)
            finally:
                del self._expected[future]

    def _hint(self, channel: str) -> None:
        """AMI reports the end of a channel."""
        if channel in self._calls.channels and channel not in self._waiting:
            task = asyncio.create_task(self._look(channel), name="end")
            self._waiting[channel] = task
            task.add_done_callback(lambda _task: self._waiting.pop(channel, None))

    async def stop(self) -> None:
        for task in tuple(self._waiting.values()):
            task.cancel()

    async def _look(self, channel: str) -> None:
        await asyncio.sleep(MAX_WAIT_SECONDS)
        if channel not in self._calls.channels:
            return
        try:
            gone = not await self._exists(channel)
        except AvpError as error:
            log.debug("channel_end_query_failed", channel=channel, error=str(error))
            return  # the resync on the next connection notices it
        if gone:
            log.warning("channel_end_unconfirmed", channel=channel, hint="ARI sent no event of it")
            self._inbox.post(ev.ChannelGone(channel))
