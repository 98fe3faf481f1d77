"""Pause and resume the recording of a caller's channel during a consultation.

Muting pauses a recording (MixMonitor): Asterisk then records silence, in step with the call
(audiohook.c, ``SHOULD_MUTE``). The mute is one flag per direction for all recordings of a channel,
and it cannot be queried. If another program has muted a recording, to omit a card number for
example, it must stay muted after our consultation. So mutes by others are noted as AMI reports them
(event MixMonitorMute). The event repeats the direction as spelled in the action, and Asterisk
ignores its case (app_mixmonitor.c, ``manager_mute_mixmonitor``): ours is in capitals.

What we mute is written to the channel (`VARIABLE`) first, for a daemon that takes over.

Most calls are not recorded; Asterisk then answers with an error, which is harmless.
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
"""``READ``, ``WRITE`` or ``BOTH`` while we mute it; otherwise empty."""

READ, WRITE, BOTH = "READ", "WRITE", "BOTH"

_DIRECTIONS: Final = {READ: frozenset({READ}), WRITE: frozenset({WRITE})}
_EITHER: Final = frozenset({READ, WRITE})


class Recordings:
    """Which recordings other programs have muted."""

    def __init__(self) -> None:
        self._others: dict[str, frozenset[str]] = {}
        """Channel id to the directions that others have muted."""

    def mute_changed(self, channel: str, direction: str, *, muted: bool) -> None:
        """A channel's recordings were muted or unmuted, by others or by us."""
        if direction in (READ, WRITE, BOTH):
            return
        meant = _DIRECTIONS.get(direction.upper(), _EITHER)
        before = self._others.pop(channel, frozenset())
        after = before | meant if muted else before - meant
        if after:
            self._others[channel] = after

    def is_muted(self, channel: str) -> bool:
        return channel in self._others

    def gone(self, channel: str) -> None:
        self._others.pop(channel, None)

    def retain(self, channels: Iterable[str]) -> None:
        """Drop all other channels, which have ended."""
        self._others = {x: self._others[x] for x in channels if x in self._others}

    def not_muted_by_others(self, channel: str, direction: str = BOTH) -> str:
        """The part of ``direction`` that nobody else has muted; empty: none."""
        left = _DIRECTIONS.get(direction, _EITHER) - self._others.get(channel, frozenset())
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
            # The caller has hung up, or there is no recording.
            log.debug("ami_action_skipped", action=type(effect).__name__, error=str(error))

    async def _pause(self, channel: str) -> None:
        # An earlier daemon may have set the variable without muting.
        direction = await self._muted(channel) or self._recordings.not_muted_by_others(channel)
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
        direction = self._recordings.not_muted_by_others(channel, ours)
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
        """The direction that we have muted."""
        headers = {"Channel": self._name_of(channel), "Variable": VARIABLE}
        return (await self._client.action("Getvar", headers)).get("Value", "")

    async def _note(self, channel: str, direction: str) -> None:
        headers = {"Channel": self._name_of(channel), "Variable": VARIABLE, "Value": direction}
        await self._client.action("Setvar", headers)
