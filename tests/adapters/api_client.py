"""The API on a real port in the test's event loop, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from scripted_transfer_service import INTEGRATION, PINS, UNLIMITED, ScriptedTransferService, bearer

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.connections import Connections
from asterisk_avp.api.server import ApiServer, serve
from asterisk_avp.api.throttle import Budget

TO_BOB = {"mode": "supervised", "target": {"kind": "agent", "id": "1002"}}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Api:
    server: ApiServer
    board: ScriptedTransferService
    http: aiohttp.ClientSession
    auth: Authenticator

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = INTEGRATION, **more: Any
    ) -> tuple[int, Any]:
        headers = (bearer(token) if token else {}) | more.pop("headers", {})
        async with self.http.request(
            method, self.server.url + path, json=body, headers=headers, **more
        ) as answer:
            return answer.status, await answer.json()

    async def login(self, agent: str) -> str:
        status, answer = await self.ask(
            "POST", "/v1/login", {"agent": agent, "pin": PINS[agent]}, token=None
        )
        assert status == 200
        return str(answer["token"])

    def events(self, **more: Any) -> Any:
        return self.http.ws_connect(self.server.url + "/v1/events", **more)


@asynccontextmanager
async def api_here(
    refusals: Budget | None = None,
    connections: Connections | None = None,
    host: str = "127.0.0.1",
    users: Mapping[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Api]:
    board = ScriptedTransferService()
    auth = Authenticator(tokens=[INTEGRATION], pins=PINS, users=users)
    app = create_app(board, auth, refusals=refusals or UNLIMITED, **more)
    server = await serve(app, host, 0, connections)
    assert server.started.is_set()
    try:
        async with aiohttp.ClientSession() as http:
            yield Api(server, board, http, auth)
    finally:
        await server.stop()
