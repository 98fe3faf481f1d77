"""Refusals that come in numbers are answered later, so that they cannot crowd out transfers.

The daemon handles requests, Asterisk's events and running transfers in one thread. A refusal is
cheap, but a hundred clients that ask again as soon as they are refused would still take most of
that thread's time. So each peer has a budget of refusals (4xx, and WebSockets without a valid
token); who is beyond it gets the next answers late. A client that waits for its answers is slowed
down by that to a few requests a second, and what is not refused is never late.

A peer is the holder of a token where it is valid, else an address (a /64 of IPv6): who guesses
tokens does not slow down the agents behind the same proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.budget import Budget, Peer
from asterisk_avp.api.connections import network_of

__all__ = ["PRINCIPAL", "UNAUTHORIZED", "Budget", "Peer", "Throttle"]

PRINCIPAL: Final = "avp_principal"
"""Where in the scope of a request `asterisk_avp.api.http.TokenCheck` leaves who asks."""

UNAUTHORIZED: Final = 4401
"""Code of a WebSocket that is closed for want of a valid token."""

_MAX_WAITING: Final = 1_000
"""Answers held back at a time; each has a connection. Beyond it, who is refused is answered."""
_CLIENT_ERRORS: Final = range(400, 500)


class Throttle:
    """The middleware around all others."""

    def __init__(
        self,
        app: ASGIApp,
        budget: Budget,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._budget = budget
        # A panel too many: cheap to refuse, and a program that opens its panels one after the
        # other is told so at once. Nobody is answered more of these than a machine can do.
        self._panels = Budget(burst=500, per_second=20.0)
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
                budget = self._panels if _too_many_panels(message) else self._budget
                await self._wait(budget.spend(_peer(scope)))
            await send(message)

        await self._app(scope, receive, late)

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0 or self._waiting >= _MAX_WAITING:
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


def _too_many_panels(message: Message) -> bool:
    if message["type"] != "websocket.http.response.start":
        return False
    return bool(message["status"] == HTTPStatus.TOO_MANY_REQUESTS)


def _peer(scope: Scope) -> Peer:
    principal = scope.get(PRINCIPAL)
    if isinstance(principal, Principal):
        return ("agent", principal.agent) if principal.agent is not None else ("integration", "")
    client = scope.get("client")
    return ("address", network_of(client[0] if client else ""))
