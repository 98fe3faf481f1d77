"""Pauses the recording of a caller's channel, and lets it go on (see `core.pbx.recordings`).

Most calls are recorded by nothing, and then Asterisk answers with an error that means no harm.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.core.messages.effects import PauseRecording, ResumeRecording
from asterisk_avp.core.model.errors import AmiError
from asterisk_avp.core.pbx.recordings import VARIABLE, Recordings

log = structlog.get_logger(__name__)


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
