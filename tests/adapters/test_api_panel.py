"""The panel's log-in with a cookie, its files and its permissions; see tests/panel for the page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from api_client import TO_BOB, Api, Clock, api_here
from cli_run import Avp
from scripted_transfer_service import INTEGRATION, PINS, ScriptedTransferService, bearer

from asterisk_avp.api import events_ws, panel
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator, Limits, LoginFailed, LoginLimited
from asterisk_avp.api.server import serve
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.pins import PinHash
from asterisk_avp.core.model.world import AgentState
from tests.documentation import page, section

PANEL = {"X-AVP-Panel": "1"}


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


async def sign_in(api: Api, agent: str = "1001", **headers: str) -> SimpleCookie:
    body = {"agent": agent, "pin": PINS[agent]}
    url = api.server.url + "/v1/session"
    async with api.http.post(url, json=body, headers=PANEL | headers) as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["agent"] == agent
        return SimpleCookie(answer.headers["Set-Cookie"])


def cookie(found: SimpleCookie) -> dict[str, str]:
    return {"Cookie": f"avp_session={found['avp_session'].value}"}


async def status(api: Api, method: str, path: str, headers: dict[str, str], body: object = None):
    async with api.http.request(
        method, api.server.url + path, json=body, headers=headers
    ) as answer:
        return answer.status


@pytest.fixture(autouse=True)
def no_cookie_jar(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests set cookies explicitly."""
    monkeypatch.setattr(aiohttp, "CookieJar", aiohttp.DummyCookieJar)


# --- the cookie ----------------------------------------------------------------------------------


async def test_the_cookie_is_for_this_server_and_no_script(api: Api) -> None:
    found = (await sign_in(api))["avp_session"]
    assert found["httponly"]
    assert found["samesite"] == "strict"
    assert found["path"] == "/"
    assert not found["domain"]
    assert 0 < int(found["max-age"]) <= 12 * 3600
    assert not found["secure"], "over plain HTTP it would not be sent back"
    # With this name, a browser accepts it only from this very host, and only over TLS.
    secure = (await sign_in(api, **{"X-Forwarded-Proto": "https"}))["__Host-avp_session"]
    assert secure["secure"], "behind a proxy that ends TLS"


async def test_a_cookie_is_as_good_as_that_agents_token(api: Api) -> None:
    mine = cookie(await sign_in(api, "1002"))
    assert await status(api, "GET", "/v1/agents/1002", mine) == 200
    assert await status(api, "GET", "/v1/agents/1001", mine) == 403
    assert await status(api, "POST", "/v1/agents/1001/transfers", mine | PANEL, TO_BOB) == 403
    assert await status(api, "POST", "/v1/agents/1002/pause", mine | PANEL) == 200
    assert await status(api, "POST", "/v1/agents/1001/pause", mine | PANEL) == 403
    for forged in ("", "x", mine["Cookie"][:-1], f"avp_session={INTEGRATION}"):
        given = {"Cookie": forged if "=" in forged else f"avp_session={forged}"}
        assert await status(api, "GET", "/v1/agents/1002", given) == 401
        assert await status(api, "GET", "/v1/session", given) == 401


async def test_what_changes_anything_needs_the_panels_own_header_and_origin(api: Api) -> None:
    mine = cookie(await sign_in(api))
    host = api.server.url
    for headers, expected in (
        ({}, 403),
        (PANEL, 201),
        (PANEL | {"Origin": host}, 201),
        (PANEL | {"Origin": "https://evil.example"}, 403),
        (PANEL | {"Origin": host.replace("127.0.0.1", "127.0.0.1.evil.example")}, 403),
        (PANEL | {"Origin": "null"}, 403),
        ({"Origin": host}, 403),
    ):
        answer = await status(api, "POST", "/v1/agents/1001/transfers", mine | headers, TO_BOB)
        assert answer == expected, headers
    assert await status(api, "GET", "/v1/agents", mine | {"Origin": "https://evil.example"}) == 403
    # Nor may another site sign anybody in or out.
    body = {"agent": "1001", "pin": PINS["1001"]}
    assert await status(api, "POST", "/v1/session", {}, body) == 403
    evil = PANEL | {"Origin": "https://evil.example"}
    assert await status(api, "POST", "/v1/session", evil, body) == 403
    assert await status(api, "DELETE", "/v1/session", mine) == 403
    assert await status(api, "GET", "/v1/session", mine) == 200


