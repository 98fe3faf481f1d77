"""ARI requests over WebSockets of their own, which costs a third of what an HTTP request does.

Asterisk executes requests that it receives on an ARI WebSocket, one after the other in the thread
that reads it (res/ari/ari_websockets.c, ``ari_websocket_established``). So requests do not share
the WebSocket of the events, which one slow request would keep from its pings, and each socket has
one request at a time: a slow one delays no other. Where all sockets are busy, HTTP is used.

Each socket registers a Stasis application of its own, because a second one for the same application
would take the events away from the first. No channel is ever in these applications.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp
import structlog

from asterisk_avp.core.model.errors import AriError, AsteriskUnavailable
from asterisk_avp.core.pbx.versions import Version, parse
from asterisk_avp.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

WebSocket: TypeAlias = "aiohttp.ClientWebSocketResponse[bool]"
Connect = Callable[[str], AbstractAsyncContextManager[WebSocket]]
"""Open the WebSocket of an application."""

SOCKETS: Final = 4
"""Each is one of the HTTP sessions that http.conf allows (`session_limit`, 100 by default)."""

MAX_CHARACTERS: Final = 4000
"""A longer request goes by HTTP: Asterisk reads WebSocket frames of up to 8,192 bytes where it was
built with LOW_MEMORY (http_websocket.h, ``AST_WEBSOCKET_MAX_RX_PAYLOAD_SIZE``)."""

_SINCE: Final = {20: 14, 21: 9, 22: 4}
"""The first release of a branch that takes requests (the tags have ari_websocket_requests.c)."""
_ALL_SINCE: Final = 23

_RESPONSE: Final = "RESTResponse"


def are_taken_by(version: Version | None) -> bool:
    """Whether an Asterisk of this version takes requests on a WebSocket."""
    if version is None:
        return False
    since = _SINCE.get(version.major)
    return version.major >= _ALL_SINCE if since is None else version.minor >= since


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    text: str


class SocketLost(ConnectionError):
    """The WebSocket ended before the response: whether Asterisk executed the request is unknown."""


async def keep_open(
    sockets: RequestSockets,
    version: Callable[[], Awaitable[str]],
    use: Callable[[RequestSockets | None], None],
) -> None:
    """Keep the sockets open until cancelled, if Asterisk takes requests there.

    `version` returns Asterisk's version. `use` gets the sockets, and finally None.
    """
    try:
        found = parse(await version())
    except (AriError, AsteriskUnavailable) as error:
        log.debug("ari_version_unknown", error=str(error))
        return
    if not are_taken_by(found):
        log.info("ari_requests_by_http", version=str(found))
        return
    use(sockets)
    try:
        await sockets.run()
    finally:
        use(None)


class RequestSockets:
    """Send requests over the sockets that `run` keeps open."""

    def __init__(self, connect: Connect, app: str, *, backoff: Backoff) -> None:
        self._connect = connect
        # Of this process alone: another daemon may be taking over at this moment.
        self._app = f"{app}-requests-{secrets.token_hex(4)}"
        self._backoff = backoff
        self._idle: list[_Socket] = []

    @property
    def free(self) -> int:
        """How many sockets can take a request now."""
        return len(self._idle)

    async def run(self) -> None:
        """Keep `SOCKETS` sockets open until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(SOCKETS):
                group.create_task(self._keep(f"{self._app}-{number}"), name="ari requests")

    async def request(
        self, method: str, uri: str, body: str | None, seconds: float
    ) -> Response | None:
        """Send a request and return its response; None: no socket is free, nothing was sent.

        `uri` is relative to ``/ari/``, quoted. Raises `TimeoutError`, and `OSError` if the socket
        was lost.
        """
        if not self._idle or len(uri) + len(body or "") > MAX_CHARACTERS:
            return None
        # The last one used: the others may rest.
        return await self._idle.pop().exchange(method, uri, body, seconds)

    async def _keep(self, app: str) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._serve(app)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                log.debug("ari_request_socket_lost", app=app, error=repr(error))
            if loop.time() - began > 2 * self._backoff.max_seconds:
                failures = 0
            await asyncio.sleep(self._backoff.pause_seconds(failures))
            failures += 1

    async def _serve(self, app: str) -> None:
        """Open one socket and read it to its end."""
        async with self._connect(app) as websocket:
            socket = _Socket(websocket, self._idle.append)
            try:
                await socket.try_out()
                await socket.read()
            finally:
                if socket in self._idle:
                    self._idle.remove(socket)
                socket.lost()


class _Socket:
    """One WebSocket with at most one request in flight. ``idle`` is called when it has none."""

    def __init__(self, websocket: WebSocket, idle: Callable[[_Socket], None]) -> None:
        self._websocket = websocket
        self._idle = idle
        self._ids = itertools.count(1)
        self._asked = ""
        """The id of the request in flight; empty: none."""
        self._reply: asyncio.Future[Response] | None = None

    async def try_out(self) -> None:
        """Send a request whose response is not needed, but without which the socket is not used."""
        await self._write("GET", "asterisk/ping", None)

    async def exchange(self, method: str, uri: str, body: str | None, seconds: float) -> Response:
        reply: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._reply = reply
        async with asyncio.timeout(seconds):
            await self._write(method, uri, body)
            # If this is cancelled, the socket is idle again once the response has come.
            return await reply

    async def _write(self, method: str, uri: str, body: str | None) -> None:
        self._asked = str(next(self._ids))
        request: dict[str, Any] = {
            "type": "RESTRequest",
            "request_id": self._asked,
            "method": method,
            "uri": uri,
        }
        if body is not None:
            request |= {"content_type": "application/json", "message_body": body}
        await self._websocket.send_str(json.dumps(request))

    async def read(self) -> None:
        """Read responses until the socket ends. Raises `ValueError` for what is no message of ARI.

        Events of the application are of no interest.
        """
        async for message in self._websocket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            content = json.loads(message.data)
            if not isinstance(content, dict):
                raise ValueError("not a message of ARI")  # noqa: TRY004 - as for what is no JSON
            if content.get("type") != _RESPONSE or content.get("request_id") != self._asked:
                continue
            response = Response(int(content["status_code"]), str(content.get("message_body") or ""))
            reply, self._reply, self._asked = self._reply, None, ""
            if reply is not None and not reply.done():
                reply.set_result(response)
            self._idle(self)

    def lost(self) -> None:
        """Let the request in flight fail."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(SocketLost("the WebSocket was lost before the response"))
