"""A rate limit: a burst, then a rate; responses beyond it are delayed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MAX_PEERS: Final = 10_000

Peer = tuple[str, str]


class Budget:
    """A budget of refusals: ``burst`` at once, then ``per_second``; delays up to ``max_seconds``.

    ``clock`` returns monotonic seconds.
    """

    def __init__(
        self,
        *,
        burst: int = 20,
        per_second: float = 5.0,
        max_seconds: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tolerance = burst / per_second
        self._apart = 1 / per_second
        self._most = max_seconds
        self._clock = clock
        self._next: OrderedDict[Peer, float] = OrderedDict()
        """Peer to the time until which its budget is used up (the GCRA of ATM, ITU-T I.371)."""

    def spend(self, peer: Peer) -> float:
        """Count one refusal of a peer; return the seconds by which to delay the response."""
        now = self._clock()
        until = max(self._next.get(peer, 0.0), now) + self._apart
        wait = until - now - self._tolerance
        if wait > self._most:
            wait, until = self._most, now + self._tolerance + self._most
        self._next[peer] = until
        self._next.move_to_end(peer)
        while len(self._next) > _MAX_PEERS:
            self._next.popitem(last=False)
        return max(0.0, wait)

    def refund(self, peer: Peer) -> None:
        """Undo `spend`."""
        if peer in self._next:
            self._next[peer] -= self._apart
