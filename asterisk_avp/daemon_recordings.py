"""What others do to the recordings of calls, and what is left paused that should not be."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.core import events as ev
from asterisk_avp.core.actions import pauses_now
from asterisk_avp.core.effects import Effect, ResumeRecording
from asterisk_avp.core.features import ConsultRecording
from asterisk_avp.core.hub import Hub
from asterisk_avp.core.recordings import VARIABLE, Recordings

log = structlog.get_logger(__name__)


class RecordingWatch:
    def __init__(
        self,
        hub: Hub,
        recordings: Recordings,
        ami: AmiPerformer,
        perform: Callable[[str | None, Effect], None],
    ) -> None:
        self._hub = hub
        self._recordings = recordings
        self._ami = ami
        self._perform = perform
        self._looked = False

    def take(self, fact: ev.Fact) -> None:
        match fact:
            case ev.RecordingMuted(channel, direction, muted):
                self._recordings.told(channel, direction, muted=muted)
            case ev.ChannelGone(channel):
                self._recordings.gone(channel)

    async def look(self) -> None:
        """Let recordings go on that a daemon before us, or one without connection, has paused.

        Also of callers whose transfer is over for it: the dialplan, which takes them to their
        group meanwhile, cannot do it. Raises `AvpError`.
        """
        hub = self._hub
        self._recordings.only(hub.calls.channels)
        features = (group.features for group in hub.world.groups.values())
        used = any(x.consult_recording is ConsultRecording.PAUSE for x in features)
        if self._looked and not used:
            return
        for channel in await self._ami.variable_of_all(VARIABLE):
            found = hub.register.role_of(channel)
            if found is None or found[1] != "caller" or not pauses_now(found[0]):
                session = found[0].id if found is not None else None
                log.info("recording_resumed", call=channel)
                self._perform(session, ResumeRecording(channel))
        self._looked = True
