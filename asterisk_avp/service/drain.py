"""Drain on SIGTERM: wait for running transfers, then return callers to their transferors."""

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

_POLL_SECONDS: Final = 0.1


def sessions_needing_daemon(store: SessionStore) -> list[Session]:
    """The transfers that cannot continue without a daemon.

    app_queue and the dialplan continue the others, and the next daemon observes them again.
    """
    return [session for session in store.sessions() if session.state.spec.needs_daemon]


def return_callers(store: SessionStore, now: float) -> Outcome:
    """Cancel transfers, so that callers return to transferors who are still there.

    Other transfers stay as they are: the parties keep talking in our bridge, and the next daemon
    continues the transfer; without one, the dialplan takes the caller back.
    """
    outcome = Outcome()
    for session in sessions_needing_daemon(store):
        if machine.legal(session, EventType.CANCEL):
            store.apply(session.id, SessionEvent(EventType.CANCEL), now, outcome)
    return outcome


async def drain(store: SessionStore, inbox: Inbox, drain_seconds: float) -> None:
    """Drain; returns within ``drain_seconds`` and the few seconds that Asterisk needs."""
    await _until_none(store, drain_seconds)
    left = len(sessions_needing_daemon(store))
    if left:
        log.warning("transfers_returned", transfers=left)
        inbox.run(lambda perform: perform(return_callers(store, time.time())))
        await _until_none(store, ASTERISK_SECONDS)
    log.info("drained", transfers_left=store.running())


async def _until_none(store: SessionStore, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while sessions_needing_daemon(store) and time.monotonic() < deadline:  # noqa: ASYNC110 - runs once
        await asyncio.sleep(_POLL_SECONDS)
