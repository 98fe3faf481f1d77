"""The orphan timeout: callers in Stasis do not depend on a running daemon.

A caller in Stasis has a time limit, after which Asterisk releases them and the dialplan sends them
to the head of their group (``avp-stasis``, extension T). The daemon renews it while it controls
Asterisk. If Asterisk no longer serves the application (asterisk issue 2170), the daemon does not
renew it, because it could not return the caller either.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import LimitCall
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.transfer.session import Presence, Session
from asterisk_avp.core.transfer.spec import Orphan
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part

TALK_SECONDS: Final = 900
"""The limit for a caller who talks to somebody in our bridge: long enough not to interrupt the
conversation during a restart of the daemon, but not unlimited."""

HEARTBEAT: Final = "AVP_HEARTBEAT"
"""The global variable by which the dialplan knows, when somebody hangs up in a transfer, that a
daemon is there (avp-orphaned)."""

_BEAT_SECONDS: Final = 1.0

_ROUNDS: Final = 4
"""Renewals within the limit; three may fail."""


def renewal(session: Session, now: float, orphan_seconds: int) -> LimitCall | None:
    """The caller's new limit; None: not in Stasis, or about to leave it.

    When the caller is about to leave, the call's own limit is already restored (`actions`).
    """
    orphan = session.state.spec.orphan
    if orphan is Orphan.NONE or session.caller.presence is not Presence.PRESENT:
        return None
    seconds = max(orphan_seconds, TALK_SECONDS) if orphan is Orphan.TALK else orphan_seconds
    return LimitCall(session.caller.channel, now + seconds)


class OrphanTimeoutRenewal(Part):
    def __init__(
        self,
        engine: TransferEngine,
        links: Links,
        post: Post,
        orphan_seconds: int,
        set_global: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._links = links
        self._post = post
        self._orphan_seconds = orphan_seconds
        self._set_global = set_global

    async def run(self) -> None:
        """Renew, and beat, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            group.create_task(self._beat())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._orphan_seconds / _ROUNDS)
            self.renew()

    async def _beat(self) -> None:
        while True:
            await self._beat_once()
            await asyncio.sleep(_BEAT_SECONDS)

    async def _beat_once(self) -> None:
        if self._links.in_control:
            with contextlib.suppress(AvpError):
                await self._set_global(HEARTBEAT, str(int(time.time())))

    async def resynced(self) -> None:
        # At once: without a first beat, the dialplan waits for no daemon, and does nothing.
        await self._beat_once()
        self.renew()

    def renew(self) -> None:
        """Renew the limit of every caller in Stasis, in order with their transfer's effects."""
        if not self._links.in_control:
            return
        now = time.time()
        for session in self._engine.store.sessions():
            effect = renewal(session, now, self._orphan_seconds)
            if effect is not None:
                self._post(Outcome([(session.id, effect)]))
