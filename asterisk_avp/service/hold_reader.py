"""Read which phones have put their calls on hold, after the connection was lost or on a start.

Events say when it changes. How it is, only the phone's channel knows, so each is asked by a request
of its own. With hundreds of calls that takes seconds, for which no agent should have to wait:
transfers keep what their last daemon has written until all phones have been asked, and calls what
was known before. Only where an agent has several calls is it read before anything else, because
then it decides which of them a request concerns.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.facts import HoldChanged
from asterisk_avp.service.inbox import Handle, Inbox


class HoldReader:
    def __init__(self, inbox: Inbox, engine: TransferEngine, ari: AriPerformer) -> None:
        self._inbox = inbox
        self._engine = engine
        self._ari = ari
        self._changed: set[str] = set()
        """Channels of which an event has told since the last resync."""

    def known(self, channels: Collection[str]) -> list[HoldChanged]:
        """Those of these channels that are known to be on hold, before a resync forgets it."""
        self._changed.clear()
        before = self._engine.calls.channels
        return [HoldChanged(x, on_hold=True) for x in channels if x in before and before[x].on_hold]

    def changed(self, fact: HoldChanged) -> None:
        """An event has come. An answer to a question asked before it may be older."""
        self._changed.add(fact.channel)

    async def read_ambiguous(self) -> None:
        """Ask the phones of agents who have several calls."""
        engine = self._engine
        calls = (engine.calls_of(agent) for agent in engine.agents.by_id.values())
        await self._read(
            {call.agent_channel for found in calls if len(found) > 1 for call in found}
        )

    async def read_all(self) -> None:
        """Ask all phones, and tell the transfers."""
        channels = self._engine.calls.channels.values()
        phones = {x.id for x in channels if x.bridge is not None and x.name.startswith("PJSIP/")}
        await self._read(phones)
        self._inbox.run(self._tell)

    async def _read(self, channels: Collection[str]) -> None:
        self._changed.clear()
        for channel, on_hold in (await self._ari.read_holds(channels)).items():
            seen = self._engine.calls.channels.get(channel)
            if seen is not None and channel not in self._changed and seen.on_hold != on_hold:
                self._inbox.post(HoldChanged(channel, on_hold=on_hold))

    def _tell(self, handle: Handle) -> None:
        outcome = Outcome()
        self._engine.store.holds_read(time.time(), outcome)
        handle(outcome)
