"""Events to an address of the administrator's, as signed ``POST`` requests.

    POST /their/path
    Content-Type: application/json
    Idempotency-Key: 0f6c…             the same for every attempt at one event
    X-AVP-Timestamp: 1769850307        Unix seconds of this attempt
    X-AVP-Signature: sha256=<hex>      HMAC-SHA256 of "<timestamp>.<body>" with the shared secret

Any 2xx takes the event. No answer in time, no connection, 408, 425, 429 and 5xx are tried again,
with pauses that grow; any other answer is final. Events of one call are sent in their order, each
after the one before it has been taken or given up; calls do not wait for each other, and nobody
waits here at all. What cannot be delivered is counted and logged, never with what it said: neither
the address nor the body nor the secret is in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import stamina
import structlog

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 10
"""Requests under way at a time."""
_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


@dataclass(slots=True)
class Counts:
    """Since the start of the daemon, in events."""

    delivered: int = 0
    dead: int = 0
    """Given up after the last attempt, or refused for good."""
    dropped: int = 0
    """Thrown away unsent, since the queue was full or the daemon stopped."""
    retries: int = 0
    """Attempts after the first."""


@dataclass(slots=True, eq=False)
class _Event:
    key: str
    call: str
    body: bytes
    begun: bool = False
    """Its first attempt has been made, so somebody may have it."""


class _TryAgain(Exception):
    """An attempt failed in a way that may pass."""


class _Refused(Exception):
    """It will not get better."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``X-AVP-Signature``."""
    message = timestamp.encode("ascii") + b"." + body
    return (
        "sha256="
        + hmac.new(secret.encode("utf-8", "surrogateescape"), message, hashlib.sha256).hexdigest()
    )


class Webhooks:
    """``attempts`` in all, with pauses from ``wait_initial_seconds`` to ``wait_max_seconds``.

    ``queue_size``: how many events may wait; the oldest one makes room for a new one, because an
    agent who has had a call for minutes is not helped by its pop.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_seconds: float = 5.0,
        attempts: int = 8,
        wait_initial_seconds: float = 0.5,
        wait_max_seconds: float = 30.0,
        queue_size: int = 1000,
    ) -> None:
        self.counts = Counts()
        self._url = url
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._attempts = attempts
        self._wait_initial_seconds = wait_initial_seconds
        self._wait_max_seconds = wait_max_seconds
        self._queue_size = queue_size
        self._calls: dict[str, deque[_Event]] = {}
        """What waits, by call, the calls in the order of their oldest event."""
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        # The library's own lines repeat what was called, and with what.
        stamina.instrumentation.set_on_retry_hooks([])

    @property
    def waiting(self) -> int:
        """How many events have not been taken or given up yet."""
        return self._waiting

    def send(self, event: Mapping[str, Any], call: str) -> None:
        """Have an event of a call delivered; returns at once."""
        body = json.dumps(event, separators=(",", ":")).encode("ascii")
        fresh = _Event(secrets.token_hex(16), call, body)
        if self._waiting >= self._queue_size:
            oldest = self._take_oldest()
            self._note_dropped(oldest or fresh)
            if oldest is None:
                return  # all that wait are between two attempts
        waiting = self._calls.get(call)
        self._waiting += 1
        if waiting is not None:
            waiting.append(fresh)
            return
        self._calls[call] = deque([fresh])
        task = asyncio.create_task(self._deliver_call(call), name="webhook")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, seconds: float) -> None:
        """Give what waits that long, and no longer."""
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        if self._waiting:
            self.counts.dropped += self._waiting
            log.warning("webhook_stopped", lost=self._waiting, **self._numbers())
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _take_oldest(self) -> _Event | None:
        for waiting in self._calls.values():
            for event in waiting:
                if not event.begun:
                    waiting.remove(event)
                    self._waiting -= 1
                    return event
        return None

    def _note_dropped(self, event: _Event) -> None:
        self.counts.dropped += 1
        log.warning(
            "webhook_dropped",
            call=event.call,
            key=event.key,
            hint="the queue is full",
            **self._numbers(),
        )

    async def _deliver_call(self, call: str) -> None:
        waiting = self._calls[call]
        try:
            while waiting:
                event = waiting[0]
                async with self._room:
                    if not waiting or waiting[0] is not event:
                        continue  # it had to make room
                    event.begun = True
                await self._deliver(event)
                waiting.popleft()
                self._waiting -= 1
        finally:
            del self._calls[call]

    async def _deliver(self, event: _Event) -> None:
        try:
            async for attempt in stamina.retry_context(
                on=_TryAgain,
                attempts=self._attempts,
                timeout=None,
                wait_initial=self._wait_initial_seconds,
                wait_max=self._wait_max_seconds,
                wait_jitter=self._wait_initial_seconds,
            ):
                with attempt:
                    if attempt.num > 1:
                        self.counts.retries += 1
                    # The pauses between attempts leave the line to other calls.
                    async with self._room:
                        await self._post(event)
        except (_TryAgain, _Refused) as error:
            self.counts.dead += 1
            log.error(  # noqa: TRY400 - a traceback says nothing more
                "webhook_dead_letter",
                call=event.call,
                key=event.key,
                reason=str(error),
                **self._numbers(),
            )
        else:
            self.counts.delivered += 1

    async def _post(self, event: _Event) -> None:
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": event.key,
            "X-AVP-Timestamp": timestamp,
            "X-AVP-Signature": sign(self._secret, timestamp, event.body),
        }
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(
                self._url, data=event.body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except TimeoutError:
            raise _TryAgain("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # Not its text, which may hold the address.
            raise _TryAgain(type(error).__name__) from None
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _TryAgain(f"status {status}")
        raise _Refused(f"status {status}")

    def _numbers(self) -> dict[str, int]:
        return {
            "delivered": self.counts.delivered,
            "dead": self.counts.dead,
            "dropped": self.counts.dropped,
        }
