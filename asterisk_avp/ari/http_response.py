"""Parse HTTP/1.1 responses (RFC 9112), as ARI or a proxy in front of it sends them.

Pure: bytes in, responses out. What is ambiguous is no response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_BODY_BYTES: Final = 256 * 1024 * 1024
"""Asterisk lists all channels in one response; this bounds our memory."""
_HEAD_END: Final = b"\r\n\r\n"
_BODILESS: Final = frozenset({204, 304})
_SUCCESS: Final = 200


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


class ResponseReader:
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
