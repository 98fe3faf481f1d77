"""`asterisk-avp run` from the shell: what it loads, and its exit if it cannot start."""

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
    """Through the daemon's own entry point, and through the general command line."""
    ended = run(tmp_path, *by)
    if by[-1] == "run":
        assert ended.returncode == 1
        assert ended.stderr.startswith("asterisk-avp: the configuration has")
        assert "AVP_AMI__SECRET: is required" in ended.stderr
    else:
        assert ended.returncode == 2
        assert "unexpected extra argument" in ended.stderr
    assert "Traceback" not in ended.stderr


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    ended = run(folder, "-X", "importtime", "-m", "asterisk_avp", *arguments)
    assert "Traceback" not in ended.stderr
    return set(re.findall(r"\| +([\w.]+)$", ended.stderr, re.MULTILINE))


def test_the_daemon_does_without_the_command_line(tmp_path: Path) -> None:
    loaded = loaded_by(tmp_path, "run")
    assert {"asterisk_avp.config.settings", "asterisk_avp.service.daemon"} <= loaded
    assert loaded.isdisjoint({"typer", "requests", "asterisk_avp.cli.app"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("number", "+442079460000", "--country", "GB"),
        ("agents", "--url", "http://127.0.0.1:9"),
        ("settings",),
        ("render", "dialplan", "--path"),
        ("check", "--config-dir", "."),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_other_commands_do_without_the_daemon(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    loaded = loaded_by(tmp_path, *arguments)
    assert "asterisk_avp.cli.app" in loaded
    assert loaded.isdisjoint({"asterisk_avp.service", "asterisk_avp.api.app", "fastapi", "uvicorn"})
