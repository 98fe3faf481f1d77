"""What the dialplan reads: where it continues with a channel, and the variables on the channel.

``dialplan/asterisk_avp.conf`` documents both. `core.transfer.legs` has the variables of a call to a
target.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import Destination, Effect, LimitCall, SetVariables
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.transfer.recording import restarts
from asterisk_avp.core.transfer.session import Session

STASIS_CONTEXT = "avp-stasis"

CALLER = Destination(STASIS_CONTEXT, "caller")
TRANSFEROR = Destination(STASIS_CONTEXT, "transferor")
PARK = Destination(STASIS_CONTEXT, "park")
ACCEPT = Destination("avp-accept", "s")
RECALL = Destination("avp-recall", "group")
"""The head of the queue that the call came from (``AVP_RETURN_QUEUE``)."""

LIVE, DONE = "live", "done"

LIMIT = "TIMEOUT(absolute)"
"""When Asterisk ends the call, in seconds from now; 0: never (func_timeout.c)."""

AFTER_BRIDGE = "CHANNEL(after_bridge_goto)"
"""Where a channel continues in the dialplan after its bridge (func_channel.c)."""


_FORGET_FORMER: Final = {"AVP_ALONE": "", "AVP_FOURTH_CHANNEL": ""}
"""An agent may consult twice in one call: what the dialplan reads while no daemon runs must not be
left from the first time (avp-orphaned). The same for AVP_SWAPPED."""


def mark_caller(session: Session, state: str) -> SetVariables:
    own = session.target is not None and session.target.kind is TargetKind.AGENT
    return SetVariables(
        session.caller.channel,
        {
            **session.variables,
            **mark_nodes(session.permission),
            **show_withheld(session),
            "AVP_RECORDING_RESTARTS": "yes" if restarts(session) else "",
            "AVP_STATE": state,
            "AVP_TRANSFER": session.id,
            "AVP_GROUP": session.group_after,
            "AVP_RETURN_GROUP": session.group,
            "AVP_RETURN_QUEUE": session.permission.group.queue,
            "AVP_TRANSFEROR": session.agent,
            "AVP_TRANSFEROR_CHANNEL": session.transferor.channel,
            "AVP_LEG_CHANNEL": session.leg.channel,
            **_FORGET_FORMER,
            "AVP_HOLD_SECONDS": str(session.max_hold_seconds),
            # Inherited by the channels that app_queue creates, where the dialplan decides whether
            # to ring this member; empty where the transferor may get the call again.
            "__AVP_EXCLUDE": "" if own else clean.location(session.transferor_location),
            # The dialplan does the same where the caller leaves by it (avp-own-limit).
            **({LIMIT: "0"} if state == DONE else {}),
        },
    )


def mark_nodes(permission: Permission) -> dict[str, str]:
    """How the dialplan reaches a target on other nodes; empty: it is on this one."""
    if permission.node:
        return {"AVP_NODE": permission.node, "AVP_TRUNK": permission.trunk}
    if permission.trunks:
        others = "yes" if permission.others else ""
        return {"AVP_TRUNKS": ".".join(permission.trunks), "AVP_OTHERS": others}
    return {}


def show_withheld(session: Session) -> dict[str, str]:
    """Whether agents' phones may be told a caller who withholds number and name."""
    return {"AVP_SHOW_WITHHELD": "yes" if session.permission.group.features.show_withheld else ""}


def own_limit(session: Session) -> tuple[Effect, ...]:
    """Restore the call's own time limit, because we release the caller.

    Most calls have none; `mark_caller` has removed ours.
    """
    ends_at = session.variables.get("AVP_ENDS_AT", "")
    return (LimitCall(session.caller.channel, float(ends_at)),) if ends_at else ()


def mark_transferor(session: Session, state: str) -> SetVariables:
    return SetVariables(
        session.transferor.channel,
        {
            "AVP_STATE": state,
            "AVP_TRANSFER": session.id,
            "AVP_CALLER": session.caller.channel,
            "AVP_LEG_CHANNEL": session.leg.channel,
            **_FORGET_FORMER,
            "AVP_SWAPPED": "",
        },
    )


def mark_swapped(session: Session, *, swapped: bool) -> SetVariables:
    """For the dialplan, if the caller hangs up while no daemon runs: who talks to whom?"""
    return SetVariables(session.transferor.channel, {"AVP_SWAPPED": "yes" if swapped else ""})


def mark_fourth(session: Session, leg: str) -> tuple[Effect, ...]:
    """For the dialplan, if somebody hangs up while no daemon runs: who else is there?"""
    known = {"AVP_FOURTH_CHANNEL": leg}
    channels = (session.caller.channel, session.transferor.channel)
    return tuple(SetVariables(channel, known) for channel in channels)


def mark_done(session: Session, channel: str) -> SetVariables:
    if channel == session.caller.channel:
        return mark_caller(session, DONE)
    return SetVariables(channel, {"AVP_STATE": DONE})
