"""Run the command line in the test's process."""

from __future__ import annotations

import functools
import io
import os
import sys
from pathlib import Path

import pytest
import typer.main

from asterisk_avp.cli import app as cli

# Typer makes all commands anew at each run, which takes longer than most of them.
_command = functools.cache(typer.main.get_command)


class Result:
    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Avp:
    """``avp("agents", "--json")`` as a shell would run it in an empty directory."""

    def __init__(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Path
    ) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        for name in list(os.environ):
            if name.startswith("AVP_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.chdir(place)

    def __call__(self, *arguments: str, stdin: bytes = b"", **variables: str) -> Result:
        with self._monkeypatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            patched.setattr(typer.main, "get_command", _command)
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            with pytest.raises(SystemExit) as exited:
                cli.main(arguments)
        captured = self._capsys.readouterr()
        return Result(exited.value.code or 0, captured.out, captured.err)
