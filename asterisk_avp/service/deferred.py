"""Effects that can wait: they repeat what is most likely in place (`core.engine.resync`).

After a daemon was killed with hundreds of transfers open, these are thousands of requests. A few
transfers at a time get theirs, so that what agents ask for meanwhile does not wait behind them. A
transfer for which anything else is to be done gets them first, and the order stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.runtime.tasks import TaskSet

AT_ONCE: Final = 8
"""Transfers."""

Start = Callable[[str, Sequence[Effect]], Awaitable[object] | None]
"""Transfer, effects → what is done when they have been performed."""


class DeferredEffects:
    def __init__(self, start: Start) -> None:
        self._start = start
        self._pending: dict[str, Sequence[Effect]] = {}
        self._tasks = TaskSet("deferred effects")

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, effects: Mapping[str, Sequence[Effect]]) -> None:
        """Perform these in their order, instead of earlier ones of the same transfers."""
        self._pending.update(effects)
        for _ in range(min(AT_ONCE, len(self._pending)) - len(self._tasks)):
            self._tasks.start(self._work())

    def take(self, session_id: str) -> Sequence[Effect]:
        """Those of one transfer, which must be performed now."""
        return self._pending.pop(session_id, ())

    def clear(self) -> None:
        self._pending.clear()
        self._tasks.cancel()

    async def wait(self) -> None:
        """Until all have been performed."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _work(self) -> None:
        while self._pending:
            session_id = next(iter(self._pending))
            done = self._start(session_id, self._pending.pop(session_id))
            if done is not None:
                await done
