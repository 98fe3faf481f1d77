"""Who has hung up, before Asterisk has ended their channels. Pure.

A phone's BYE sets a flag on its channel, which ends the channel as soon as somebody looks at the
flag. AMI Bridge can take the channel over within that millisecond (channel.c,
``ast_channel_yank``), and the flag is lost: a channel without a phone then stays in the bridge,
and the partner hears silence. Asterisk reports the request to hang up as an event of its own.
"""

from __future__ import annotations

from collections.abc import Callable


class HangUps:
    def __init__(self) -> None:
        self._asked: dict[str, bool] = {}
        """Channels whose end was asked for, in the order of the requests; whether by the phone."""

    def asked(self, channel: str, *, by_phone: bool) -> None:
        if by_phone and not self._asked.get(channel, True):
            del self._asked[channel]  # the order is that of the phones
        self._asked.setdefault(channel, by_phone)

    def gone(self, channel: str) -> None:
        self._asked.pop(channel, None)

    def retain(self, alive: Callable[[str], bool]) -> None:
        """Drop the channels that a resync has not found."""
        self._asked = {x: by_phone for x, by_phone in self._asked.items() if alive(x)}

    def __contains__(self, channel: object) -> bool:
        return channel in self._asked

    def __len__(self) -> int:
        return len(self._asked)

    def first(self, *channels: str) -> str:
        """Whose phone of these hung up first; empty: nobody's."""
        return next((x for x, by_phone in self._asked.items() if by_phone and x in channels), "")
