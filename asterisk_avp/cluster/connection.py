"""The connection to NATS: made again without end, and logged once for each change.

nats-py reconnects by itself; where it gives up (wrong password, an error of the protocol), a new
connection is made here. Credentials are never logged: only the kind of an error is.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import nats
import structlog
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from asterisk_avp.cluster import wire
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

# It logs each failed attempt with a traceback; what matters is logged here.
logging.getLogger("nats").setLevel(logging.CRITICAL)

_BACKOFF: Final = Backoff(initial_seconds=0.2, max_seconds=2.0)
_CONNECT_SECONDS: Final = 2
_RECONNECT_WAIT_SECONDS: Final = 0.25
_PING_SECONDS: Final = 1
_PINGS: Final = 2
_PENDING_BYTES: Final = 4_194_304

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
    ) -> None:
        self._settings = settings
        self._subscriptions = subscriptions
        self._changed = changed
        self._client: Client | None = None
        self._closed = asyncio.Event()
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
                self._client = await nats.connect(**self._options())
                failures = 0
                await self._on_connected()
                await self._closed.wait()
            except (OSError, errors.Error, TimeoutError) as error:
                await self._on_error(error)
            finally:
                client, self._client = self._client, None
                if client is not None and not client.is_closed:
                    self._trouble = _DISCONNECTED  # no news: we end it
                    await client.close()
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
        settings = self._settings
        user, _, password = settings.credentials.get_secret_value().partition(":")
        options: dict[str, Any] = {
            "servers": list(settings.servers),
            "name": f"asterisk_avp {settings.node}",
            "connect_timeout": _CONNECT_SECONDS,
            "reconnect_time_wait": _RECONNECT_WAIT_SECONDS,
            "max_reconnect_attempts": -1,
            "ping_interval": _PING_SECONDS,
            "max_outstanding_pings": _PINGS,
            "pending_size": _PENDING_BYTES,
            # So that a node's user may subscribe to its own answers only.
            "inbox_prefix": f"_INBOX.{settings.node}",
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
        }
        if user:
            options |= {"user": user, "password": password}
        if any(server.startswith("tls:") for server in settings.servers):
            context = ssl.create_default_context(cafile=settings.tls_ca or None)
            if settings.tls_cert:
                context.load_cert_chain(settings.tls_cert, settings.tls_key)
            options["tls"] = context
        return options

    async def _on_connected(self) -> None:
        for subject, handler in self._subscriptions.items():
            await self.client.subscribe(subject, cb=self._received(handler))
        await self._on_reconnected()

    def _received(self, handler: Handler) -> Callable[[Msg], Awaitable[None]]:
        async def receive(message: Msg) -> None:
            node = message.subject.removeprefix(f"{wire.PREFIX}.").partition(".")[2]
            try:
                await handler(node, message)
            except Exception:
                log.exception("directory_message_failed", subject=message.subject)

        return receive

    async def _on_reconnected(self) -> None:
        self._trouble = ""
        log.info("directory_connected", servers=len(self._settings.servers))
        self._changed()

    async def _on_disconnected(self) -> None:
        self._say("directory_disconnected", _DISCONNECTED)
        self._changed()

    async def _on_error(self, error: Exception) -> None:
        # Of the server's own texts none has a password; they name the right that is missing.
        said = type(error) is errors.Error
        self._say("directory_error", str(error)[:200] if said else type(error).__name__)

    async def _on_closed(self) -> None:
        self._closed.set()

    def _say(self, event: str, trouble: str) -> None:
        """Log it, unless it was the last that was logged."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(event, problem=trouble)
