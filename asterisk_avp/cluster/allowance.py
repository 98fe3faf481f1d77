"""How much another node may send: what goes beyond it is not read.

A node whose daemon runs wild must not keep this one from its calls. What is dropped shows as a gap,
and is asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MESSAGES: Final = 200.0
"""A second. A node sends at most 54: changes, heartbeats and groups."""
BYTES: Final = 4_194_304.0
"""A second."""
_BURST_SECONDS: Final = 4.0
_MOST_SENDERS: Final = 64


@dataclass(slots=True)
class _Left:
    at: float
    messages: float = MESSAGES * _BURST_SECONDS
    bytes: float = BYTES * _BURST_SECONDS


class Allowance:
    def __init__(self) -> None:
        self._left: dict[str, _Left] = {}

    def take(self, sender: str, size: int, at: float) -> bool:
        """Whether a message of this size may be read. ``at``: monotonic seconds."""
        left = self._left.get(sender)
        if left is None:
            # Names come from subjects; the servers let a node speak under its own only.
            sender = sender if len(self._left) < _MOST_SENDERS else ""
            left = self._left.setdefault(sender, _Left(at))
        passed, left.at = max(0.0, at - left.at), max(at, left.at)
        left.messages = min(MESSAGES * _BURST_SECONDS, left.messages + passed * MESSAGES)
        left.bytes = min(BYTES * _BURST_SECONDS, left.bytes + passed * BYTES)
        if left.messages < 1 or left.bytes < size:
            return False
        left.messages -= 1
        left.bytes -= size
        return True
