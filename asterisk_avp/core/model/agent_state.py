"""What an agent does, as the whole call centre sees it."""

from __future__ import annotations

from enum import StrEnum


class AgentState(StrEnum):
    AVAILABLE = "available"
    RINGING = "ringing"
    TALKING = "talking"
    ACW = "acw"
    NOT_READY = "not_ready"
    OFFLINE = "offline"
