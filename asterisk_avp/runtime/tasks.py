"""Background tasks of one part of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start work whose result nobody may ever ask for; then nothing is logged of a failure."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


class TaskSet:
    """Keep references to tasks until they finish; the event loop has only weak ones."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(tuple(self._tasks))

    def start(
        self, work: Coroutine[Any, Any, None], context: Context | None = None
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=self._name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the current tasks to finish."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    async def stop(self, seconds: float) -> None:
        """Wait up to ``seconds``, then cancel the remaining tasks and wait for them."""
        await self.wait(seconds)
        self.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def cancel(self) -> None:
        for task in self:
            task.cancel()
