"""Which music callers hear in the administrator's queues, for when they wait in a transfer. Pure.

app_queue plays a queue's ``musicclass`` without storing it anywhere, and no action of AMI tells it.
The event of the music itself does: the class that Asterisk has chosen for this call, from the
queue, Queue()'s option ``m``, ``CHANNEL(musicclass)`` and the default. It is written to the channel
at the first music of each wait, so that every later daemon, and the dialplan, finds it there.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import SetVariables
from asterisk_avp.core.model.hold import MUSIC
from asterisk_avp.core.model.world import agent_of_personal_queue

MOST: Final = 10_000
"""Callers who may wait at the same time; more are invented by somebody who writes AMI events."""


class QueueMusic:
    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        """Channel to the class that was written in its present wait; empty: none yet."""

    def joined(self, queue: str, channel: str) -> None:
        """A channel waits in a queue. In a personal queue it hears what has been written."""
        self.left(channel)
        # AMI would set the variable of no channel for everybody.
        if channel and agent_of_personal_queue(queue) is None:
            self._waiting[channel] = ""
            if len(self._waiting) > MOST:
                del self._waiting[next(iter(self._waiting))]

    def left(self, channel: str) -> None:
        """The channel waits no longer, or has ended."""
        self._waiting.pop(channel, None)

    def started(self, channel: str, music_class: str) -> SetVariables | None:
        """Music has started on a channel; return what is to be written."""
        found = clean.ident(music_class)
        if not found or self._waiting.get(channel, found) == found:
            return None
        self._waiting[channel] = found
        return SetVariables(channel, {MUSIC: found})
