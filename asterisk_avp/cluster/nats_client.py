"""The client of NATS as this project uses it: options from the settings, and no way around TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from nats import errors
from nats.aio.client import Client

from asterisk_avp.cluster.tls import context
from asterisk_avp.config.cluster import ClusterSettings

CONNECT_SECONDS: Final = 2
_CLOSE_SECONDS: Final = 0.5
_CANCEL_SECONDS: Final = 0.1
"""After which an attempt that is cancelled and goes on is cancelled once more."""
_TLS: Final = "tls"


class NotEncrypted(errors.Error):
    """The server of a tls:// address does not ask for TLS."""

    def __str__(self) -> str:
        return "nats: the server does not use TLS, which its address asks for"


class NatsClient(Client):
    """nats-py without four of its faults.

    It goes on without TLS where a server says that it has none; then whoever sits in between gets
    user and password. It waits without end for a connection to close on which TLS has failed:
    asyncio tells that to another protocol than the one that it asks. And it takes a server for
    connected that ends the connection instead of an answer, as one does that refuses a certificate:
    with TLS 1.3 the client's side of the handshake is over by then. An attempt that is ended may go
    on without end: until Python 3.12 `asyncio.wait_for` forgets a cancellation that meets the
    answer, and nats-py then tries again.
    """

    async def connect(self, *arguments: Any, **more: Any) -> None:
        trying = asyncio.ensure_future(super().connect(*arguments, **more))
        try:
            await asyncio.shield(trying)
        except asyncio.CancelledError:
            while not trying.done():
                trying.cancel()
                await asyncio.wait([trying], timeout=_CANCEL_SECONDS)
            if not trying.cancelled():
                trying.exception()  # nobody else asks for it
            await self.close()
            raise

    async def _process_info(  # as nats-py has it
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        server = self._current_server
        tls = server is not None and server.uri.scheme == _TLS
        if initial_connection and tls and info.get("tls_required") is not True:
            raise NotEncrypted
        await super()._process_info(info, initial_connection)

    async def _process_connect_init(self) -> None:  # as nats-py has it
        await super()._process_connect_init()
        if not self.is_connected and self._transport is not None and self._transport.at_eof():
            for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
                if task is not None:
                    task.cancel()
            raise ConnectionResetError("nats: the server has ended the connection")

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002
        if self._transport is not None:
            bounded = partial(_closed, self._transport.wait_closed)
            self._transport.wait_closed = bounded  # type: ignore[method-assign]  # each has its own
        await super()._close(status, do_cbs)


async def _closed(wait: Callable[[], Awaitable[None]]) -> None:
    """The socket is closed at once in any case."""
    with suppress(TimeoutError):
        await asyncio.wait_for(wait(), _CLOSE_SECONDS)


def options(settings: ClusterSettings) -> dict[str, Any]:
    """For `Client.connect`. Raises `ConfigError` if a certificate's file cannot be used."""
    user, _, password = settings.credentials.get_secret_value().partition(":")
    found: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": f"asterisk_avp {settings.node}",
        "connect_timeout": CONNECT_SECONDS,
        # So that a node's user may subscribe to its own answers only.
        "inbox_prefix": f"_INBOX.{settings.node}",
    }
    if user:
        found |= {"user": user, "password": password}
    if any(server.startswith(f"{_TLS}:") for server in settings.servers):
        found["tls"] = context(settings.tls_ca, settings.tls_cert, settings.tls_key)
    return found
