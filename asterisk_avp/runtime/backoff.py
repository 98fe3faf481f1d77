"""Pauses between attempts to connect."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter, so that clients do not reconnect in step."""

    initial_seconds: float
    max_seconds: float

    def pause_seconds(self, failures: int) -> float:
        """The pause after so many failures since the last success."""
        ceiling = self.initial_seconds * 2.0 ** min(failures, 16)
        return min(ceiling, self.max_seconds) * random.uniform(0.5, 1.0)  # noqa: S311
