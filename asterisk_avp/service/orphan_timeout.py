"""The orphan timeout: callers who are with us do not depend on our being alive.

A caller in Stasis has a limit, after which Asterisk takes them out of it and the dialplan sends
them to the head of their group (``avp-stasis``, extension T). For as long as we are there, and have
Asterisk in hand, we renew it. An application that Asterisk does not serve any more (asterisk
issue 2170) is as good as a dead daemon: nobody could give the caller back to anybody.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import LimitCall
from asterisk_avp.core.transfer.session import Presence, Session
from asterisk_avp.core.transfer.spec import Orphan
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part

TALK_SECONDS: Final = 900
"""For a caller who talks with people in a bridge of ours: they are not torn from a conversation
because a daemon is being started again, and yet not left alone in a bridge for ever."""

_ROUNDS: Final = 4
"""How many times within the limit it is renewed: three may fail."""


def renewal(session: Session, now: float, orphan_seconds: int) -> LimitCall | None:
    """The caller's limit from ``now`` on; None where they are not with us, or on their way out.

    On the way out the call's own limit is back in force already (`actions`), and must stay so.
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
    ) -> None:
        self._engine = engine
        self._links = links
        self._post = post
        self._orphan_seconds = orphan_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._orphan_seconds / _ROUNDS)
            self.renew()

    async def resynced(self) -> None:
        self.renew()

    def renew(self) -> None:
        """For every caller who is with us, in turn with what else is done for their transfer."""
        if not self._links.in_control:
            return
        now = time.time()
        for session in self._engine.store.sessions():
            effect = renewal(session, now, self._orphan_seconds)
            if effect is not None:
                self._post(Outcome([(session.id, effect)]))
