"""uvicorn's protocols, hardened by strict framing, deadlines and a limit of connections.

uvicorn has a deadline between two requests, which a single byte ends, and none for the head of a
request. Its parser (h11, or httptools where installed) accepts ambiguous requests.
`asterisk_avp.api.framing` and `asterisk_avp.api.connections` provide both, whatever the parser.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.connections import REQUEST_SECONDS, Connections, ConnectionSlot, Stage
from asterisk_avp.api.frames import EXTENSION
from asterisk_avp.api.framing import BadRequest, Framing
from asterisk_avp.api.panel_access import FromProxy
from asterisk_avp.api.throttle import PRINCIPAL

log = structlog.get_logger(__name__)

LINGER_SECONDS: Final = 2.0
"""Time for a client to read a refusal before its connection is aborted."""
_PHRASES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class GuardedConfig(uvicorn.Config):
    """A configuration that gives the protocols access to the connections."""

    def __init__(self, app: Any, connections: Connections, **more: Any) -> None:
        super().__init__(app, http=GuardedHttp, ws=GuardedWebSocket, **more)
        self.guarded_connections = connections

    def load(self) -> None:
        super().load()
        # Around uvicorn's own middleware, which replaces the peer's address.
        loaded: Any = FromProxy(self.loaded_app, self.guarded_connections.proxies)
        self.loaded_app = loaded


def refusal(status: int, code: str, message: str) -> bytes:
    """A complete response, written without the application; it closes the connection."""
    body = json.dumps({"error": code, "message": message}).encode()
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


CONNECTION_LIMIT_RESPONSE: Final = refusal(
    503, "crowded", "There are too many connections; try again later."
)


# One of uvicorn's two classes, depending on what is installed; both have these methods.
_Http: Any = AutoHTTPProtocol


class _InStages:
    """uvicorn's transport, closed in stages where ``linger`` says that more is still to come."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], bool]) -> None:
        self.transport = transport
        self._linger = linger

    def close(self) -> None:
        if not self._linger():
            self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class GuardedHttp(_Http):  # type: ignore[misc]
    """An HTTP connection."""

    transport: Any
    slot: ConnectionSlot
    """Set by the server before the connection is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._framing = Framing()
        self._refused = False
        super().connection_made(transport)
        self.transport = _InStages(self.transport, self._linger_in_body)
        self._connections.attach(self.slot, self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self.slot)
        if self.transport is not None:  # otherwise connection_made was never called
            super().connection_lost(exc)

    @property
    def _connections(self) -> Connections:
        connections: Connections = self.config.guarded_connections
        return connections

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._framing.requests
        try:
            data = self._framing.feed(data)
        except BadRequest as bad:
            self._refuse(bad.status, "bad_request", f"The request is not valid: {bad}.")
            return
        if self._framing.requests > before:
            self._connections.set_stage(self.slot, Stage.SERVED, REQUEST_SECONDS)
        if data:
            super().data_received(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refused:
            self._unset_keepalive_if_required()
            return
        if self.transport.is_closing() or self._busy():
            return  # the next pipelined request is in progress
        # The rest of a body that was answered early (401, 413) must also arrive within this time:
        # each byte of it would extend uvicorn's own deadline.
        self._connections.set_stage(self.slot, Stage.IDLE, self._connections.head_seconds)

    def is_authenticated(self) -> bool:
        scope = getattr(self, "scope", None) or {}
        return isinstance(scope.get(PRINCIPAL), Principal)

    def deadline_passed(self) -> None:
        if self._refused or self._busy() or self._framing.between or self._framing.in_body:
            self.transport.abort()
            return
        self._refuse(408, "too_slow", "The head of the request did not arrive in time.")

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, code: str, message: str) -> None:
        log.debug("request_refused", peer=self.client, status=status, why=message)
        self._refused = True
        if self._busy():
            # A response is being written, and a second one would become part of it.
            self.transport.abort()
            return
        self.transport.write(refusal(status, code, message))
        self._linger()

    def _linger_in_body(self) -> bool:
        """Whether the body that was refused (408, 413) is still coming; it is read no more."""
        if self._refused or not self._framing.in_body or self.transport.is_closing():
            return False
        self._refused = True
        self.flow.resume_reading()
        self._linger()
        return True

    def _linger(self) -> None:
        """Close in stages: closing with unread data can lose our response (RFC 9112, 9.6)."""
        self._unset_keepalive_if_required()
        self._connections.set_stage(self.slot, Stage.SILENT, LINGER_SECONDS)
        if not self.transport.is_closing():
            self.transport.write_eof()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket connection, after the handshake. The application sets its deadlines.

    A `FrameWriter`, for frames that are encoded once for many connections.
    """

    _slot: ConnectionSlot | None = None

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:  # the application runs as soon as this returns
            scope["extensions"][EXTENSION] = self

    def write_frames(self, frames: bytes) -> bool:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return True
        if not self.writable.is_set():
            return False
        self.transport.write(frames)
        return True

    def abort(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connections: Connections = self.config.guarded_connections  # type: ignore[attr-defined]
        self._slot = connections.slot_of(transport)
        if isinstance(transport, _InStages):
            transport = transport.transport  # which does not keep the HTTP connection alive
        super().connection_made(transport)
        if self._slot is not None:
            connections.attach(self._slot, self.transport, self)
            connections.set_stage(self._slot, Stage.SERVED, None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._slot is not None:
            self.config.guarded_connections.remove(self._slot)  # type: ignore[attr-defined]
        super().connection_lost(exc)

    def is_authenticated(self) -> bool:
        scope: Any = getattr(self, "scope", None) or {}
        return isinstance(scope.get(PRINCIPAL), Principal)

    def deadline_passed(self) -> None:
        self.transport.abort()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # uvicorn (0.54) treats a handshake that was refused this way as unanswered, and logs an
            # error.
            self.handshake_complete = True
