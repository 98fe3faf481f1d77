"""ARI events in the project's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asterisk_avp.core import events as ev

EVENT_TYPES = ("StasisStart", "StasisEnd", "ApplicationReplaced")
"""What we ask Asterisk to send; everything else is filtered out over there.

Not ChannelDestroyed: the ends of channels come by AMI, in order with what app_queue and our
dialplan said of them before. From here they would overtake it.
"""


def translate(event: Mapping[str, Any]) -> ev.Fact | None:
    """One ARI event as a fact, None where it is none of ours."""
    channel = event.get("channel")
    identifier = channel.get("id") if isinstance(channel, Mapping) else None
    if not isinstance(identifier, str):
        return None
    match event.get("type"):
        case "StasisStart":
            return ev.StasisEntered(identifier)
        case "StasisEnd":
            return ev.StasisLeft(identifier)
        case _:
            return None
