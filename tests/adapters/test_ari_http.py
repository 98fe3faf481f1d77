"""ARI's HTTP connections: reuse, ends at any moment, and responses as a server or a proxy may send
them, in any segments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.waiting import eventually

from asterisk_avp.ari.http import (
    ConnectionLost,
    HttpPool,
    NotHttp,
)
from asterisk_avp.ari.http_response import Response, ResponseReader
from asterisk_avp.ari.rest import _KEEP_ALIVE_SECONDS

CLOSE = b""
"""In a script: close the connection without (more of) a response."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3;x=y\r\n 1}\r\n0\r\n\r\n'
)


@dataclass
class Server:
    """Answers each request, on whichever connection, with the next entry of the script."""

    script: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    open: int = 0
    hold: asyncio.Event | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ari"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(x[15:]) for x in head.split(b"\r\n") if x.startswith(b"Content-Length:")),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                if self.hold is not None:
                    await self.hold.wait()
                answer = self.script.pop(0) if self.script else OK
                if answer == CLOSE:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def serving(
    *script: bytes, limit: int = 20, idle_seconds: float = 60.0
) -> AsyncIterator[tuple[Server, HttpPool]]:
    made = Server([*script])
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    pool = HttpPool(made.url, {"X-Test": "yes"}, limit=limit, idle_seconds=idle_seconds)
    try:
        yield made, pool
    finally:
        pool.close()
        listening.close()
        for writer in made.connections:
            writer.close()
        await listening.wait_closed()
        await eventually(lambda: made.open == 0)


