"""The phone beyond Local channels."""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.pbx.channel import other_half_of

_HALVES: Final = 5
"""More Local channels in a row than anybody has."""


def phone_beyond(calls: Calls, channel_id: str) -> str:
    """The id of the phone's channel that a half of a Local channel leads to.

    Empty where the channel is not Local, or no phone has answered it.
    """
    here = channel_id
    for _ in range(_HALVES):
        name = other_half_of(calls.name_of(here))
        far = next((x.id for x in calls.channels.values() if x.name == name), "") if name else ""
        beyond = calls.phone_behind(far) if far else ""
        if not beyond:
            return ""
        if not other_half_of(calls.name_of(beyond)):
            return beyond
        here = beyond
    return ""
