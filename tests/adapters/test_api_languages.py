"""The language of the page: what the server chooses, and the catalogue that the page fetches."""

from __future__ import annotations

import contextlib
import json
import re
from html import escape
from typing import Any, get_args

import pytest
from api_client import TO_BOB, api_here
from scripted_transfer_service import bearer

from asterisk_avp.api import languages, panel
from asterisk_avp.api.invalid import details
from asterisk_avp.api.socket_count import MAX_PER_AGENT, MAX_PER_TOKEN
from asterisk_avp.config.panel import PanelSettings


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "en"),
        ("", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("xx", "en"),
        ("*", "en"),
        ("en;q=0", "en"),
        ("de", "de"),
        ("fr-CA, de;q=0.9", "fr"),
        ("en;q=0.5, es-419;q=0.8", "es"),
        ("de;q=0, fr;q=0.001", "fr"),
        ("de;q=2, fr;q=x", "en"),
        ("xx, EN ;q=0.2", "en"),
        (";;;,=,q=1,\x00", "en"),
        ("en" * 5000, "en"),
    ],
)
def test_a_language_of_ours_whatever_the_header_says(accept: str | None, expected: str) -> None:
    assert languages.negotiated(accept) == expected


async def test_the_page_names_its_language_and_preloads_its_catalogue() -> None:
    async with api_here() as api:
        for language in languages.catalogues():
            asked = {"Accept-Language": f"xx, {language}-XY;q=0.9, en;q=0.1"}
            async with api.http.get(api.server.url + "/", headers=asked) as answer:
                text = await answer.text()
                assert answer.headers["Content-Language"] == language
                assert "Accept-Language" in answer.headers["Vary"]
            assert f'<html lang="{language}" dir="ltr">' in text
            assert (
                f"<title>{escape(languages.catalogues()[language]['page.title'])}</title>" in text
            )
            assert "{{" not in text
            preload = re.search(rf'"(/panel/\w+/languages/{language}\.json)"', text)
            assert preload
            async with api.http.get(api.server.url + preload[1]) as answer:
                assert answer.headers["Content-Type"].startswith("application/json")
                assert json.loads(await answer.read()) == languages.catalogues()[language]


async def test_the_setting_decides_for_all() -> None:
    asked = {"Accept-Language": "de"}
    async with (
        api_here(language="en") as api,
        api.http.get(api.server.url + "/", headers=asked) as answer,
    ):
        assert answer.headers["Content-Language"] == "en"


def test_every_catalogue_is_flat_and_sorted() -> None:
    read = {name: body for name, body in panel.files().items() if name.startswith("languages/")}
    assert "languages/en.json" in read
    for name, body in read.items():
        pairs = json.loads(body, object_pairs_hook=list)
        keys = [key for key, _ in pairs]
        assert keys == sorted(set(keys)), name
        assert all(isinstance(text, str) and text.strip() for _, text in pairs), name


# --- messages of the API --------------------------------------------------------------------------


async def test_refusals_and_errors_answer_in_the_language_of_the_request() -> None:
    async with api_here() as api:
        url = api.server.url
        asked: list[tuple[str, str, dict[str, Any] | None, bool, int, str, str]] = [
            ("GET", "/v1/agents", None, False, 401, "unauthorized", "errors.unauthorized"),
            ("GET", "/v1/agents/9", None, True, 404, "not_found", "errors.unknown_agent"),
            ("GET", "/v1/nothing", None, True, 404, "not_found", "errors.not_found"),
            (
                "PUT",
                "/v1/agents",
                None,
                True,
                405,
                "method_not_allowed",
                "errors.method_not_allowed",
            ),
            ("POST", "/v1/agents/1001/transfers", {}, True, 422, "malformed", "errors.malformed"),
            (
                *("POST", "/v1/agents/1003/transfers", TO_BOB),
                *(True, 403, "refused", "refused.no_active_call"),
            ),
        ]
        for language, words in languages.catalogues().items():
            for method, path, body, known, status, code, key in asked:
                headers = {"Accept-Language": f"{language}-XX,xx;q=0.9"}
                headers |= bearer() if known else {}
                async with api.http.request(
                    method, url + path, json=body, headers=headers
                ) as answer:
                    found = await answer.json()
                assert (answer.status, found["error"]) == (status, code), path
                assert found["message"] == words[key] or language == "en", path


