"""Keeps the groups of the agents' calls in the picture, beside the path of any request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from asterisk_avp.core.engine.call_groups import unread
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AvpError

log = structlog.get_logger(__name__)

VARIABLE: Final = "AVP_GROUP"

Variables = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""Channel id and names of variables → what they say; empty where the channel is gone."""


def group_fact(channel: str, variables: Mapping[str, str]) -> ev.CallGroup | None:
    """What has been read as a fact; None where there was no channel to read it from."""
    return ev.CallGroup(channel, variables[VARIABLE]) if VARIABLE in variables else None


class GroupReader:
    """``feed`` is told what Asterisk answers, in the order in which it was asked."""

    def __init__(
        self, engine: TransferEngine, variables: Variables, feed: Callable[[ev.Fact], None]
    ) -> None:
        self._engine = engine
        self._variables = variables
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()

    def look_at(self, agents: Iterable[str]) -> None:
        """Have the groups read of those calls of these agents that are new."""
        for channel in unread(self._engine, agents):
            task = asyncio.create_task(self._read(channel), name="group")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self, seconds: float) -> None:
        """Wait until what is being read has been read, but no longer than that."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    async def _read(self, channel: str) -> None:
        try:
            fact = group_fact(channel, await self._variables(channel, (VARIABLE,)))
        except AvpError as error:
            # The connection is lost, or as good as lost: the resync on the next one asks again.
            log.debug("group_not_read", channel=channel, error=str(error))
            return
        if fact is not None:
            self._feed(fact)
