"""Read a queue by dialplan functions, with one response for each value.

AMI's QueueStatus lists a whole queue at once, but a waiting caller with line ends in their number
can inject text into that list for as long as they wait. Getvar without a channel reads functions
(main/manager.c, ``action_getvar``) and writes the unguessable ActionID before the value; ARI cannot
read functions (res/ari/resource_asterisk.c). The functions return less: no member name, no last
call, and only the number of waiting callers. Other known data of a member is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.pbx.agent import NOT_IN_USE

SOMEBODY: Final = "somebody"
"""Stands for the channel of a waiting caller, where only the number of callers is known."""

Read = Callable[[str], Awaitable[str]]
"""A function with its arguments → its value, truncated at a line end."""
Known = Callable[[str], ev.MemberSeen | None]
"""An interface → the member as known so far."""

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


class IncompleteQueue(AsteriskUnavailable):
    """Who is a member of a queue cannot be read as long as somebody disturbs its list."""


async def queue_by_functions(read: Read, queue: str, known: Known) -> list[ev.Fact]:
    """The members and waiting callers of a queue.

    Raises what ``read`` raises, and `IncompleteQueue` if the list of members is incomplete: it
    is limited to 1,024 bytes, and ends at a line end in an interface.
    """
    listed, counted, waiting = await asyncio.gather(
        read(f"QUEUE_MEMBER_LIST({queue})"),
        read(f"QUEUE_MEMBER({queue},count)"),
        read(f"QUEUE_WAITING_COUNT({queue})"),
    )
    names = listed.split(",") if listed else []
    if counted != str(len(names)) or not waiting.isdecimal():
        raise IncompleteQueue(f"the functions of queue {queue} return an incomplete list")
    # A member whose interface is not clean cannot be an agent.
    interfaces = [one for one in names if clean.interface(one)]
    members = await asyncio.gather(*(_member(read, queue, one, known(one)) for one in interfaces))
    joined = [ev.QueueJoined(queue, SOMEBODY)] if int(waiting) else []
    return [*members, *joined]


async def _member(
    read: Read, queue: str, interface: str, known: ev.MemberSeen | None
) -> ev.MemberSeen:
    phone = (known.state_interface if known is not None else "") or interface
    paused, state = await asyncio.gather(
        read(f"QUEUE_MEMBER({queue},paused,{interface})"), read(f"DEVICE_STATE({phone})")
    )
    status = _STATUS.get(state)
    if status is None and known is None:
        raise AsteriskUnavailable(f"the state of {phone} is unknown")
    if known is not None:
        status = known.status if status is None else status
        return replace(
            known,
            status=status,
            paused=paused == "1",
            in_call=known.in_call and status != NOT_IN_USE,
            now=time.time(),
        )
    return ev.MemberSeen(
        queue=queue,
        interface=interface,
        state_interface=interface,
        name="",
        status=status or 0,
        paused=paused == "1",
        in_call=False,
        last_call=0.0,
        wrapup_seconds=0,
        now=time.time(),
    )