MALFORMED: list[tuple[str, str, Any]] = [
    ("POST", "/v1/login", {}),
    ("POST", "/v1/login", []),
    ("POST", "/v1/login", {"agent": 7, "pin": None}),
    ("POST", "/v1/login", {"agent": "", "pin": "p" * 81}),
    ("POST", "/v1/login", {"agent": "1001", "pin": "x", "more": 1}),
    ("POST", "/v1/login", b"{"),
    ("POST", "/v1/login", b"\xff\xfe\x00"),
    ("POST", "/v1/login", b'{"agent": "\\ud800", "pin": "x"}'),
    ("POST", "/v1/agents/1001/transfers", {}),
    ("POST", "/v1/agents/1001/transfers", {"mode": "blind", "target": {"kind": "agent"}}),
    ("POST", "/v1/agents/1001/transfers", {"mode": "supervised", "target": {"kind": "x"}}),
    ("POST", "/v1/agents/1001/transfers", {"mode": "supervised", "target": {"id": "1002"}}),
    ("POST", "/v1/agents/1001/transfers", {"mode": "supervised", "target": "1002"}),
    ("POST", "/v1/transfers/t1/parties", {}),
    ("POST", "/v1/transfers/t1/parties", {"number": 7}),
    ("POST", "/v1/agents/1001/acw", {"extend_seconds": 0}),
    ("POST", "/v1/agents/1001/acw", {"extend_seconds": 3601}),
    ("POST", "/v1/agents/1001/acw", {"extend_seconds": 1.5}),
    ("POST", "/v1/agents/1001/acw", {"extend_seconds": "soon"}),
    ("POST", "/v1/agents/1001/acw", {"extend_seconds": "9" * 5000}),
    ("POST", "/v1/agents/1001/acw", {"extend_seconds": None}),
    ("POST", "/v1/agents/1001/ready", {"keep_acw": "perhaps"}),
    ("POST", "/v1/agents/1001/ready", {"keep_acw": []}),
    ("DELETE", "/v1/requests/short", None),
    ("DELETE", f"/v1/requests/{'k' * 32}?age=-1", None),
    ("DELETE", f"/v1/requests/{'k' * 32}?age=601", None),
    ("DELETE", f"/v1/requests/{'k' * 32}?age=old", None),
    ("GET", f"/v1/agents/{'1' * 200}", None),
]


async def test_what_is_malformed_is_said_in_the_language_of_the_request() -> None:
    """Each sentence is one of the catalogue, with its values, and not the one for all the rest."""
    async with api_here() as api:
        seen: set[str] = set()
        for language, words in languages.catalogues().items():
            known = {
                key: re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(text)))
                for key, text in words.items()
                if key.startswith("invalid.")
            }
            for method, path, body in MALFORMED:
                headers = {"Accept-Language": language, **bearer()}
                headers |= {"Content-Type": "application/json"} if body is not None else {}
                data = body if body is None or isinstance(body, bytes) else json.dumps(body)
                async with api.http.request(
                    method, api.server.url + path, data=data, headers=headers
                ) as answer:
                    found = await answer.json()
                assert answer.status == 422, (path, body)
                assert found["message"] == words["errors.malformed"]
                assert found["details"], (path, body)
                for detail in found["details"]:
                    of = {key for key, text in known.items() if text.fullmatch(detail["message"])}
                    assert of - {"invalid.not_as_described"}, (language, path, body, detail)
                    seen |= of
        assert {key for key in known if key != "invalid.not_as_described"} == seen - {
            "invalid.other"
        }


def test_a_fault_of_an_unknown_kind_is_in_the_language_too() -> None:
    fault = {"type": "url_parsing", "loc": ("body", "x"), "msg": "English", "ctx": {"error": "no"}}
    for language, words in languages.catalogues().items():
        token = languages._language.set(language)
        try:
            (said,) = details([fault])
        finally:
            languages._language.reset(token)
        assert said == {"where": ["body", "x"], "message": words["invalid.not_as_described"]}


async def test_too_many_connections_are_refused_in_the_language_of_the_handshake() -> None:
    async with api_here() as api, contextlib.AsyncExitStack() as stack:
        url = f"{api.server.url}/v1/events"
        headers = {"Accept-Language": "de", **bearer()}
        for _ in range(MAX_PER_TOKEN):
            await stack.enter_async_context(api.http.ws_connect(url, headers=headers))
        asking = headers | {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        said = (
            f"Es gibt {MAX_PER_TOKEN} Verbindungen zu /v1/events mit diesem Token oder"
            f" {MAX_PER_AGENT} dieses Agenten; schließen Sie eine."
        )
        async with api.http.get(url, headers=asking) as answer:
            assert (answer.status, (await answer.json())["message"]) == (429, said)


async def test_the_setting_is_the_language_of_every_answer() -> None:
    async with api_here(language="fr") as api:
        headers = bearer() | {"Accept-Language": "de"}
        url = f"{api.server.url}/v1/agents/9"
        async with api.http.get(url, headers=headers) as answer:
            assert (await answer.json())["message"] == "Cet agent n'existe pas."


async def test_number_checks_answer_in_the_language_of_the_request() -> None:
    async with api_here() as api:
        url = f"{api.server.url}/v1/numbers/check"
        for language, words in languages.catalogues().items():
            for number, key in (("12", "refused.invalid_format"), ("2025550143", "numbers.ok")):
                headers = bearer() | {"Accept-Language": language}
                body = {"agent": "1001", "number": number}
                async with api.http.post(url, json=body, headers=headers) as answer:
                    assert (await answer.json())["message"] == words[key]


def test_the_setting_names_the_catalogues() -> None:
    allowed = get_args(PanelSettings.model_fields["language"].annotation)
    assert set(allowed) == {languages.BROWSER, *languages.catalogues()}
