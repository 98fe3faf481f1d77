"""For how long phones in a call heard nothing without a reason.

All that a phone hears is recorded anyway (`bed.audio`). So this looks back after each step of a
history, and overlooks no moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bed import Call

Span = tuple[float, float]
"""Wall-clock times."""


def without(spans: Iterable[Span], others: Iterable[Span]) -> Iterator[Span]:
    """The parts of the spans that are in none of the others."""
    apart = sorted(others)
    for start, end in spans:
        at = start
        for first, last in apart:
            if first > at and at < end:
                yield at, min(first, end)
            at = max(at, last)
        if at < end:
            yield at, end


def in_calls(calls: Iterable[Call], since: float, until: float) -> Iterator[Span]:
    """When calls were up, between two times."""
    for call in calls:
        if call.answered is None or (call.ended is None and not call.live):
            continue
        start, end = max(call.answered, since), min(call.ended or until, until)
        if start < end:
            yield start, end


@dataclass
class Silences:
    """Who heard nothing for longer than ``most`` seconds without a reason."""

    most: float
    longest: float = 0.0
    """The longest silence that was heard without a reason, in seconds."""
    whose: tuple[str, float, float] | None = None
    """Who heard it, and when."""
    _reasons: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    _excused: frozenset[str] = frozenset()
    _looked: float = 0.0

    def excuse(self, names: Iterable[str], at: float) -> None:
        """These may hear nothing at this moment.

        A reason begins and ends between two looks: it counts from the one to the other.
        """
        now = frozenset(names)
        for name in now | self._excused:
            self._reasons[name].append((self._looked, at))
        self._excused, self._looked = now, at

    def of(self, name: str, silent: Iterable[Span]) -> list[Span]:
        """The silences of a phone, in its calls, that are too long. ``silent``: all of them."""
        unexcused = list(without(silent, self._reasons[name]))
        longest = max(unexcused, key=lambda span: span[1] - span[0], default=(0.0, 0.0))
        if longest[1] - longest[0] > self.longest:
            self.longest, self.whose = longest[1] - longest[0], (name, *longest)
        return [(start, end) for start, end in unexcused if end - start > self.most]
