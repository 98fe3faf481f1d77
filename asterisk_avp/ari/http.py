"""HTTP/1.1 requests to one server over connections that stay open.

A transfer is sixteen small requests. The general client that also opens the WebSocket, aiohttp,
takes several times as long for each of them as the rest of its effect, for what ARI never uses:
cookies, redirects, proxies, compression, streams.

One request is in flight on a connection at a time, so that a slow one delays no other. A request is
sent again only if the server closed the idle connection at that moment, and if it may be executed
twice (RFC 9110, section 9.2.2).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from yarl import URL

_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_BODY_BYTES: Final = 256 * 1024 * 1024
"""Asterisk lists all channels in one response; this bounds our memory."""
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_HEAD_END: Final = b"\r\n\r\n"
_BODILESS: Final = frozenset({204, 304})
_SUCCESS: Final = 200


class ConnectionLost(OSError):
    """The connection ended before the response was complete.

    ``unused``: nothing of the response had arrived.
    """

    def __init__(self, message: str, *, unused: bool = False) -> None:
        super().__init__(message)
        self.unused = unused


class NotHttp(ConnectionLost):
    """The server's bytes are not a response."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


class HttpPool:
    """Connections to the server of ``url``, at most ``limit`` at a time.

    An idle connection is closed after ``idle_seconds``. ``headers`` are sent with every request.
    """

    def __init__(
        self, url: str, headers: dict[str, str], *, limit: int, idle_seconds: float
    ) -> None:
        server = URL(url)
        self._secure = server.scheme == "https"
        self._host, self._port = server.raw_host or "", server.port or 0
        lines = {"Host": str(server.host_port_subcomponent), **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._idle: deque[_Connection] = deque()
        """The most recently used last."""
        self._used: set[_Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def request(self, method: str, target: str, body: bytes | None) -> Response:
        """Send a request. Raises `OSError` if there is no complete response.

        ``target`` is the quoted path with its query; ``body`` is JSON. Cancelling closes the
        connection: whether the server has executed the request is then unknown.
        """
        text = f"{method} {target} HTTP/1.1\r\n{self._head}"
        if body is None:
            # A DELETE or POST without a body, for servers that expect a length.
            text += "\r\n" if method == "GET" else "Content-Length: 0\r\n\r\n"
            message = text.encode("latin-1")
        else:
            text += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            message = text.encode("latin-1") + body
        try:
            return await self._send(message)
        except ConnectionLost as error:
            if not error.unused or method not in _IDEMPOTENT:
                raise
        return await self._send(message)

    async def _send(self, message: bytes) -> Response:
        connection = await self._take()
        try:
            return await connection.exchange(message)
        finally:
            self._give_back(connection)

    async def _take(self) -> _Connection:
        while True:
            while self._idle:
                connection = self._idle.pop()
                if connection.usable:
                    self._used.add(connection)
                    return connection
            if len(self._used) + self._opening < self._limit:
                break
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(free)
            try:
                await free
            except asyncio.CancelledError:
                if free.done() and not free.cancelled():
                    self._wake()  # it was ours; the next one may have it
                raise
        self._opening += 1
        try:
            connection = await self._open()
        except BaseException:
            self._wake()
            raise
        finally:
            self._opening -= 1
        self._used.add(connection)
        return connection

    async def _open(self) -> _Connection:
        if self._secure and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            _Connection, self._host, self._port, ssl=self._tls
        )
        return connection

    def _give_back(self, connection: _Connection) -> None:
        self._used.discard(connection)
        if connection.usable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
            if self._sweep is None:
                self._schedule_sweep()
        else:
            connection.close()
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            free = self._waiting.popleft()
            if not free.done():
                free.set_result(None)
                return

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._idle[0].idle_since + self._idle_seconds
        self._sweep = loop.call_at(due, self._close_idle)

    def _close_idle(self) -> None:
        self._sweep = None
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle.popleft().close()
        if self._idle:
            self._schedule_sweep()

    def close(self) -> None:
        """Close all connections; requests in flight fail."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in (*self._idle, *self._used):
            connection.close()
        self._idle.clear()


class _Connection(asyncio.Protocol):
    """One connection, and the response that is being read from it."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Response] | None = None
        self._reused = False
        self._open = False
        self._reader = _ResponseReader()

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._open and self._reply is None

    async def exchange(self, message: bytes) -> Response:
        """Send one request and return its response."""
        reply: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._reply = reply
        if self._transport is not None:
            self._transport.write(message)
        try:
            response = await reply
        except BaseException:
            self.close()
            raise
        self._reply = None
        self._reused = True
        return response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open = True

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None or reply.done():
            self.close()  # a response to nothing: the next one would be taken for another's
            return
        try:
            response = self._reader.feed(data)
        except ValueError as error:
            reply.set_exception(NotHttp(f"not an HTTP response: {error}"))
            self.close()
            return
        if response is not None:
            self._finish(reply, response)

    def _finish(self, reply: asyncio.Future[Response], response: Response) -> None:
        if self._reader.closes:
            self.close()
        self._reader = _ResponseReader()
        reply.set_result(response)

    def eof_received(self) -> None:
        self._open = False  # `connection_lost` follows

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        reply = self._reply
        if reply is None or reply.done():
            return
        response = self._reader.end()
        if response is not None:
            reply.set_result(response)
            return
        unused = self._reused and self._reader.unused
        why = str(exc) if exc else "the server closed the connection"
        reply.set_exception(ConnectionLost(why, unused=unused))

    def close(self) -> None:
        self._open = False
        if self._transport is not None:
            self._transport.abort()


class _ResponseReader:
    """Parse one response. Raises `ValueError` for what is none."""

    def __init__(self) -> None:
        self.closes = False
        """Whether the server closes the connection after this response."""
        self._head = b""
        """What has arrived of the header."""
        self._status = 0
        """0: the header is not complete."""
        self._length: int | None = None
        """Length of the body; None: until the connection ends."""
        self._chunked: _ChunkedBody | None = None
        self._body = bytearray()

    @property
    def unused(self) -> bool:
        return not self._status and not self._head

    def feed(self, data: bytes) -> Response | None:
        """Add received bytes; return the response once it is complete."""
        while not self._status:
            if self._head:
                data = self._head + data
            self._head, end, rest = data.partition(_HEAD_END)
            if not end:
                if len(data) > _MAX_HEAD_BYTES:
                    raise ValueError("a header without an end")
                return None
            self._read_head(self._head.decode("latin-1"))
            self._head, data = b"", rest
        if self._chunked is not None:
            return Response(self._status, bytes(self._body)) if self._chunked.feed(data) else None
        self._body += data
        if self._length is None or len(self._body) < self._length:
            if len(self._body) > _MAX_BODY_BYTES:
                raise ValueError("a body without an end")
            return None
        if len(self._body) > self._length:
            self.closes = True  # more than announced
        return Response(self._status, bytes(self._body[: self._length]))

    def end(self) -> Response | None:
        """The connection has ended: the response, if that is its end."""
        if self._status and self._length is None and self._chunked is None:
            return Response(self._status, bytes(self._body))
        return None

    def _read_head(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if version not in {"HTTP/1.1", "HTTP/1.0"} or not (code.isascii() and code.isdigit()):
            raise ValueError("its first line")
        status = int(code)
        if status < _SUCCESS:
            return  # 100 Continue: the response follows
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            name, value = name.lower(), value.strip()
            if not colon or (name == "content-length" and headers.get(name, value) != value):
                raise ValueError("its header")
            headers[name] = value
        connection = headers.get("connection", "").lower()
        self.closes = "close" in connection or (
            version == "HTTP/1.0" and "keep-alive" not in connection
        )
        if status in _BODILESS:
            self._length = 0
        elif "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked":
                raise ValueError("its transfer coding")
            self._chunked = _ChunkedBody(self._body)
        elif "content-length" in headers:
            length = headers["content-length"]
            if not (length.isascii() and length.isdigit()):
                raise ValueError("its length")
            self._length = int(length)
        else:
            self.closes = True
        self._status = status


class _ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1), as a proxy may send it; Asterisk does not."""

    def __init__(self, body: bytearray) -> None:
        self._body = body
        self._buffer = b""

    def feed(self, data: bytes) -> bool:
        """Add received bytes; return whether the body is complete."""
        self._buffer += data
        while True:
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                if len(line) > _MAX_HEAD_BYTES:
                    raise ValueError("a chunk without a length")
                return False
            size = int(line.partition(b";")[0], 16)
            if size < 0 or len(self._body) + size > _MAX_BODY_BYTES:
                raise ValueError("a chunk's length")
            if size == 0:
                # Trailer fields may precede the empty line.
                return rest.startswith(b"\r\n") or _HEAD_END in rest
            if len(rest) < size + 2:
                return False
            self._body += rest[:size]
            self._buffer = rest[size + 2 :]
