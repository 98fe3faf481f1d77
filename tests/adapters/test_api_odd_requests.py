"""Attempts to bypass the token, the panel's own page and the limits, on a socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, api_here
from scripted_transfer_service import INTEGRATION, PINS, bearer
from servers.waiting import eventually

from asterisk_avp.api import events_ws, socket_count
from asterisk_avp.api.connections import Connections, Proxies


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        running.http._cookie_jar = aiohttp.DummyCookieJar()
        yield running


async def raw(api: Api, data: bytes) -> bytes:
    """Everything that is answered until the server closes."""
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


# --- without a token -----------------------------------------------------------------------------

LINES = {
    "GET /v1/agents HTTP/1.1": b"401",
    "HEAD /v1/agents HTTP/1.1": b"401",
    "OPTIONS /v1/agents HTTP/1.1": b"401",
    "GET /v1/agents HTTP/1.0": b"401",
    "GET /v1/agents?token=x HTTP/1.1": b"401",
    "GET //v1/agents HTTP/1.1": b"404",
    "GET /./v1/agents HTTP/1.1": b"404",
    "GET /x/../v1/agents HTTP/1.1": b"404",
    "GET /%761/agents HTTP/1.1": b"401",
    "GET /v1/agents/%2e%2e/agents HTTP/1.1": b"401",
    "GET /v1/agents;x HTTP/1.1": b"401",
    "GET /v1%2fagents HTTP/1.1": b"401",
    "GET /V1/agents HTTP/1.1": b"404",
    "GET http://x/v1/agents HTTP/1.1": b"401",
    "GET HTTP://X HTTP/1.1": b"200",
    "GET http://y/v1/agents HTTP/1.1": b"400",
    "GET http://x:80/v1/agents HTTP/1.1": b"400",
    "GET http://x@x/v1/agents HTTP/1.1": b"400",
    "GET http:///v1/agents HTTP/1.1": b"400",
    "GET ftp://x/v1/agents HTTP/1.1": b"400",
    "GET /panel/../../settings.py HTTP/1.1": b"404",
    "GET /panel/%2e%2e%2fapp.py HTTP/1.1": b"404",
    "GET /panel/..%5capp.py HTTP/1.1": b"404",
    "TRACE / HTTP/1.1": b"405",
    "PUT / HTTP/1.1": b"405",
    "CONNECT 127.0.0.1:22 HTTP/1.1": b"400",
    "PRI * HTTP/2.0": b"505",
}


@pytest.mark.parametrize("line", LINES)
async def test_no_spelling_of_a_path_is_a_way_past_the_token(api: Api, line: str) -> None:
    answer = await raw(api, f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] == LINES[line], answer
    assert b"Alice" not in answer
    assert b"import" not in answer


async def test_another_agents_path_in_no_spelling(api: Api) -> None:
    token = await api.login("1001")
    for path in (
        "/v1/agents/1002",
        "/v1/agents/1002/",
        "/v1/agents/%31002",
        "/v1/agents/1001%2F..%2F1002",
        "/v1/agents/1001/../1002",
        "//v1/agents/1002",
    ):
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await raw(api, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        assert answer.split(b" ")[1] in {b"403", b"404", b"307"}, (path, answer)
        assert b"Bob" not in answer


# --- not the panel's own page --------------------------------------------------------------------


async def test_only_the_panels_own_page_acts_with_its_cookie(api: Api) -> None:
    host, port = api.server.host, api.server.port
    url, own = api.server.url, f"{api.server.host}:{api.server.port}"
    async with api.http.post(
        url + "/v1/session",
        json={"agent": "1001", "pin": PINS["1001"]},
        headers={"X-AVP-Panel": "1"},
    ) as answer:
        cookie = f"avp_session={answer.cookies['avp_session'].value}"
    panel = {"X-AVP-Panel": "1"}
    for headers, status in (
        ({"Origin": url}, 403),
        ({}, 403),
        (panel, 200),
        ({"Origin": url} | panel, 200),
        ({"Origin": f"https://{own}"} | panel, 200),  # behind a proxy that ends TLS
        ({"Origin": "null"} | panel, 403),
        ({"Origin": ""} | panel, 403),
        ({"Origin": "http://elsewhere"} | panel, 403),
        ({"Origin": f"{url}.elsewhere"} | panel, 403),
        ({"Origin": f"http://elsewhere@{own}"} | panel, 403),
        ({"Origin": f"http://{own}@elsewhere"} | panel, 403),
        ({"Origin": f"http://{own}, http://elsewhere"} | panel, 403),
        ({"Origin": f"http://{host}:{port + 1}"} | panel, 403),
        ({"Origin": f"http://{host}"} | panel, 403),
        ({"Origin": "http://["} | panel, 403),
        ({"Origin": f"file://{own}"} | panel, 403),
        ({"Origin": f"http://{own}/path"} | panel, 403),
    ):
        async with api.http.post(
            url + "/v1/agents/1001/ready", headers={"Cookie": cookie} | headers
        ) as answer:
            assert answer.status == status, headers
        if status == 403 and "Origin" in headers and headers["Origin"] != url:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await api.events(headers={"Cookie": cookie, "Origin": headers["Origin"]})
    # A cookie does not make up for a wrong token.
    wrong = {"Cookie": cookie, "Authorization": "Bearer x"}
    async with api.http.get(url + "/v1/agents", headers=wrong) as answer:
        assert answer.status == 401
    integration = {"Cookie": f"avp_session={INTEGRATION}"}
    async with api.http.get(url + "/v1/agents", headers=integration) as answer:
        assert answer.status == 401


# --- WebSockets ----------------------------------------------------------------------------------


async def snapshot(socket: Any) -> None:
    assert (await socket.receive_json())["type"] == "snapshot"


async def refused(api: Api, **more: Any) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as crowded:
        await api.events(**more)
    assert crowded.value.status == 429


@pytest.mark.parametrize("who", ["agent", "integration"])
async def test_a_token_has_so_many_websockets_and_the_oldest_stay(api: Api, who: str) -> None:
    token = await api.login("1001") if who == "agent" else INTEGRATION
    other = await api.login("1001")
    sockets = [await api.events(headers=bearer(token)) for _ in range(20)]
    for socket in sockets:
        await snapshot(socket)
    for _ in range(5):
        await refused(api, headers=bearer(token))
        if who == "agent":
            await refused(api, headers={"Cookie": f"avp_session={token}"})
    async with api.events() as late:
        await late.send_json({"token": token})
        assert (await late.receive()).type is aiohttp.WSMsgType.CLOSE
        assert late.close_code == socket_count.TOO_MANY
    async with api.events(headers=bearer(other)) as another:
        await snapshot(another)
    api.board.agent_changed("1003", waiting_transfer=True)
    for socket in sockets:
        assert (await socket.receive_json())["type"] == "agent"
    await sockets.pop().close()
    await eventually(lambda: len(api.board.queues) == 19)
    async with api.events(headers=bearer(token)) as again:
        await snapshot(again)
    for socket in sockets:
        await socket.close()


async def test_the_refusal_of_a_websocket_says_why(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = [await api.events(headers=bearer()) for _ in range(20)]
    key = base64.b64encode(os.urandom(16)).decode()
    answer = await raw(
        api,
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {INTEGRATION}\r\n\r\n".encode(),
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 10" in head.lower()
    assert json.loads(body)["error"] == "too_many_connections"
    assert "20 connections" in json.loads(body)["message"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    for socket in sockets:
        await socket.close()


@pytest.mark.parametrize("last", ["keep-alive", "close", "x"])
async def test_a_handshake_hides_no_second_request(api: Api, last: str) -> None:
    """Two ``Connection`` lines: a reader that uses the last one sees a request with another behind
    it."""
    key = base64.b64encode(os.urandom(16)).decode()
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    writer.write(
        b"GET /v1/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Connection: {last}\r\nSec-WebSocket-Key: {key}\r\n".encode()
        + b"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer x\r\n\r\n"
        + b"GET /healthz HTTP/1.1\nHost: x\n\n"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
    writer.write(b"GET /healthz HTTP/1.1\nHost: x\n\n")
    with contextlib.suppress(ConnectionError):
        assert b" 200 " not in await asyncio.wait_for(reader.read(), 20)
    writer.close()


async def test_an_agent_has_so_many_by_all_log_ins(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_count, "MAX_PER_AGENT", 5)
    tokens = [await api.login("1001") for _ in range(3)]
    sockets = [await api.events(headers=bearer(tokens[n % 3])) for n in range(5)]
    for socket in sockets:
        await snapshot(socket)
    await refused(api, headers=bearer(tokens[0]))
    async with api.events(headers=bearer(await api.login("1002"))) as other:
        await snapshot(other)
    for socket in sockets:
        await socket.close()


async def test_one_address_without_a_token_does_not_shut_out_others(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_ws, "MAX_UNAUTHENTICATED_PER_ADDRESS", 5)
    here = {"X-Forwarded-For": "198.51.100.7"}
    sockets = [await api.events(headers=here) for _ in range(5)]
    async with api.events(headers=here) as late:
        await late.receive()
        assert late.close_code == events_ws.TRY_AGAIN
    async with api.events(headers={"X-Forwarded-For": "198.51.100.8"}) as other:
        await other.send_json({"token": INTEGRATION})
        await snapshot(other)
    for socket in sockets:
        await socket.close()


def frame(opcode: int, data: bytes, *, fin: int = 1, rsv: int = 0, masked: bool = True) -> bytes:
    """RFC 6455, section 5.2; the mask is 0."""
    length, mask = len(data), 0x80 if masked else 0
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if length < 126:
        head += bytes([mask | length])
    elif length < 65_536:
        head += bytes([mask | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + length.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + data


FRAMES = {
    "more than 64 KiB": frame(1, b"x" * 65_537),
    "a reserved bit": frame(1, b"x", rsv=4),
    "2^62 bytes announced": bytes([0x81, 0xFF]) + (2**62).to_bytes(8, "big") + bytes(4),
    "not masked": frame(1, b"x", masked=False),
    "no UTF-8": frame(1, b"\xff\xfe"),
    "no end of fragments": b"".join(
        frame(1 if number == 0 else 0, b"x" * 60_000, fin=0) for number in range(40)
    ),
    "a ping of 126 bytes": frame(9, b"x" * 126),
    "a continuation of nothing": frame(0, b"x"),
    "a reserved opcode": frame(3, b"x"),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_a_frame_that_breaks_the_rules_ends_the_connection(api: Api, name: str) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    handshake = (
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {INTEGRATION}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    writer.write(handshake.encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(FRAMES[name])
    try:
        await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        pass
    finally:
        writer.close()
    await eventually(lambda: not api.board.queues)
    assert (await api.ask("GET", "/healthz"))[0] == 200


# --- where a request comes from ------------------------------------------------------------------


async def test_the_metrics_are_this_machines_whatever_a_client_says_of_itself() -> None:
    async with api_here(metrics=lambda: b"x 1\n") as api:

        async def status(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            async with api.http.get(api.server.url + "/metrics", headers=headers) as answer:
                return answer.status

        # The proxy's entry is the last one; the client wrote those before.
        for spoofed in (
            "8.8.8.8",
            "127.0.0.1, 8.8.8.8",
            "::1, 8.8.8.8",
            "x, 8.8.8.8",
            "8.8.8.8, 127.0.0.1",
            "127.1",
            "localhost",
            "0",
            "2130706433",
            "127.0.0.1.",
        ):
            assert await status(spoofed) == 401, spoofed
        assert await status("127.0.0.1") == 200


async def test_a_proxy_is_trusted_by_either_kind_of_address() -> None:
    async with api_here(host="::", metrics=lambda: b"x 1\n") as api:
        for host in ("127.0.0.1", "[::1]"):
            for forwarded, status in (("198.51.100.1", 401), ("127.0.0.1", 200)):
                url = f"http://{host}:{api.server.port}"
                headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
                async with api.http.get(url + "/metrics", headers=headers) as answer:
                    assert answer.status == status, (host, forwarded)


async def test_only_a_trusted_proxy_is_believed_about_tls_and_addresses() -> None:

    async with api_here(connections=Connections(proxies=Proxies(["192.0.2.0/24"]))) as api:
        headers = {"X-AVP-Panel": "1", "X-Forwarded-Proto": "https"}
        async with api.http.post(
            api.server.url + "/v1/session",
            json={"agent": "1001", "pin": PINS["1001"]},
            headers=headers | {"X-Forwarded-For": "198.51.100.1"},
        ) as answer:
            assert answer.status == 200
            assert not answer.cookies["avp_session"]["secure"]
