"""An ARI server: authorization, REST and the WebSocket of a Stasis application.

It records requests in order, and answers 200 with `{}` (204 for DELETE), unless a test has put
something else into `answers`. With `stasis` it also behaves like Asterisk with applications, user
events and global variables: the last WebSocket has the application, and the previous one is
notified and receives nothing more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web
from yarl import URL


@dataclass
class Asked:
    """One request. `path` is as on the wire, still quoted, without /ari and the query."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    raw: str
    by_websocket: bool = False


@dataclass
class Answer:
    status: int
    body: Any = None
    #: Sent instead of the JSON of `body`.
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Answer only once this is set.
    hold: asyncio.Event | None = None


@dataclass
class Socket:
    """One WebSocket of a client."""

    websocket: web.WebSocketResponse
    request: web.Request
    pings: int = 0
    closed: bool = False

    async def event(self, kind: str, **fields: Any) -> None:
        await self.websocket.send_str(json.dumps({"type": kind, **fields}))

    def drop(self) -> None:
        """Drop the connection without a closing handshake, as in a crash."""
        assert self.request.transport is not None
        self.request.transport.abort()


@dataclass
class AriServer:
    username: str = "avp"
    password: str = "s3cret"
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    #: Called for requests that `answers` does not have; None: the server's default.
    handler: Callable[[Asked], Answer | None] | None = None
    asked: list[Asked] = field(default_factory=list)
    #: The order of everything that happened: "websocket" and "METHOD path".
    journal: list[str] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    #: WebSockets that are there for requests only.
    request_sockets: list[Socket] = field(default_factory=list)
    #: Whether requests on WebSockets are executed, as from Asterisk 20.14, 21.9 and 22.4.
    takes_requests: bool = True
    #: The status with which the next WebSockets are refused.
    refuse: list[int] = field(default_factory=list)
    #: Answer no more pings, like a half-open connection.
    deaf: bool = False
    #: Events sent as soon as the WebSocket is up.
    greet_with: list[dict[str, Any]] = field(default_factory=list)
    stasis: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    #: Accepts user events but delivers none: a deadlock of the application (asterisk issue 2170).
    stuck: bool = False
    #: Answers about the application only once this is set: another form of the deadlock.
    hold_app: asyncio.Event | None = None
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ari"

    @property
    def last(self) -> Socket:
        return self.sockets[-1]

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    async def listen(self) -> None:
        """Listen, on the same port as before if there was one."""
        app = web.Application()
        app.router.add_get("/ari/events", self._events)
        app.router.add_route("*", "/{path:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        for socket in (*self.sockets, *self.request_sockets):
            if socket.request.transport is not None:
                socket.drop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def owner(self) -> Socket | None:
        """The owner of the application: the last to connect, if that connection is still up."""
        return self.sockets[-1] if self.sockets and not self.sockets[-1].closed else None

    async def _application(self, asked: Asked) -> Answer | None:
        """Asterisk's own answers about applications, their events and its global variables."""
        if asked.path == "/asterisk/variable":
            name = asked.query["variable"]
            if asked.method == "GET":
                return Answer(200, {"value": self.variables.get(name, "")})
            self.variables[name] = asked.query["value"]
            return Answer(204)
        about_it = asked.path.startswith(("/applications/", "/events/user/"))
        if about_it and self.hold_app is not None:
            await self.hold_app.wait()
        if asked.path.startswith("/events/user/"):
            if self.owner is None:
                return Answer(404, {"message": "Application not found"})
            if not self.stuck:
                name = asked.path.rpartition("/")[2]
                sent = {"eventname": name, **(asked.body or {}).get("variables", {})}
                await self.owner.event("ChannelUserevent", eventname=name, userevent=sent)
            return Answer(204)
        if asked.method == "GET" and asked.path.startswith("/applications/"):
            if self.owner is None:
                return Answer(404, {"message": "Application not found"})
            return Answer(200, {"channel_ids": ["__AST_CHANNEL_ALL_TOPIC"], "bridge_ids": []})
        return None

    def _authorized(self, request: web.Request) -> bool:
        expected = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {expected}"

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.json_response({"message": "no"}, status=self.refuse.pop(0))
        if not self._authorized(request):
            return web.json_response({"message": "Authentication required"}, status=401)
        websocket = web.WebSocketResponse(autoping=False)
        await websocket.prepare(request)
        socket = Socket(websocket, request)
        if "-requests-" in request.query["app"]:
            return await self._requests(socket)
        self.journal.append("websocket")
        before = self.owner
        self.sockets.append(socket)
        if self.stasis and before is not None:
            await before.event("ApplicationReplaced", application=request.query["app"])
        for event in self.greet_with:
            await websocket.send_str(json.dumps(event))
        with contextlib.suppress(ConnectionError):
            async for message in websocket:
                if message.type is WSMsgType.PING:
                    socket.pings += 1
                    if not self.deaf:
                        await websocket.pong(message.data)
        socket.closed = True
        return websocket

    async def _requests(self, socket: Socket) -> web.WebSocketResponse:
        """Execute the requests of a WebSocket one after the other, as Asterisk does."""
        self.request_sockets.append(socket)
        with contextlib.suppress(ConnectionError):
            async for message in socket.websocket:
                if message.type is WSMsgType.PING and not self.deaf:
                    await socket.websocket.pong(message.data)
                if message.type is WSMsgType.TEXT and self.takes_requests:
                    await self._request_on(socket, json.loads(message.data))
        socket.closed = True
        return socket.websocket

    async def _request_on(self, socket: Socket, content: dict[str, Any]) -> None:
        url = URL(f"/ari/{content['uri']}", encoded=True)
        asked = Asked(
            content["method"],
            url.raw_path.removeprefix("/ari"),
            dict(url.query),
            json.loads(content["message_body"]) if "message_body" in content else None,
            str(url),
            by_websocket=True,
        )
        answer = await self._answer(asked)
        body = answer.text
        if body is None and answer.body is not None:
            body = json.dumps(answer.body)
        await socket.event(
            "RESTResponse",
            request_id=content["request_id"],
            status_code=answer.status,
            reason_phrase="",
            uri=content["uri"].partition("?")[0],
            **({} if body is None else {"content_type": "application/json", "message_body": body}),
        )

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0].removeprefix("/ari")
        text = await request.text()
        body = json.loads(text) if text else None
        asked = Asked(request.method, path, dict(request.query), body, request.raw_path)
        if not self._authorized(request):
            self._note(asked)
            return web.json_response({"message": "Authentication required"}, status=401)
        answer = await self._answer(asked)
        if answer.text is not None:
            return web.Response(status=answer.status, text=answer.text, headers=answer.headers)
        if answer.body is None:
            return web.Response(status=answer.status, headers=answer.headers)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    def _note(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.journal.append(f"{asked.method} {asked.path}")

    async def _answer(self, asked: Asked) -> Answer:
        self._note(asked)
        answer = self.answers.get((asked.method, asked.path))
        if answer is None and self.handler is not None:
            answer = self.handler(asked)
        if answer is None and self.stasis:
            answer = await self._application(asked)
        if answer is None:
            answer = Answer(204) if asked.method == "DELETE" else Answer(200, {})
        if answer.hold is not None:
            await answer.hold.wait()
        return answer
