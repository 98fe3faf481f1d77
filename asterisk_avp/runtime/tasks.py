"""Background tasks of one part of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


class TaskSet:
    """Keeps tasks until they are done; the event loop has only weak references to them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(tuple(self._tasks))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=self._name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self, seconds: float) -> None:
        """Wait until the tasks of this moment are done, at most this long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    async def stop(self, seconds: float) -> None:
        """As `wait`; then cancel what is left, and wait until it has ended."""
        await self.wait(seconds)
        self.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def cancel(self) -> None:
        for task in self:
            task.cancel()
