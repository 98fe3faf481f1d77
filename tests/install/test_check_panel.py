"""Who can name the panel's users, and where the panel can be embedded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asterisk_avp.cli.check import _panel, _people
from asterisk_avp.install.checks.model import Addresses, Facts, Finding, PanelFacts
from asterisk_avp.install.checks.panel import panel
from tests.adapters.cli_run import Avp
from tests.config.test_settings import NEEDED, load

DEFAULT = PanelFacts(
    user_header="X-Forwarded-User", proxies=("127.0.0.1", "::1"), named=False, other_users=()
)


def found(facts: PanelFacts, api: str = "127.0.0.1") -> list[tuple[str, str]]:
    return [(x.id, x.severity.value) for x in findings(facts, api)]


def findings(facts: PanelFacts, api: str = "127.0.0.1") -> list[Finding]:
    return list(panel(Facts({}, panel=facts, addresses=Addresses(api=api))))


def test_nothing_is_said_without_settings() -> None:
    assert list(panel(Facts({}))) == []
    assert findings(replace(DEFAULT, user_header="", other_users=("mallory",))) == []


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "warning"),
        ({"other_users": ("mallory",)}, "error"),
        ({"other_users": ("mallory",), "named": True}, "error"),
        ({"named": True}, "ok"),
        ({"secret": True, "other_users": ("mallory",)}, "ok"),
        ({"proxies": ("192.0.2.10",), "named": True, "other_users": ("mallory",)}, "ok"),
        ({"proxies": ("0.0.0.0/0",), "named": True, "other_users": ("mallory",)}, "error"),
        ({"proxies": ("::/0",), "named": True, "other_users": ("mallory",)}, "error"),
        ({"proxies": ("127.0.0.8",), "named": True, "other_users": ("mallory",)}, "error"),
    ],
)
def test_who_can_send_the_header(changes: dict[str, object], severity: str) -> None:
    assert found(replace(DEFAULT, **changes)) == [("panel", severity)]  # type: ignore[arg-type]


def test_the_finding_names_who_and_the_remedy() -> None:
    (one,) = findings(replace(DEFAULT, other_users=("mallory", "eve")))
    assert "mallory, eve" in one.what
    assert "X-Forwarded-User" in one.why
    assert "AVP_PANEL__USER_HEADER_SECRET" in one.mend[0]


@pytest.mark.parametrize(
    ("api", "severity"), [("127.0.0.1", "ok"), ("::1", "ok"), ("0.0.0.0", "warning")]
)
def test_frames_need_https(api: str, severity: str) -> None:
    facts = PanelFacts(frame_ancestors=True, proxies=("127.0.0.1",))
    assert found(facts, api) == [("panel", severity)]


# --- what `check` knows of them --------------------------------------------------------------

HEADER = {"AVP_PANEL__USER_HEADER": "X-Forwarded-User"}
SECRET = {"AVP_PANEL__USER_HEADER_SECRET": "0123456789abcdef"}


def test_the_facts_are_those_of_the_settings() -> None:
    none = _panel(load(NEEDED))
    assert (none.user_header, none.secret, none.frame_ancestors) == ("", False, False)
    assert (none.proxies, none.named) == (("127.0.0.1", "::1"), False)
    proxies = {"AVP_API__TRUSTED_PROXIES": "127.0.0.1"}
    frames = {"AVP_PANEL__FRAME_ANCESTORS": "https://crm.example"}
    given = _panel(load(NEEDED | HEADER | SECRET | proxies | frames))
    assert given.user_header == "X-Forwarded-User"
    assert given.secret
    assert given.frame_ancestors
    assert (given.proxies, given.named) == (("127.0.0.1",), True), "named, though it is a default"
    assert "0123456789abcdef" not in repr(given)


def test_people_are_those_who_can_log_in_here() -> None:
    """As the file of users has them, which another program reads here."""
    shells = {
        name: shell
        for name, _, uid, _, _, _, shell in (
            line.split(":") for line in Path("/etc/passwd").read_text().splitlines()
        )
        if 1000 <= int(uid) < 60_000
    }
    found = set(_people())
    assert "root" not in found
    assert "nobody" not in found
    assert found <= set(shells)
    assert all(not shells[name].endswith(("nologin", "false")) for name in found)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, set()),
        (HEADER, {"warning", "error"}),
        (HEADER | SECRET, {"ok"}),
        (HEADER | {"AVP_API__TRUSTED_PROXIES": "192.0.2.10"}, {"ok"}),
    ],
)
def test_the_command_says_it(
    more: dict[str, str],
    expected: set[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    avp = Avp(capsys, monkeypatch, tmp_path)
    answer = avp("check", "--offline", "--json", "--config-dir", str(tmp_path), **NEEDED, **more)
    found = [x for x in json.loads(answer.out)["findings"] if x["id"] == "panel"]
    assert len(found) == bool(expected)
    assert all(x["severity"] in expected for x in found)
    assert SECRET["AVP_PANEL__USER_HEADER_SECRET"] not in answer.out + answer.err
