"""Run the API in the daemon's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from asterisk_avp.api.connections import Connections
from asterisk_avp.api.protocol import CONNECTION_LIMIT_RESPONSE, GuardedConfig, GuardedHttp
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.runtime.listener import Listener, bound, why_not

_GRACE_SECONDS = 3
_MAX_WS_MESSAGE_BYTES = 64 * 1024
_PING_SECONDS = 20.0
_BACKLOG = 1024


class ApiServer:
    """A running server. ``host`` and ``port``: the actual listening address."""

    def __init__(
        self,
        host: str,
        port: int,
        server: _Server,
        task: asyncio.Task[None],
        connections: Connections,
    ) -> None:
        self.host = host
        self.port = port
        self.connections = connections
        self._server = server
        self._task = task
        self._watch = asyncio.create_task(connections.watch(), name="api connections")

    @property
    def started(self) -> asyncio.Event:
        return self._server.is_up

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def wait_closed(self) -> None:
        """Wait until the server ends; raises its exception unless `stop` ended it."""
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Close the listening socket, finish requests, close WebSockets with 1012."""
        self._server.listener.close()
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)
        self._watch.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its own listening socket; ``connections`` admits clients."""

    def __init__(
        self, config: GuardedConfig, listening: socket.socket, connections: Connections
    ) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()
        self._connections = connections
        self.listener = Listener("api", listening, self._connected, connections.evict_some)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listener.start()
        self.is_up.set()

    def _connected(self, accepted: socket.socket, address: str) -> asyncio.Protocol | None:
        slot = self._connections.admit(address)
        if slot is None:
            with contextlib.suppress(OSError):
                accepted.send(CONNECTION_LIMIT_RESPONSE)  # into the kernel's buffer, or not at all
            accepted.close()
            return None
        protocol: asyncio.Protocol = GuardedHttp(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        protocol.slot = slot  # type: ignore[attr-defined]
        return protocol


async def serve(
    app: ASGIApp, host: str, port: int, connections: Connections | None = None
) -> ApiServer:
    """Listen and serve until `ApiServer.stop`; returns once requests are answered.

    ``port`` 0 takes a free port; ``connections`` limits the connections. Raises `ConfigError` if
    the address cannot be bound.
    """
    connections = Connections() if connections is None else connections
    listening = await _listen(host, port)
    bound_host, bound_port = listening.getsockname()[:2]
    config = GuardedConfig(
        app,
        connections,
        ws_max_size=_MAX_WS_MESSAGE_BYTES,
        # Each event is encoded once for all panels; compression would run for each panel, with its
        # own dictionary in memory.
        ws_per_message_deflate=False,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_PING_SECONDS,
        proxy_headers=bool(connections.proxies.trusted),
        forwarded_allow_ips=list(connections.proxies.trusted),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config, listening, connections)
    # uvicorn itself gets no listening socket.
    task = asyncio.create_task(server.serve(sockets=[]), name="api")
    up = asyncio.create_task(server.is_up.wait())
    await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    if task.done():
        await task
    return ApiServer(bound_host, bound_port, server, task, connections)


async def _listen(host: str, port: int) -> socket.socket:
    try:
        return await asyncio.to_thread(bound, host, port, _BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"AVP_API__HOST, AVP_API__PORT: cannot listen on {host} port {port}: "
            f"{why_not(error, 'set AVP_API__PORT to a free port')}"
        ) from error
