"""The homes of agents in JetStream's key-value bucket ``homes``.

A revision is the number of JetStream's message, counted from the time at which the bucket was made:
numbers begin again in a new bucket, and a home must never be older than the one that it replaces.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog
from nats import errors
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors
from nats.js.kv import KeyValue

from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.homes import Entry, StoreAway, Taken

log = structlog.get_logger(__name__)

T = TypeVar("T")

BUCKET: Final = "homes"
STREAM: Final = f"KV_{BUCKET}"
_SECONDS: Final = 2.0
"""How long the store may take for an answer."""
_PAUSE_SECONDS: Final = 2.0
"""After a failure nothing is asked for so long: a thousand agents would wait one by one."""
_REPLICAS: Final = 3
_MOST_OF_A_HOME: Final = 1_024
_MOST_BYTES: Final = 67_108_864
"""Of all homes: 10,000 need 2 MB."""
_SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PER_MILLISECOND: Final = 4_096
"""More numbers than any bucket uses in that time. Until 2095 revisions are less than 2**53."""


class _Foreign(js_errors.Error):
    """The bucket is not as it is made here: somebody else has made it."""


class HomeStore:
    """``servers``: how many NATS servers there are; three of them keep three copies."""

    def __init__(self, connection: Connection, servers: int) -> None:
        self._connection = connection
        self._replicas = _REPLICAS if servers >= _REPLICAS else 1
        self._bucket: KeyValue | None = None
        self._of = 0
        """The number of the connection in which the bucket was looked at."""
        self._made = 0
        """When the bucket was made: revisions begin here."""
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
        return Entry(node, self._made + (found.revision or 0))

    async def create(self, agent: str, node: str) -> int:
        bucket = await self._open()
        return await self._set(bucket.create(key(agent), node.encode()))

    async def update(self, agent: str, node: str, revision: int) -> int:
        bucket = await self._open()
        number = revision - self._made
        if number <= 0:
            raise Taken  # it was of a bucket that is gone
        return await self._set(bucket.update(key(agent), node.encode(), number))

    async def _set(self, asked: Awaitable[int]) -> int:
        made = self._made
        try:
            return made + await self._ask(asked)
        except js_errors.KeyWrongLastSequenceError:
            raise Taken from None

    async def _open(self) -> KeyValue:
        if self._failed is not None and time.monotonic() - self._failed < _PAUSE_SECONDS:
            raise StoreAway
        try:
            client = self._connection.client
        except ConnectionError:
            raise StoreAway from None
        if self._bucket is None or self._of != self._connection.number:
            self._of = self._connection.number
            stream = client.jetstream(timeout=_SECONDS)
            # Servers tell of a bucket also where too few of them are there to read it.
            self._bucket = await self._ask(self._find(stream), answers=False)
        return self._bucket

    async def _find(self, stream: JetStreamContext) -> KeyValue:
        try:
            info = await stream.stream_info(STREAM)
        except js_errors.NotFoundError:
            info = await stream.add_stream(config(self._replicas))
        if not as_made(info.config):
            raise _Foreign
        self._made = _begins(info.created)
        return await stream.key_value(BUCKET)

    async def _ask(self, asked: Awaitable[T], *, answers: bool = True) -> T:
        """Raises `StoreAway`, and what says something of the key.

        ``answers``: whether the answer says that homes can be read.
        """
        try:
            found = await asked
        except (js_errors.KeyNotFoundError, js_errors.KeyWrongLastSequenceError):
            self._answered()
            raise
        except (errors.Error, js_errors.Error, OSError, TimeoutError) as error:
            self._failed = time.monotonic()
            self._bucket = None  # if it is another one afterwards, or none
            if not self.away:
                self.away = True
                log.warning("homes_away", problem=type(error).__name__.strip("_"))
            raise StoreAway from None
        if answers:
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


def config(replicas: int) -> api.StreamConfig:
    """The bucket. No node's user may change or empty it, nor with a header of its messages."""
    return api.StreamConfig(
        name=STREAM,
        subjects=[f"$KV.{BUCKET}.>"],
        max_msgs_per_subject=1,
        max_msg_size=_MOST_OF_A_HOME,
        max_bytes=_MOST_BYTES,
        discard=api.DiscardPolicy.NEW,
        storage=api.StorageType.FILE,
        num_replicas=replicas,
        allow_rollup_hdrs=False,
        deny_delete=True,
        deny_purge=True,
    )


def as_made(found: api.StreamConfig) -> bool:
    """Whether nothing goes into the bucket, or out of it, by another way."""
    made = config(0)
    same = ("subjects", "max_msgs_per_subject", "allow_rollup_hdrs", "deny_purge", "storage")
    other_ways = (found.republish, found.mirror, found.sources, found.subject_transform)
    return all(getattr(found, x) == getattr(made, x) for x in same) and not any(other_ways)


def _begins(made: datetime | None) -> int:
    since = ((made or _SINCE) - _SINCE).total_seconds() * 1000
    return max(int(since), 0) * _PER_MILLISECOND
