"""Knows on which channels Asterisk plays music, so that a stop can be seen to have worked.

Asterisk sometimes overlooks that music is to stop: while one more frame of it is being made,
``generator_force`` (main/channel.c) has put the generator's data aside, and then
``deactivate_generator_nolock`` finds nothing to deactivate. The music goes on for as long as the
call does, over or instead of the voices. About one stop in a hundred was lost on a busy machine;
asked again, Asterisk complies.
"""

from __future__ import annotations

import asyncio

from asterisk_avp.core.messages.facts import MusicChanged


class Music:
    def __init__(self) -> None:
        self._playing: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def told(self, fact: MusicChanged) -> None:
        """What Asterisk says; the end of a channel is an end of its music too."""
        if fact.playing:
            self._playing.add(fact.channel)
            return
        self._playing.discard(fact.channel)
        waiting = self._waiting.pop(fact.channel, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def stopped(self, channel: str, seconds: float) -> bool:
        """Wait until no music plays on a channel, but no longer than that; whether it is so."""
        if channel in self._playing:
            waiting = self._waiting.setdefault(channel, asyncio.get_running_loop().create_future())
            await asyncio.wait((waiting,), timeout=seconds)
        return channel not in self._playing

    def forget(self) -> None:
        """What was known is out of date: the connection to Asterisk has been away."""
        self._playing.clear()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
