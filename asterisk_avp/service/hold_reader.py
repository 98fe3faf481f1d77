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
from typing import Final

from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.facts import HoldChanged
from asterisk_avp.core.pbx.holds import hold_again
from asterisk_avp.service.inbox import Handle, Inbox

_TALK: Final = frozenset({"caller", "transferor"})
"""Parties of a transfer who have a call, also while they are being moved and in no bridge."""


class HoldReader:
    def __init__(self, inbox: Inbox, engine: TransferEngine, ari: AriPerformer) -> None:
        self._inbox = inbox
        self._engine = engine
        self._ari = ari
        self._changed: set[str] = set()
        """Channels of which an event has told since the last resync."""
        self._asked: set[str] = set()
        """Phones that were asked after the last resync."""

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
        self._asked.clear()
        await self.read_moved()
        self._inbox.run(self._tell)

    async def read_moved(self) -> None:
        """Ask the phones that were just being moved when `read_all` asked the others.

        And have music for whoever has been brought together with a phone on hold meanwhile: nothing
        was known of it when their transfer ended.
        """
        while phones := self._phones() - self._asked:
            self._asked |= phones
            await self._read(phones)
        self._inbox.run(self._play)

    def _phones(self) -> set[str]:
        """Those with a call. A phone that only rings has no audio that could be on hold."""
        return {
            channel.id
            for channel in self._engine.calls.channels.values()
            if channel.name.startswith("PJSIP/")
            and (channel.bridge is not None or self._is_in_transfer(channel.id))
        }

    def _is_in_transfer(self, channel: str) -> bool:
        found = self._engine.store.role_of(channel)
        return found is not None and found[1] in _TALK

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

    def _play(self, handle: Handle) -> None:
        outcome, calls = Outcome(), self._engine.calls
        for channel in calls.channels.values():
            if channel.on_hold and channel.bridge is not None:
                outcome.effects += hold_again(calls, channel.bridge)
        handle(outcome)
