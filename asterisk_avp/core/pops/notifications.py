"""Notifications of screen pops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shown = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notified:
    state: str
    pop: Shown
    silently: bool = False
    """Found when the daemon started; an earlier daemon has notified the agent."""


@dataclass(frozen=True, slots=True)
class PopNotification:
    """A notification: ``pop`` was offered to, delivered to, or withdrawn from ``agent``."""

    agent: str
    state: str
    pop: Shown


def essence(pop: Shown) -> tuple[object, object]:
    """What an agent is notified of again when it has changed."""
    return pop["data"], pop["caller"]["withheld"]
