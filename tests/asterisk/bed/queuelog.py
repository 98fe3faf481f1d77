"""app_queue's own records: the file queue_log."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The events that end a call's stay in a queue, of which each stay has exactly one.
ENDINGS = frozenset(
    {
        "ABANDON",
        "COMPLETEAGENT",
        "COMPLETECALLER",
        "BLINDTRANSFER",
        "ATTENDEDTRANSFER",
        "EXITEMPTY",
        "EXITWITHKEY",
        "EXITWITHTIMEOUT",
    }
)


@dataclass(frozen=True)
class Row:
    """time|callid|queue|agent|event|data…"""

    time: int
    call: str
    queue: str
    agent: str
    event: str
    data: tuple[str, ...]

    @property
    def talk(self) -> int:
        """Seconds of talk, for COMPLETEAGENT and COMPLETECALLER."""
        return int(self.data[1])


_LEAST_BARS: Final = 4


class QueueLog:
    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, after: int = 0) -> list[Row]:
        """All rows from number `after` (see `mark`) on."""
        if not self.path.exists():
            return []
        out = []
        for line in self.path.read_text(errors="replace").splitlines():
            if line.count("|") < _LEAST_BARS:  # Asterisk writes a pause's reason as it is
                continue
            time, call, queue, agent, event, *data = line.split("|")
            out.append(Row(int(float(time)), call, queue, agent, event, tuple(data)))
        return out[after:]

    def mark(self) -> int:
        """The number of rows, to be passed as `after` later."""
        return len(self.rows())

    def books(self, after: int = 0) -> dict[str, list[Row]]:
        """The rows with an agent's name, by agent."""
        books: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows(after):
            if row.agent != "NONE":
                books[row.agent].append(row)
        return dict(books)

    def completions(self, after: int = 0) -> dict[str, list[Row]]:
        """Completed calls by agent."""
        done = ("COMPLETEAGENT", "COMPLETECALLER")
        return {
            agent: found
            for agent, rows in self.books(after).items()
            if (found := [r for r in rows if r.event in done])
        }

    def endings(self, after: int = 0) -> list[Row]:
        """How calls left queues, in order."""
        return [r for r in self.rows(after) if r.event in ENDINGS]
