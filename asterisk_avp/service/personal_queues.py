"""Members of personal queues come and go with the transfers (`core.pbx.personal_queues`).

An earlier version of the daemon made every agent a member. Those are removed as well, slowly: for
each, app_queue goes through all members several times, and reports the states of phones later.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.part import Part

PAUSE_SECONDS: Final = 0.1
"""Between the removals of two agents: 5,000 take 9 minutes."""


class PersonalQueueMembers(Part):
    """Ask for a member before the effects of the transfer that needs it, and remove it later."""

    def __init__(self, engine: TransferEngine, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers
        self._timer: asyncio.TimerHandle | None = None

    def perform(self, outcome: Outcome) -> None:
        queues, now = self._engine.personal_queues, time.time()
        for agent_id in sorted(outcome.agents):
            agent = self._engine.agents.by_id.get(agent_id)
            for effect in queues.mirror(agent, now) if agent is not None else ():
                self._workers.start(None, effect)
        if self._timer is None and queues.surplus():
            self._arm()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        queues = self._engine.personal_queues
        # Nobody who is asked for waits behind more than one of them.
        if not self._workers.is_busy(None):
            for effect in queues.removals(time.time()):
                self._workers.start(None, effect)
        if queues.surplus():
            self._arm()