async def test_requests_as_on_the_wire_and_one_connection_for_all_of_them() -> None:
    async with serving() as (server, pool):
        assert await pool.request("GET", "/ari/a?b=c%20d", None) == Response(200, b"{}")
        assert await pool.request("POST", "/ari/a", b'{"x": 1}') == Response(200, b"{}")
        assert await pool.request("DELETE", "/ari/a", None) == Response(200, b"{}")
        assert len(server.connections) == 1
    host = f"127.0.0.1:{server.port}".encode()
    head = b"Host: " + host + b"\r\nX-Test: yes\r\n"
    assert server.requests == [
        b"GET /ari/a?b=c%20d HTTP/1.1\r\n" + head + b"\r\n",
        b"POST /ari/a HTTP/1.1\r\n" + head
        + b'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{"x": 1}',
        b"DELETE /ari/a HTTP/1.1\r\n" + head + b"Content-Length: 0\r\n\r\n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, b"")),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length:3\r\n\r\nno!", Response(404, b"no!")),
        (CHUNKED, Response(200, b'{"a": 1}')),
        (CHUNKED[:-2] + b"Trailer: x\r\n\r\n", Response(200, b'{"a": 1}')),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Response(200, b"{}")),
    ],
)
async def test_responses_after_which_the_connection_is_used_again(
    answer: bytes, expected: Response
) -> None:
    async with serving(answer) as (server, pool):
        assert await pool.request("GET", "/ari", None) == expected
        assert await pool.request("GET", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ],
)
async def test_responses_after_which_another_connection_is_opened(answer: bytes) -> None:
    async with serving(answer) as (server, pool):
        assert await pool.request("GET", "/ari", None) == Response(200, b"{}")
        assert await pool.request("POST", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 2


async def test_a_body_that_ends_with_the_connection() -> None:
    async with serving() as (server, pool):
        server.hold = asyncio.Event()
        asked = asyncio.ensure_future(pool.request("GET", "/ari", None))
        await eventually(lambda: bool(server.requests))
        server.connections[0].write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        server.connections[0].close()
        assert await asked == Response(200, b"all of it")
        server.hold.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/2 200\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"x" * 70_000,
    ],
)
async def test_what_is_no_response_is_an_error_and_ends_the_connection(answer: bytes) -> None:
    async with serving(answer) as (server, pool):
        with pytest.raises(NotHttp, match="not an HTTP response"):
            await pool.request("GET", "/ari", None)
        assert await pool.request("GET", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 2


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_may_be_executed_twice_is_sent_again_if_the_server_closed(method: str) -> None:
    async with serving(OK, CLOSE, OK) as (server, pool):
        await pool.request(method, "/ari", None)
        assert await pool.request(method, "/ari", None) == Response(200, b"{}")
        assert len(server.requests) == 3


async def test_what_may_not_be_executed_twice_is_not_sent_again() -> None:
    async with serving(OK, CLOSE, OK) as (server, pool):
        await pool.request("POST", "/ari", None)
        with pytest.raises(ConnectionLost, match="closed"):
            await pool.request("POST", "/ari", None)
        assert len(server.requests) == 2


@pytest.mark.parametrize("part", [CLOSE, OK[:10], OK[:-1], CHUNKED[:-4]])
async def test_a_connection_that_ends_too_early(part: bytes) -> None:
    async with serving() as (server, pool):
        server.hold = asyncio.Event()
        asked = asyncio.ensure_future(pool.request("GET", "/ari", None))
        await eventually(lambda: bool(server.requests))
        server.connections[0].write(part)
        server.connections[0].close()
        with pytest.raises(ConnectionLost, match="closed"):
            await asked
        server.hold.set()


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async with serving() as (server, pool):
        await pool.request("POST", "/ari", None)
        server.connections[0].close()
        await eventually(lambda: not pool._idle[0].usable)
        assert await pool.request("POST", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 2


async def test_a_response_that_nobody_asked_for_ends_the_connection() -> None:
    async with serving() as (server, pool):
        await pool.request("POST", "/ari", None)
        server.connections[0].write(OK)
        await eventually(lambda: not pool._idle[0].usable)
        assert await pool.request("POST", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 2


async def test_a_request_that_is_given_up_takes_its_connection_with_it() -> None:
    async with serving() as (server, pool):
        server.hold = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.request("GET", "/ari", None)
        server.hold.set()
        assert await pool.request("GET", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 2


async def test_a_slow_request_delays_no_other_until_all_connections_are_taken() -> None:
    async with serving(limit=3) as (server, pool):
        server.hold = asyncio.Event()
        asked = [asyncio.ensure_future(pool.request("POST", "/ari", None)) for _ in range(7)]
        await eventually(lambda: len(server.requests) == 3)
        asked[3].cancel()  # one that waits for a connection
        server.hold.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(x) for x in answers].count(asyncio.CancelledError) == 1
        assert answers.count(Response(200, b"{}")) == 6
        assert len(server.connections) == 3
        assert not pool._used
        assert not pool._waiting


async def test_a_server_that_cannot_be_reached_blocks_no_later_request() -> None:
    async with serving(limit=1) as (server, pool):
        there, pool._port = pool._port, 1
        asked = [asyncio.ensure_future(pool.request("GET", "/ari", None)) for _ in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, OSError) for answer in answers)
        pool._port = there
        assert await pool.request("GET", "/ari", None) == Response(200, b"{}")
        assert len(server.connections) == 1


async def test_idle_connections_are_closed() -> None:
    async with serving(idle_seconds=0.05) as (server, pool):
        await asyncio.gather(*(pool.request("GET", "/ari", None) for _ in range(2)))
        assert len(server.connections) == 2
        await eventually(lambda: server.open == 0)
        assert not pool._idle


def test_they_are_closed_before_asterisk_does() -> None:
    # Asterisk's session_keep_alive is 15 s. The side that closes first never uses a closed one.
    assert _KEEP_ALIVE_SECONDS < 15


async def test_closing_fails_what_is_in_flight() -> None:
    async with serving() as (server, pool):
        server.hold = asyncio.Event()
        asked = asyncio.ensure_future(pool.request("GET", "/ari", None))
        await eventually(lambda: bool(server.requests))
        pool.close()
        with pytest.raises(ConnectionLost):
            await asked
        server.hold.set()


# --- bytes -------------------------------------------------------------------------------------


def _read(stream: bytes, cuts: list[int]) -> Response | str | None:
    reader, at = ResponseReader(), 0
    for cut in [*sorted(cuts), len(stream)]:
        try:
            found = reader.feed(stream[at:cut])
        except ValueError as error:
            return str(error)
        if found is not None:
            return found
        at = max(at, cut)
    return reader.end()


_CUTS = st.lists(st.integers(1, 120), max_size=9)


@given(st.sampled_from([OK, CHUNKED, b"HTTP/1.1 200 x\r\n\r\nuntil the end"]), _CUTS)
def test_a_response_is_the_same_in_any_segments(stream: bytes, cuts: list[int]) -> None:
    assert _read(stream, cuts) == _read(stream, [])
    assert isinstance(_read(stream, cuts), Response)


_PIECES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 x\r\n", b"\r\n", b"\r\n\r\n", b"Content-Length: 3\r\n",
     b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n", b"hello", b":", b"\xff", b"\0"]
)  # fmt: skip


@given(st.lists(_PIECES | st.binary(max_size=8), max_size=20).map(b"".join), _CUTS)
def test_any_bytes_are_a_response_or_an_error(stream: bytes, cuts: list[int]) -> None:
    found = _read(stream, cuts)
    assert found is None or isinstance(found, str | Response)
