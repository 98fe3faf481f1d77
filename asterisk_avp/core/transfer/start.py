"""The first effects of a session."""

from __future__ import annotations

from asterisk_avp.core.messages.effects import CreateBridge, Effect, HangUp, Redirect
from asterisk_avp.core.model.world import Origin
from asterisk_avp.core.transfer.dialplan import (
    CALLER,
    DONE,
    LIVE,
    PARK,
    TRANSFEROR,
    mark_caller,
    mark_transferor,
)
from asterisk_avp.core.transfer.session import Session


def supervised(session: Session) -> tuple[Effect, ...]:
    # Set the variables first: whatever happens after the Redirect, the dialplan can identify the
    # channels. The bridges are created while the channels are on their way into Stasis.
    return (
        mark_caller(session, LIVE),
        mark_transferor(session, LIVE),
        Redirect(session.caller.channel, CALLER, session.transferor.channel, TRANSFEROR),
        CreateBridge(session.hold_bridge, "hold"),
        CreateBridge(session.consult_bridge, "consult"),
    )


def unsupervised(session: Session) -> tuple[Effect, ...]:
    # Redirect the transferor too, whom the dialplan then hangs up. A Redirect of the caller alone
    # leaves app_queue without a hang-up of the transferor, to whom it would attribute the next
    # agent's talk time. A phone that sent a REFER must be notified, which is possible in Stasis
    # only.
    notify = session.origin is Origin.BUTTON
    return (
        *_drop_second_line(session),
        mark_caller(session, LIVE),
        mark_transferor(session, DONE),
        Redirect(
            session.caller.channel,
            session.target_destination,
            session.transferor.channel,
            TRANSFEROR if notify else PARK,
        ),
    )


def _drop_second_line(session: Session) -> tuple[Effect, ...]:
    """Hang up the transferor's call to a target who has not answered; the caller replaces it."""
    return (HangUp(session.second_line),) if session.second_line else ()
