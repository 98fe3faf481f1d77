"""Which phones have put their calls on hold, seen from the channels that a transfer knows.

A phone tells it on its own channel. A transfer may know a Local channel instead, whose other half
is in a bridge with the phone, or with another Local channel: a consult leg, or a member such as
``Local/1001@agents/n``.
"""

from __future__ import annotations

from asterisk_avp.core.messages.effects import StartHold
from asterisk_avp.core.pbx.calls import Calls

_TWO = 2


def holds(calls: Calls, channel_id: str) -> bool:
    """Whether the phone of this channel has put the call on hold."""
    behind = [channel_id] if channel_id in calls.channels else []
    for each in behind:  # which grows
        far = calls.other_half(calls.channels[each])
        phone = calls.phone_behind(far) if far is not None else ""
        if phone and phone not in behind:
            behind.append(phone)
    return any(calls.channels[each].on_hold for each in behind)


def in_front_of(calls: Calls, channel_id: str) -> list[str]:
    """The channel, and halves of Local channels whose phone it may be."""
    found = [channel_id]
    for each in found:  # which grows
        for other in calls.in_same_bridge(each):
            far = calls.other_half(other)
            if other.id != each and far is not None and far not in found:
                found.append(far)
    return found


def hold_again(calls: Calls, bridge: str) -> list[tuple[None, StartHold]]:
    """Music for whoever Asterisk has brought together with somebody on hold in its own bridge.

    When it optimises a consult leg away, phone or caller takes the place of a half of it, and that
    ends music that has begun (bridge_simple.c, ``simple_bridge_join``). Only channels that were in
    a transfer can be told; for others ARI answers that they are not in Stasis.
    """
    found = calls.in_bridge(bridge)
    if calls.ours(bridge) or len(found) != _TWO:
        return []
    first, second = found
    return [
        (None, StartHold(one.id))
        for one, other in ((first, second), (second, first))
        if other.on_hold and not one.on_hold
    ]
