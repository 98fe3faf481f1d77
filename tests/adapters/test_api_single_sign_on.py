"""Single sign-on: the user comes in a header, from the proxy that is trusted and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, api_here
from scripted_transfer_service import PINS, bearer

from asterisk_avp.api.connections import Connections, Proxies
from asterisk_avp.api.panel_access import PanelAccess

HEADER = "X-Forwarded-Preferred-Username"
PANEL = {"X-AVP-Panel": "1"}
USERS = {"1001": "alice@example.org", "1002": "zoë"}
SIGN_ON = "/v1/session/proxy"
STRANGER = "127.0.0.2"


@pytest_asyncio.fixture(loop_scope="function")
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(aiohttp, "CookieJar", aiohttp.DummyCookieJar)
    access = PanelAccess(user_header=HEADER, sign_out_url="/oauth2/sign_out")
    proxy = Connections(proxies=Proxies(["127.0.0.1"]))
    async with api_here(connections=proxy, users=USERS, access=access) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="function")
async def guarded(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(aiohttp, "CookieJar", aiohttp.DummyCookieJar)
    access = PanelAccess(user_header=HEADER, secret=SECRET)
    proxy = Connections(proxies=Proxies(["127.0.0.1"]))
    async with api_here(connections=proxy, users=USERS, access=access) as running:
        yield running


SECRET = "0123456789abcdef"
SECRET_HEADER = "X-AVP-Proxy-Secret"


def named(user: str) -> dict[str, str]:
    """As a proxy sends it: UTF-8, which aiohttp writes for us."""
    return {HEADER: user}


async def send(
    api: Api, method: str, path: str, *, by: str = "127.0.0.1", body: Any = None, **headers: str
) -> tuple[int, dict[str, Any], str]:
    """Status, body and session cookie of a request from that address."""
    connector = aiohttp.TCPConnector(local_addr=(by, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.request(method, api.server.url + path, json=body, headers=headers) as answer,
    ):
        content = await answer.json() if answer.status != 204 else {}
        cookie = next((m.value for m in answer.cookies.values() if "session" in m.key), "")
        return answer.status, content, f"avp_session={cookie}"


async def enter(api: Api, user: str, **headers: str) -> str:
    status, content, cookie = await send(api, "POST", SIGN_ON, **PANEL, **named(user), **headers)
    assert status == 200, content
    return cookie


async def test_the_user_of_the_proxy_is_an_agent(api: Api) -> None:
    for user, agent in (("alice@example.org", "1001"), ("zoë", "1002"), ("1003", "1003")):
        status, content, cookie = await send(api, "POST", SIGN_ON, **PANEL, **named(user))
        assert (status, content["agent"]) == (200, agent)
        assert content["sign_in"] == "proxy"
        assert content["sign_out_url"] == "/oauth2/sign_out"
        mine = {"Cookie": cookie} | named(user)
        assert (await send(api, "GET", "/v1/session", **mine))[1]["agent"] == agent
        assert (await send(api, "GET", f"/v1/agents/{agent}", **mine))[0] == 200
        async with api.events(headers=mine) as socket:
            assert (await socket.receive_json())["type"] == "snapshot"


async def test_who_is_no_agent_is_told_so(api: Api) -> None:
    for user in (
        "mallory",
        "1001",  # whose user has another name
        "9999",
        "Alice@example.org",  # to some identity providers, this is somebody else
        "alice@example.org ,zoë",
        "../1003",
        "x" * 200,
    ):
        status, content, _ = await send(api, "POST", SIGN_ON, **PANEL, **named(user))
        assert (status, content["error"], content["user"]) == (403, "unknown_user", user)
        assert user in content["message"]


async def test_a_user_that_is_none(api: Api) -> None:
    for headers in ({}, named(""), named("  "), named("x" * 201), named("a\u202eb")):
        status, content, _ = await send(api, "POST", SIGN_ON, **PANEL, **headers)
        assert (status, content["error"]) == (401, "no_user"), headers


async def raw(api: Api, *lines: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    head = [b"POST /v1/session/proxy HTTP/1.1", b"Host: x", b"X-AVP-Panel: 1", *lines]
    writer.write(b"\r\n".join([*head, b"Content-Length: 0", b"Connection: close", b"", b""]))
    answer = await reader.read()
    writer.close()
    return answer


async def test_two_users_are_none(api: Api) -> None:
    """One of them may be what the client sent, if the proxy added its own beside it."""
    name = HEADER.encode()
    mine = name + b": alice@example.org"
    assert b'"no_user"' in await raw(api, mine, name + b": zo\xc3\xab")
    assert b'"no_user"' in await raw(api, mine, name.lower() + b": alice@example.org")
    assert b'"no_user"' in await raw(api, name + b": \xff\xfe")
    assert b'"no_user"' in await raw(api, b"X_Forwarded_Preferred_Username: alice@example.org")
    assert b'"agent": "1001"' in await raw(api, mine)


async def test_from_anybody_else_the_header_means_nothing(api: Api) -> None:
    user = named("alice@example.org")
    for more in (
        {},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
    ):
        status, content, _ = await send(api, "POST", SIGN_ON, by=STRANGER, **PANEL, **user, **more)
        assert (status, content["error"]) == (401, "no_user"), more
    # Nor is a cookie that was stolen from behind the proxy worth anything without it.
    mine = {"Cookie": await enter(api, "alice@example.org")}
    for more in ({}, user, user | {"X-Forwarded-For": "127.0.0.1"}):
        for path in ("/v1/session", "/v1/agents/1001"):
            assert (await send(api, "GET", path, by=STRANGER, **mine, **more))[0] == 401
    assert (await send(api, "GET", "/v1/agents/1001", **mine))[0] == 401, "no user"
    assert (await send(api, "GET", "/v1/agents/1001", **mine, **user))[0] == 200, "still valid"
    async with api.events(headers=mine) as socket:
        await socket.receive()
        assert socket.close_code == 4401


async def test_there_is_no_way_in_with_a_pin(api: Api) -> None:
    body = {"agent": "1001", "pin": PINS["1001"]}
    for user in ({}, named("zoë"), named("alice@example.org")):
        for by in ("127.0.0.1", STRANGER):
            status, content, _ = await send(
                api, "POST", "/v1/session", by=by, body=body, **PANEL, **user
            )
            assert (status, content["error"]) == (403, "single_sign_on")
    # Programs of agents have their tokens as before; as a cookie, such a token is none.
    token = await api.login("1001")
    assert (await send(api, "GET", "/v1/agents/1001", **bearer(token)))[0] == 200
    for user in ({}, named("alice@example.org")):
        tossed = {"Cookie": f"avp_session={token}"} | user
        assert (await send(api, "GET", "/v1/agents/1001", **tossed))[0] == 401


async def test_another_user_at_the_proxy_ends_the_session(api: Api) -> None:
    alices = {"Cookie": await enter(api, "alice@example.org")}
    async with api.events(headers=alices | named("alice@example.org")) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
        status, content, _ = await send(api, "GET", "/v1/session", **alices, **named("zoë"))
        assert (status, content["sign_in"]) == (401, "proxy")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401
    again = await send(api, "GET", "/v1/agents/1001", **alices, **named("alice@example.org"))
    assert again[0] == 401, "it has ended for good"
    # And whoever comes gets a session of their own, never the one that the browser brings.
    bobs = await enter(api, "zoë", **alices)
    assert bobs != alices["Cookie"]
    fixed = "avp_session=chosen-by-somebody-else"
    fresh = await enter(api, "zoë", Cookie=f"{fixed}; {bobs}")
    assert fresh not in (fixed, bobs)
    assert (await send(api, "GET", "/v1/agents/1002", Cookie=bobs, **named("zoë")))[0] == 401
    assert (await send(api, "GET", "/v1/agents/1002", Cookie=fresh, **named("zoë")))[0] == 200


async def test_a_proxys_own_authorization_is_not_ours(api: Api) -> None:
    """oauth2-proxy can pass on the user's token or a basic authorization."""
    mine = {"Cookie": await enter(api, "alice@example.org")} | named("alice@example.org")
    for value in ("Bearer eyJhbGciOi.x.y", "Basic YWxpY2U6", bearer()["Authorization"]):
        given = mine | {"Authorization": value}
        assert (await send(api, "GET", "/v1/session", **given))[1]["agent"] == "1001"
        assert (await send(api, "POST", "/v1/agents/1001/pause", **given))[0] == 403, "by cookie"
        assert (await send(api, "POST", "/v1/agents/1002/pause", **given, **PANEL))[0] == 403
        async with api.events(headers=given) as socket:
            agents = (await socket.receive_json())["agents"]
            assert [a["id"] for a in agents if "call" in a] == ["1001"]


