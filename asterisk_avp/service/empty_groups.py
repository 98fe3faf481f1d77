"""End the wait of transferred callers in groups where nobody could take the call any more."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from asterisk_avp.core.engine.empty_group import seconds_left, waits_in_a_group, withdrawal
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import WithdrawCaller
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 5.0
"""When to look again after a phone rang at the end of the time, or Asterisk was asked."""


class EmptyGroupWatch(Part):
    """Post the withdrawal of a caller (`core.engine.empty_group`) when their time is over."""

    def __init__(self, engine: TransferEngine, post: Post) -> None:
        self._engine = engine
        self._post = post
        self._waiting: set[str] = set()
        """The transfers whose callers wait in a group."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """A timer for each of them whose group is empty."""

    def perform(self, outcome: Outcome) -> None:
        for session_id in outcome.transfers:
            self._note(session_id)
        if outcome.agents:
            for session_id in self._waiting:
                self._look(session_id)

    async def resynced(self) -> None:
        for session_id in tuple(self._engine.store.records):
            self._note(session_id)

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _note(self, session_id: str) -> None:
        record = self._engine.store.records.get(session_id)
        if record is not None and waits_in_a_group(record.session):
            self._waiting.add(session_id)
        else:
            self._waiting.discard(session_id)
        self._look(session_id)

    def _look(self, session_id: str) -> None:
        seconds = seconds_left(self._engine, session_id)
        if seconds is None:
            timer = self._timers.pop(session_id, None)
            if timer is not None:
                timer.cancel()
        elif session_id not in self._timers:
            self._arm(session_id, seconds)

    def _arm(self, session_id: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[session_id] = loop.call_later(seconds, self._over, session_id)

    def _over(self, session_id: str) -> None:
        self._timers.pop(session_id, None)
        if seconds_left(self._engine, session_id) is None:
            return
        effect = withdrawal(self._engine, session_id)
        if effect is not None:
            queue = effect.queue if isinstance(effect, WithdrawCaller) else ""
            log.info("group_empty", transfer=session_id, queue=queue)
            self._post(Outcome([(session_id, effect)]))
        self._arm(session_id, AGAIN_SECONDS)
