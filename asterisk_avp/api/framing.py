"""HTTP message framing, stricter than any HTTP parser.

If a proxy and a server disagree on where a request ends, one client's bytes can be taken for
another's request (request smuggling). This module decides it: an ambiguous request is refused,
whatever the parser behind it would accept, and the parser gets only complete, valid heads. The
rules are those of RFC 9112 (HTTP/1.1), both where it says MUST and where it leaves a choice:
sections 2.2 (line ends), 3 (request line), 3.2 (Host), 5.1 and 5.2 (field lines, obs-fold), 6.1 to
6.3 (length of the body) and 7.1 (chunks).

Pure: bytes in, accepted bytes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NoReturn

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 100
_MAX_CHUNK_LINE: Final = 10

_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])"
)
_FIELD: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]+)(/.*)?", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]*)(?::[0-9]{0,5})?")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SINGLE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"origin", b"expect"}
)
"""Fields that are ambiguous if repeated."""
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class BadRequest(Exception):
    """The received bytes are not an unambiguous request. ``status``: of the response."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class Framing:
    """One connection's stream of requests."""

    def __init__(self) -> None:
        self.requests = 0
        """Complete heads so far."""
        self.upgraded = False
        """Whether the last head requests a WebSocket; the bytes after it are not HTTP."""
        self._head = bytearray()
        self._left = 0
        """Remaining bytes of the body or of its current chunk."""
        self._chunked = False
        self._line = bytearray()
        """The received part of a line between two chunks."""
        self._next_line: Literal["size", "end", "last"] = "size"
        """The type of that line: a chunk's size, or the empty line after a chunk or the last."""

    @property
    def between(self) -> bool:
        """Whether the last request is complete and no byte of the next one has arrived."""
        return not self._head and not self.in_body

    @property
    def in_body(self) -> bool:
        return bool(self._left) or self._chunked

    def feed(self, data: bytes) -> bytes:
        """Return the bytes to pass on: bodies as received, heads once they are complete.

        Raises `BadRequest`; the connection must then be closed.
        """
        return b"".join(self._feed(data))

    def _feed(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            if self.upgraded:
                yield data[at:]
                return
            if self._left:
                part = data[at : at + self._left]
                self._left -= len(part)
                at += len(part)
                yield part
            elif self._chunked:
                line, at = self._chunk_line(data, at)
                yield line
            else:
                head, at = self._take_head(data, at)
                yield head

    # --- heads -------------------------------------------------------------------------------

    def _take_head(self, data: bytes, at: int) -> tuple[bytes, int]:
        before = len(self._head)
        self._head += data[at : at + MAX_HEAD_BYTES + 1]
        # A blank line may have begun in what came before.
        end = self._head.find(b"\r\n\r\n", max(0, before - 3))
        read = self._head if end < 0 else self._head[: end + 4]
        if _BARE_LF.search(read, before):
            raise BadRequest("a line that does not end in CRLF")
        if len(read) > MAX_HEAD_BYTES:
            raise BadRequest("the head of the request is too large", 431)
        if end < 0:
            return b"", len(data)
        self._head = bytearray()
        return self._check(bytes(read[:end])), at + len(read) - before

    def _check(self, head: bytes) -> bytes:
        first, *lines = head.split(b"\r\n")
        found = _REQUEST_LINE.fullmatch(first)
        if found is None:
            raise BadRequest("the request line is malformed")
        method, target, major, minor = found.groups()
        if major != b"1":
            raise BadRequest("the version is not supported", 505)
        absolute = _ABSOLUTE.fullmatch(target)
        star = (method, target) == (b"OPTIONS", b"*")
        if absolute is None and not target.startswith(b"/") and not star:
            raise BadRequest("the request target is malformed")
        if len(lines) > MAX_FIELDS:
            raise BadRequest("the request has too many fields", 431)
        fields: dict[bytes, bytes] = {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise BadRequest("a field line is malformed")
            name = field[1].lower()
            if name in fields and name in _SINGLE:
                raise BadRequest(f"more than one {name.decode()}")
            fields[name] = field[2] if name not in fields else fields[name] + b", " + field[2]
        latest = minor != b"0"
        if latest and b"host" not in fields:
            raise BadRequest("no host")
        if not _HOST.fullmatch(fields.get(b"host", b"")):
            raise BadRequest("the host is malformed")
        if absolute is not None:  # of which parsers make different paths
            if absolute[1].lower() != fields.get(b"host", absolute[1]).lower():
                raise BadRequest("the request target is of another host")
            path = absolute[2] or b"/"
            first = b"%s %s HTTP/1.%s" % (method, path, minor)
        self._length(fields, latest=latest)
        lines = self._upgrade(method, fields, lines, latest=latest)
        self.requests += 1
        return b"\r\n".join((first, *lines, b"", b""))

    def _length(self, fields: dict[bytes, bytes], *, latest: bool) -> None:
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if coding is not None:
            if length is not None:
                raise BadRequest("Transfer-Encoding together with Content-Length")
            if not latest or coding.lower() != b"chunked":
                raise BadRequest("the transfer coding is not supported")
            self._chunked = True
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise BadRequest("the Content-Length is malformed")
            self._left = int(length)

    def _upgrade(
        self, method: bytes, fields: dict[bytes, bytes], lines: list[bytes], *, latest: bool
    ) -> list[bytes]:
        """The lines without an unsupported Upgrade, which RFC 9110, section 7.8, lets us ignore."""
        if b"upgrade" not in fields:
            return lines
        options = [x.strip().lower() for x in fields.get(b"connection", b"").split(b",")]
        websocket = fields[b"upgrade"].lower() == b"websocket" and b"upgrade" in options
        if websocket and latest and method == b"GET":
            if self.in_body:
                raise BadRequest("a WebSocket's handshake has no body")
            self.upgraded = True
            # Only one Connection line: uvicorn uses the last, and would otherwise parse the
            # handshake as a request that is followed by others.
            others = [line for line in lines if not line.lower().startswith(b"connection:")]
            return [*others, b"Connection: Upgrade"]
        return [line for line in lines if not line.lower().startswith((b"upgrade:", b"http2-"))]

    # --- bodies ------------------------------------------------------------------------------

    def _chunk_line(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Process a chunk's size, or the empty line after a chunk."""
        found = data.find(b"\n", at)
        end = len(data) if found < 0 else found + 1
        part = data[at:end]
        self._line += part
        if len(self._line) > _MAX_CHUNK_LINE:
            self._bad_chunk()
        if found < 0:
            return part, end
        line, self._line = bytes(self._line), bytearray()
        match self._next_line:
            case "size":
                size = _CHUNK.fullmatch(line)
                if size is None:  # including an extension: parsers differ on where it ends
                    self._bad_chunk()
                self._left = int(size[1], 16)
                self._next_line = "end" if self._left else "last"
            case "end" if line == b"\r\n":
                self._next_line = "size"
            case "last" if line == b"\r\n":
                self._chunked, self._next_line = False, "size"
            case _:  # a chunk longer than its size, or trailers, which are not supported
                self._bad_chunk()
        return part, end

    @staticmethod
    def _bad_chunk() -> NoReturn:
        raise BadRequest("a chunk is malformed")