async def test_another_site_signs_nobody_in_and_nobody_out(api: Api) -> None:
    user = named("alice@example.org")
    evil = {"Origin": "https://evil.example"}
    assert (await send(api, "POST", SIGN_ON, **user))[0] == 403
    assert (await send(api, "POST", SIGN_ON, **user, **PANEL, **evil))[0] == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert (await send(api, "POST", SIGN_ON, **user, **PANEL, **cross))[0] == 403
    mine = {"Cookie": await enter(api, "alice@example.org")} | user
    assert (await send(api, "DELETE", "/v1/session", **mine, **PANEL, **evil))[0] == 403
    assert (await send(api, "DELETE", "/v1/session", **mine, **PANEL))[0] == 204
    assert (await send(api, "GET", "/v1/agents/1001", **mine))[0] == 401


async def test_who_is_somebody_else_after_a_reload_comes_in_anew(api: Api) -> None:
    mine = {"Cookie": await enter(api, "alice@example.org")} | named("alice@example.org")
    zoes = {"Cookie": await enter(api, "zoë")} | named("zoë")
    fourth = {"Cookie": await enter(api, "1003")} | named("1003")
    await api.auth.reconfigure(
        tokens=[],
        pins={"1002": "another"},  # which is not how they came in
        users={"1001": "alice@example.com", "1002": "zoë"},
        token_lifetime_seconds=60,
    )
    assert (await send(api, "GET", "/v1/agents/1001", **mine))[0] == 401
    assert (await send(api, "GET", "/v1/agents/1002", **zoes))[0] == 200
    assert (await send(api, "GET", "/v1/agents/1003", **fourth))[0] == 200
    status, content, _ = await send(api, "POST", SIGN_ON, **PANEL, **named("alice@example.org"))
    assert (status, content["error"]) == (403, "unknown_user")


