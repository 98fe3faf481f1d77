"""The events, and their broadcast to the subscribed WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from asterisk_avp.api.event_cache import SharedEvent
from asterisk_avp.api.schemas import agent_detail_out, ready_out, transfer_out
from asterisk_avp.api.work_schemas import group_out
from asterisk_avp.core.model.work import GroupView
from asterisk_avp.core.model.world import AgentView, Readiness, TransferView

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


def agent_event(view: AgentView) -> dict[str, Any]:
    """The event of an agent whose state or call changed."""
    return {"type": "agent", "agent": agent_detail_out(view).model_dump(mode="json")}


def transfer_event(view: TransferView) -> dict[str, Any]:
    """The event of a transfer that began or changed."""
    return {"type": "transfer", "transfer": transfer_out(view).model_dump(mode="json")}


def group_event(view: GroupView) -> dict[str, Any]:
    """The event of a group whose members or waiting callers changed."""
    return {"type": "group", "group": group_out(view)}


def readiness_event(view: Readiness) -> dict[str, Any]:
    """The event of Asterisk's connections coming or going."""
    return {"type": "readiness", "readiness": ready_out(view).model_dump(mode="json")}
