"""No browser and no proxy keeps an answer of the API."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NotStored:
    """A middleware that adds ``Cache-Control: no-store`` to what `/v1` answers, errors included.

    An answer is one agent's and may have a caller in it. A cache that stores what does not forbid
    it (RFC 9111, section 4.2.2) could show it to the next agent, or after the sign-out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != b"cache-control"]
                message = {**message, "headers": [*kept, (b"cache-control", b"no-store")]}
            await send(message)

        of_api = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await self._app(scope, receive, sending if of_api else send)
