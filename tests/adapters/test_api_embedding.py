"""A panel that other pages may embed, and pages that take themselves for another agent's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
import structlog
from api_client import TO_BOB, Api, api_here
from scripted_transfer_service import PINS, bearer

from asterisk_avp.api.panel_access import PanelAccess

CRM = "https://crm.example"
PANEL = {"X-AVP-Panel": "1"}
HTTPS = {"X-Forwarded-Proto": "https"}


@pytest_asyncio.fixture(loop_scope="function")
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(aiohttp, "CookieJar", aiohttp.DummyCookieJar)
    access = PanelAccess(frame_ancestors=(CRM, "https://other.example:8443"))
    async with api_here(access=access) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="function")
async def alone(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A panel that nobody may embed."""
    monkeypatch.setattr(aiohttp, "CookieJar", aiohttp.DummyCookieJar)
    async with api_here() as running:
        yield running


async def signed_in(api: Api, agent: str = "1001", **headers: str) -> tuple[list[str], str]:
    """The lines of Set-Cookie, and the session's cookie as a browser sends it back."""
    async with api.http.post(
        api.server.url + "/v1/session",
        json={"agent": agent, "pin": PINS[agent]},
        headers=PANEL | headers,
    ) as answer:
        assert answer.status == 200, await answer.text()
        lines = answer.headers.getall("Set-Cookie")
    (session,) = [line for line in lines if "avp_session=" in line]
    return lines, session.partition(";")[0]


async def status(api: Api, method: str, path: str, **headers: str) -> int:
    async with api.http.request(method, api.server.url + path, headers=headers) as answer:
        return answer.status


def attributes(line: str) -> set[str]:
    return {part.strip().lower() for part in line.split(";")[1:]}


# --- frames ----------------------------------------------------------------------------------


async def test_listed_pages_may_embed_it_over_tls(api: Api) -> None:
    async with api.http.get(api.server.url + "/", headers=HTTPS) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert f"; frame-ancestors {CRM} https://other.example:8443; " in policy
        assert policy.count("frame-ancestors") == 1
        assert "X-Frame-Options" not in answer.headers
        tag = answer.headers["ETag"]
    unchanged = HTTPS | {"If-None-Match": tag}
    async with api.http.get(api.server.url + "/", headers=unchanged) as answer:
        assert answer.status == 304
        assert answer.headers["Content-Security-Policy"] == policy
        assert "X-Frame-Options" not in answer.headers


async def test_without_tls_nobody_may_and_the_log_says_why(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            async with api.http.get(api.server.url + "/") as answer:
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Frame-Options"] == "DENY"
    assert [line["event"] for line in logs] == ["panel_not_embeddable"], "once"


async def test_an_embedded_panel_has_cookies_that_a_frame_gets(api: Api) -> None:
    lines, _ = await signed_in(api, **HTTPS)
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("__Host-avp_")
        assert {"secure", "httponly", "samesite=none", "partitioned", "path=/"} <= attributes(line)
    # Without TLS they are as they were: no browser would keep the others.
    for line in (await signed_in(api))[0]:
        assert "samesite=strict" in attributes(line)
        assert not attributes(line) & {"secure", "partitioned"}


async def test_a_sign_out_takes_back_the_same_cookie(api: Api) -> None:
    _, cookie = await signed_in(api, **HTTPS)
    async with api.http.delete(
        api.server.url + "/v1/session", headers=PANEL | HTTPS | {"Cookie": cookie}
    ) as answer:
        (line,) = answer.headers.getall("Set-Cookie")
    assert line.startswith("__Host-avp_session=")
    assert {"max-age=0", "secure", "samesite=none", "partitioned", "path=/"} <= attributes(line)


async def test_a_panel_that_nobody_embeds_keeps_its_strict_cookie(alone: Api) -> None:
    for headers in ({}, HTTPS):
        for line in (await signed_in(alone, **headers))[0]:
            assert "samesite=strict" in attributes(line)
            assert "partitioned" not in attributes(line)


async def test_the_page_learns_who_may_embed_it(api: Api) -> None:
    _, cookie = await signed_in(api, **HTTPS)
    for headers in (HTTPS | {"Cookie": cookie}, HTTPS):
        async with api.http.get(api.server.url + "/v1/session", headers=headers) as answer:
            found = await answer.json()
        assert found["frame_ancestors"] == [CRM, "https://other.example:8443"]
        assert found["sign_in"] == "pin"


# --- requests of other sites, against which SameSite no longer stands ----------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": CRM}, 403),  # may embed the panel, not act as it
        ({"Origin": "null"}, 403),
    ],
)
async def test_nobody_elsewhere_reads_with_the_cookie(
    api: Api, headers: dict[str, str], expected: int
) -> None:
    _, cookie = await signed_in(api, **HTTPS)
    mine = HTTPS | {"Cookie": cookie} | headers
    for path in ("/v1/agents", "/v1/agents/1001", "/v1/session"):
        assert await status(api, "GET", path, **mine) == expected, path


