"""Processes we start: known by pid *and* start time, so that nothing else is ever ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: What makes a process end with the one that started it.
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class ProcessId:
    """A pid alone may be reused; with its start time it names one process for good."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid, _start_time(pid))

    @classmethod
    def mine(cls) -> ProcessId:
        return cls.of(os.getpid())

    def alive(self) -> bool:
        try:
            return _start_time(self.pid) == self.started and _state(self.pid) != "Z"
        except OSError:
            return False

    def signal(self, number: int) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _stat(pid: int) -> list[str]:
    # The command name, in brackets, may itself hold spaces and brackets.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _start_time(pid: int) -> int:
    return int(_stat(pid)[19])


def _state(pid: int) -> str:
    return _stat(pid)[0]


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> ProcessId:
    """Start a process in a session of its own, with its output in `log`."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    _children[child.pid] = child
    return ProcessId.of(child.pid)


def forget_children() -> None:
    """Let go of processes that are to outlive us."""
    for child in _children.values():
        child.returncode = 0  # so that subprocess does not complain about leaving it behind
    _children.clear()


def exited(who: ProcessId) -> int | None:
    """The exit status of a process that we started, once it has ended."""
    child = _children.get(who.pid)
    if child is not None:
        return child.poll()
    return None if who.alive() else 0


def end(who: ProcessId, *, grace: float = 5.0, first: int | None = signal.SIGTERM) -> None:
    """Ask politely, then insist. Returns when it is gone. `first` None: it was asked already."""
    for number, patience in ((first, grace), (signal.SIGKILL, 5.0)):
        if number is not None:
            who.signal(number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if exited(who) is not None or not who.alive():
                child = _children.pop(who.pid, None)
                if child is not None:
                    child.wait()  # it has ended; take its status, or it stays a zombie
                return
            time.sleep(0.01)
    raise RuntimeError(f"process {who.pid} does not end")
