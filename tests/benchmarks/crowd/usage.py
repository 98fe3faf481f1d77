"""Processor time and memory of processes, from /proc."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bed import ProcessId

_TICK: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no VmRSS of {pid}")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def busy_seconds() -> tuple[float, float]:
    """Busy time of all processors (with stolen time), and total time."""
    numbers = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    idle = numbers[3] + numbers[4]
    return (sum(numbers) - idle) / _TICK, sum(numbers) / _TICK


def thread_seconds(pid: int) -> dict[int, float]:
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the thread has just ended
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / _TICK
    return found


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment."""

    at: float
    cpu: dict[str, float]
    rss: dict[str, float]
    busy: tuple[float, float]

    @classmethod
    def now(cls, processes: dict[str, ProcessId]) -> Snapshot:
        cpu: Counter[str] = Counter()
        rss: Counter[str] = Counter()
        for name, process in processes.items():
            kind = name.partition(" ")[0]  # "sipp agents" and "sipp talkers" are one row
            cpu[kind] += cpu_seconds(process.pid)
            rss[kind] += rss_mib(process.pid)
        return cls(time.monotonic(), dict(cpu), dict(rss), busy_seconds())


def percent_of_one(first: Snapshot, last: Snapshot) -> dict[str, float]:
    """The use of one processor by each kind in percent, and of the whole machine."""
    seconds = max(last.at - first.at, 0.001)
    found = {kind: 100 * (last.cpu[kind] - first.cpu[kind]) / seconds for kind in first.cpu}
    whole = max(last.busy[1] - first.busy[1], 0.001)
    found["machine"] = 100 * (last.busy[0] - first.busy[0]) / whole
    return found
