"""Broadcast events to the subscribed WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from asterisk_avp.api.event_cache import SharedEvent

_BACKLOG = 1000

Message = Mapping[str, Any]


class EventBroadcaster:
    """Events for the API's WebSockets, each with a bounded queue.

    A subscriber that does not keep up is removed after ``{"type": "overflow"}``, so that an
    outdated state never looks live.
    """

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Message]] = set()

    def __bool__(self) -> bool:
        """Whether there are subscribers."""
        return bool(self._listeners)

    def subscribe(self) -> asyncio.Queue[Message]:
        queue: asyncio.Queue[Message] = asyncio.Queue(_BACKLOG)
        self._listeners.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Message]) -> None:
        self._listeners.discard(queue)

    def send(self, event: Message) -> None:
        if not self._listeners:
            return
        event = SharedEvent(event)
        for queue in tuple(self._listeners):
            if queue.qsize() >= _BACKLOG - 1:
                self._listeners.discard(queue)
                queue.put_nowait({"type": "overflow"})
            else:
                queue.put_nowait(event)