async def test_sign_out_here_and_everywhere(api: Api) -> None:
    desk, laptop = cookie(await sign_in(api)), cookie(await sign_in(api))
    other = cookie(await sign_in(api, "1002"))
    token = await api.login("1001")
    assert await status(api, "DELETE", "/v1/session", desk | PANEL) == 204
    assert await status(api, "GET", "/v1/session", desk) == 401
    assert await status(api, "GET", "/v1/session", laptop) == 200
    assert await status(api, "DELETE", "/v1/sessions", laptop | PANEL) == 204
    assert await status(api, "GET", "/v1/session", laptop) == 401
    assert await status(api, "GET", "/v1/agents", bearer(token)) == 401
    assert await status(api, "GET", "/v1/session", other) == 200
    assert await status(api, "DELETE", "/v1/sessions", bearer()) == 403
    assert await status(api, "DELETE", "/v1/sessions", PANEL) == 401


async def test_a_sign_out_ends_the_events_at_once(api: Api) -> None:
    mine = cookie(await sign_in(api))
    async with api.events(headers=mine) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
        await status(api, "DELETE", "/v1/session", mine | PANEL)
        async with asyncio.timeout(2):
            await socket.receive()
        assert socket.close_code == 4401


async def test_events_by_cookie_only_for_the_panels_own_page(api: Api) -> None:
    mine = cookie(await sign_in(api))
    async with api.events(headers=mine | {"Origin": api.server.url}) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
    for origin in ("https://evil.example", "http://127.0.0.1:1", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.events(headers=mine | {"Origin": origin})
        assert refused.value.status == 403
    async with api.events(headers={"Cookie": "avp_session=forged"}) as socket:
        async with asyncio.timeout(2):
            await socket.receive()
        assert socket.close_code == 4401


async def test_an_expired_cookie_is_none() -> None:
    clock = Clock()
    auth = Authenticator(pins=PINS, token_lifetime_seconds=60, clock=clock)
    server = await serve(create_app(ScriptedTransferService(), auth), "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as http:
            here = Api(server, ScriptedTransferService(), http, auth)
            mine = cookie(await sign_in(here))
            assert await status(here, "GET", "/v1/agents/1001", mine) == 200
            clock.now += 60
            for path in ("/v1/agents/1001", "/v1/session"):
                assert await status(here, "GET", path, mine) == 401
            async with here.events(headers=mine) as socket:
                await socket.receive()
                assert socket.close_code == 4401
    finally:
        await server.stop()


async def test_silence_is_broken(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_ws, "ALIVE_SECONDS", 0.01)
    async with api.events(headers=bearer()) as socket:
        assert "now" in await socket.receive_json()
        event = await socket.receive_json()
        assert event["type"] == "alive"
        assert event["now"].endswith("Z")


# --- pause, ready, history -----------------------------------------------------------------------


async def test_pause_and_ready(api: Api) -> None:
    found, agent = await api.ask("POST", "/v1/agents/1002/pause", {"reason": "Lunch"})
    assert (found, agent["paused"], agent["pause_reason"]) == (200, True, "Lunch")
    found, agent = await api.ask("POST", "/v1/agents/1002/ready")
    assert (found, agent["paused"], agent["state"]) == (200, False, "available")
    assert (await api.ask("POST", "/v1/agents/1002/pause", {"reason": "x" * 81}))[0] == 422
    assert (await api.ask("POST", "/v1/agents/9/ready"))[0] == 404
    api.board.agent_changed("1003", state=AgentState.OFFLINE)
    status_, answer = await api.ask("POST", "/v1/agents/1003/pause")
    assert (status_, answer["error"]) == (409, "wrong_state")


async def test_why_somebody_is_on_a_break_is_their_own_affair(api: Api) -> None:
    await api.ask("POST", "/v1/agents/1001/pause", {"reason": "Doctor"})
    async with api.events(headers=bearer(await api.login("1002"))) as socket:
        alice = (await socket.receive_json())["agents"][0]
        assert alice["paused"]
        assert "pause_reason" not in alice


async def test_history(api: Api) -> None:
    _, made = await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
    assert (await api.ask("GET", "/v1/agents/1001/transfers"))[1] == []
    _, ended = await api.ask("POST", f"/v1/transfers/{made['id']}/cancel")
    for agent in ("1001", "1002"):
        assert (await api.ask("GET", f"/v1/agents/{agent}/transfers"))[1] == [ended]
    assert (await api.ask("GET", "/v1/agents/1003/transfers"))[1] == []
    token = await api.login("1003")
    assert (await api.ask("GET", "/v1/agents/1001/transfers", token=token))[0] == 403


# --- files ---------------------------------------------------------------------------------------


async def test_files_come_with_a_strict_policy(api: Api) -> None:
    for path in ("/", *(f"/panel/{name}" for name in panel.files())):
        async with api.http.get(api.server.url + path) as answer:
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            tag = answer.headers["ETag"]
        async with api.http.get(api.server.url + path, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    for path in ("nothing", "..%2fapp.py", "%2e%2e/app.py", "../app.py", ".", "index.html%00"):
        async with api.http.get(f"{api.server.url}/panel/{path}") as answer:
            assert answer.status == 404, path


def test_nothing_comes_from_elsewhere() -> None:
    for name, body in panel.files().items():
        text = body.decode()
        addresses = re.findall(r"https?://[^\s\"'`)]+", text)
        assert [x for x in addresses if not x.startswith("http://www.w3.org/2000/svg")] == [], name
        assert "innerHTML" not in text
        assert "eval(" not in text
        assert not re.search(r"\son[a-z]+=", text) or name.endswith(".js"), name
        assert not re.search(r"\sstyle=", text), name


# --- PINs ----------------------------------------------------------------------------------------


async def test_a_written_hash_is_as_good_as_the_pin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printed = Avp(capsys, monkeypatch, tmp_path)("pin-hash", "--pin", "48151")
    written = printed.out.strip()
    assert printed.code == 0, printed.err
    assert "$" not in written
    assert "48151" not in written
    assert str(PinHash.parse(written)) == written
    environ = {
        "AVP_GROUPS__SALES__QUEUE": "sales",
        "AVP_AGENTS__1001__PIN_HASH": written,
    }
    settings = Settings.load(environ, tmp_path, connect=False)
    kept = settings.agents["1001"].pin_hash
    assert kept is not None
    auth = Authenticator(pins={"1002": "2"}, pin_hashes={"1001": kept.get_secret_value()})
    assert await auth.login("1001", "48151", "here")
    with pytest.raises(LoginFailed):
        await auth.login("1001", "48152", "here")
    token = await auth.login("1001", "48151", "here")
    await auth.reconfigure(
        tokens=(), pins={}, pin_hashes={"1001": written}, token_lifetime_seconds=60
    )
    assert auth.identify(token), "the same hash: the log-in goes on"
    await auth.reconfigure(tokens=(), pins={"1001": "48151"}, token_lifetime_seconds=60)
    assert auth.identify(token), "the same PIN, written otherwise"


@pytest.mark.parametrize(
    "more",
    [
        {"AVP_AGENTS__1001__PIN_HASH": "scrypt:14:8:1:zz:00"},
        {"AVP_AGENTS__1001__PIN_HASH": "1234"},
        {"AVP_AGENTS__1001__PIN_HASH": f"scrypt:30:8:1:{'0' * 32}:{'0' * 128}"},
        {
            "AVP_AGENTS__1001__PIN_HASH": f"scrypt:14:8:1:{'0' * 32}:{'0' * 128}",
            "AVP_AGENTS__1001__PIN": "1234",
        },
    ],
)
def test_a_hash_that_cannot_be_used_stops_the_start(more: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AVP_AGENTS__1001__PIN_HASH") as error:
        Settings.load({"AVP_GROUPS__SALES__QUEUE": "sales"} | more, tmp_path, connect=False)
    assert "1234" not in str(error.value)


async def test_patience_does_not_help_in_guessing() -> None:
    clock = Clock()
    limits = Limits(per_agent=5, per_address=1000, per_agent_and_hour=12)
    auth = Authenticator(pins={"a": "1"}, limits=limits, clock=clock)
    failed = 0
    for minute in range(60):
        clock.now = 1000.0 + 60 * minute
        for attempt in range(5):
            try:
                await auth.login("a", f"guess {minute} {attempt}", f"address {minute}")
            except LoginFailed:
                failed += 1
            except LoginLimited:
                break
    assert failed == 12
    clock.now = 1000.0 + 3601 + 120
    assert await auth.login("a", "1", "address")


# --- the page comes with who is signed in ---------------------------------------------------------


class Told(HTMLParser):
    """The answer that a page contains."""

    answer: dict[str, Any] | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "meta" and found.get("name") == "avp-session" and found["content"]:
            self.answer = json.loads(found["content"])


async def told(api: Api, **headers: str) -> tuple[dict[str, Any] | None, Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.http.get(api.server.url + "/", headers=given) as answer:
        assert answer.status == 200
        found = Told()
        found.feed(await answer.text())
        return found.answer, answer.headers


async def test_the_page_says_who_is_signed_in_as_the_api_does(api: Api) -> None:
    hostile = "\"><script src=//x.example></script>&quot;'\u2028 </head>"
    api.board.agent_changed("1001", name=hostile)
    mine = cookie(await sign_in(api))
    answer, headers = await told(api, **mine)
    async with api.http.get(api.server.url + "/v1/session", headers=mine) as asked:
        expected = await asked.json()
    assert answer is not None
    assert answer["status"] == 200
    assert answer["body"] | {"expires": ""} == expected | {"expires": ""}
    assert answer["body"]["name"] == hostile
    assert headers["Cache-Control"] == "no-store", "nobody finds it in the browser's cache"
    assert "Cookie" in headers["Vary"]
    renewed = SimpleCookie(headers["Set-Cookie"])["avp_session"]
    assert renewed.value == mine["Cookie"].partition("=")[2]
    assert renewed["httponly"]
    assert mine["Cookie"].partition("=")[2] not in json.dumps(answer)


def documented_caches() -> dict[str, str]:
    """The table of docs/security.md: what is answered -> its Cache-Control."""
    text = section(page("docs/security.md"), "## What browsers and proxies may keep")
    rows = re.findall(r"^\| (`/.*?) \| `([^|]+)` \|", text, re.MULTILINE)
    return {what.replace("`", ""): control for what, control in rows}


async def test_caches_are_told_what_the_documentation_says(api: Api) -> None:
    mine = cookie(await sign_in(api))
    url = api.server.url
    async with api.http.get(url + "/") as answer:
        out, html = answer.headers, await answer.text()
    found = {"/, signed out": out["Cache-Control"]}
    hashed = re.findall(r'"(/panel/[^"]+)"', html)
    for what, path, headers in (
        ("/, signed in", "/", mine),
        ("/v1/…", "/v1/agents/1001", mine),
        *(("/panel/<hash>/…", each, {}) for each in hashed),
    ):
        async with api.http.get(url + path, headers=headers) as answer:
            assert answer.status == 200
            control = answer.headers["Cache-Control"]
            assert found.setdefault(what, control) == control, path
            if "/v1/" not in path:
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert not [name for name in answer.headers if name.lower().startswith("access-")]
    assert found == documented_caches()
    assert set(out["Vary"].split(", ")) == {
        *("Cookie", "Accept-Language", "Accept-Encoding", "Sec-Fetch-Site")
    }


async def test_no_cache_keeps_what_the_api_answers(api: Api) -> None:
    """Neither the browser's, after the sign-out, nor one of a proxy before several agents."""
    mine = cookie(await sign_in(api))
    for method, path, headers, status in (
        ("GET", "/v1/session", mine, 200),
        ("GET", "/v1/agents", mine, 200),
        ("GET", "/v1/agents/1001", mine, 200),
        ("GET", "/v1/agents/1001/targets", mine, 200),
        ("GET", "/v1/agents/1001/transfers", mine, 200),
        ("GET", "/v1/transfers", bearer(), 200),
        ("GET", "/v1/agents/1002", mine, 403),
        ("GET", "/v1/session", {}, 401),
        ("GET", "/v1/agents", {}, 401),
        ("GET", "/v1/nothing", mine, 404),
        ("POST", "/v1/agents/1001/transfers", mine, 403),
        ("POST", "/v1/numbers/check", bearer(), 422),
        ("DELETE", "/v1/session", mine | {"X-AVP-Panel": "1"}, 204),
    ):
        async with api.http.request(method, api.server.url + path, headers=headers) as answer:
            assert answer.status == status, path
            assert answer.headers.getall("Cache-Control") == ["no-store"], path


@pytest.mark.parametrize("how", ["none", "same-origin"])
async def test_the_page_says_that_nobody_is_signed_in(api: Api, how: str) -> None:
    answer, headers = await told(api, Sec_Fetch_Site=how)
    assert answer is not None
    assert (answer["status"], answer["body"]["sign_in"]) == (401, "pin")
    assert headers["Cache-Control"] == "no-cache"
    answer, _ = await told(api, Sec_Fetch_Site=how, Cookie="avp_session=stale")
    assert answer is not None
    assert answer["status"] == 401


@pytest.mark.parametrize("headers", [{}, {"Sec_Fetch_Site": "cross-site"}])
async def test_where_the_browser_may_have_kept_the_cookie_back_the_page_asks(
    api: Api, headers: dict[str, str]
) -> None:
    """A strict cookie does not come along where another site leads to the page."""
    assert (await told(api, **headers))[0] is None
