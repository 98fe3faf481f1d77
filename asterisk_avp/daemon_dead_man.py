"""The dead man's switch: callers who are with us do not depend on our being alive.

A caller in Stasis has a limit, after which Asterisk takes them out of it and the dialplan sends
them to the head of their group (``avp-stasis``, extension T). For as long as we are there we put
its end off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from asterisk_avp.core.dead_man import put_off
from asterisk_avp.core.effects import Effect
from asterisk_avp.core.hub import Hub

_ROUNDS: Final = 4
"""How many times within the limit its end is put off: three may fail."""


class DeadMan:
    def __init__(
        self,
        hub: Hub,
        perform: Callable[[str | None, Effect], None],
        orphan_seconds: int,
    ) -> None:
        self._hub = hub
        self._perform = perform
        self._orphan_seconds = orphan_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._orphan_seconds / _ROUNDS)
            self.put_off()

    def put_off(self) -> None:
        """For every caller who is with us, in turn with what else is done for their transfer."""
        now = time.time()
        for session in self._hub.register.sessions():
            effect = put_off(session, now, self._orphan_seconds)
            if effect is not None:
                self._perform(session.id, effect)
