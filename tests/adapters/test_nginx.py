"""The panel behind a real nginx with the files of docs/install.md, and who is believed there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, api_here
from scripted_transfer_service import PINS, bearer

from asterisk_avp.api.connections import Connections, Proxies
from asterisk_avp.api.panel_access import PanelAccess
from tests import nginx
from tests.panel.tls import certificate_files
from tests.single_sign_on import OAuth2Proxy, served

PANEL = {"X-AVP-Panel": "1"}
SECRET = "0123456789abcdef"
USER = "X-Forwarded-Preferred-Username"
PLAIN = "## Publish the panel"
SSO = "### Single sign-on"


@dataclass
class Published:
    """The panel's server behind nginx. ``by`` is the address of a client."""

    api: Api
    url: str

    @asynccontextmanager
    async def client(self, by: str = "127.0.0.2") -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(local_addr=(by, 0), ssl=False)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http:
            yield http

    async def ask(
        self, method: str, path: str, *, by: str = "127.0.0.2", body: Any = None, **headers: str
    ) -> tuple[int, Any, list[str]]:
        """Status, body and the lines of Set-Cookie."""
        async with (
            self.client(by) as http,
            http.request(
                method, self.url + path, json=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            json = answer.content_type == "application/json"
            content = await answer.json() if json else await answer.text()
            return answer.status, content, answer.headers.getall("Set-Cookie", [])

    async def sign_in(self, agent: str, pin: str, **more: Any) -> tuple[int, list[str]]:
        body = {"agent": agent, "pin": pin}
        status, _, cookies = await self.ask("POST", "/v1/session", body=body, **PANEL, **more)
        return status, cookies


@asynccontextmanager
async def published(
    folder: Path, files: dict[str, str], access: PanelAccess | None = None, oauth2: str = ""
) -> AsyncIterator[Published]:
    key, cert = certificate_files(folder)
    connections = Connections(proxies=Proxies(["127.0.0.1"]))
    users = {"1001": "alice", "1002": "bob"}
    async with api_here(connections=connections, users=users, access=access) as api:
        daemon = api.server.url.removeprefix("http://")
        values = {
            "127.0.0.1:8766": daemon,
            "127.0.0.1:4180": oauth2.removeprefix("http://"),
            "the-long-secret": SECRET,
        }
        async with nginx.running(files, folder / "nginx", values, key, cert) as url:
            yield Published(api, url)


@pytest_asyncio.fixture(loop_scope="function")
async def plain(tmp_path: Path) -> AsyncIterator[Published]:
    shown = nginx.documented(PLAIN)
    files = {name: shown[name][0] for name in ("conf.d/asterisk-avp.conf", SNIPPET)}
    async with published(tmp_path, files) as found:
        yield found


SNIPPET = "snippets/asterisk-avp.conf"


@pytest_asyncio.fixture(loop_scope="function")
async def signed_on(tmp_path: Path) -> AsyncIterator[Published]:
    shown = nginx.documented(PLAIN)
    files = {name: texts[-1] for name, texts in shown.items()}
    access = PanelAccess(user_header=USER, sign_out_url="/oauth2/sign_out", secret=SECRET)
    async with (
        served(OAuth2Proxy()) as oauth2,
        published(tmp_path, files, access, oauth2) as found,
    ):
        yield found


def test_a_value_that_looks_like_a_documented_one() -> None:
    """Ports are the system's choice: one in ten thousand begins with 4180."""
    values = {"127.0.0.1:8766": "127.0.0.1:41805", "127.0.0.1:4180": ""}
    text = "proxy_pass http://127.0.0.1:8766;"
    assert nginx.put_in(text, values) == "proxy_pass http://127.0.0.1:41805;"


# --- with PINs -----------------------------------------------------------------------------------


async def test_page_and_files(plain: Published) -> None:
    async with plain.client() as http:
        async with http.get(plain.url + "/") as answer:
            assert answer.status == 200
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "Cookie" in answer.headers["Vary"]
            page = await answer.text()
        found = re.findall(r'(?:src|href)="(/panel/\w{16}/[^"]+)"', page)
        assert {Path(each).suffix for each in found} >= {".js", ".css", ".json"}
        for path in found:
            async with http.get(plain.url + path) as answer:
                assert answer.status == 200, path
                assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
                large = path.endswith((".js", ".css", ".json")) and "early" not in path
                assert answer.headers.get("Content-Encoding") == ("gzip" if large else None), path
                tag = answer.headers["ETag"]
            async with http.get(plain.url + path, headers={"If-None-Match": tag}) as answer:
                assert answer.status == 304


async def test_api_cookies_and_websocket(plain: Published) -> None:
    status, agents, _ = await plain.ask("GET", "/v1/agents", **bearer())
    assert (status, [each["id"] for each in agents]) == (200, ["1001", "1002", "1003"])
    status, cookies = await plain.sign_in("1001", PINS["1001"])
    assert status == 200
    assert all(line.startswith("__Host-") and "; Secure" in line for line in cookies)
    session = next(line for line in cookies if "avp_session" in line).partition(";")[0]
    origin = {"Cookie": session, "Origin": plain.url}
    async with plain.client() as http:
        async with http.ws_connect(plain.url + "/v1/events", headers=origin) as socket:
            assert (await socket.receive_json())["type"] == "snapshot"
            plain.api.board.agent_changed("1002", waiting_transfer=True)
            assert (await socket.receive_json())["agent"]["id"] == "1002"
        evil = {**origin, "Origin": "https://evil.example"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(plain.url + "/v1/events", headers=evil)
        assert refused.value.status == 403
    status, _, _ = await plain.ask("POST", "/v1/agents/1001/pause", **origin, **PANEL)
    assert status == 200
    assert (await plain.ask("POST", "/v1/agents/1001/pause", **evil, **PANEL))[0] == 403


async def test_limits_see_the_client_and_not_what_it_says(plain: Published) -> None:
    for count in range(30):
        forged = {"X-Forwarded-For": f"192.0.2.{count}", "X-Forwarded-Proto": "http"}
        status, _ = await plain.sign_in("1001", "wrong", **forged)
        if status == 429:
            break
        assert status == 401
    else:
        raise AssertionError("one client may try as often as it likes")
    # Neither the agent at another machine nor nginx itself is locked out by it.
    status, cookies = await plain.sign_in("1001", PINS["1001"], by="127.0.0.3")
    assert status == 200
    assert all("; Secure" in line for line in cookies), "whatever the client says of TLS"


async def test_a_user_of_nobody(plain: Published) -> None:
    """Without the setting, the header means nothing, and a browser may send what it likes."""
    headers = {USER: "alice", "X-AVP-Proxy-Secret": SECRET}
    status, content, _ = await plain.ask("POST", "/v1/session/proxy", **PANEL, **headers)
    assert (status, content["error"]) == (403, "single_sign_on")


# --- single sign-on -------------------------------------------------------------------------------


def at_the_proxy(user: str) -> dict[str, str]:
    """Signed in at oauth2-proxy as this user."""
    return {"Cookie": f"{OAuth2Proxy.COOKIE}={user}"}


FORGED = {
    USER: "alice",
    USER.lower(): "alice",
    USER.replace("-", "_"): "alice",
    "X-AVP-Proxy-Secret": SECRET,
    "X-Auth-Request-Preferred-Username": "alice",
    "X-Forwarded-For": "127.0.0.1",
    "Forwarded": "for=127.0.0.1",
}


async def test_the_user_of_the_proxy_is_the_agent(signed_on: Published) -> None:
    mine = at_the_proxy("alice")
    status, content, cookies = await signed_on.ask("POST", "/v1/session/proxy", **PANEL, **mine)
    assert (status, content["agent"], content["sign_in"]) == (200, "1001", "proxy")
    names = {line.partition("=")[0] for line in cookies}
    assert names == {OAuth2Proxy.COOKIE, "__Host-avp_session"}, "the refreshed cookie, and ours"
    session = next(line for line in cookies if "avp_session" in line).partition(";")[0]
    both = {"Cookie": f"{mine['Cookie']}; {session}"}
    assert (await signed_on.ask("GET", "/v1/agents/1001", **both))[0] == 200
    async with (
        signed_on.client() as http,
        http.ws_connect(signed_on.url + "/v1/events", headers=both) as socket,
    ):
        assert (await socket.receive_json())["type"] == "snapshot"


async def test_who_is_signed_out_is_led_to_the_sign_in_from_the_page_only(
    signed_on: Published,
) -> None:
    for forged in ({}, FORGED):
        async with (
            signed_on.client() as http,
            http.get(signed_on.url + "/", headers=forged, allow_redirects=False) as answer,
        ):
            assert answer.status == 302
            assert answer.headers["Location"].endswith("/oauth2/sign_in?rd=/")
        for path in ("/v1/session", "/v1/events", "/panel/icon.svg", "/v1/agents"):
            assert (await signed_on.ask("GET", path, **forged))[0] == 401, path
        status, _, _ = await signed_on.ask("POST", "/v1/session/proxy", **PANEL, **forged)
        assert status == 401


async def test_a_browser_cannot_say_who_it_is(signed_on: Published) -> None:
    forged = {**FORGED, **at_the_proxy("mallory")}
    status, content, _ = await signed_on.ask("POST", "/v1/session/proxy", **PANEL, **forged)
    assert (status, content["error"], content["user"]) == (403, "unknown_user", "mallory")
    forged = {**FORGED, **at_the_proxy("bob")}
    status, content, _ = await signed_on.ask("POST", "/v1/session/proxy", **PANEL, **forged)
    assert (status, content["agent"]) == (200, "1002")
    # The proxy knows somebody, but not by what the header is about.
    unnamed = {**FORGED, **at_the_proxy("")}
    status, content, _ = await signed_on.ask("POST", "/v1/session/proxy", **PANEL, **unnamed)
    assert (status, content["error"]) == (401, "no_user")


async def test_past_the_proxy_the_header_needs_its_secret(signed_on: Published) -> None:
    """Another program of the proxy's machine, which is a trusted address."""
    http, url = signed_on.api.http, signed_on.api.server.url + "/v1/session/proxy"
    for secret, expected in ((None, 401), (SECRET[:-1], 401), (SECRET, 200)):
        headers = PANEL | {USER: "alice"}
        headers |= {"X-AVP-Proxy-Secret": secret} if secret else {}
        async with http.post(url, headers=headers) as answer:
            assert answer.status == expected, secret


async def test_another_user_at_the_proxy_ends_the_session(signed_on: Published) -> None:
    alice = at_the_proxy("alice")
    _, _, cookies = await signed_on.ask("POST", "/v1/session/proxy", **PANEL, **alice)
    session = next(line for line in cookies if "avp_session" in line).partition(";")[0]
    bob = {"Cookie": f"{at_the_proxy('bob')['Cookie']}; {session}"}
    assert (await signed_on.ask("GET", "/v1/agents/1001", **bob))[0] == 401
    again = {"Cookie": f"{alice['Cookie']}; {session}"}
    assert (await signed_on.ask("GET", "/v1/agents/1001", **again))[0] == 401, "it has ended"
