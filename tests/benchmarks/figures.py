"""Common parts of the benchmark reports: percentiles, tables, and conditions."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below ``percent`` of the values (nearest rank).

    With fewer than a hundred values, the 99th percentile is the maximum.
    """
    if not values:
        raise ValueError("no values")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(0, rank - 1)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, minimum and maximum."""
    if not values:
        return "-"
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def ratio(measured: Sequence[float], to: Sequence[float], percent: float = 50) -> str:
    """The ratio of the two at that percentile."""
    if not (measured and to):
        return "-"
    below = percentile(to, percent)
    return f"{percentile(measured, percent) / below:.1f}" if below > 0 else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """An aligned Markdown table. The first ``words`` columns are text, the others numbers."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i < words else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join(line(cells) for cells in (head, rule, *rows))


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def conditions(asterisk: str, backend: str, load_before: float) -> list[str]:
    """Lines with the conditions of the measurement."""
    load = f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    return [
        f"- Machine: {cpu()}, {os.cpu_count()} processors; {load}",
        f"- {asterisk}, Python {platform.python_version()}, {backend}",
        f"- asterisk_avp commit {commit()}, {time.strftime('%Y-%m-%d')}",
    ]