async def test_without_it_a_header_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "CookieJar", aiohttp.DummyCookieJar)
    async with api_here(users=USERS) as api:
        user = named("alice@example.org")
        status, content, _ = await send(api, "POST", SIGN_ON, **PANEL, **user)
        assert (status, content["error"]) == (403, "single_sign_on")
        body = {"agent": "1002", "pin": PINS["1002"]}
        status, content, cookie = await send(api, "POST", "/v1/session", body=body, **PANEL, **user)
        assert (status, content["agent"], content["sign_in"]) == (200, "1002", "pin")
        assert (await send(api, "GET", "/v1/agents/1002", Cookie=cookie, **user))[0] == 200


@pytest.mark.parametrize("wrong", ["", SECRET[:-1], SECRET + "0", SECRET.upper(), "é" * 16])
async def test_a_program_without_the_proxys_secret_names_nobody(guarded: Api, wrong: str) -> None:
    alice = named(USERS["1001"]) | PANEL
    assert (await send(guarded, "POST", SIGN_ON, **alice))[0] == 401
    status, content, _ = await send(guarded, "POST", SIGN_ON, **alice, **{SECRET_HEADER: wrong})
    assert (status, content["error"]) == (401, "no_user")
    status, content, cookie = await send(
        guarded, "POST", SIGN_ON, **alice, **{SECRET_HEADER: SECRET}
    )
    assert (status, content["agent"]) == (200, "1001")
    mine = {"Cookie": cookie} | named(USERS["1001"])
    assert (await send(guarded, "GET", "/v1/agents/1001", **mine))[0] == 401
    assert (await send(guarded, "GET", "/v1/agents/1001", **mine, **{SECRET_HEADER: SECRET}))[
        0
    ] == 200


async def test_the_secret_counts_only_from_the_proxy(guarded: Api) -> None:
    headers = named(USERS["1001"]) | PANEL | {SECRET_HEADER: SECRET}
    assert (await send(guarded, "POST", SIGN_ON, by=STRANGER, **headers))[0] == 401


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(PanelAccess(user_header=HEADER, secret=SECRET))
