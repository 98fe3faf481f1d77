"""SIGTERM: transfers under way get time to end, then callers go back to their agents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.engine.shutdown import hand_back, need_us
from asterisk_avp.core.transfer.machine import ASTERISK_SECONDS

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.1


async def drain(
    store: SessionStore, carry_out: Callable[[Outcome], None], drain_seconds: float
) -> None:
    """Returns within ``drain_seconds`` and the few seconds that Asterisk may take to hand back."""
    await _until_none(store, drain_seconds)
    left = len(need_us(store))
    if left:
        log.warning("transfers_handed_back", transfers=left)
        carry_out(hand_back(store, time.time()))
        await _until_none(store, ASTERISK_SECONDS)
    log.info("drained", transfers_left=store.running())


async def _until_none(store: SessionStore, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while need_us(store) and time.monotonic() < deadline:  # noqa: ASYNC110 - once in a life
        await asyncio.sleep(_LOOK_SECONDS)
