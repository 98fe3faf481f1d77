"""`asterisk-avp number`, with a real API and without one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_run import Avp
from scripted_transfer_service import INTEGRATION, RunningApi, api_in_thread

from tests.documentation import CLI, COMMANDS


@pytest.fixture
def avp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Avp:
    return Avp(capsys, monkeypatch, tmp_path)


@pytest.fixture
def api(avp: Avp, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningApi]:
    with api_in_thread() as running:
        monkeypatch.setenv("AVP_URL", running.url)
        monkeypatch.setenv("AVP_TOKEN", INTEGRATION)
        yield running


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# --- of a daemon -----------------------------------------------------------------------------


def test_a_number_asked_of_the_daemon(api: RunningApi, avp: Avp) -> None:
    allowed = avp("number", "(202) 555-0100", "--agent", "1001")
    assert (allowed.code, allowed.err) == (0, "")
    assert allowed.out == "allowed: +12025550100 (US, fixed_line_or_mobile)\n"
    refused = avp("number", "+442079460000", "--agent", "1001")
    assert (refused.code, refused.err) == (1, "")
    assert refused.out == "refused (country_mismatch): This number is in another country.\n"


def test_a_number_asked_of_the_daemon_as_json(api: RunningApi, avp: Avp) -> None:
    result = avp("number", "911", "--agent", "1001", "--json")
    assert result.code == 1
    assert json.loads(result.out) == {
        "allowed": False,
        "reason": "emergency",
        "message": "Emergency numbers cannot be called by a transfer.",
        "e164": None,
        "e164_formatted": None,
        "region": None,
        "line_type": None,
    }


def test_an_unknown_agent_and_no_daemon(api: RunningApi, avp: Avp) -> None:
    assert avp("number", "911", "--agent", "9").err == "asterisk-avp: There is no such agent.\n"
    for arguments in (("911",), ("-",)):
        result = avp("number", *arguments, "--agent", "1001", "--url", "http://127.0.0.1:9",
                     stdin=b'{"number": "911"}\n')  # fmt: skip
        assert (result.code, result.out) == (1, "")
        assert "cannot reach the daemon" in result.err


def test_one_answer_for_each_line(api: RunningApi, avp: Avp) -> None:
    lines = [
        b'{"agent": "1001", "number": "+1 202 555 0100"}',
        b"",
        b'{"agent": "9", "number": "+1 202 555 0100"}',
        b"nonsense",
        b'{"agent": "1001", "number": 911}',
        b'{"number": "911"}',
        b'{"agent": "1001", "number": "' + b"9" * 81 + b'"}',
        b"\xff",
        b"[" * 100_000,
        '{"agent": "1002", "number": "２０２５５５０１００"}'.encode(),  # noqa: RUF001
    ]  # fmt: skip
    result = avp("number", "-", stdin=b"\n".join(lines))
    assert (result.code, result.err) == (1, "")
    answers = json_lines(result.out)
    said = [answer.get("e164") or answer["error"] for answer in answers]
    assert said == [
        "+12025550100",
        "not_found",
        *["malformed"] * 6,
        "+12025550100",
    ]
    alone = avp("number", "-", "--agent", "1001", stdin=b'{"number": "202 555 0100"}\n')
    assert (alone.code, json.loads(alone.out)["e164"]) == (0, "+12025550100")


def test_a_token_that_is_not_valid_ends_it(api: RunningApi, avp: Avp) -> None:
    result = avp("number", "-", "--token", "x", stdin=b'{"agent": "1001", "number": "1"}\n' * 2)
    assert (result.code, result.out) == (1, "")
    assert "rejects this token" in result.err


# --- without one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("020 7946 0000", "--country", "gb"), "allowed: +442079460000 (GB, fixed_line)"),
        (("07400 123456", "--country", "GB"), "refused (not_landline)"),
        (("07400 123456", "--country", "GB", "--client-country", "US"), "allowed: +447400123456"),
        (("416 555 0100", "--country", "US"), "allowed: +14165550100"),
        (("416 555 0100", "--country", "CA", "--strict-landline"), "refused (not_landline)"),
        (("800 234 5678", "--country", "US"), "refused (toll_free_not_enabled)"),
        (("800 234 5678", "--country", "US", "--toll-free"), "allowed: +18002345678"),
        (("900 234 5678", "--country", "US"), "refused (toll_not_enabled)"),
        (
            ("0300 123 4567", "--country", "GB", "--landline-types", "fixed_line, UAN"),
            "allowed: +443001234567 (GB, uan)",
        ),
        (("787 345 6789", "--country", "US"), "refused (country_mismatch)"),
        (
            ("787 345 6789", "--country", "US", "--domestic-territories", "pr"),
            "allowed: +17873456789 (PR, fixed_line_or_mobile)",
        ),
        (("0234/123456-10", "--country", "DE"), "allowed: +4923412345610"),
        (("900 234 5678", "--country", "US", "--toll"), "allowed: +19002345678"),
    ],
)
def test_the_rules_without_a_daemon(avp: Avp, arguments: tuple[str, ...], said: str) -> None:
    result = avp("number", *arguments)
    assert result.out.startswith(said)
    assert result.code == (0 if said.startswith("allowed") else 1)


def test_the_commands_of_the_page(avp: Avp) -> None:
    told = [x for x, file in COMMANDS.items() if file == CLI]
    assert len(told) == 2
    for command in told:
        result = avp(*shlex.split(command)[1:])
        assert (result.code, result.out[:9]) == (0, "allowed: "), command


def test_lines_without_a_daemon(avp: Avp) -> None:
    asked = [{"number": "202 555 0100"}, {"agent": "7", "number": "+1 (202) 555-0100"}]
    stdin = "\r\n".join(json.dumps(line) for line in asked).encode()
    result = avp("number", "-", "--country", "US", stdin=stdin)
    assert result.code == 0
    assert [answer["e164"] for answer in json_lines(result.out)] == ["+12025550100"] * 2
    assert avp("number", "-", "--country", "US").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("911",),
        ("911", "--agent", "1001", "--toll"),
        ("911", "--agent", "1001", "--client-country", "US"),
        ("911", "--country", "UK"),
        ("911", "--agent", "1001", "--landline-types", "uan"),
        ("911", "--country", "US", "--landline-types", "uan,toll_free"),
        ("911", "--country", "US", "--domestic-territories", "GB"),
        ("911", "--country", "US", "--client-country", "1"),
        ("911", "912", "--country", "US"),
    ],
)
def test_wrong_usage(avp: Avp, arguments: tuple[str, ...]) -> None:
    result = avp("number", *arguments)
    assert (result.code, result.out) == (2, "")
