"""Agent panels, each with its own WebSocket, and the time until a change reaches all of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import aiohttp

from tests.benchmarks.growth_centre import MARKER, PIN, TIMEOUT_SECONDS, CallCentre, gather

_SHORT = 4000
"""A change of one agent is shorter than this, and the snapshot of all agents is longer."""


@dataclass
class Panels:
    call_centre: CallCentre
    tokens: list[str] = field(default_factory=list)
    sockets: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)
    snapshot_bytes: int = 0
    _readers: list[asyncio.Task[None]] = field(default_factory=list)
    _seen: int = 0
    _wanted: str = ""
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    async def log_in(self, agents: list[str]) -> None:
        async def one(agent: str) -> str:
            said = await self.call_centre.post("/v1/login", {"agent": agent, "pin": PIN})
            return str(said["token"])

        self.tokens = await gather(20, [one(agent) for agent in agents])

    async def open(self) -> None:
        """Connect all panels, and wait until each has its snapshot."""
        self.sockets = await gather(20, [self._open(token) for token in self.tokens])

    async def _open(self, token: str) -> aiohttp.ClientWebSocketResponse:
        socket = await self.call_centre.http.ws_connect(
            self.call_centre.url + "/v1/events",
            headers={"Authorization": f"Bearer {token}"},
            max_msg_size=64 * 1024 * 1024,
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            first = await socket.receive_str()
        assert '"snapshot"' in first[:200]
        self.snapshot_bytes = len(first.encode())
        # Read immediately: a client that does not read does not answer pings, and is closed.
        self._readers.append(asyncio.create_task(self._read(socket)))
        return socket

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT or len(message.data) > _SHORT:
                continue
            said = json.loads(message.data)
            agent = said.get("agent")
            if isinstance(agent, dict) and agent["id"] == MARKER:
                self._seen += agent["state"] == self._wanted
                if self._seen == len(self.tokens):
                    self._all.set()

    async def change(self, state: str) -> None:
        """Change the state of one agent, and wait until every panel has received it."""
        self._seen, self._wanted = 0, state
        self._all.clear()
        await self.call_centre.caught_up()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._all.wait()

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*(socket.close() for socket in self.sockets))
