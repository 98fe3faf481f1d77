"""Reads a queue by dialplan functions, one answer for each value.

QueueStatus of AMI tells all of a queue at once, but a caller who waits in it with line ends in
their number can write into that list for as long as they wait. ARI has no list of queues; the
functions it reads say less (no name, no last call, and not who waits, only how many), but what they
say is JSON.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from asterisk_avp.ari.resources import AsteriskInfo
from asterisk_avp.core import clean
from asterisk_avp.core import events as ev
from asterisk_avp.core.errors import AriGone

SOMEBODY: Final = "somebody"
"""In place of the channel of a caller who waits, where only their number is known."""

# func_devstate.c, and enum ast_device_state (include/asterisk/devicestate.h)
_STATUS: Final = {
    "NOT_INUSE": 1,
    "INUSE": 2,
    "BUSY": 3,
    "INVALID": 4,
    "UNAVAILABLE": 5,
    "RINGING": 6,
    "RINGINUSE": 7,
    "ONHOLD": 8,
}


async def queue_by_functions(asterisk: AsteriskInfo, queue: str) -> list[ev.Fact]:
    """Members and waiting callers of a queue.

    Raises `AsteriskUnavailable` and `AriError`.
    """
    listed, waiting = await asyncio.gather(
        _value(asterisk, f"QUEUE_MEMBER_LIST({queue})"),
        _value(asterisk, f"QUEUE_WAITING_COUNT({queue})"),
    )
    # A member whose interface is not clean is none that an agent could be.
    interfaces = [one for one in listed.split(",") if clean.interface(one)]
    members = await asyncio.gather(*(_member(asterisk, queue, one) for one in interfaces))
    joined = [ev.QueueJoined(queue, SOMEBODY)] if waiting not in ("", "0") else []
    return [*members, *joined]


async def _member(asterisk: AsteriskInfo, queue: str, interface: str) -> ev.MemberSeen:
    paused, state = await asyncio.gather(
        _value(asterisk, f"QUEUE_MEMBER({queue},paused,{interface})"),
        _value(asterisk, f"DEVICE_STATE({interface})"),
    )
    return ev.MemberSeen(
        queue=queue,
        interface=interface,
        state_interface=interface,
        name="",
        status=_STATUS.get(state, 0),
        paused=paused not in ("", "0"),
        in_call=False,
        last_call=0.0,
        wrapup_seconds=0,
        now=time.time(),
    )


async def _value(asterisk: AsteriskInfo, function: str) -> str:
    try:
        return await asterisk.get_variable(function)
    except AriGone:
        return ""  # no such queue
