"""The actions for a caller who is elsewhere: nothing of ours goes on with their call."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.messages.effects import Effect, SetVariables
from asterisk_avp.core.transfer.actions import bridge_rest
from asterisk_avp.core.transfer.dialplan import LIMIT, own_limit
from asterisk_avp.core.transfer.recording import resume_recording
from asterisk_avp.core.transfer.session import Session


def let_be(session: Session) -> tuple[Effect, ...]:
    """Leave the caller to whoever has them now: nothing of ours goes on with their call."""
    mark = SetVariables(session.caller.channel, {"AVP_STATE": ""})
    return (*resume_recording(session), mark)


def lift_limit(session: Session) -> tuple[Effect, ...]:
    """Remove our timeout from a caller who did not leave by our dialplan, which would do it."""
    return (
        SetVariables(session.caller.channel, {"AVP_ORPHAN_SECONDS": "", LIMIT: "0"}),
        *own_limit(session),
    )


def bridge_colleagues(session: Session) -> tuple[Effect, ...]:
    """Let transferor and target talk on, in a call of two, which needs no daemon."""
    return bridge_rest(replace(session, fourth=None))
