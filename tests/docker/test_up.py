"""docker/up and docker/down with the docker backend, as a user runs them."""

from __future__ import annotations

import os
import shlex
import subprocess
import urllib.request
from pathlib import Path

import pytest
from bed.containers import containers

pytestmark = [pytest.mark.asterisk, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
INSTANCE = "up-and-down"


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "docker" / name), "--instance", INSTANCE, *words]
    # As a user would run it: the backend is detected, not named.
    environment = {key: value for key, value in os.environ.items() if key != "AVP_BED"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_up_and_down() -> None:
    try:
        up = run("up")
        assert up.returncode == 0, up.stderr
        values = dict(word.split("=", 1) for word in shlex.split(up.stdout))
        assert values["AVP_BED_BACKEND"] == "docker"
        phones = len(values["AVP_BED_PHONES"].split(","))
        assert len(containers(INSTANCE)) == phones + 2  # Asterisk and the daemon
        with urllib.request.urlopen(f"{values['AVP_URL']}/readyz", timeout=5) as answer:  # noqa: S310
            assert answer.status == 200
        again = run("up")
        assert again.returncode == 1
        assert "is running already" in again.stderr
    finally:
        down = run("down")
    assert down.returncode == 0, down.stderr
    assert containers(INSTANCE) == []
    assert not Path(values["AVP_BED_DIR"]).exists()
    assert "there is no instance" in run("down").stderr


def test_several_nodes_up_and_down() -> None:
    try:
        up = run("up", "--nodes", "2")
        assert up.returncode == 0, up.stderr
        values = dict(word.split("=", 1) for word in shlex.split(up.stdout))
        assert values["AVP_URL"] == values["AVP_URL_A"] != values["AVP_URL_B"]
        assert values["AVP_SIP_A"] != values["AVP_SIP_B"]
        assert len(containers(f"{INSTANCE}.nats")) == 1
        assert values["AVP_BED_PHONES_A"] == "1001,1002,caller1,caller2,pstn"
        assert values["AVP_BED_PHONES_B"] == "1003,1004,1005,caller3,caller4,pstn"
        for node in "AB":
            with urllib.request.urlopen(f"{values[f'AVP_URL_{node}']}/readyz", timeout=5) as answer:  # noqa: S310
                assert answer.status == 200
        again = run("up", "--nodes", "2")
        assert again.returncode == 1
        assert "is running already" in again.stderr
    finally:
        down = run("down")
    assert down.returncode == 0, down.stderr
    for node in "AB":
        assert containers(values[f"AVP_BED_INSTANCE_{node}"]) == []
        assert containers(f"{INSTANCE}.nats") == []
        assert not Path(values[f"AVP_BED_DIR_{node}"]).exists()
    assert "there is no instance" in run("down").stderr
