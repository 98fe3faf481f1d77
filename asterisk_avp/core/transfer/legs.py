"""The call to a target or a fourth party: whom Asterisk dials, with what, and what they see."""

from __future__ import annotations

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import DialLeg, Effect
from asterisk_avp.core.model.features import ShownNumber
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.transfer.dialplan import ACCEPT, mark_fourth, mark_nodes
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.translation import TOLD


def dial_leg(
    session: Session, leg: str, other: str, permission: Permission, *, fourth: bool
) -> DialLeg:
    external = permission.number is not None
    return DialLeg(
        channel=leg,
        other_channel=other,
        permission=permission,
        originator=session.transferor.channel,
        caller_id=clean.caller_id(session.transferor.name, session.agent),
        variables={
            "AVP_LEG": "consult",
            "__AVP_NO_POP": "yes",
            # Inherited by the target's phone; see `RenewTranslation`.
            **{f"__{key}": value for key, value in TOLD.items()},
            "AVP_TRANSFER": session.id,
            "__AVP_CALLER": session.caller.channel,
            "AVP_HOLD_SECONDS": str(session.max_hold_seconds),
            "AVP_GROUP": session.group,
            **(_to_node(session, permission) if permission.node else {}),
            **(_shown_outside(session) if external else {}),
        },
        timeout_seconds=session.ring_outside_seconds if external else None,
        first=ACCEPT if permission.requires_acceptance else None,
        fourth=fourth,
    )


def _to_node(session: Session, permission: Permission) -> dict[str, str]:
    return {**mark_nodes(permission), "AVP_TRANSFEROR": session.agent}


def dial_fourth(session: Session) -> tuple[Effect, ...]:
    fourth = session.fourth
    if fourth is None:
        return ()
    leg = fourth.party.channel
    return (
        *mark_fourth(session, leg),
        dial_leg(session, leg, fourth.other, fourth.permission, fourth=True),
    )


def _shown_outside(session: Session) -> dict[str, str]:
    """The caller ID that an external party sees, and the diverting party (SIP Diversion)."""
    features = session.permission.group.features
    account = clean.number(features.caller_id or "")
    shown, presentation = account, ""
    if features.external_caller_id is ShownNumber.CALLER:
        caller = session.caller.identity
        if caller.told_outside:
            # A trunk's caller ID is foreign text: present it only if it is a valid number.
            shown = clean.number(caller.number) or account
        else:
            # The trunk may need a number that it knows; it asserts that one and tells nobody.
            presentation = "prohib"
    return {
        "AVP_CALLER_ID": shown,
        "AVP_DIVERTED_BY": account,
        "AVP_PRESENTATION": presentation,
    }
