"""The protocol of the daemon's parts, and the dispatcher of messages to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import ClassVar

import structlog

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.service.inbox import Message

log = structlog.get_logger(__name__)


class Part:
    """Base class of the daemon's parts. Parts override the methods that they need.

    A part may call only parts that were created before it; it posts everything else to the inbox.
    So no part is called before it exists.
    """

    hears: ClassVar[tuple[type[Message], ...]] = ()
    """The types of message that `handle` gets."""

    needed_for_ready: ClassVar[bool] = False
    """Whether no transfer is accepted before `resynced` has returned."""
    performs_always: ClassVar[bool] = False
    """Whether `perform` also gets outcomes that are empty, as most are."""

    def handle(self, message: Message) -> Outcome | None:
        """Process a message; the returned outcome is performed at once."""

    def perform(self, outcome: Outcome) -> None:
        """Perform effects, or publish changes."""

    def connected(self) -> None:
        """A connection to Asterisk was established or lost; `Links` has the current state."""

    async def resynced(self) -> None:
        """A resync has completed, and both connections work. Raises `AvpError`."""

    async def wait_idle(self, seconds: float) -> None:
        """Wait up to ``seconds`` for work in progress to finish."""

    async def stop(self) -> None:
        """Stop without changing calls. No other method is called afterwards."""


class Dispatcher:
    """Dispatch messages and outcomes to the parts, in the order of the parts."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._hearers: dict[type[Message], tuple[Callable[[Message], Outcome | None], ...]] = {}
        for part in parts:
            for kind in part.hears:
                self._hearers[kind] = (*self._hearers.get(kind, ()), part.handle)
        performers = [p for p in parts if overrides(p, "perform")]
        self._performers = tuple(part.perform for part in performers)
        self._always = tuple(part.perform for part in performers if part.performs_always)
        self._connected = tuple(p for p in parts if overrides(p, "connected"))

    def handle(self, message: Message) -> None:
        if isinstance(message, Outcome):
            self._perform(message)
            return
        for handle in self._hearers.get(type(message), ()):
            outcome = handle(message)
            if outcome is not None:
                self._perform(outcome)

    def connected(self) -> None:
        for part in self._connected:
            part.connected()

    def _perform(self, outcome: Outcome) -> None:
        for perform in self._always if outcome.empty else self._performers:
            perform(outcome)


def overrides(part: Part, method: str) -> bool:
    """Whether a part overrides a method of `Part`."""
    return getattr(type(part), method) is not getattr(Part, method)


def end_with(stack: AsyncExitStack, parts: Sequence[Part]) -> None:
    """Stop the parts when the stack closes, in reverse order, even if one of them raises.

    The last exception propagates; all are logged.
    """
    for part in parts:
        if overrides(part, "stop"):
            stack.push_async_callback(_stop, part)


async def _stop(part: Part) -> None:
    try:
        await part.stop()
    except Exception:
        log.exception("part_stop_failed", part=type(part).__name__)
        raise
