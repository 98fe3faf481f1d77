"""The connection to NATS: made again without end, and logged once for each change.

nats-py reconnects by itself; where it gives up (wrong password, an error of the protocol), a new
connection is made here. Credentials are never logged: only the kind of an error is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import Any, Final

import structlog
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from asterisk_avp.cluster import wire
from asterisk_avp.cluster.allowance import Allowance
from asterisk_avp.cluster.nats_client import NatsClient, NotEncrypted, options
from asterisk_avp.cluster.tls import problem
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

# It logs each failed attempt with a traceback; what matters is logged here.
logging.getLogger("nats").setLevel(logging.CRITICAL)

_BACKOFF: Final = Backoff(initial_seconds=0.2, max_seconds=2.0)
_RECONNECT_WAIT_SECONDS: Final = 0.25
_PING_SECONDS: Final = 1
_PINGS: Final = 2
"""Questions without an answer, after which the connection counts as broken; more where LOST_SECONDS
allows a longer silence: TCP takes seconds to repeat what a bad line has lost."""
_PENDING_BYTES: Final = 4_194_304
_WAITING_MESSAGES: Final = 16_384
_WAITING_BYTES: Final = 33_554_432
"""What has come and is not read yet; nats-py drops what is more."""

_DISCONNECTED: Final = "disconnected"

Handler = Callable[[str, Msg], Awaitable[None]]
"""Gets the node that the subject names, and the message."""


class Connection:
    """``subscriptions``: subject to its handler. ``changed`` is called with each change."""

    def __init__(
        self,
        settings: ClusterSettings,
        subscriptions: Mapping[str, Handler],
        changed: Callable[[], None],
        dropped: Callable[[str], None] = lambda _reason: None,
        missed: Callable[[str], None] = lambda _node: None,
    ) -> None:
        """``dropped`` is called for each message that is not read, with a code, and ``missed`` with
        the node whose message it was.
        """
        self._settings = settings
        self._subscriptions = subscriptions
        self._changed = changed
        self._dropped = dropped
        self._missed = missed
        self._allowance = Allowance()
        self._failures: set[str] = set()
        """Kinds of errors that handlers have raised."""
        self._client: Client | None = None
        self._closed = asyncio.Event()
        self.number = 0
        """Counts connections: whatever was known by an earlier one may have changed."""
        self._trouble = ""
        """What was logged last; empty: connected, or nothing yet."""

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    @property
    def client(self) -> Client:
        """Raises `ConnectionError` while there is none."""
        if self._client is None or not self._client.is_connected:
            raise ConnectionError("not connected to NATS")
        return self._client

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._closed.clear()
            try:
                client = NatsClient()
                await client.connect(**self._options())
                self._client = client
                failures = 0
                await self._on_connected()
                await self._closed.wait()
            except (OSError, errors.Error, TimeoutError, ConfigError) as error:
                await self._on_error(error)
            finally:
                ended, self._client = self._client, None
                if ended is not None and not ended.is_closed:
                    self._trouble = _DISCONNECTED  # no news: we end it
                    await ended.close()
            self._changed()
            await asyncio.sleep(_BACKOFF.pause_seconds(failures))
            failures += 1

    async def publish(self, subject: str, data: bytes) -> bool:
        """Whether it was sent. What cannot be sent now is old by the time it could be."""
        client = self._client
        if client is None or not client.is_connected:
            return False
        try:
            await client.publish(subject, data)
        except errors.Error as error:
            await self._on_error(error)
            return False
        return True

    def _options(self) -> dict[str, Any]:
        return {
            **options(self._settings),
            "reconnect_time_wait": _RECONNECT_WAIT_SECONDS,
            "max_reconnect_attempts": -1,
            "ping_interval": _PING_SECONDS,
            "max_outstanding_pings": max(_PINGS, ceil(self._settings.lost_seconds / _PING_SECONDS)),
            "pending_size": _PENDING_BYTES,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
        }

    async def _on_connected(self) -> None:
        for subject, handler in self._subscriptions.items():
            await self.client.subscribe(
                subject,
                cb=self._received(handler),
                pending_msgs_limit=_WAITING_MESSAGES,
                pending_bytes_limit=_WAITING_BYTES,
            )
        await self._on_reconnected()

    def _received(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        async def receive(message: Msg) -> None:
            kind, node = _parts(message.subject)
            # Who asks for a snapshot is not in the subject.
            sender = node if kind != "snapshot" else ""
            if not self._allowance.take(sender, len(message.data), time.monotonic()):
                self._dropped("too much")
                self._missed(sender)
                return
            try:
                await handler(node, message)
            except Exception as error:
                self._dropped("failed")
                self._missed(sender)
                if type(error).__name__ not in self._failures:
                    self._failures.add(type(error).__name__)
                    log.exception("directory_message_failed", subject=message.subject)

        return receive

    async def _on_reconnected(self) -> None:
        self._trouble = ""
        self.number += 1
        log.info("directory_connected", servers=len(self._settings.servers))
        self._changed()

    async def _on_disconnected(self) -> None:
        self._say("directory_disconnected", _DISCONNECTED)
        self._changed()

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, errors.SlowConsumerError):  # more has come than is kept
            self._missed(_parts(error.subject)[1])
        # Of the server's own texts none has a password; they name the right that is missing.
        said = type(error) in (errors.Error, NotEncrypted, ConfigError)
        self._say("directory_error", str(error)[:200] if said else problem(error))

    async def _on_closed(self) -> None:
        self._closed.set()

    def _say(self, event: str, trouble: str) -> None:
        """Log it, unless it was the last that was logged."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(event, problem=trouble)


def _parts(subject: str) -> tuple[str, str]:
    """What the message is about, and the node that the subject names."""
    kind, _, node = subject.removeprefix(f"{wire.PREFIX}.").partition(".")
    return kind, node
