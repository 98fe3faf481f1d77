"""SIGHUP to a real daemon, without an Asterisk, which a reload does not need."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import GOOD, Running, running, wait_until

from asterisk_avp.api.auth import Authenticator, LoginFailed


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as started:
        yield started


def test_valid_settings_are_in_force_and_log_ins_follow(daemon: Running) -> None:
    alice, bob = daemon.login("1001", "1111"), daemon.login("1002", "2222")
    number = {"agent": "1001", "number": "+442079460000"}
    check = ("POST", "/v1/numbers/check", "first-token")
    assert daemon.ask(*check, **number).json()["reason"] == "country_mismatch"
    daemon.reload(
        GOOD.replace("COUNTRY=US", "COUNTRY=GB")
        .replace("=Alice", "=Alicia")
        .replace("first-token", "first-token,second-token")
        .replace("1111", "9999")
    )
    daemon.wait_for("reloaded")
    assert daemon.ask("POST", "/v1/numbers/check", "second-token", **number).json()["allowed"]
    assert daemon.ask("GET", "/v1/agents/1001", "first-token").json()["name"] == "Alicia"
    assert daemon.ask("GET", "/v1/agents", alice).status_code == 401  # the PIN is different
    assert daemon.ask("GET", "/v1/agents", bob).status_code == 200
    assert daemon.login("1001", "1111") == ""
    assert daemon.login("1001", "9999")
    daemon.reload(GOOD.replace("first-token", "third-token"))
    daemon.wait_for("reloaded", 2)
    assert daemon.ask("GET", "/v1/agents", "first-token").status_code == 401
    assert daemon.ask("GET", "/v1/agents", "third-token").status_code == 200
    assert not [line for line in daemon.log() if line["event"] == "restart_needed"]


def test_invalid_settings_change_nothing_and_are_named(daemon: Running) -> None:
    daemon.reload(
        GOOD.replace("first-token", "second-token").replace("COUNTRY=US", "COUNTRY=UK")
        + "AVP_FOO=1\n"
    )
    problems = daemon.wait_for("reload_refused")["problems"]
    assert [line.split(":")[0].split(" ")[0] for line in problems] == [
        "AVP_ACCOUNTS__ACME__COUNTRY",
        "AVP_FOO",
    ]
    assert daemon.ask("GET", "/v1/agents", "first-token").status_code == 200
    assert daemon.ask("GET", "/v1/agents", "second-token").status_code == 401
    daemon.reload(GOOD.replace("first-token", "second-token"))
    daemon.wait_for("reloaded")
    assert daemon.ask("GET", "/v1/agents", "second-token").status_code == 200


def test_what_needs_a_restart_is_said_and_stays(daemon: Running) -> None:
    changed = GOOD.replace("ami-hush", "new-hush") + "AVP_SESSION__RING_SECONDS=20\n"
    changed += "AVP_SESSION__ORPHAN_SECONDS=90\n"
    for times in (1, 2):  # and is repeated as long as it persists
        daemon.reload(changed.replace("first-token", f"token-{times}"))
        assert daemon.wait_for("restart_needed", times)["settings"] == [
            "AVP_AMI__SECRET",
            "AVP_SESSION__ORPHAN_SECONDS",
            "AVP_SESSION__RING_SECONDS",
        ]
        assert daemon.ask("GET", "/v1/agents", f"token-{times}").status_code == 200


def test_files_with_secrets_are_read_again(daemon: Running) -> None:
    tokens = daemon.place / "tokens"
    named = GOOD.replace("AVP_API__TOKENS=first-token", "AVP_API__TOKENS_FILE=tokens")
    tokens.write_text("second-token\nthird-token\n")
    daemon.reload(named)
    daemon.wait_for("reloaded")
    for token, status in (("first", 401), ("second", 200), ("third", 200)):
        assert daemon.ask("GET", "/v1/agents", f"{token}-token").status_code == status
    tokens.unlink()
    daemon.reload(named)
    (problem,) = daemon.wait_for("reload_refused")["problems"]
    assert problem.startswith("AVP_API__TOKENS_FILE (in .env): ")
    assert daemon.ask("GET", "/v1/agents", "second-token").status_code == 200


def test_several_at_once(daemon: Running) -> None:
    for _ in range(20):
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    daemon.wait_for("reloaded")
    daemon.reload(GOOD.replace("first-token", "last-token"))
    wait_until(lambda: daemon.ask("GET", "/v1/agents", "last-token").status_code == 200)


# --- log-ins ---------------------------------------------------------------------------------


async def test_a_pin_that_stays_keeps_its_log_ins_and_one_that_is_gone_ends_them() -> None:
    auth = Authenticator(pins={"1": "old"})
    salt_and_hash = auth._pins["1"]
    token = await auth.login("1", "old", "")
    await auth.reconfigure(tokens=["x"], pins={"1": "old"}, token_lifetime_seconds=60)
    assert auth._pins["1"] == salt_and_hash
    assert auth.identify(token) is not None
    await auth.reconfigure(tokens=[], pins={}, token_lifetime_seconds=60)
    assert auth.identify(token) is None
    assert auth.identify("x") is None
    with pytest.raises(LoginFailed):
        await auth.login("1", "old", "")
