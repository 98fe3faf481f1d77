"""Who has paused the recording of a channel: we, during a consultation, or somebody else. Pure.

A recording (MixMonitor) is paused by muting it: Asterisk then writes silence, in step with the
call (audiohook.c, ``SHOULD_MUTE``). The mute is one flag a direction for all that records the
channel, and nobody can ask for it. Whoever else mutes it, so that a card number is not recorded,
say, must find it muted when our consultation is over. So what others do is noted as AMI tells it
(event MixMonitorMute); that event repeats the direction as the action has spelled it, and Asterisk
does not care for its case (app_mixmonitor.c, ``manager_mute_mixmonitor``): ours is in capitals.

What we have muted is written on the channel (`VARIABLE`) before it is done, for a daemon that
succeeds this one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

VARIABLE: Final = "AVP_RECORDING"
"""``READ``, ``WRITE`` or ``BOTH`` while we have that muted; else empty."""

READ, WRITE, BOTH = "READ", "WRITE", "BOTH"

_DIRECTIONS: Final = {READ: frozenset({READ}), WRITE: frozenset({WRITE})}
_EITHER: Final = frozenset({READ, WRITE})


class Recordings:
    def __init__(self) -> None:
        self._others: dict[str, frozenset[str]] = {}
        """What others have muted, by channel id."""

    def told(self, channel: str, direction: str, *, muted: bool) -> None:
        """Somebody has muted a channel's recordings, or the opposite; or we have."""
        if direction in (READ, WRITE, BOTH):
            return
        meant = _DIRECTIONS.get(direction.upper(), _EITHER)
        before = self._others.pop(channel, frozenset())
        after = before | meant if muted else before - meant
        if after:
            self._others[channel] = after

    def gone(self, channel: str) -> None:
        self._others.pop(channel, None)

    def only(self, channels: Iterable[str]) -> None:
        """These are all the channels there are."""
        self._others = {x: self._others[x] for x in channels if x in self._others}

    def left_to_us(self, channel: str, wanted: str = BOTH) -> str:
        """Of what is wanted, the direction that nobody else has muted; empty where none is."""
        left = _DIRECTIONS.get(wanted, _EITHER) - self._others.get(channel, frozenset())
        return BOTH if left == _EITHER else next(iter(left), "")
