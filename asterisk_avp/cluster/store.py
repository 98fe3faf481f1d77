"""The homes of agents in JetStream's key-value bucket ``homes``."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog
from nats import errors
from nats.js import JetStreamContext
from nats.js import errors as js_errors
from nats.js.kv import KeyValue

from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.homes import Entry, StoreAway, Taken

log = structlog.get_logger(__name__)

T = TypeVar("T")

BUCKET: Final = "homes"
_SECONDS: Final = 2.0
"""How long the store may take for an answer."""
_PAUSE_SECONDS: Final = 2.0
"""After a failure nothing is asked for so long: a thousand agents would wait one by one."""
_REPLICAS: Final = 3


class HomeStore:
    """``servers``: how many NATS servers there are; three of them keep three copies."""

    def __init__(self, connection: Connection, servers: int) -> None:
        self._connection = connection
        self._replicas = _REPLICAS if servers >= _REPLICAS else 1
        self._bucket: KeyValue | None = None
        self._of: object = None
        """The connection's client of which the bucket is."""
        self._failed: float | None = None
        self.away = False
        """Whether the store did not answer the last question."""

    async def get(self, agent: str) -> Entry | None:
        bucket = await self._open()
        try:
            found = await self._ask(bucket.get(key(agent)))
        except js_errors.KeyNotFoundError:
            return None
        node = (found.value or b"").decode("ascii", "replace")
        return Entry(node, found.revision or 0)

    async def create(self, agent: str, node: str) -> int:
        bucket = await self._open()
        return await self._set(bucket.create(key(agent), node.encode()))

    async def update(self, agent: str, node: str, revision: int) -> int:
        bucket = await self._open()
        return await self._set(bucket.update(key(agent), node.encode(), revision))

    async def _set(self, asked: Awaitable[int]) -> int:
        try:
            return await self._ask(asked)
        except js_errors.KeyWrongLastSequenceError:
            raise Taken from None

    async def _open(self) -> KeyValue:
        if self._failed is not None and time.monotonic() - self._failed < _PAUSE_SECONDS:
            raise StoreAway
        try:
            client = self._connection.client
        except ConnectionError:
            raise StoreAway from None
        if self._bucket is None or self._of is not client:
            stream = client.jetstream(timeout=_SECONDS)
            self._bucket, self._of = await self._ask(self._find(stream)), client
        return self._bucket

    async def _find(self, stream: JetStreamContext) -> KeyValue:
        try:
            return await stream.key_value(BUCKET)
        except js_errors.NotFoundError:
            return await stream.create_key_value(bucket=BUCKET, replicas=self._replicas)

    async def _ask(self, asked: Awaitable[T]) -> T:
        """Raises `StoreAway`, and what says something of the key."""
        try:
            found = await asked
        except (js_errors.KeyNotFoundError, js_errors.KeyWrongLastSequenceError):
            self._answered()
            raise
        except (errors.Error, js_errors.Error, OSError, TimeoutError) as error:
            self._failed = time.monotonic()
            if not self.away:
                self.away = True
                log.warning("homes_away", problem=type(error).__name__)
            raise StoreAway from None
        self._answered()
        return found

    def _answered(self) -> None:
        self._failed = None
        if self.away:
            self.away = False
            log.info("homes_back")


def key(agent: str) -> str:
    """Dots separate the tokens of a subject, and ids may have several or end with one."""
    return agent.replace(".", "=")
