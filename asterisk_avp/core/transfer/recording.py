"""Whether the caller's recording pauses during a consultation or restarts, and a pause's end."""

from __future__ import annotations

from asterisk_avp.core.messages.effects import Effect, ResumeRecording
from asterisk_avp.core.model.features import ConsultRecording
from asterisk_avp.core.transfer.session import Presence, Session


def resume_recording(session: Session) -> tuple[Effect, ...]:
    """Resume the recording before the caller leaves Stasis, after which we cannot."""
    return (ResumeRecording(session.caller.channel),) if pauses(session) else ()


def pauses(session: Session) -> bool:
    return session.permission.group.features.consult_recording is ConsultRecording.PAUSE


def restarts(session: Session) -> bool:
    return session.permission.group.features.consult_recording is ConsultRecording.RESTART


def pauses_now(session: Session) -> bool:
    """Whether the caller must not be recorded now."""
    held = session.caller.presence is Presence.PRESENT
    return held and session.state.spec.recording_pauses and not session.refused and pauses(session)
