"""SIGTERM: transfers under way get time to end, then callers go back to their agents."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.machine import ASTERISK_SECONDS
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.service.inbox import Inbox

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.1


def need_us(store: SessionStore) -> list[Session]:
    """The transfers that cannot go on by themselves.

    Of the others app_queue and the dialplan do the work, and the next daemon watches them again.
    """
    return [session for session in store.sessions() if session.state.spec.needs_daemon]


def hand_back(store: SessionStore, now: float) -> Outcome:
    """Agents get their callers back, where they are still there to take them.

    What cannot be handed back is left as it is: whoever talks goes on talking in our bridge, the
    next daemon takes the transfer over, and without one the dialplan takes the caller back.
    """
    outcome = Outcome()
    for session in need_us(store):
        if machine.legal(session, EventType.CANCEL):
            store.apply(session.id, SessionEvent(EventType.CANCEL), now, outcome)
    return outcome


async def drain(store: SessionStore, inbox: Inbox, drain_seconds: float) -> None:
    """Returns within ``drain_seconds`` and the few seconds that Asterisk may take to hand back."""
    await _until_none(store, drain_seconds)
    left = len(need_us(store))
    if left:
        log.warning("transfers_returned", transfers=left)
        inbox.run(lambda perform: perform(hand_back(store, time.time())))
        await _until_none(store, ASTERISK_SECONDS)
    log.info("drained", transfers_left=store.running())


async def _until_none(store: SessionStore, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while need_us(store) and time.monotonic() < deadline:  # noqa: ASYNC110 - once in a life
        await asyncio.sleep(_LOOK_SECONDS)
