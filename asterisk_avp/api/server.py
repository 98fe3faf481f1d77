"""Run the API in the daemon's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from asterisk_avp.core.errors import ConfigError

_GRACE_SECONDS = 3
_MAX_WS_MESSAGE_BYTES = 64 * 1024
_PING_SECONDS = 20.0


class ApiServer:
    """A running server. ``host`` and ``port`` are where it really listens."""

    def __init__(self, host: str, port: int, server: _Server, task: asyncio.Task[None]) -> None:
        self.host = host
        self.port = port
        self._server = server
        self._task = task

    @property
    def started(self) -> asyncio.Event:
        return self._server.is_up

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def wait_closed(self) -> None:
        """Until the server ends; raises what ended it, if that was not `stop`."""
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Close the listening socket, finish requests, close WebSockets with 1012."""
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


async def serve(app: ASGIApp, host: str, port: int) -> ApiServer:
    """Listen and serve until `ApiServer.stop`; returns once requests are answered.

    ``port`` 0 takes a free one. Raises `ConfigError` where the address cannot be had.
    """
    listener = await _listen(host, port)
    bound_host, bound_port = listener.getsockname()[:2]
    server = _Server(
        uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=_MAX_WS_MESSAGE_BYTES,
            # Every change is written once and sent to all panels as it is; compressing would be
            # done for each of them anew, with a dictionary for each in memory.
            ws_per_message_deflate=False,
            ws_ping_interval=_PING_SECONDS,
            ws_ping_timeout=_PING_SECONDS,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    up = asyncio.create_task(server.is_up.wait())
    await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    if task.done():
        await task
    return ApiServer(bound_host, bound_port, server, task)


async def _listen(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"AVP_API__HOST, AVP_API__PORT: cannot listen on {host} port {port}: {error.strerror}"
        ) from error
    return listener
