"""Refusals that come in numbers are answered later, so that they cannot crowd out transfers.

The daemon handles requests, Asterisk's events and running transfers in one thread. A refusal is
cheap, but a hundred clients that ask again as soon as they are refused would still take most of
that thread's time. So each peer has a budget of refusals (4xx, and WebSockets without a valid
token); who is beyond it gets the next answers late. A client that waits for its answers is slowed
down by that to a few requests a second, and what is not refused is never late.

A peer is the holder of a token where it is valid, else an address: who guesses tokens does not
slow down the agents behind the same proxy.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asterisk_avp.api.auth import Caller

CALLER: Final = "avp_caller"
"""Where in the scope of a request `asterisk_avp.api.http.Gate` leaves who asks."""

UNAUTHORIZED: Final = 4401
"""Code of a WebSocket that is closed for want of a valid token."""

_PEERS_REMEMBERED: Final = 10_000
_MOST_WAITING: Final = 1_000
"""Answers held back at a time; each has a connection. Beyond it, who is refused is answered."""
_CLIENT_ERRORS: Final = range(400, 500)

Peer = tuple[str, str]


class Budget:
    """Of refusals: ``burst`` at once, then ``per_second``; no wait is longer than ``most_seconds``.

    ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        *,
        burst: int = 20,
        per_second: float = 5.0,
        most_seconds: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tolerance = burst / per_second
        self._apart = 1 / per_second
        self._most = most_seconds
        self._clock = clock
        self._next: OrderedDict[Peer, float] = OrderedDict()
        """By peer, until when its refusals take up its budget (the GCRA of ATM, ITU-T I.371)."""

    def spend(self, peer: Peer) -> float:
        """Take one refusal from a peer's budget; the seconds for which its answer has to wait."""
        now = self._clock()
        until = max(self._next.get(peer, 0.0), now) + self._apart
        wait = until - now - self._tolerance
        if wait > self._most:
            wait, until = self._most, now + self._tolerance + self._most
        self._next[peer] = until
        self._next.move_to_end(peer)
        while len(self._next) > _PEERS_REMEMBERED:
            self._next.popitem(last=False)
        return max(0.0, wait)


class Patience:
    """The middleware around all others."""

    def __init__(
        self,
        app: ASGIApp,
        budget: Budget,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._budget = budget
        self._sleep = sleep
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        accepted = False

        async def late(message: Message) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            if _refuses(message, accepted=accepted):
                await self._wait(self._budget.spend(_peer(scope)))
            await send(message)

        await self._app(scope, receive, late)

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0 or self._waiting >= _MOST_WAITING:
            return
        self._waiting += 1
        try:
            await self._sleep(seconds)
        finally:
            self._waiting -= 1


def _refuses(message: Message, *, accepted: bool) -> bool:
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            return message["status"] in _CLIENT_ERRORS
        case "websocket.close":
            return not accepted or message.get("code") == UNAUTHORIZED
        case _:
            return False


def _peer(scope: Scope) -> Peer:
    caller = scope.get(CALLER)
    if isinstance(caller, Caller):
        return ("agent", caller.agent) if caller.agent is not None else ("integration", "")
    client = scope.get("client")
    return ("address", client[0] if client else "")
