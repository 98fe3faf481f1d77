"""The events that one agent, or an integration, is sent by `/v1/events`, in their order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from bed import Bed
from bed.deadlines import patiently

Message = dict[str, Any]


class Listener:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._news = asyncio.Event()

    @property
    def snapshot(self) -> Message:
        return self.messages[0]

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self._news.set()

    async def wait(
        self, fits: Callable[[Message], bool], within: float = 5.0, since: int = 0
    ) -> Message:
        """The first message that fits, from this number on."""
        async with asyncio.timeout(patiently(within)):
            while True:
                for message in self.messages[since:]:
                    if fits(message):
                        return message
                self._news.clear()
                await self._news.wait()

    async def state(self, agent: str, state: str, within: float = 5.0) -> None:
        """Wait until an agent has been told to be in a state, even if that is over again."""

        def is_it(message: Message) -> bool:
            return message["type"] == "agent" and message["agent"]["id"] == agent

        await self.wait(lambda x: is_it(x) and x["agent"]["state"] == state, within)

    def transfers(self, transfer: str) -> list[Message]:
        """What has been told of a transfer so far."""
        return [
            message["transfer"]
            for message in self.messages
            if message["type"] == "transfer" and message["transfer"]["id"] == transfer
        ]

    def calls(self, agent: str, since: int = 0) -> list[str | None]:
        """The caller in each event of an agent; None: no call."""
        return [
            message["agent"]["call"] and message["agent"]["call"]["caller"]
            for message in self.messages[since:]
            if message["type"] == "agent" and message["agent"]["id"] == agent
        ]


@asynccontextmanager
async def listening(bed: Bed, agent: str | None = None) -> AsyncIterator[Listener]:
    """As this agent; None: as an integration."""
    heard = Listener()
    async with aiohttp.ClientSession() as session:
        token = bed.secrets.token
        if agent is not None:
            body = {"agent": agent, "pin": f"pin-{agent}"}
            async with session.post(f"{bed.url}/v1/login", json=body) as answer:
                token = (await answer.json())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with session.ws_connect(f"{bed.url}/v1/events", headers=headers) as socket:
            heard.add(json.loads((await socket.receive()).data))

            async def read() -> None:
                async for message in socket:
                    heard.add(json.loads(message.data))

            reader = asyncio.create_task(read())
            try:
                yield heard
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
