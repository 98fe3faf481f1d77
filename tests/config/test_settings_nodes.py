"""Settings of several nodes that cannot be used: one clear line each, which names the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import ConfigError

TOKEN = "token-of-a-node-that-is-long-enough"
GOOD = {
    "AVP_CLUSTER__NODE": "a",
    "AVP_CLUSTER__SERVERS": "nats://192.0.2.11:4222",
    "AVP_CLUSTER__CREDENTIALS": "a:the-password-at-nats",
    "AVP_NODES__A__URL": "http://192.0.2.11:8766",
    "AVP_NODES__A__SIP": "192.0.2.11:5070",
    "AVP_NODES__A__TOKEN": f"{TOKEN}-a",
    "AVP_NODES__B__URL": "http://192.0.2.12:8766",
    "AVP_NODES__B__SIP": "192.0.2.12:5070",
    "AVP_NODES__B__TOKEN": f"{TOKEN}-b",
    "AVP_AGENTS__1001__NODE": "b",
}
LONG = "x" * 70_000


def faults(**changes: str | None) -> list[str]:
    """The lines of the error; empty if these settings can be used."""
    env = {name: value for name, value in (GOOD | changes).items() if value is not None}
    try:
        Settings.load(env, Path("/nonexistent"), connect=False)
    except ConfigError as error:
        return str(error).splitlines()[1:]
    return []


def test_these_are_well() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("AVP_CLUSTER__NODE", x) for x in ("c", "../a", "a b", "ä", "a;x", LONG)),
        *(
            ("AVP_CLUSTER__SERVERS", x)
            for x in (
                *("http://192.0.2.11", "192.0.2.11:4222", "nats://", "nats://a:b@192.0.2.11"),
                *("nats://192.0.2.11:x", "nats://192.0.2.11:0", "nats://192.0.2.11:70000"),
                *("nats://[::1", "nats://192.0.2.11/x", "nats://192.0.2.11?x", "tls://a\n.example"),
                *("nats://192.0.2.11,nats://192.0.2.11", "nats://192.0.2.11,tls://192.0.2.12"),
                f"nats://{'x' * 300}.example",
            )
        ),
        *(("AVP_CLUSTER__CREDENTIALS", x) for x in ("no-colon", ":x", "a:", "a:x\ny")),
        *(("AVP_CLUSTER__LOST_SECONDS", x) for x in ("0", "-1", "nan", "inf", "x", "1e9")),
        *(("AVP_CLUSTER__TLS_KEY", x) for x in ("/etc/x.pem",)),
        *(("AVP_CLUSTER__TLS_CA", x) for x in ("/etc/x\n.pem",)),
        ("AVP_CLUSTER__UNKNOWN", "x"),
        *(
            ("AVP_NODES__B__URL", x)
            for x in (
                *("", "192.0.2.12", "ftp://192.0.2.12", "http://", "http://u:secret@192.0.2.12"),
                *("http://192.0.2.12?x", "http://192.0.2.12#x", "http://192.0.2.12:x"),
                *("http://192.0.2.12:99999", "http://[::1", "http://192.0.2.12/a b", "http://a\nb"),
            )
        ),
        *(("AVP_NODES__B__SIP", x) for x in ("b.example:5070", "192.0.2.12:0", "192.0.2.12;x")),
        *(("AVP_NODES__B__SIP", x) for x in ("192.0.2.11:5070", "192.0.2.12:5070;transport=tls")),
        *(("AVP_NODES__B__ENDPOINT", x) for x in ("a b", "x]", "-x", "x" * 50)),
        ("AVP_NODES__B__ENDPOINT", "avp-node-a"),
        *(("AVP_NODES__B__TOKEN", x) for x in ("", "short", f"{TOKEN}-a", f"{TOKEN}\n", "ä" * 40)),
        ("AVP_NODES__B__UNKNOWN", "x"),
        *(("AVP_AGENTS__1001__NODE", x) for x in ("c", "../b", "b c", LONG)),
    ],
)
def test_what_cannot_be_used_is_named_on_one_line(name: str, value: str) -> None:
    lines = faults(**{name: value})

    assert len(lines) == 1, lines
    assert lines[0].strip().startswith(f"{name}: ") or name in lines[0], lines
    assert len(lines[0]) < 400
    for secret in ("the-password-at-nats", TOKEN, "u:secret", "a:b@"):
        assert secret not in lines[0]
    if name.endswith(("TOKEN", "CREDENTIALS")) and value.strip():
        assert value not in lines[0]


@pytest.mark.parametrize("name", ["AVP_NODES__B__URL", "AVP_NODES__B__TOKEN"])
def test_what_is_missing_is_named(name: str) -> None:
    (line,) = faults(**{name: None})
    assert name in line


def test_secrets_are_not_in_what_settings_show() -> None:
    settings = Settings.load(GOOD, Path("/nonexistent"), connect=False)
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "the-password-at-nats" not in text
        assert TOKEN not in text
