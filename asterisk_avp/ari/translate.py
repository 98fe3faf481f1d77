"""ARI events in the project's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asterisk_avp.core import events as ev

EVENT_TYPES = (
    "StasisStart",
    "StasisEnd",
    "ChannelTransfer",
    "ChannelDtmfReceived",
    "ApplicationReplaced",
)
"""What we ask Asterisk to send; everything else is filtered out over there.

Not ChannelDestroyed: the ends of channels come by AMI, in order with what app_queue and our
dialplan said of them before. From here they would overtake it.
"""


def translate(event: Mapping[str, Any]) -> ev.Fact | None:
    """One ARI event as a fact, None where it is none of ours."""
    if event.get("type") == "ChannelTransfer":
        return _transfer_asked(event)
    identifier = _id(event.get("channel"))
    if identifier is None:
        return None
    match event.get("type"):
        case "ChannelDtmfReceived":
            key = event.get("digit")
            return ev.KeyPressed(identifier, key) if isinstance(key, str) and key else None
        case "StasisStart":
            return ev.StasisEntered(identifier)
        case "StasisEnd":
            return ev.StasisLeft(identifier)
        case _:
            return None


def _transfer_asked(event: Mapping[str, Any]) -> ev.TransferAsked | None:
    """A REFER that waits for our answer.

    What we answer comes back as the same event with a ``state``. And where the phone hangs up
    with its REFER open, a last one comes that has neither state nor bridge
    (res_pjsip_refer.c, ``refer_progress_framehook_destroy``).
    """
    referred_by, refer_to = _map(event.get("referred_by")), _map(event.get("refer_to"))
    channel = _id(referred_by.get("source_channel"))
    if event.get("state") or channel is None or not referred_by.get("bridge"):
        return None
    wanted = _map(refer_to.get("requested_destination"))
    return ev.TransferAsked(
        channel=channel,
        number=str(wanted.get("destination") or ""),
        # An attended one names the call it is about (RFC 3891, Replaces).
        attended=bool(wanted.get("protocol_id")),
        second=_id(refer_to.get("destination_channel")),
        target=_id(refer_to.get("connected_channel")),
    )


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _id(channel: object) -> str | None:
    identifier = _map(channel).get("id")
    return identifier if isinstance(identifier, str) and identifier else None
