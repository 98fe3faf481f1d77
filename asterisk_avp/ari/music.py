"""Track on which channels Asterisk plays music, to verify that it stops.

Asterisk sometimes loses a request to stop music: while it generates a frame, ``generator_force``
(main/channel.c) has set the generator's data aside, and ``deactivate_generator_nolock`` finds
nothing to deactivate. The music then continues until the call ends, over or instead of the voices.
About one stop in a hundred was lost on a busy machine; a repeated request succeeds.
"""

from __future__ import annotations

import asyncio

from asterisk_avp.core.messages.facts import MusicChanged


class Music:
    def __init__(self) -> None:
        self._playing: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def update(self, fact: MusicChanged) -> None:
        """Note that music has started or stopped; the end of a channel stops it too."""
        if fact.playing:
            self._playing.add(fact.channel)
            return
        self._playing.discard(fact.channel)
        waiting = self._waiting.pop(fact.channel, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def stopped(self, channel: str, seconds: float) -> bool:
        """Wait up to ``seconds`` for the music on a channel to stop; return whether it has."""
        if channel in self._playing:
            waiting = self._waiting.setdefault(channel, asyncio.get_running_loop().create_future())
            await asyncio.wait((waiting,), timeout=seconds)
        return channel not in self._playing

    def forget(self) -> None:
        """Drop all state after a lost connection."""
        self._playing.clear()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