async def test_nobody_elsewhere_acts_with_the_cookie(api: Api) -> None:
    _, cookie = await signed_in(api, **HTTPS)
    mine = HTTPS | {"Cookie": cookie}
    for headers in (
        {},  # a form of another site
        PANEL | {"Origin": CRM},
        PANEL | {"Sec-Fetch-Site": "cross-site"},
        {"Origin": api.server.url.replace("http:", "https:")},
    ):
        for method, path in (
            ("POST", "/v1/agents/1001/pause"),
            ("DELETE", "/v1/session"),
            ("DELETE", "/v1/sessions"),
            ("POST", "/v1/session/proxy"),
        ):
            assert await status(api, method, path, **mine, **headers) == 403, (path, headers)
    # With the token of a program, none of this is asked.
    foreign = bearer() | {"Sec-Fetch-Site": "cross-site", "Origin": CRM}
    assert await status(api, "GET", "/v1/agents", **foreign) == 200


async def test_no_events_for_a_page_that_embeds(api: Api) -> None:
    _, cookie = await signed_in(api, **HTTPS)
    mine = HTTPS | {"Cookie": cookie}
    host = api.server.url.removeprefix("http://")
    for origin in (
        CRM,
        "null",  # a sandbox of anybody's, or a file
        "",
        f"http://{host}",  # which somebody else on the way may have written
        f"https://{host}.evil.example",
        f"https://evil.example/{host}",
        f"https://evil.example@{host}",
        f"https://{host}@evil.example",
        f"https://{host}, {CRM}",
        f"https://{host}0",
        host,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.events(headers=mine | {"Origin": origin})
        assert refused.value.status == 403, origin
    async with api.events(headers=mine | {"Origin": f"https://{host}"}) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"


# --- two agents in one browser -------------------------------------------------------------------


async def test_a_page_that_takes_itself_for_another_agent_is_refused(alone: Api) -> None:
    """All tabs of a browser have one cookie, and Bob has signed in in one of them."""
    _, bobs = await signed_in(alone, "1002")
    for method, path in (
        ("GET", "/v1/agents"),
        ("GET", "/v1/transfers"),
        ("GET", "/v1/session"),
        ("POST", "/v1/transfers/t1/complete"),
        ("POST", "/v1/agents/1002/pause"),
        ("DELETE", "/v1/session"),
        ("DELETE", "/v1/sessions"),
    ):
        async with alone.http.request(
            method,
            alone.server.url + path,
            headers=PANEL | {"Cookie": bobs, "X-AVP-Agent": "1001"},
        ) as answer:
            assert answer.status == 403, path
            assert (await answer.json())["error"] == "other_agent"
    assert not alone.board.agent("1002").paused
    mine = PANEL | {"Cookie": bobs, "X-AVP-Agent": "1002"}
    assert await status(alone, "GET", "/v1/session", **mine) == 200, "Bob is still signed in"
    assert await status(alone, "POST", "/v1/agents/1002/pause", **mine) == 200
    # A wrong cookie is none, whoever the page takes itself for.
    lost = PANEL | {"Cookie": "avp_session=x", "X-AVP-Agent": "1001"}
    assert await status(alone, "GET", "/v1/agents", **lost) == 401


async def test_its_events_end_before_they_begin(alone: Api) -> None:
    _, bobs = await signed_in(alone, "1002")
    url = alone.server.url + "/v1/events"
    for agent, code in (("1001", 4409), ("", 4409), ("1002", None), (None, None)):
        query = "" if agent is None else f"?agent={agent}"
        async with alone.http.ws_connect(url + query, headers={"Cookie": bobs}) as socket:
            message = await socket.receive()
            if code is None:
                assert message.json()["type"] == "snapshot"
            else:
                assert message.type is aiohttp.WSMsgType.CLOSE, "not a word of Bob's"
                assert socket.close_code == code


async def test_the_older_tabs_stream_ends_when_another_agent_signs_in(alone: Api) -> None:
    _, alices = await signed_in(alone, "1001")
    async with alone.http.ws_connect(
        alone.server.url + "/v1/events?agent=1001", headers={"Cookie": alices}
    ) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
        await signed_in(alone, "1002", Cookie=alices)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401


async def test_a_program_with_a_token_may_say_so_too(alone: Api) -> None:
    given = bearer(await alone.login("1001"))
    headers = given | {"X-AVP-Agent": "1002"}
    made = await alone.ask("POST", "/v1/agents/1001/transfers", TO_BOB, None, headers=headers)
    assert made[0] == 201, "its token is its own, and no other tab can change it"
