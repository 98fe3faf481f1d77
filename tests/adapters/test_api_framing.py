"""Ambiguous requests that two readers could parse differently, over a real socket: none is
accepted.

`asterisk_avp.api.framing` decides before any parser does, so each is sent in one piece and byte by
byte, followed by a second request that must not be answered.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from api_client import Api, api_here
from hypothesis import given
from hypothesis import strategies as st
from scripted_transfer_service import INTEGRATION

from asterisk_avp.api.framing import MAX_HEAD_BYTES, BadRequest, Framing

SECOND = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LOGIN = b"POST /v1/login HTTP/1.1\r\nHost: x\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
CHUNKED = LOGIN + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "TE with CL": LOGIN + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL with TE": LOGIN + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two CL": LOGIN + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two equal CL": LOGIN + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "CL list": LOGIN + b"Content-Length: 4, 4\r\n\r\nabcd",
    "CL +": LOGIN + b"Content-Length: +4\r\n\r\nabcd",
    "CL -": LOGIN + b"Content-Length: -4\r\n\r\nabcd",
    "CL _": LOGIN + b"Content-Length: 1_0\r\n\r\nabcdefghij",
    "CL hex": LOGIN + b"Content-Length: 0x4\r\n\r\nabcd",
    "CL blank": LOGIN + b"Content-Length: 1 0\r\n\r\nabcd",
    "CL empty": LOGIN + b"Content-Length:\r\n\r\nabcd",
    "CL huge": LOGIN + b"Content-Length: 99999999999999999999\r\n\r\nabcd",
    "CL digits of another script": LOGIN + b"Content-Length: \xef\xbc\x94\r\n\r\nabcd",
    "TE unknown": LOGIN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE list": LOGIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE identity": LOGIN + b"Transfer-Encoding: identity\r\n\r\n",
    "TE twice": LOGIN + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "TE with VT": LOGIN + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "TE quoted": LOGIN + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "TE in 1.0": b"POST /v1/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "bare LF in a field": b"GET /healthz HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
    "bare CR": b"GET /healthz HTTP/1.1\r\nHost: x\rX-A: b\r\n\r\n",
    "obs-fold": HEALTH + b"X-A: b\r\n c\r\n\r\n",
    "obs-fold by tab": HEALTH + b"X-A: b\r\n\tc\r\n\r\n",
    "obs-fold first": b"GET /healthz HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
    "space before colon": b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "tab before colon": HEALTH + b"X-A\t: x\r\n\r\n",
    "no colon": HEALTH + b"X-A\r\n\r\n",
    "no name": HEALTH + b": x\r\n\r\n",
    "name with a control": HEALTH + b"X-\x01: x\r\n\r\n",
    "value with NUL": HEALTH + b"X-A: a\0b\r\n\r\n",
    "value with ESC": HEALTH + b"X-A: \x1b[2J\r\n\r\n",
    "NUL in the line": b"GET /healthz\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab in the line": b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the target": b"GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n",
    "trailing space": b"GET /healthz HTTP/1.1 \r\nHost: x\r\n\r\n",
    "bytes in the target": b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.10": b"GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n",
    "lower case": b"GET /healthz http/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "relative target": b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "empty line first": b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": HEALTH + b"Host: y\r\n\r\n",
    "host with a path": b"GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "host with a user": b"GET /healthz HTTP/1.1\r\nHost: me@x\r\n\r\n",
    "two tokens": HEALTH + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two origins": HEALTH + b"Origin: http://a\r\nOrigin: http://b\r\n\r\n",
    "too many fields": HEALTH + b"".join(b"X-%d: x\r\n" % n for n in range(200)) + b"\r\n",
    "huge field": HEALTH + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n",
    "TLS": bytes.fromhex("16030100") + b"\x01" * 60 + b"\n",
    "handshake with a body": (
        b"GET /v1/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
        b"Content-Length: 4\r\n\r\nabcd"
    ),
}
REFUSED_CHUNKS = {
    "longer than it says": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "extension": CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "size with a blank": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "size by 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "size huge": CHUNKED + b"FFFFFFFFFFFFFFFF3\r\nabc\r\n0\r\n\r\n",
    "bare LF": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"0\r\nX-A: b\r\n\r\n",
    "empty size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


async def answered(api: Api, data: bytes, piece: int) -> bytes:
    """Everything that is answered until the server closes."""
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    try:
        for at in range(0, len(data), piece):
            writer.write(data[at : at + piece])
            await writer.drain()
            if piece == 1:
                await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 8)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(api: Api, name: str) -> None:
    data = REFUSED[name]
    for piece in (1_000_000, 1) if len(data) < 10_000 else (1_000_000, 5000):
        got = await answered(api, data + SECOND, piece)
        assert got.count(b"HTTP/1.1 ") == 1, (piece, got)
        assert got.split(b" ")[1] in {b"400", b"431", b"505"}, (piece, got)
        assert b"connection: close" in got
        assert b'{"error": "bad_request"' in got
    assert (await api.ask("GET", "/v1/agents"))[0] == 200


@pytest.mark.parametrize("name", REFUSED_CHUNKS)
async def test_a_body_in_chunks_that_are_not_in_order_ends_the_connection(
    api: Api, name: str
) -> None:
    """Its head was valid, so it may already have been answered; the rest never is."""
    for piece in (1_000_000, 1):
        got = await answered(api, REFUSED_CHUNKS[name] + SECOND, piece)
        assert b" 200 " not in got, (piece, got)
        assert got.count(b"HTTP/1.1 ") <= 1


ALLOWED = {
    "chunked": (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"422"),
    "chunked in capitals": (
        LOGIN + b"transfer-encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"422",
    ),
    "blanks around a value": (HEALTH + b"X-A: \t b c \t\r\n\r\n", b"200"),
    "empty value": (HEALTH + b"X-A:\r\n\r\n", b"200"),
    "bytes in a value": (HEALTH + b"X-A: \xff\xfe\r\n\r\n", b"200"),
    "IPv6": (b"GET /healthz HTTP/1.1\r\nHost: [::1]:8766\r\n\r\n", b"200"),
    "upgrade to something else": (
        HEALTH + b"Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nConnection: Upgrade\r\n\r\n",
        b"200",
    ),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
}


@pytest.mark.parametrize("name", ALLOWED)
async def test_what_clients_send_is_answered(api: Api, name: str) -> None:
    data, status = ALLOWED[name]
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for piece in (1_000_000, 1):
        got = await answered(api, data + last, piece)
        assert got.count(b"HTTP/1.1 ") == 2, got
        assert got.split(b" ")[1] == status


async def test_http_1_0_is_answered_and_ends_the_connection(api: Api) -> None:
    got = await answered(api, b"GET /healthz HTTP/1.0\r\n\r\n", 1_000_000)
    assert got.startswith(b"HTTP/1.1 200 ")


async def test_requests_one_behind_the_other_are_each_answered(api: Api) -> None:
    agents = f"GET /v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {INTEGRATION}\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    got = await answered(api, agents.encode() * 20 + last, 1_000_000)
    assert got.count(b"HTTP/1.1 200 ") == 21


@given(st.integers(0, 2**32))
def test_how_the_bytes_are_cut_makes_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    good = [SECOND, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", LOGIN + b"Content-Length: 2\r\n\r\n{}"]
    bad = [*REFUSED.values(), *REFUSED_CHUNKS.values()]
    stream = b"".join(rng.choice(good) for _ in range(rng.randrange(4)))
    ends = rng.random() < 0.7
    if ends:
        stream += rng.choice(bad)
    framing, out, at = Framing(), b"", 0
    refused = False
    while at < len(stream) and not refused:
        piece = rng.choice((1, 2, 3, 7, 50, 5000, 10**6))
        try:
            out += framing.feed(stream[at : at + piece])
        except BadRequest:
            refused = True
        at += piece
    assert refused == ends
    if not ends:
        assert out == stream
        assert framing.between


def _without_end(framing: Framing) -> None:
    for _ in range(10**6):
        framing.feed(b"G" * 100)


def test_nothing_is_kept_of_a_head_without_end() -> None:
    framing = Framing()
    with pytest.raises(BadRequest) as refused:
        _without_end(framing)
    assert refused.value.status == 431
    assert len(framing._head) <= 2 * MAX_HEAD_BYTES
