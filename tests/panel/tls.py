"""Web servers with TLS for the panel's tests: a site that embeds it, and a proxy before it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HOP_BY_HOP: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "host", "keep-alive",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def certificate_files(directory: Path) -> tuple[Path, Path]:
    """Key and certificate for 127.0.0.1 and localhost."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return key, cert


def certificate(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own."""
    key, cert = certificate_files(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@asynccontextmanager
async def site(handler: Handler, context: ssl.SSLContext, host: str) -> AsyncIterator[str]:
    """A server for all paths; its origin, with ``host`` (127.0.0.1 or localhost) as its name."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await tcp.start()
    try:
        port = runner.addresses[0][1]
        yield f"https://{host}:{port}"
    finally:
        await runner.cleanup()


class Proxy:
    """A reverse proxy that ends TLS, as INSTALL describes it.

    ``user_header``: it also signs people in, whose name is in its own cookie, and tells the name in
    that header instead of whatever the browser sent there.
    """

    COOKIE: Final = "proxy_user"

    def __init__(self, upstream: str, user_header: str | None = None) -> None:
        self.upstream = upstream
        self.user_header = user_header

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if self.user_header and request.path.startswith("/oauth2/"):
            return self._sign(request)
        if self.user_header and not request.cookies.get(self.COOKIE):
            if request.path == "/":
                raise web.HTTPFound("/oauth2/sign_in")
            raise web.HTTPUnauthorized
        headers = self._headers(request)
        # The client of each request has its own connection, as a browser's would through nginx.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._websocket(request, http, headers)
            async with http.request(
                request.method,
                self.upstream + request.raw_path,
                headers=headers,
                data=await request.read() or None,
                allow_redirects=False,
            ) as answer:
                response = web.Response(status=answer.status, body=await answer.read())
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP_BY_HOP | {"content-type"}:
                        response.headers.add(name, value)
                if "Content-Type" in answer.headers:
                    response.headers["Content-Type"] = answer.headers["Content-Type"]
                return response

    def _headers(self, request: web.Request) -> Mapping[str, str]:
        skipped = _HOP_BY_HOP | {"sec-websocket-key", "sec-websocket-version"}
        if self.user_header:
            skipped |= {self.user_header.lower()}
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in skipped
            and not name.lower().startswith(("x-forwarded-", "sec-websocket-"))
        }
        headers |= {
            "Host": request.host,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": request.remote or "",
        }
        if self.user_header:
            headers[self.user_header] = request.cookies[self.COOKIE]
        return headers

    async def _websocket(
        self, request: web.Request, http: aiohttp.ClientSession, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        try:
            above = await http.ws_connect(self.upstream + request.raw_path, headers=headers)
        except aiohttp.WSServerHandshakeError as refused:
            return web.Response(status=refused.status)
        below = web.WebSocketResponse()
        await below.prepare(request)

        async def up() -> None:
            async for message in below:
                await above.send_str(message.data)
            await above.close()

        upwards = asyncio.create_task(up())
        async for message in above:
            await below.send_str(message.data)
        await below.close(code=above.close_code or 1001)
        upwards.cancel()
        return below

    def _sign(self, request: web.Request) -> web.StreamResponse:
        """Sign in as ``?user=``, or out."""
        response = web.Response(text="<h1>The proxy's page</h1>", content_type="text/html")
        user = request.query.get("user")
        if request.path == "/oauth2/sign_in" and user:
            response.set_cookie(self.COOKIE, user, secure=True, httponly=True)
        elif request.path == "/oauth2/sign_out":
            response.del_cookie(self.COOKIE)
        return response
