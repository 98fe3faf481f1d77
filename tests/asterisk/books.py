"""Whether queue_log is consistent with itself: for the end of a history, when no call is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from bed.queuelog import ENDINGS, Row


def wrong(rows: Iterable[Row]) -> Iterator[str]:
    """``rows``: of one Asterisk, from a moment without calls to one without calls.

    Of each queue as many calls are told to leave as to enter, and of each agent as many to end as
    to begin. Not by the calls' ids, as a caller takes their consult leg's place; nor by order,
    as another program may take a caller to the next queue before the end in the last is written.
    """
    inside: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for row in rows:
        ends = row.event in ENDINGS
        if ends or row.event == "ENTERQUEUE":
            inside[row.queue] += -1 if ends else 1
        if row.agent != "NONE" and (ends or row.event == "CONNECT"):
            taken[row.agent] += -1 if ends else 1
    yield from (
        f"{count} calls too many entered {queue}" for queue, count in inside.items() if count
    )
    yield from (
        f"{agent} has begun {count} calls too many" for agent, count in taken.items() if count
    )
