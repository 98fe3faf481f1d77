"""What the daemon is made of: parts with one protocol, and who hands each message to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import ClassVar

import structlog

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.service.inbox import Message

log = structlog.get_logger(__name__)


class Part:
    """The protocol. Each method does nothing unless a part has something to do there.

    A part may call parts that were built before it, and nobody else: what is for others it posts to
    the inbox. So there is no part that is called before it is there.
    """

    hears: ClassVar[tuple[type[Message], ...]] = ()
    """The kinds of message that `handle` gets."""

    def handle(self, message: Message) -> Outcome | None:
        """Take in a message; what follows from it is performed at once."""

    def perform(self, outcome: Outcome) -> None:
        """Do what the engine wants done, or tell what has changed."""

    def connected(self) -> None:
        """A connection to Asterisk has come or gone: `Links` says which there are."""

    async def resynced(self) -> None:
        """The picture has been read, and both connections work. Raises `AvpError`."""

    async def wait_idle(self, seconds: float) -> None:
        """Wait until what is under way is done, but no longer than that."""

    async def stop(self) -> None:
        """Leave everything as it is. Nothing else is called afterwards."""


class Dispatcher:
    """Hands messages and outcomes to the parts, in the order of the parts."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._hearers: dict[type[Message], tuple[Part, ...]] = {}
        for part in parts:
            for kind in part.hears:
                self._hearers[kind] = (*self._hearers.get(kind, ()), part)
        self._performers = tuple(p for p in parts if overrides(p, "perform"))
        self._connected = tuple(p for p in parts if overrides(p, "connected"))

    def handle(self, message: Message) -> None:
        if isinstance(message, Outcome):
            self._perform(message)
            return
        for part in self._hearers.get(type(message), ()):
            outcome = part.handle(message)
            if outcome is not None:
                self._perform(outcome)

    def connected(self) -> None:
        for part in self._connected:
            part.connected()

    def _perform(self, outcome: Outcome) -> None:
        for part in self._performers:
            part.perform(outcome)


def overrides(part: Part, method: str) -> bool:
    """Whether a part has something to do in a method of the protocol."""
    return getattr(type(part), method) is not getattr(Part, method)


def end_with(stack: AsyncExitStack, parts: Sequence[Part]) -> None:
    """Have the parts stopped at the end, the last first, each even where another one raised.

    What was raised last leaves the stack; all of it is in the log.
    """
    for part in parts:
        if overrides(part, "stop"):
            stack.push_async_callback(_stop, part)


async def _stop(part: Part) -> None:
    try:
        await part.stop()
    except Exception:
        log.exception("part_not_stopped", part=type(part).__name__)
        raise
