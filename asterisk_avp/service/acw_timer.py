"""The end of after-call work, which Asterisk tells nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.pbx.agents import Agents


class AcwTimer:
    """Feeds a `ClockTick` when the first agent's after-call work ends."""

    def __init__(self, agents: Agents, feed: Callable[[ev.Fact], None]) -> None:
        self._agents = agents
        self._feed = feed
        self._timer: asyncio.TimerHandle | None = None
        self._end: float | None = None
        """What the timer is for, in Unix seconds."""

    def schedule(self) -> None:
        """Again, since an agent has changed."""
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
        self._feed(ev.ClockTick(time.time()))
        self.schedule()
