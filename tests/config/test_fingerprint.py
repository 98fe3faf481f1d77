"""The hash by which nodes see that their settings differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from asterisk_avp.config.fingerprint import LENGTH, config_hash
from asterisk_avp.config.settings import Settings

BASE = {
    "AVP_CLUSTER__NODE": "a",
    "AVP_CLUSTER__SERVERS": "nats://127.0.0.1:4222",
    "AVP_CLUSTER__CREDENTIALS": "a:secret",
    "AVP_NODES__A__URL": "https://a.example:8443",
    "AVP_NODES__A__TOKEN": "a" * 32,
    "AVP_NODES__B__URL": "https://b.example:8443",
    "AVP_NODES__B__TOKEN": "b" * 32,
    "AVP_ACCOUNTS__ACME__COUNTRY": "US",
    "AVP_ENTERPRISE__LANDLINE_TYPES": "fixed_line,uan",
    "AVP_GROUPS__SALES__ACCOUNT": "acme",
    "AVP_GROUPS__SUPPORT__ACCOUNT": "acme",
    "AVP_PRESETS__BILLING__NUMBER": "+12025550101",
    "AVP_PRESETS__BILLING__GROUP": "support",
    "AVP_AGENTS__1001__GROUPS": "sales,support",
    "AVP_AGENTS__1001__PIN": "4711",
}


def hashed(tmp_path: Path, **changes: str) -> str:
    return config_hash(Settings.load({**BASE, **changes}, tmp_path, connect=False))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVP_ENTERPRISE__TOLL_SERVICE", "true"),
        ("AVP_ACCOUNTS__ACME__COUNTRY", "GB"),
        ("AVP_GROUPS__SALES__MAX_HOLD_SECONDS", "7"),
        ("AVP_GROUPS__OTHER__ACCOUNT", "acme"),
        ("AVP_PRESETS__BILLING__NUMBER", "+12025550102"),
        ("AVP_AGENTS__1001__GROUPS", "sales"),
        ("AVP_AGENTS__1001__NODE", "b"),
        ("AVP_AGENTS__1002__NAME", "Bob"),
        ("AVP_PANEL__PAUSE_REASONS", "Lunch"),
        ("AVP_ENTERPRISE__LANDLINE_TYPES", "fixed_line"),
    ],
)
def test_what_must_be_equal_changes_it(tmp_path: Path, name: str, value: str) -> None:
    assert hashed(tmp_path, **{name: value}) != hashed(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVP_CLUSTER__NODE", "b"),
        ("AVP_CLUSTER__SERVERS", "tls://nats.example:4222"),
        ("AVP_CLUSTER__CREDENTIALS", "b:other"),
        ("AVP_NODES__B__URL", "https://elsewhere.example"),
        ("AVP_NODES__B__TOKEN", "x" * 40),
        ("AVP_AGENTS__1001__PIN", "0815"),
        ("AVP_AGENTS__1001__GROUPS", "support, sales"),
        ("AVP_ENTERPRISE__LANDLINE_TYPES", "uan,fixed_line"),
        ("AVP_API__PORT", "9000"),
        ("AVP_AMI__HOST", "10.0.0.1"),
        ("AVP_AMI__SECRET", "other"),
    ],
)
def test_a_nodes_own_and_secrets_and_the_order_do_not(
    tmp_path: Path, name: str, value: str
) -> None:
    assert hashed(tmp_path, **{name: value}) == hashed(tmp_path)


def test_it_is_the_same_in_each_process_and_says_nothing(tmp_path: Path) -> None:
    found = hashed(tmp_path)

    assert len(found) == LENGTH
    assert int(found, 16) >= 0
