"""Throttling: delay refusals in large numbers, so that they do not slow down transfers.

The daemon handles requests, Asterisk's events and running transfers in one thread. A refusal is
cheap, but a hundred clients that retry at once would still take most of the thread's time. So each
peer has a budget of refusals (4xx, and WebSockets without a valid token), beyond which responses
are delayed. This limits a client that waits for its responses to a few requests a second. Requests
that are not refused are never delayed.

A peer is the holder of a valid token, or else an address (an IPv6 /64), so that guessing tokens
does not slow down agents behind the same proxy.
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

__all__ = ["BELIEVED", "PRINCIPAL", "UNAUTHORIZED", "Budget", "Peer", "Throttle"]

PRINCIPAL: Final = "avp_principal"
"""The key in a request's scope where `asterisk_avp.api.http.TokenCheck` stores the principal."""

BELIEVED: Final = "avp_believed"
"""The same of the token that was believed, of all that the request has."""

UNAUTHORIZED: Final = 4401
"""Close code of a WebSocket without a valid token."""

_MAX_WAITING: Final = 1_000
"""Delayed responses at the same time, each with a connection; beyond it, none is delayed."""
_CLIENT_ERRORS: Final = range(400, 500)


class Throttle:
    """The outermost middleware."""

    def __init__(
        self,
        app: ASGIApp,
        budget: Budget,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._budget = budget
        # WebSockets beyond a token's limit have a larger budget: they are cheap to refuse, and a
        # program that opens many panels in a row learns of it at once.
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
