"""Log-ins that have ended before they expire, so that their signed tokens are void.

`service.ended_logins` keeps the list in Asterisk as well, where the next daemon finds it. It holds
ids of tokens, by which nobody can make one.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterable
from math import ceil
from typing import Final

MOST: Final = 4000
"""If more log-ins end before they would have expired, those are forgotten that expire first."""
_ENTRY: Final = re.compile(r"([ta]\.[A-Za-z0-9_-]{1,430})\.([0-9]{1,15})\.([0-9]{1,12})")


class EndedLogins:
    """``clock`` returns Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[int, int]] = {}
        """By token or agent: until when (ms) issued ones have ended, and when all have expired."""
        self.changed: Callable[[], None] = lambda: None
        """Called after an entry was added by `end` or `end_all`."""

    def end(self, token: str, expires: float) -> None:
        """The token of this id has ended."""
        self._add(f"t.{token}", 0, expires)
        self.changed()

    def end_all(self, agent: str, issued_ms: int, expires: float) -> None:
        """All of an agent's tokens have ended that were issued until then."""
        self._add(_key(agent), issued_ms, expires)
        self.changed()

    def has(self, token: str, agent: str, issued_ms: int) -> bool:
        if f"t.{token}" in self._entries:
            return True
        until, _ = self._entries.get(_key(agent), (-1, 0))
        return issued_ms <= until

    def issue_after(self, agent: str) -> int:
        """In ms: a token that is issued later is not one of those that have ended."""
        return self._entries.get(_key(agent), (-1, 0))[0]

    def lines(self) -> list[str]:
        """All entries that matter still, in the order in which they were added."""
        now = self._clock()
        self._entries = {key: x for key, x in self._entries.items() if x[1] > now}
        return [f"{key}.{until}.{expires}" for key, (until, expires) in self._entries.items()]

    def absorb(self, lines: Iterable[str]) -> None:
        """Add what another daemon has written down. Anything else is ignored."""
        for line in lines:
            found = _ENTRY.fullmatch(line)
            if found is not None:
                self._add(found[1], int(found[2]), float(found[3]))

    def _add(self, key: str, until: int, expires: float) -> None:
        known = self._entries.get(key, (-1, 0))
        self._entries[key] = max(known[0], until), max(known[1], ceil(expires))
        if len(self._entries) > MOST:
            self.lines()
        if len(self._entries) > MOST:
            first = min(self._entries, key=lambda each: self._entries[each][1])
            del self._entries[first]


def _key(agent: str) -> str:
    text = base64.urlsafe_b64encode(agent.encode("utf-8", "surrogatepass"))
    return "a." + text.rstrip(b"=").decode("ascii")
