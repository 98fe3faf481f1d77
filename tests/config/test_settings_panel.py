"""What an administrator may write about the panel: who may embed it, and who its users are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.test_settings import NEEDED, load, problems

FRAMES = "AVP_PANEL__FRAME_ANCESTORS"
HEADER = "AVP_PANEL__USER_HEADER"


def test_defaults() -> None:
    panel = load(NEEDED).panel
    assert panel.frame_ancestors == ()
    assert panel.user_header is None
    assert panel.sign_out_url is None


SECRET = "AVP_PANEL__USER_HEADER_SECRET"


def test_the_proxys_secret() -> None:
    settings = load(NEEDED | {HEADER: "X-Forwarded-User", SECRET: "0123456789abcdef"})
    assert settings.panel.proxy_secret == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(settings)


@pytest.mark.parametrize(
    "value", ["short", "with spaces in between", "ümlaut-0123456789", "x" * 201]
)
def test_a_secret_that_is_none(value: str) -> None:
    (problem,) = problems(NEEDED | {HEADER: "X-Forwarded-User", SECRET: value})
    assert SECRET in problem
    assert value not in problem


def test_a_secret_without_the_header() -> None:
    (problem,) = problems(NEEDED | {SECRET: "0123456789abcdef"})
    assert SECRET in problem


def test_all_of_it() -> None:
    settings = load(
        NEEDED
        | {
            FRAMES: "https://CRM.example, https://crm.example:8443,https://x.example:443,"
            "https://192.0.2.1,https://crm.example:443",
            HEADER: "X-Forwarded-Preferred-Username",
            "AVP_PANEL__SIGN_OUT_URL": "/oauth2/sign_out?rd=%2F",
            "AVP_AGENTS__1001__USER": "alice@example.org",
            "AVP_AGENTS__1002__USER": "Zoë van Dam",
        }
    )
    assert settings.panel.frame_ancestors == (
        "https://crm.example",
        "https://crm.example:8443",
        "https://x.example",
        "https://192.0.2.1",
    ), "each once, as a browser writes an origin"
    assert settings.panel.user_header == "X-Forwarded-Preferred-Username"
    assert settings.panel.sign_out_url == "/oauth2/sign_out?rd=%2F"
    assert settings.agents["1001"].user == "alice@example.org"
    assert settings.agents["1002"].user == "Zoë van Dam"


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "https://*",
        "https://*.example.org",
        "https:",
        "null",
        "'self'",
        "http://crm.example",
        "http://127.0.0.1:8080",
        "crm.example",
        "https://crm.example/",
        "https://crm.example/x",
        "https://crm.example?x",
        "https://user@crm.example",
        "https://crm.example:99999",
        "https://crm.example:0",
        "https://crm.example; script-src *",
        "https://crm.example https://evil.example",
        "https://crm.example\r\nX: y",
        "https://-crm.example",
        "https://crm..example",
        "https://bücher.example",
        # Browsers write these in another way, so they would never be met.
        "https://127.1",
        "https://0x7f.1",
        "https://1.2.3.4.5",
        "https://192.0.2.010",
        "https://192.0.2.256",
        "https://crm.example.",
        "https://[::1]:8443",
        "chrome-extension://abc",
        "javascript://x",
    ],
)
def test_what_is_no_origin_stops_the_start(value: str) -> None:
    (problem,) = problems(NEEDED | {FRAMES: f"https://a.example,{value}"})
    assert problem.startswith(f"{FRAMES}: must be an origin such as https://crm.example")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("X_Forwarded_User", "must be the name of an HTTP header"),
        ("X-User: x", "must be the name of an HTTP header"),
        ("Cookie", "a header that a proxy adds"),
        ("authorization", "a header that a proxy adds"),
        ("X-Forwarded-For", "a header that a proxy adds"),
        ("User-Agent", "a header that a proxy adds"),
        ("Sec-Fetch-Site", "a header that a proxy adds"),
        ("X-AVP-Agent", "a header that a proxy adds"),
    ],
)
def test_not_every_header_can_name_the_user(value: str, says: str) -> None:
    (problem,) = problems(NEEDED | {HEADER: value})
    assert problem.startswith(f"{HEADER}: ")
    assert says in problem


@pytest.mark.parametrize(
    "value",
    [
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http://sso.example/out",
        "https://u:p@sso.example/",
        "https://",
        "oauth2/sign_out",
        "/a b",
        '/"><script>',
    ],
)
def test_the_way_out_is_a_path_or_https(value: str) -> None:
    (problem,) = problems(NEEDED | {HEADER: "X-User", "AVP_PANEL__SIGN_OUT_URL": value})
    assert problem.startswith("AVP_PANEL__SIGN_OUT_URL: must be a path")


@pytest.mark.parametrize(
    "user", ["a\nb", " " * 3 + "a\x00", "x" * 201, "a\x7fb", "a\u202eb", "\u200b"]
)
def test_a_user_is_one_line_of_text(user: str) -> None:
    (problem,) = problems(NEEDED | {"AVP_AGENTS__1001__USER": user})
    assert problem.startswith("AVP_AGENTS__1001__USER: ")


def test_a_user_is_one_agent() -> None:
    twice = {"AVP_AGENTS__1001__USER": "alice", "AVP_AGENTS__1002__USER": "alice"}
    assert problems(NEEDED | twice) == [
        "AVP_AGENTS__1002__USER: is agent 1001's as well (AVP_AGENTS__1001__USER)"
    ]
    an_id = {"AVP_AGENTS__1001__USER": "1002", "AVP_AGENTS__1002__NAME": "Bob"}
    assert problems(NEEDED | an_id) == [
        "AVP_AGENTS__1001__USER: is agent 1002's as well (AVP_AGENTS__1002__NAME)"
    ]
    # Whose own user is another may be named by nobody else's id either way.
    swapped = {"AVP_AGENTS__1001__USER": "1002", "AVP_AGENTS__1002__USER": "1001"}
    assert load(NEEDED | swapped).agents["1002"].user == "1001"


def test_both_need_a_proxy(tmp_path: Path) -> None:
    (tmp_path / "avp.toml").write_text("[api]\ntrusted_proxies = []\n")
    toml = {"AVP_CONFIG": "avp.toml"}
    needed = NEEDED | toml | {FRAMES: "https://crm.example", HEADER: "X-User"}
    proxies = "AVP_API__TRUSTED_PROXIES (api.trusted_proxies in avp.toml) is empty"
    assert problems(needed, tmp_path) == [
        f"{FRAMES}: needs TLS, so a reverse proxy, but {proxies}",
        f"{HEADER}: needs a proxy, but {proxies}",
    ]
    assert load(NEEDED | toml, tmp_path).api.trusted_proxies == ()


def test_a_way_out_needs_a_way_in() -> None:
    assert problems(NEEDED | {"AVP_PANEL__SIGN_OUT_URL": "/out"}) == [
        f"AVP_PANEL__SIGN_OUT_URL: has no effect without {HEADER}"
    ]


def test_the_language_is_one_of_those_there_are() -> None:
    language = "AVP_PANEL__LANGUAGE"
    assert load(NEEDED).panel.language == "browser"
    assert load(NEEDED | {language: "fr"}).panel.language == "fr"
    for value in ("xx", "FR", "fr-CA", "../fr"):
        assert any(language in problem for problem in problems(NEEDED | {language: value}))
