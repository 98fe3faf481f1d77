"""Parts for the agents of other nodes: the engine's step, and the directory (`cluster`)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from asterisk_avp.cluster.directory import Directory
from asterisk_avp.core.engine import remote
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.messages.remote import HomeClaimed
from asterisk_avp.service.inbox import Message, Post
from asterisk_avp.service.part import Part

TELL_SECONDS: Final = 0.05
"""The other parts hear of changed agents of other nodes this often. Decisions know them at once."""
AT_ONCE: Final = 250
"""So many of them at once: of a lost node a thousand change at the same moment, and those who
listen to events must keep up."""


class RemoteStep(Part):
    """Take over what other nodes tell; tell the other parts of the changes, collected."""

    hears = remote.FACTS

    def __init__(self, engine: TransferEngine, post: Post) -> None:
        self._engine = engine
        self._post = post
        self._changed: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, message: Message) -> Outcome | None:
        if not isinstance(message, Fact):
            return None
        outcome = remote.apply(self._engine, message, time.time())
        self._changed |= dict.fromkeys(outcome.agents)
        outcome.agents.clear()
        if self._changed and self._timer is None:
            self._begin()
        return outcome

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        some = list(self._changed)[:AT_ONCE]
        for agent in some:
            del self._changed[agent]
        if self._changed:
            self._begin()
        self._post(Outcome(agents=set(some)))


class DirectoryPart(Part):
    """The directory: it is told of changes, and begins with the first connection to Asterisk."""

    hears = (HomeClaimed,)

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def handle(self, message: Message) -> None:
        if isinstance(message, HomeClaimed):
            self._directory.homes.claimed(message.agent, message.node, message.revision)

    def perform(self, outcome: Outcome) -> None:
        if outcome.agents:
            self._directory.changed(outcome.agents)

    def connected(self) -> None:
        self._directory.start()

    async def stop(self) -> None:
        await self._directory.stop()


class _Gauge(Protocol):
    def __call__(self, name: str, meaning: str, value: Callable[[], float]) -> None: ...


def show_directory(gauge: _Gauge, directory: Directory) -> None:
    """Add gauges of the other nodes."""
    picture = directory.picture
    gauge(
        "directory_connected",
        "Whether this daemon is connected to NATS.",
        lambda: directory.connection.connected,
    )
    gauge("nodes_connected", "Other nodes that can be heard.", lambda: picture.connected)
    gauge(
        "nodes_lost",
        "Other nodes that cannot be heard.",
        lambda: len(picture.peers) - picture.connected,
    )
    gauge(
        "directory_age_seconds",
        "How long ago the node that was silent longest was last heard.",
        lambda: max(picture.ages(time.monotonic()), default=math.nan),
    )
    gauge(
        "directory_messages_dropped",
        "Messages of other nodes since the start that were not believed.",
        lambda: sum(directory.dropped.values()),
    )
