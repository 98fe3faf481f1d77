"""A number of idle connections: those that the server closes are reopened after a while."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from bed import Bed

PAUSE_SECONDS = 10
"""About the lifetime of an idle connection: they are many, not fast. A flood of new connections
would be a matter of processors, which tests share with others."""
OURS = 4096
"""Descriptors that the tests' own process requests, if allowed."""


class Flood:
    """``opened``: all that were ever made; ``open``: the current ones."""

    def __init__(self, port: int, data: bytes) -> None:
        self._port = port
        self._data = data
        self.opened = 0
        self.open = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, count: int) -> None:
        self._tasks = [asyncio.create_task(self._one()) for _ in range(count)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self) -> None:
        while True:
            writer = None
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self.opened += 1
                self.open += 1
                try:
                    writer.write(self._data)
                    await reader.read()
                finally:
                    self.open -= 1
                    writer.transport.abort()
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def flood(port: int, count: int, data: bytes = b"") -> AsyncIterator[Flood]:
    made = Flood(port, data)
    made.start(count)
    try:
        yield made
    finally:
        await made.stop()


@contextmanager
def descriptors(bed: Bed, most: int) -> Iterator[None]:
    """Limit the daemon's descriptors meanwhile, if it is a process of ours.

    The daemon is not notified, as with an administrator's prlimit.
    """
    assert bed.daemon is not None
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OURS, ours[1]), ours[1]))
    pid = bed.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if bed.backend.name == "rootfs":
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        if bed.daemon is not None and bed.daemon.pid == pid and bed.daemon.alive():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, ours)


def taken(bed: Bed) -> int:
    """The number of descriptors that the daemon uses."""
    assert bed.daemon is not None
    return sum(1 for _ in Path(f"/proc/{bed.daemon.pid}/fd").iterdir())
