"""Gauges of the daemon's internal state for `/metrics`; they must fall again when calls end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asterisk_avp.api.connections import Connections
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.service.admission import AdmissionControl
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.standing import Standing


class _Gauge(Protocol):
    def __call__(self, name: str, meaning: str, value: Callable[[], float]) -> None: ...


def show_inside(
    gauge: _Gauge,
    engine: TransferEngine,
    workers: Workers,
    connections: Connections,
    control: AdmissionControl,
    standing: Standing,
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
    show_admission(gauge, control)
    show_standby(gauge, standing)


def show_standby(gauge: _Gauge, standing: Standing) -> None:
    """Add the gauges of whether there is a standby, and whether there should be one."""
    gauge(
        "standby",
        "Whether a standby daemon waits to take this one's place.",
        lambda: standing.has_standby,
    )
    gauge(
        "standby_wanted",
        "Whether there should be a standby: this daemon runs with --standby, or had one.",
        lambda: standing.wants_standby,
    )


def show_admission(gauge: _Gauge, control: AdmissionControl) -> None:
    """Add gauges of which transfers are refused while Asterisk is too busy."""
    admission = control.admission
    gauge(
        "asterisk_busy",
        "Whether new transfers are refused because Asterisk answers too slowly.",
        lambda: admission.busy,
    )
    gauge(
        "asterisk_answer_seconds",
        "How long Asterisk takes to answer: the second slowest of five recent answers.",
        lambda: admission.answer_seconds,
    )
    gauge(
        "transfers_beginning",
        "Transfers whose target does not ring yet and whose call does not wait yet.",
        lambda: admission.beginning,
    )
    gauge("transfers_beginning_most", "How many there may be now.", lambda: admission.limit)
    gauge(
        "transfers_refused_busy",
        "Requests since the start that were refused because Asterisk was too busy.",
        lambda: control.refused,
    )


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # called outside the event loop
        return 0
