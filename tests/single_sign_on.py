"""The interface of oauth2-proxy towards nginx (``auth_request``), for tests of what relies on it.

Names and answers are those of its documentation (`set_xauthrequest`). Whoever asks is signed in:
what signs people in elsewhere, an identity provider, is not part of what is tested.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web


class OAuth2Proxy:
    """``cookie_samesite``: its setting of that name."""

    COOKIE: Final = "_oauth2_proxy"

    def __init__(self, cookie_samesite: str | None = None) -> None:
        self._samesite = cookie_samesite

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/oauth2/auth":
                return self._judged(request)
            case "/oauth2/sign_in" if "user" in request.query:
                response = self._page()
                self._set(response, request.query["user"])
                return response
            case "/oauth2/sign_out":
                response = self._page()
                response.del_cookie(self.COOKIE)
                return response
            case _:
                return self._page()

    def _judged(self, request: web.Request) -> web.StreamResponse:
        user = request.cookies.get(self.COOKIE)
        if user is None:
            return web.Response(status=401)
        named = {"X-Auth-Request-Preferred-Username": user} if user else {}
        response = web.Response(status=202, headers=named)
        self._set(response, user)  # as with cookie_refresh
        return response

    def _set(self, response: web.Response, user: str) -> None:
        response.set_cookie(self.COOKIE, user, secure=True, httponly=True, samesite=self._samesite)

    @staticmethod
    def _page() -> web.Response:
        text = """<link rel="icon" href="data:,"><h1>The proxy's page</h1>"""
        return web.Response(text=text, content_type="text/html")


@asynccontextmanager
async def served(proxy: OAuth2Proxy) -> AsyncIterator[str]:
    """Its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.__call__)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
