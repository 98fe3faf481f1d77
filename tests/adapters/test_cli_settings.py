"""`asterisk-avp settings`: its output, and what it never shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_run import Avp

ENVIRONMENT = {
    "AVP_CONFIG": "avp.toml",
    "AVP_ARI__USERNAME": "avp",
    "AVP_ARI__PASSWORD": "ari-hush",
    "AVP_AMI__USERNAME": "avp",
    "AVP_AMI__SECRET": "ami-hush",
    "AVP_API__TOKENS": "tok-hush",
    "AVP_ENTERPRISE__EXTERNAL_TRANSFER": "yes",
    "AVP_ENTERPRISE__MANUAL_DIAL": "yes",
    "AVP_GROUPS__SUPPORT__EXTERNAL_TRANSFER": "no",
    "AVP_AGENTS__1001__PIN": "pin-hush",
    "AVP_AGENTS__1001__GROUPS": "sales,support",
    "AVP_AGENTS__1002__COUNTRY": "CA",
}
TOML = """
[accounts.acme]
country = "US"
max_hold_seconds = 30
external_accept = "press1"
[groups.sales]
account = "acme"
[groups.support]
[presets.billing]
number = "+12025550101"
group = "support"
"""


@pytest.fixture
def avp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Avp:
    made = Avp(capsys, monkeypatch, tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "avp.toml").write_text(TOML)
    (tmp_path / ".env").write_text("AVP_GROUPS__SALES__CONFERENCE=yes\n")
    return made


def test_each_value_with_its_origin(avp: Avp) -> None:
    result = avp("settings", "--json")
    assert (result.code, result.err) == (0, "")
    shown = json.loads(result.out)
    sales, support = shown["groups"]["sales"], shown["groups"]["support"]
    assert sales["queue"] == {"value": "sales", "origin": "default"}
    assert sales["presets"] == {"value": False, "origin": "default"}
    assert sales["conference"] == {
        "value": True,
        "origin": "AVP_GROUPS__SALES__CONFERENCE (in .env)",
    }
    assert sales["max_hold_seconds"] == {
        "value": 30,
        "origin": "AVP_ACCOUNTS__ACME__MAX_HOLD_SECONDS"
        " (accounts.acme.max_hold_seconds in avp.toml)",
    }
    assert sales["external_accept"] == {
        "value": "press1",
        "origin": "AVP_ACCOUNTS__ACME__EXTERNAL_ACCEPT (accounts.acme.external_accept in avp.toml)",
    }
    assert support["external_accept"] == {"value": "none", "origin": "default"}
    assert sales["manual_dial"] == {"value": True, "origin": "AVP_ENTERPRISE__MANUAL_DIAL"}
    # A setting that is off because of another one names it.
    assert support["manual_dial"] == {
        "value": False,
        "origin": "AVP_GROUPS__SUPPORT__EXTERNAL_TRANSFER",
    }
    alice, bob = shown["agents"]["1001"], shown["agents"]["1002"]
    assert alice["groups"] == {"value": ["sales", "support"], "origin": "AVP_AGENTS__1001__GROUPS"}
    assert alice["pin"] == {"value": "set", "origin": "AVP_AGENTS__1001__PIN"}
    assert alice["country"]["value"] == "US"
    assert "AVP_ACCOUNTS__ACME__COUNTRY" in alice["country"]["origin"]
    assert bob["country"] == {"value": "CA", "origin": "AVP_AGENTS__1002__COUNTRY"}
    assert bob["pin"] == {"value": None, "origin": "default"}
    assert shown["presets"]["billing"]["number"]["value"] == "+12025550101"
    for text in (result.out, avp("settings").out):
        assert "hush" not in text


def test_without_a_contract_everything_is_off(avp: Avp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_ACCOUNTS__ACME__CONTRACTED", "no")
    sales = json.loads(avp("settings", "--json").out)["groups"]["sales"]
    for name in ("session_transfer", "internal_transfer", "conference"):
        assert sales[name] == {"value": False, "origin": "AVP_ACCOUNTS__ACME__CONTRACTED"}


def test_the_table_is_aligned(avp: Avp) -> None:
    lines = avp("settings").out.splitlines()
    assert lines[0] == "group sales"
    header = lines[1]
    rows = lines[2 : lines.index("")]
    assert header.split() == ["SETTING", "VALUE", "ORIGIN"]
    for column in ("VALUE", "ORIGIN"):
        at = header.index(column)
        assert all(row[at - 1] == " " and row[at] != " " for row in rows)
    (accept,) = (row.split()[:2] for row in rows if "external_accept" in row)
    assert accept == ["external_accept", "press1"]
    assert "agent 1001" in lines
    assert "preset billing" in lines


def test_check(avp: Avp, monkeypatch: pytest.MonkeyPatch) -> None:
    good = avp("settings", "--check")
    assert (good.code, good.out) == (0, "the settings are valid\n")
    assert json.loads(avp("settings", "--check", "--json").out) == {"ok": True, "problems": []}
    monkeypatch.delenv("AVP_AMI__SECRET")
    monkeypatch.setenv("AVP_GROUPS__SALES__CONFERENCE", "perhaps")
    bad = avp("settings", "--check")
    assert (bad.code, bad.out) == (1, "")
    assert "AVP_AMI__SECRET: is required" in bad.err
    assert "AVP_GROUPS__SALES__CONFERENCE: " in bad.err
    as_json = avp("settings", "--check", "--json")
    assert as_json.code == 1
    found = json.loads(as_json.out)
    assert (found["ok"], len(found["problems"])) == (False, 2)
    # Unusable settings cannot be shown either.
    assert avp("settings").code == 1
