"""docker/up --nodes and docker/down, as a user runs them, in a root file system."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from bed import backend_named

pytestmark = [pytest.mark.asterisk, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, instance: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "docker" / name), "--instance", instance, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.thorough  # the tests in containers start two nodes, too
@pytest.mark.parametrize("nodes", ["AB", "ABC"], ids=["two", "three"])
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
        for again in (run("up", instance, "--nodes", "2"), run("up", instance)):
            assert again.returncode == 1
            assert "is running already" in again.stderr
    finally:
        down = run("down", instance)
    assert down.returncode == 0, down.stderr
    assert not any(Path(values[f"AVP_BED_DIR_{node}"]).exists() for node in nodes)
    assert "there is no instance" in run("down", instance).stderr


@pytest.mark.thorough
@pytest.mark.parametrize("when", ["full.log", "daemon.log"])
def test_it_is_interrupted(when: str) -> None:
    """Ctrl-C while Asterisk or the daemons start: nothing is left."""
    instance = f"up-int-{os.getpid()}"
    backend = backend_named("rootfs")
    seen = backend.directory(f"{instance}-b") / "log" / when
    # A program in the background of a shell ignores Ctrl-C, and so would this one.
    command = ["env", "--default-signal=INT", str(ROOT / "docker" / "up")]
    command += ["--instance", instance, "--nodes", "2"]
    try:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as up:
            deadline = time.monotonic() + 60
            while not seen.exists():
                assert up.poll() is None, up.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.killpg(up.pid, signal.SIGINT)  # as a terminal does
            out, err = up.communicate(timeout=60)
    finally:
        down = run("down", instance)
    assert up.returncode == 130, err
    assert out == ""
    assert "everything that was started has ended" in err
    assert "Traceback" not in err, err
    assert "there is no instance" in down.stderr
    assert not list(seen.parents[2].glob(f"{instance}*"))
