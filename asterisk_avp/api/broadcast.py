"""The events, and their broadcast to the subscribed WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from asterisk_avp.api.event_cache import SharedEvent
from asterisk_avp.api.schemas import agent_detail_out, iso_time, ready_out, transfer_out
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
    shown = _without_calls(view) if not view.calls and view.call is None else None
    return {"type": "agent", "agent": shown or agent_detail_out(view).model_dump(mode="json")}


def _without_calls(view: AgentView) -> dict[str, Any]:
    """`AgentDetailOut` of an agent without a call, in a fraction of the time (a test compares).

    With several nodes every daemon tells of all agents' changes, and most of them are not its own.
    """
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state.value,
        "since": iso_time(view.since) if view.since is not None else None,
        "groups": list(view.groups),
        "waiting_transfer": view.waiting_transfer,
        "acw_until": iso_time(view.acw_until) if view.acw_until is not None else None,
        "node": view.node,
        "paused": view.paused,
        "pause_reason": view.pause_reason,
        "work_actions": list(view.work_actions),
        "memberships": [
            {
                "group": one.group,
                "member": one.member,
                "dynamic": one.dynamic,
                "actions": list(one.actions),
                "logged_in": one.logged_in,
                "ready": one.ready,
                "available": one.available,
            }
            for one in view.memberships
        ],
        "call": None,
        "calls": [],
    }


def transfer_event(view: TransferView) -> dict[str, Any]:
    """The event of a transfer that began or changed."""
    return {"type": "transfer", "transfer": transfer_out(view).model_dump(mode="json")}


def group_event(view: GroupView) -> dict[str, Any]:
    """The event of a group whose members or waiting callers changed."""
    return {"type": "group", "group": group_out(view)}


def readiness_event(view: Readiness) -> dict[str, Any]:
    """The event of Asterisk's connections coming or going."""
    return {"type": "readiness", "readiness": ready_out(view).model_dump(mode="json")}
