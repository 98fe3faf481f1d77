"""uvicorn's protocols with a guard at the door: strict framing, deadlines, and a place to give up.

uvicorn has a deadline between two requests and none for a request's head, and a single byte ends
the former. It believes its parser (h11, or httptools where that is installed), which lets requests
through that two readers may read in two ways. Both are `asterisk_avp.api.framing`'s and
`asterisk_avp.api.connections`' business here, whichever the parser.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.connections import REQUEST_SECONDS, Connections, Seat, Stage
from asterisk_avp.api.framing import BadRequest, Framing
from asterisk_avp.api.throttle import PRINCIPAL

log = structlog.get_logger(__name__)

LINGER_SECONDS: Final = 2.0
"""For a client to read why it was refused, before it is cut off in the midst of sending."""
_PHRASES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class GuardedConfig(uvicorn.Config):
    """A configuration that the protocols find the connections by."""

    def __init__(self, app: Any, connections: Connections, **more: Any) -> None:
        super().__init__(app, http=GuardedHttp, ws=GuardedWebSocket, **more)
        self.seats = connections


def refusal(status: int, code: str, message: str) -> bytes:
    """A whole answer, for where there is no application to make it; the connection ends with it."""
    body = json.dumps({"error": code, "message": message}).encode()
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


CROWDED: Final = refusal(503, "crowded", "There are too many connections; try again later.")


# Which of uvicorn's two classes it is depends on what is installed; both have these methods.
_Http: Any = AutoHTTPProtocol


class GuardedHttp(_Http):  # type: ignore[misc]
    """A connection that speaks HTTP."""

    seat: Seat
    """Given by the server before the connection is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._framing = Framing()
        self._refused = False
        super().connection_made(transport)
        self._connections.sit(self.seat, self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self.seat)
        if self.transport is not None:  # else it has never been made
            super().connection_lost(exc)

    @property
    def _connections(self) -> Connections:
        seats: Connections = self.config.seats
        return seats

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._framing.requests
        try:
            data = self._framing.feed(data)
        except BadRequest as bad:
            self._refuse(bad.status, "bad_request", f"This is no valid request: {bad}.")
            return
        if self._framing.requests > before:
            self._connections.move(self.seat, Stage.SERVED, REQUEST_SECONDS)
        if data:
            super().data_received(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or self._busy():
            return  # the next of several requests is being answered already
        # Also the rest of a body that was answered before all of it was there (401, 413) has to
        # come within this time: each byte of it would put off uvicorn's own deadline.
        self._connections.move(self.seat, Stage.IDLE, self._connections.head_seconds)

    def known(self) -> bool:
        scope = getattr(self, "scope", None) or {}
        return isinstance(scope.get(PRINCIPAL), Principal)

    def overdue(self) -> None:
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
            # An answer is being written, and a second one would be taken for a part of it.
            self.transport.abort()
            return
        self.transport.write(refusal(status, code, message))
        self._linger()

    def _linger(self) -> None:
        """Closing with unread data would take our answer along (RFC 9112, section 9.6)."""
        self._unset_keepalive_if_required()
        self._connections.move(self.seat, Stage.SILENT, LINGER_SECONDS)
        if not self.transport.is_closing():
            self.transport.write_eof()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """What it becomes after a handshake. The application has deadlines of its own for these."""

    _seat: Seat | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        connections: Connections = self.config.seats  # type: ignore[attr-defined]
        self._seat = connections.seat_of(transport)
        if self._seat is not None:
            connections.sit(self._seat, self.transport, self)
            connections.move(self._seat, Stage.SERVED, None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._seat is not None:
            self.config.seats.leave(self._seat)  # type: ignore[attr-defined]
        super().connection_lost(exc)

    def known(self) -> bool:
        scope: Any = getattr(self, "scope", None) or {}
        return isinstance(scope.get(PRINCIPAL), Principal)

    def overdue(self) -> None:
        self.transport.abort()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # uvicorn (0.54) takes a handshake that was refused so for one that was never answered,
            # and logs an error for it.
            self.handshake_complete = True
