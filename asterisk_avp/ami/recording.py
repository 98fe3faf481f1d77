"""Pauses the recording of a caller's channel during a consultation, and lets it go on.

A recording (MixMonitor) is paused by muting it: Asterisk then writes silence, in step with the
call (audiohook.c, ``SHOULD_MUTE``). The mute is one flag a direction for all that records the
channel, and nobody can ask for it. Whoever else mutes it, so that a card number is not recorded,
say, must find it muted when our consultation is over. So what others do is noted as AMI tells it
(event MixMonitorMute); that event repeats the direction as the action has spelled it, and Asterisk
does not care for its case (app_mixmonitor.c, ``manager_mute_mixmonitor``): ours is in capitals.

What we have muted is written on the channel (`VARIABLE`) before it is done, for a daemon that
succeeds this one.

Most calls are recorded by nothing, and then Asterisk answers with an error that means no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.core.messages.effects import PauseRecording, ResumeRecording
from asterisk_avp.core.model.errors import AmiError

log = structlog.get_logger(__name__)

VARIABLE: Final = "AVP_RECORDING"
"""``READ``, ``WRITE`` or ``BOTH`` while we have that muted; else empty."""

READ, WRITE, BOTH = "READ", "WRITE", "BOTH"

_DIRECTIONS: Final = {READ: frozenset({READ}), WRITE: frozenset({WRITE})}
_EITHER: Final = frozenset({READ, WRITE})


class Recordings:
    """Who has paused the recording of a channel: we, or somebody else."""

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


class Recorder:
    def __init__(
        self, client: AmiClient, name_of: Callable[[str], str], recordings: Recordings
    ) -> None:
        self._client = client
        self._name_of = name_of
        self._recordings = recordings

    async def perform(self, effect: PauseRecording | ResumeRecording) -> None:
        """Raises `AsteriskUnavailable` where it may not have been done."""
        try:
            if isinstance(effect, PauseRecording):
                await self._pause(effect.channel)
            else:
                await self._resume(effect.channel)
        except AmiError as error:
            # The caller has hung up, or nothing records them.
            log.debug("ami_skipped", action=type(effect).__name__, error=str(error))

    async def _pause(self, channel: str) -> None:
        # A daemon before us may have noted it, and got no further.
        direction = await self._muted(channel) or self._recordings.left_to_us(channel)
        if not direction:
            return
        await self._note(channel, direction)
        try:
            await self._mute(channel, direction, muted=True)
        except AmiError:
            await self._note(channel, "")
            raise

    async def _resume(self, channel: str) -> None:
        ours = await self._muted(channel)
        if not ours:
            return
        direction = self._recordings.left_to_us(channel, ours)
        if direction:
            await self._mute(channel, direction, muted=False)
        await self._note(channel, "")

    async def _mute(self, channel: str, direction: str, *, muted: bool) -> None:
        headers = {
            "Channel": self._name_of(channel),
            "Direction": direction,
            "State": "1" if muted else "0",
        }
        await self._client.action("MixMonitorMute", headers)

    async def _muted(self, channel: str) -> str:
        """What we have muted."""
        headers = {"Channel": self._name_of(channel), "Variable": VARIABLE}
        return (await self._client.action("Getvar", headers)).get("Value", "")

    async def _note(self, channel: str, direction: str) -> None:
        headers = {"Channel": self._name_of(channel), "Variable": VARIABLE, "Value": direction}
        await self._client.action("Setvar", headers)
