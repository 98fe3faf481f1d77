"""docker/up --nodes and docker/down, as a user runs them, in a root file system."""

from __future__ import annotations

import os
import shlex
import subprocess
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.asterisk, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, instance: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "docker" / name), "--instance", instance, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    "nodes", [pytest.param("AB", marks=pytest.mark.thorough), "ABC"], ids=["two", "three"]
)
def test_up_and_down(nodes: str) -> None:
    instance = f"up-{len(nodes)}-{os.getpid()}"
    try:
        up = run("up", instance, "--nodes", str(len(nodes)))
        assert up.returncode == 0, up.stderr
        values = dict(word.split("=", 1) for word in shlex.split(up.stdout))
        assert len({values[f"AVP_SIP_{node}"] for node in nodes}) == len(nodes)
        assert values["AVP_URL"] == values["AVP_URL_A"]
        assert values["AVP_BED_PHONES_B"] == "1003,1004,1005,caller3,caller4,pstn"
        for node in nodes:
            with urllib.request.urlopen(f"{values[f'AVP_URL_{node}']}/readyz", timeout=5) as answer:  # noqa: S310
                assert answer.status == 200
        again = run("up", instance, "--nodes", "2")
        assert again.returncode == 1
        assert "is running already" in again.stderr
    finally:
        down = run("down", instance)
    assert down.returncode == 0, down.stderr
    assert not any(Path(values[f"AVP_BED_DIR_{node}"]).exists() for node in nodes)
    assert "there is no instance" in run("down", instance).stderr
