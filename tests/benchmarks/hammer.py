"""A hundred clients that are refused and repeat their requests immediately.

    python -m tests.benchmarks.hammer URL AGENT     the integration's token on standard input

Runs until its standard input ends, then prints the number of answers of each kind as JSON. It is a
process of its own, so that it does not slow down the measuring process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp

CLIENTS = 100


class Hammer:
    def __init__(self, http: aiohttp.ClientSession, url: str, agent: str, token: str) -> None:
        self.http, self.url, self.agent = http, url, agent
        self.known = {"Authorization": f"Bearer {token}"}
        self.counts: Counter[str] = Counter()
        self.kinds: dict[str, Callable[[], Awaitable[object]]] = {
            "wrong token": lambda: self._ask("GET", "/v1/agents", {"Authorization": "Bearer no"}),
            "malformed JSON": lambda: self._ask("POST", self._transfers, self.known, b"{" * 5000),
            "unknown agent": lambda: self._ask("GET", "/v1/agents/no-one", self.known),
            "refused transfer": lambda: self._ask("POST", self._transfers, self.known, NOWHERE),
            "wrong PIN": lambda: self._ask("POST", "/v1/login", {}, self._wrong_pin),
            "WebSocket": self._connect,
        }

    @property
    def _transfers(self) -> str:
        return f"/v1/agents/{self.agent}/transfers"

    @property
    def _wrong_pin(self) -> bytes:
        return json.dumps({"agent": self.agent, "pin": "wrong"}).encode()

    async def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> None:
        headers = headers | {"Content-Type": "application/json"}
        async with self.http.request(method, self.url + path, data=body, headers=headers) as answer:
            await answer.read()
            if answer.status < 400:
                raise AssertionError(f"{method} {path}: {answer.status} is not a refusal")

    async def _connect(self) -> None:
        async with self.http.ws_connect(
            self.url + "/v1/events",
            headers={"Authorization": "Bearer no"},
            timeout=aiohttp.ClientWSTimeout(ws_close=1),
        ) as socket:
            await socket.receive()

    async def client(self, number: int) -> None:
        kinds = [*self.kinds.items()]
        name, act = kinds[number % len(kinds)]
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await act()
                self.counts[name] += 1


NOWHERE = b'{"mode": "supervised", "target": {"kind": "agent", "id": "no-one"}}'


async def run(url: str, agent: str, token: str) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        hammer = Hammer(http, url, agent, token)
        clients = [asyncio.create_task(hammer.client(number)) for number in range(CLIENTS)]
        stopped = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        done, _ = await asyncio.wait({stopped, *clients}, return_when=asyncio.FIRST_COMPLETED)
        for task in clients:
            task.cancel()
        for task in done - {stopped}:
            task.result()
    print(json.dumps(hammer.counts))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.stdin.readline().strip()))
