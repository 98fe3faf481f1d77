"""Post events to the administrator's address, as signed ``POST`` requests.

    POST /their/path
    Content-Type: application/json
    Idempotency-Key: 0f6c…             the same for every attempt at one event
    X-AVP-Timestamp: 1769850307        Unix seconds of this attempt
    X-AVP-Signature: sha256=<hex>      HMAC-SHA256 of "<timestamp>.<body>" with the shared secret

Any 2xx accepts the event. No answer in time, no connection, 408, 425, 429 and 5xx are retried with
growing pauses; any other answer is final. Events of one call are sent in order, each after the
previous one was accepted or abandoned. Calls do not wait for each other, and nothing else waits for
the webhook. Events that cannot be delivered are counted and logged, without address, body or
secret.
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

from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

_CONCURRENT: Final = 10
"""How many requests run at a time."""
_RETRY: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


@dataclass(slots=True)
class Counts:
    """Numbers of events since the daemon started."""

    delivered: int = 0
    dead: int = 0
    """Abandoned after the last attempt, or rejected by the receiver."""
    dropped: int = 0
    """Discarded before an attempt, because the queue was full or the daemon stopped."""
    retries: int = 0
    """Attempts after the first."""


@dataclass(slots=True, eq=False)
class _Event:
    key: str
    call: str
    body: bytes
    attempted: bool = False
    """The first attempt has started, so the receiver may have it."""


class _TemporaryFailure(Exception):
    """An attempt failed and may be retried."""


class _PermanentFailure(Exception):
    """The receiver rejected the event; a retry is useless."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``X-AVP-Signature``."""
    message = timestamp.encode("ascii") + b"." + body
    return (
        "sha256="
        + hmac.new(secret.encode("utf-8", "surrogateescape"), message, hashlib.sha256).hexdigest()
    )


class Webhooks:
    """Delivers events in the background.

    ``attempts``: in total, with pauses from ``wait_initial_seconds`` to ``wait_max_seconds``.
    ``queue_size``: how many events may wait. The oldest is dropped for a new one, because a pop is
    useless to an agent who has had the call for minutes.
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
        """The waiting events of each call; the calls in the order of their oldest event."""
        self._waiting = 0
        self._deliveries = TaskSet("webhook")
        self._slots = asyncio.Semaphore(_CONCURRENT)
        self._session: aiohttp.ClientSession | None = None
        # The library's own log lines contain the call and its arguments.
        stamina.instrumentation.set_on_retry_hooks([])

    @property
    def waiting(self) -> int:
        """How many events have been neither accepted nor abandoned."""
        return self._waiting

    def send(self, event: Mapping[str, Any], call: str) -> None:
        """Queue an event of a call for delivery. Returns immediately."""
        body = json.dumps(event, separators=(",", ":")).encode("ascii")
        fresh = _Event(secrets.token_hex(16), call, body)
        if self._waiting >= self._queue_size:
            oldest = self._take_oldest()
            self._count_dropped(oldest or fresh)
            if oldest is None:
                return  # all waiting events are between two attempts
        waiting = self._calls.get(call)
        self._waiting += 1
        if waiting is not None:
            waiting.append(fresh)
            return
        self._calls[call] = deque([fresh])
        self._deliveries.start(self._deliver_call(call))

    async def stop(self, seconds: float) -> None:
        """Wait up to ``seconds`` for waiting events, then drop them."""
        await self._deliveries.stop(seconds)
        if self._waiting:
            self.counts.dropped += self._waiting
            log.warning("webhook_stopped", lost=self._waiting, **self._numbers())
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _take_oldest(self) -> _Event | None:
        for waiting in self._calls.values():
            for event in waiting:
                if not event.attempted:
                    waiting.remove(event)
                    self._waiting -= 1
                    return event
        return None

    def _count_dropped(self, event: _Event) -> None:
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
                async with self._slots:
                    if not waiting or waiting[0] is not event:
                        continue  # it was dropped
                    event.attempted = True
                await self._deliver(event)
                waiting.popleft()
                self._waiting -= 1
        finally:
            del self._calls[call]

    async def _deliver(self, event: _Event) -> None:
        try:
            async for attempt in stamina.retry_context(
                on=_TemporaryFailure,
                attempts=self._attempts,
                timeout=None,
                wait_initial=self._wait_initial_seconds,
                wait_max=self._wait_max_seconds,
                wait_jitter=self._wait_initial_seconds,
            ):
                with attempt:
                    if attempt.num > 1:
                        self.counts.retries += 1
                    # Do not hold a slot during the pauses between attempts.
                    async with self._slots:
                        await self._post(event)
        except (_TemporaryFailure, _PermanentFailure) as error:
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
            raise _TemporaryFailure("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # Its text may contain the address.
            raise _TemporaryFailure(type(error).__name__) from None
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status in _RETRY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _TemporaryFailure(f"status {status}")
        raise _PermanentFailure(f"status {status}")

    def _numbers(self) -> dict[str, int]:
        return {
            "delivered": self.counts.delivered,
            "dead": self.counts.dead,
            "dropped": self.counts.dropped,
        }
