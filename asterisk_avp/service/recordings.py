"""Track mutes of recordings by others, and resume recordings that were left paused."""

from __future__ import annotations

from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ami.recording import VARIABLE, Recordings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import ResumeRecording, SetVariables
from asterisk_avp.core.model.features import ConsultRecording
from asterisk_avp.core.transfer.recording import pauses_now
from asterisk_avp.service.inbox import Message, Post
from asterisk_avp.service.part import Part

MUTED: Final = "AVP_RECORDING_MUTED"
"""``yes``: another program has muted the channel's recording, so that it must not restart."""

log = structlog.get_logger(__name__)


class RecordingWatch(Part):
    hears = (ev.RecordingMuted, ev.ChannelGone)

    def __init__(
        self,
        engine: TransferEngine,
        recordings: Recordings,
        ami: AmiReader,
        post: Post,
    ) -> None:
        self._engine = engine
        self._recordings = recordings
        self._ami = ami
        self._post = post
        self._looked = False

    def handle(self, message: Message) -> None:
        match message:
            case ev.RecordingMuted(channel, direction, muted):
                self._recordings.mute_changed(channel, direction, muted=muted)
                if self._used(ConsultRecording.RESTART):
                    now = "yes" if self._recordings.is_muted(channel) else ""
                    self._post(Outcome([(None, SetVariables(channel, {MUTED: now}))]))
            case ev.ChannelGone(channel):
                self._recordings.gone(channel)

    def _used(self, wanted: ConsultRecording) -> bool:
        groups = self._engine.world.groups.values()
        return any(group.features.consult_recording is wanted for group in groups)

    async def resynced(self) -> None:
        """Resume recordings that were left paused by an earlier daemon or a lost connection.

        This includes callers whose transfer has ended: the dialplan, which returns them to their
        group, cannot resume the recording. Raises `AvpError`.
        """
        engine = self._engine
        self._recordings.retain(engine.calls.channels)
        if self._looked and not self._used(ConsultRecording.PAUSE):
            return
        for channel in await self._ami.variable_of_all(VARIABLE):
            found = engine.store.role_of(channel)
            if found is None or found[1] != "caller" or not pauses_now(found[0]):
                session = found[0].id if found is not None else None
                log.info("recording_resumed", call=channel)
                self._post(Outcome([(session, ResumeRecording(channel))]))
        self._looked = True
