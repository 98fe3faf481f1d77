"""Whether a new transfer may begin, by how long Asterisk takes at present. Pure.

An Asterisk without free processors does everything late. Each further transfer delays those under
way, until deadlines expire and transfers fail that would have succeeded. Two measurements decide:

* How long transfers take to begin: from the request until the target's phone rings, or the call
  waits. Only so many may be beginning at a time that this stays below a bound. Their number is
  found as TCP finds its window (RFC 5681, 3.1): it grows while all is well, and shrinks by a factor
  when a beginning took too long.
* How long Asterisk takes to answer a ping. If that is slow repeatedly, no transfer begins until it
  is fast again. One slow answer says nothing.

Every ``now`` is in seconds on any clock that does not go back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

LEAST: Final = 4.0
"""So many may always be beginning if Asterisk answers; or nothing would be measured any more."""
FIRST: Final = 8.0
MOST: Final = 64.0

_SHRINK: Final = 0.7
_ANSWERS: Final = 10
"""Answers that are remembered."""
_RECENT: Final = 5
"""If `_SLOW` of so many answers were slow, Asterisk is busy."""
_SLOW: Final = 2
_FAST: Final = 5
"""So many answers in half the time end it, as do `_ANSWERS` that are just in time."""

_FORGOTTEN: Final = 2
"""After so many times the bound a beginning does not count any more, or targets whose phones do not
ring would keep others from theirs. Its transfer has deadlines of its own."""

_AT_EASE: Final = 0.03
"""While Asterisk answers in this part of the bound, a slow beginning has another reason: a phone
that is slow to ring, or after-call work that the queue has not ended yet."""


@dataclass(frozen=True, slots=True)
class Bounds:
    begin_seconds: float = 1.0
    """How long a transfer may take to begin."""
    answer_seconds: float = 1.0
    """How long Asterisk may take to answer a ping."""


class Admission:
    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._begun: dict[str, float] = {}
        """When each transfer began that is still beginning."""
        self._limit = FIRST
        self._shrunk_at = float("-inf")
        self._answers: deque[float] = deque(maxlen=_ANSWERS)
        self._since_change = 0
        """Answers since `busy` has changed."""
        self.busy = False
        """Whether Asterisk answers too slowly for any new transfer."""

    @property
    def limit(self) -> int:
        """The number of transfers that may be beginning."""
        return int(self._limit)

    @property
    def beginning(self) -> int:
        return len(self._begun)

    @property
    def answer_seconds(self) -> float:
        """The second slowest of the recent answers; 0: not known."""
        recent = sorted([*self._answers][-_RECENT:])
        return recent[-_SLOW] if len(recent) >= _SLOW else 0.0

    def admits(self, now: float) -> bool:
        """Whether one more transfer may begin."""
        self._forget(now)
        return not self.busy and len(self._begun) < self.limit

    def begin(self, key: str, now: float) -> None:
        self._begun[key] = now

    def rename(self, key: str, name: str) -> None:
        """The transfer has another key from now on."""
        if key in self._begun:
            self._begun[name] = self._begun.pop(key)

    def cancel(self, key: str) -> None:
        """It has not begun: say nothing about how long it took."""
        self._begun.pop(key, None)

    def is_beginning(self, key: str) -> bool:
        return key in self._begun

    def end(self, key: str, now: float) -> None:
        """The transfer has begun."""
        begun = self._begun.get(key)
        if begun is None:
            return
        full = len(self._begun) >= self.limit - 1
        del self._begun[key]
        self._took(now - begun, now, full=full)

    def answered(self, seconds: float) -> None:
        """Asterisk has answered a ping, or has not done so for as long."""
        self._answers.append(seconds)
        # What has led to the last change does not lead to the next one.
        self._since_change += 1
        answers, bound = [*self._answers][-self._since_change :], self._bounds.answer_seconds
        before = self.busy
        if self.busy:
            fast = answers[-_FAST:]
            self.busy = not (
                (len(fast) == _FAST and max(fast) <= bound / 2)
                or (len(answers) == _ANSWERS and max(answers) <= bound)
            )
        else:
            self.busy = sum(x > bound for x in answers[-_RECENT:]) >= _SLOW
        if self.busy is not before:
            self._since_change = 0

    def reset(self) -> None:
        """The connection is a new one: nothing is known of it."""
        self._answers.clear()
        self._since_change = 0
        self.busy = False

    def _took(self, seconds: float, now: float, *, full: bool) -> None:
        if seconds <= self._bounds.begin_seconds:
            if full:
                self._limit = min(self._limit + 1 / self._limit, MOST)
        elif (
            self.answer_seconds > _AT_EASE * self._bounds.answer_seconds
            and now - self._shrunk_at > self._bounds.begin_seconds
        ):
            # Those that began before the last cut were slow for the same reason.
            self._limit = max(self._limit * _SHRINK, LEAST)
            self._shrunk_at = now

    def _forget(self, now: float) -> None:
        for key, begun in tuple(self._begun.items()):
            if now - begun > _FORGOTTEN * self._bounds.begin_seconds:
                self.end(key, now)
