"""Headers, cookies and WebSocket messages that make no sense."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, api_here
from scripted_transfer_service import bearer

from asterisk_avp.api.server import ApiServer
from asterisk_avp.observe.log import downgrade_client_errors


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client sends, it is not our error."""
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(downgrade_client_errors)
    yield
    logger.removeFilter(downgrade_client_errors)
    records = caplog.get_records("call")
    assert [r.getMessage() for r in records if r.exc_info or r.levelno > logging.WARNING] == []


# --- requests --------------------------------------------------------------------------------


async def _byte_by_byte(
    server: ApiServer, head: bytes, *, pause_seconds: float
) -> tuple[bytes, float]:
    """The answer to a body that is sent like this, and when it comes."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    begin = time.monotonic()

    async def send() -> None:
        with contextlib.suppress(OSError):
            writer.write(head)
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(pause_seconds)

    sending = asyncio.create_task(send())
    try:
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        sending.cancel()
        writer.close()
    return answer, time.monotonic() - begin


@pytest.mark.parametrize("path", ["/v1/login", "/v1/agents/1001/transfers"])
async def test_a_body_that_comes_byte_by_byte_is_not_waited_for(path: str) -> None:
    token = bearer()["Authorization"]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\nAuthorization: {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    ).encode()
    async with api_here(body_seconds=0.5) as api:
        answer, seconds = await _byte_by_byte(api.server, head, pause_seconds=0.02)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"too_slow"' in answer
        assert seconds >= 0.5
        assert (await api.ask("GET", "/v1/agents"))[0] == 200


@pytest.mark.parametrize(("announced", "status"), [(5_000, 408), (10**7, 413)])
async def test_who_goes_on_sending_can_read_why_they_were_refused(
    announced: int, status: int
) -> None:
    """A connection that is closed at once is reset by what comes then, and the answer is lost."""
    loop = asyncio.get_running_loop()
    head = f"POST /v1/login HTTP/1.1\r\nHost: here\r\nContent-Length: {announced}\r\n\r\n"
    async with api_here(body_seconds=0.1) as api:
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, (api.server.host, api.server.port))
            await loop.sock_sendall(client, head.encode() + b" ")
            answer = b""
            while part := await loop.sock_recv(client, 65_536):
                answer += part
            for _ in range(20):
                await loop.sock_sendall(client, b" ")  # raises on a reset
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


# --- WebSocket -------------------------------------------------------------------------------

BAD_TOKENS = [
    "[" * 30_000,
    '{"token":' * 7_000,
    "null",
    "7",
    '"token"',
    "{}",
    '{"token": null}',
    '{"token": ["x"]}',
    '{"token": "\\ud800"}',
    '{"token": "", "token": ""}',
    '{"n": ' + "9" * 5_000 + "}",
    "\0",
    "",
]


async def test_a_first_message_that_is_no_token_is_a_wrong_one(api: Api) -> None:
    for text in BAD_TOKENS:
        async with api.events() as socket:
            await socket.send_str(text)
            await socket.receive()
            assert socket.close_code == 4401, text[:40]
    async with api.events() as socket:
        await socket.send_bytes(b'{"token": "x"}')
        await socket.receive()
        assert socket.close_code == 4401


async def test_a_first_message_that_is_huge_or_no_text_ends_the_connection_only(api: Api) -> None:
    async with api.events() as socket:
        await socket.send_str(" " * 100_000)
        await socket.receive()
        assert socket.close_code == 1009
    async with api.events() as socket:
        await socket._writer.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
        await socket.receive()
        assert socket.close_code == 1007
    assert (await api.ask("GET", "/healthz"))[0] == 200


async def test_whatever_is_sent_after_the_token_changes_nothing(api: Api) -> None:
    async with api.events(headers=bearer()) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
        for text in (*BAD_TOKENS, '{"type": "agent", "agent": {}}'):
            await socket.send_str(text)
        await socket.send_bytes(b"\xff" * 1000)
        api.board.agent_changed("1003", waiting_transfer=True)
        assert (await socket.receive_json())["type"] == "agent"


# --- headers ---------------------------------------------------------------------------------

BAD_ORIGINS = ["http://[", "http://[::1", "null", "//", "http://a]b", "é", "x" * 4000, "://"]


async def test_an_origin_that_is_no_address_is_another_page(api: Api) -> None:
    for origin in BAD_ORIGINS:
        headers = {"Origin": origin, "X-AVP-Panel": "1", "Cookie": "avp_session=x"}
        for method, path in (("GET", "/v1/session"), ("POST", "/v1/agents/1001/ready")):
            status, answer = await api.ask(method, path, token=None, headers=headers)
            assert (status, answer["error"]) == (403, "cross_site"), origin[:20]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.events(headers=headers)
        assert refused.value.status == 403, origin[:20]


BAD_AUTHORIZATIONS = [
    "Bearer",
    "Bearer ",
    "Bearer  \t",
    "Basic eDp5",
    "Bearer é",
    "bearer" * 900,
]
BAD_COOKIES = [
    "avp_session",
    "=;=;",
    "avp_session=é",
    "avp_session=" + "x" * 7000,
    ";" * 5000,
]


async def test_tokens_and_cookies_that_make_no_sense_are_wrong_ones(api: Api) -> None:
    for name, values in (("Authorization", BAD_AUTHORIZATIONS), ("Cookie", BAD_COOKIES)):
        for value in values:
            status, answer = await api.ask("GET", "/v1/agents", token=None, headers={name: value})
            assert (status, answer["error"]) == (401, "unauthorized"), value[:20]
