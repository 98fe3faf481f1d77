"""Notice that this process stood still (SIGSTOP, a paused machine), before it acts on old news.

Meanwhile another daemon may have taken its place, and have acted. When the process goes on, the
event loop handles what was pending in any order, so each action asks `Gate.passed` first: after a
stand-still it waits until ``verify`` has returned, once for all actions that wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_TICK_SECONDS: Final = 0.2


class Gate:
    """``verify`` raises if this process may not act any more. ``clock`` returns monotonic seconds.

    The gate is open until `run` runs.
    """

    def __init__(
        self,
        verify: Callable[[], Awaitable[None]],
        limit_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verify = verify
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._seen: float | None = None
        self._closed = False
        self._verifying: asyncio.Task[None] | None = None

    def _look(self) -> None:
        now = self._clock()
        if self._seen is not None and now - self._seen > self._limit_seconds:
            log.warning("stood_still", seconds=round(now - self._seen, 2))
            self._closed = True
            self._seen = now

    async def passed(self) -> None:
        """Return if the process may act. Raises what ``verify`` raises."""
        self._look()
        if not self._closed:
            return
        if self._verifying is None or self._verifying.done():
            self._verifying = asyncio.create_task(self._open(), name="gate")
        await asyncio.shield(self._verifying)

    async def _open(self) -> None:
        await self._verify()
        self._closed = False

    async def run(self) -> None:
        """Watch the time until cancelled."""
        try:
            while True:
                self._look()
                self._seen = self._clock()
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            self._seen = None
