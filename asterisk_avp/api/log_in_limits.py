"""Limits on log-in attempts: rate and concurrency.

A PIN is short, so the limit on failed log-ins protects it. A limit can also be abused to lock out
others, so it counts by agent and address, and over all addresses only by the hour. A browser in
which the agent has logged in before has its own count (`asterisk_avp.api.devices`), which others'
attempts do not affect. An address is never locked, because a whole call centre can be behind it;
beyond its budget, its attempts are delayed.

The limits also apply to unknown agents, because the id is counted as typed.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from asterisk_avp.api.budget import Budget

_HOUR: Final = 3600.0
_MAX_COUNTS: Final = 100_000
"""Counts that are kept, 300 bytes each. It takes some ten thousand attempts to evict an agent's
count, after which only as many more are possible as the limits allow."""
_SLOWED_AT_ONCE: Final = 20
"""Delayed attempts of one address at the same time; others must retry."""
_MAX_SLOWED: Final = 200


class LoginLimited(Exception):
    """Too many failed log-ins. ``retry_after_seconds`` says when to try again."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many failed log-ins, try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Failed log-ins allowed within ``window_seconds``, or an hour where the name says so."""

    window_seconds: float = 60.0
    per_agent: int = 5
    """From one address, or in one known device."""
    per_agent_and_hour: int = 30
    """From all addresses, so that not all four-digit PINs can be tried within a day."""
    per_address_and_hour: int = 10
    """From one address, so that a single address cannot use up an agent's limit."""
    per_address: int = 30
    """Attempts without delay, for any agents."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt, counted at ``at`` under two keys. ``device``: from a known device."""

    at: float
    near: bytes
    everywhere: bytes
    peer: str
    device: bool


class Attempts:
    """Count attempts. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[bytes, list[float]] = OrderedDict()
        self._slow = Budget(clock=clock)
        self._slow_as: Limits | None = None
        self._slowed: Counter[str] = Counter()

    async def begin(self, limits: Limits, agent: str, address: str, device: str | None) -> Attempt:
        """Count an attempt, and delay it if its address has had many. Raises `LoginLimited`.

        Counting precedes the slow comparison, so that concurrent attempts count too.
        """
        now = self._clock()
        where, who = ("address", address) if device is None else ("device", device)
        near, everywhere = _key(where, agent, who), _key(f"every {where}", agent)
        for key, limit, seconds in (
            (near, limits.per_agent, limits.window_seconds),
            (near, limits.per_address_and_hour, _HOUR),
            (everywhere, limits.per_agent_and_hour, _HOUR),
        ):
            recent = [at for at in self._times(key, now) if at > now - seconds]
            if len(recent) >= limit:
                raise LoginLimited(max(1, round(recent[-limit] + seconds - now)))
        for key in (near, everywhere):
            self._times(key, now).append(now)
        attempt = Attempt(now, near, everywhere, who, device is not None)
        if device is None:
            await self._wait(limits, attempt)
        return attempt

    def undo(self, attempt: Attempt) -> None:
        """Remove an attempt whose PIN was not compared."""
        for key in (attempt.near, attempt.everywhere):
            times = self._failures.get(key, [])
            if attempt.at in times:
                times.remove(attempt.at)
        if not attempt.device:
            self._slow.refund(("address", attempt.peer))

    def succeeded(self, attempt: Attempt) -> None:
        """The PIN was right: drop earlier failures from the same source."""
        self.undo(attempt)
        self._failures.pop(attempt.near, None)

    async def _wait(self, limits: Limits, attempt: Attempt) -> None:
        if self._slow_as is not limits:
            self._slow_as = limits
            self._slow = Budget(
                burst=limits.per_address,
                per_second=limits.per_address / limits.window_seconds,
                clock=self._clock,
            )
        seconds = self._slow.spend(("address", attempt.peer))
        if seconds <= 0:
            return
        if self._slowed[attempt.peer] >= _SLOWED_AT_ONCE or self._slowed.total() >= _MAX_SLOWED:
            self.undo(attempt)
            raise LoginLimited(max(1, round(seconds)))
        self._slowed[attempt.peer] += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._slowed[attempt.peer] -= 1
            if not self._slowed[attempt.peer]:
                del self._slowed[attempt.peer]

    def _times(self, key: bytes, now: float) -> list[float]:
        times = self._failures.setdefault(key, [])
        self._failures.move_to_end(key)
        while times and times[0] <= now - _HOUR:
            del times[0]
        while len(self._failures) > _MAX_COUNTS:
            self._failures.popitem(last=False)
        return times


def _key(*parts: str) -> bytes:
    """A key of constant size."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


class QueueFull(Exception):
    """The queue of waiting log-ins is full."""


class FairQueue:
    """Run ``at_once`` at the same time; queue the others, with fair scheduling among peers.

    If ``waiting`` are queued, a new entry replaces the latest of the peer with the most entries,
    unless that is its own peer. So a flood from one peer delays only that peer.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once = at_once
        self._most_waiting = waiting
        self._running = 0
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, peer: str) -> AsyncIterator[None]:
        """Wait for one's turn. Raises `QueueFull`."""
        if self._running >= self._at_once:
            await self._queue(peer)
        else:
            self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._next()

    async def _queue(self, peer: str) -> None:
        if sum(map(len, self._queues.values())) >= self._most_waiting:
            longest = max(self._queues.values(), key=len)
            if len(self._queues.get(peer, ())) + 1 >= len(longest):
                raise QueueFull
            longest.pop().set_exception(QueueFull())
        mine = asyncio.get_running_loop().create_future()
        self._queues.setdefault(peer, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # our turn has just come
                self._running -= 1
                self._next()
            raise
        finally:
            waiting = self._queues.get(peer)
            if waiting is not None and mine in waiting:
                waiting.remove(mine)
            if not waiting:
                self._queues.pop(peer, None)

    def _next(self) -> None:
        for peer in list(self._queues):
            waiting = self._queues.pop(peer)
            while waiting:
                first = waiting.popleft()
                if not first.done():
                    self._running += 1
                    first.set_result(None)
                    if waiting:  # move the peer to the end
                        self._queues[peer] = waiting
                    return
