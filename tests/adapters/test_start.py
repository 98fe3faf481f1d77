"""`asterisk-avp run` from the shell: what it loads, and how it ends where it cannot begin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("by", [["-m", "asterisk_avp", "run"], ["-m", "asterisk_avp", "run", "x"]])
def test_what_is_wrong_is_said_and_is_the_status(tmp_path: Path, by: list[str]) -> None:
    """By the daemon's own way in, and by the command line, which sees to all but ``run`` alone."""
    ended = run(tmp_path, *by)
    if by[-1] == "run":
        assert ended.returncode == 1
        assert ended.stderr.startswith("asterisk-avp: the configuration has")
        assert "AVP_AMI__SECRET: is required" in ended.stderr
    else:
        assert ended.returncode == 2
        assert "unexpected extra argument" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_daemon_does_without_the_command_line(tmp_path: Path) -> None:
    ended = run(tmp_path, "-X", "importtime", "-m", "asterisk_avp", "run")
    loaded = set(re.findall(r"\| +([\w.]+)$", ended.stderr, re.MULTILINE))
    assert "asterisk_avp.config.settings" in loaded
    assert loaded.isdisjoint({"typer", "requests", "asterisk_avp.cli.app"})
