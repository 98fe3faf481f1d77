"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_POLL_SECONDS = 0.005


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as the condition holds; fail the test after `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"did not become true within {seconds} s")
        await asyncio.sleep(_POLL_SECONDS)
