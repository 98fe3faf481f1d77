"""The end of after-call work, which Asterisk does not report."""

from __future__ import annotations

import asyncio
import time

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.part import Part


class AcwTimer(Part):
    """Post a `ClockTick` when the next agent's after-call work ends."""

    def __init__(self, agents: Agents, post: Post) -> None:
        self._agents = agents
        self._post = post
        self._timer: asyncio.TimerHandle | None = None
        self._end: float | None = None
        """The time for which the timer is set, in Unix seconds."""

    def perform(self, outcome: Outcome) -> None:
        if outcome.agents:
            self.schedule()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def schedule(self) -> None:
        """Set the timer again, because an agent has changed."""
        end = self._agents.next_acw_end()
        if self._timer is not None:
            if end == self._end:
                return
            self._timer.cancel()
            self._timer = None
        self._end = end
        if end is not None:
            delay = max(0.0, end - time.time())
            self._timer = asyncio.get_running_loop().call_later(delay, self._ended)

    def _ended(self) -> None:
        self._timer = None
        self._post(ev.ClockTick(time.time()))
        self.schedule()
