"""Gauges of the daemon's internal state for `/metrics`; they must fall again when calls end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asterisk_avp.api.connections import Connections
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.service.executor import Workers


class _Gauge(Protocol):
    def __call__(self, name: str, meaning: str, value: Callable[[], float]) -> None: ...


def show_inside(
    gauge: _Gauge, engine: TransferEngine, workers: Workers, connections: Connections
) -> None:
    """Add gauges that, with memory and open files, distinguish a leak from load."""
    gauge(
        "channels_known",
        "Channels of Asterisk that we know of.",
        lambda: len(engine.calls.channels),
    )
    gauge(
        "transfers_remembered",
        "Transfers that are running, or ended less than session.keep_ended_seconds ago.",
        lambda: len(engine.store.records),
    )
    gauge("workers", "Transfers that Asterisk is doing something for.", lambda: workers.running)
    gauge(
        "timers",
        "Transfers that wait for something no longer than so long.",
        lambda: workers.timers,
    )
    gauge("tasks", "Tasks of the event loop.", _tasks)
    gauge("api_connections", "Connections of the API.", lambda: len(connections))
    gauge("api_connections_most", "How many there may be.", connections.limit)
    gauge(
        "api_connections_ended",
        "Idle or unknown clients that had to make room, and newcomers that were turned away.",
        lambda: connections.evicted + connections.refused,
    )


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # called outside the event loop
        return 0
