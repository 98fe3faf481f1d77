"""How long conditions are waited for.

Tests give the seconds that a quiet machine needs at most. How much longer a busy one takes says
nothing about the product, so each deadline is a multiple of that. A test that passes never waits
for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_patience = ContextVar("patience", default=float(os.environ.get("AVP_TEST_PATIENCE", "3")))


def patiently(seconds: float) -> float:
    """How many seconds a busy machine may take for what a quiet one does in ``seconds``."""
    return seconds * _patience.get()


def deadline(seconds: float) -> float:
    """When a condition has failed that a quiet machine meets in ``seconds`` (monotonic)."""
    return time.monotonic() + patiently(seconds)


@contextmanager
def impatient() -> Iterator[None]:
    """For those to whom a condition that is not met is an ordinary result."""
    token = _patience.set(1.0)
    try:
        yield
    finally:
        _patience.reset(token)
