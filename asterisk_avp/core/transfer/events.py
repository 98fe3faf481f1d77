"""The events of a session: the columns of the state table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from asterisk_avp.core.transfer.session import Choice, Fourth


class EventType(StrEnum):
    """Columns of the state table (`core.transfer.table`)."""

    CALLER_ENTERED = "caller_entered"
    TRANSFEROR_ENTERED = "transferor_entered"
    CALLER_GONE = "caller_gone"
    CALLER_LEFT = "caller_left"
    CALL_ENDED = "call_ended"
    TRANSFEROR_GONE = "transferor_gone"
    LEG_RINGING = "leg_ringing"
    LEG_UNANSWERED = "leg_unanswered"
    LEG_LEFT_QUEUE = "leg_left_queue"
    LEG_FAILED = "leg_failed"
    LEG_ANSWERED = "leg_answered"
    LEG_GONE = "leg_gone"
    FOURTH_ANSWERED = "fourth_answered"
    FOURTH_FAILED = "fourth_failed"
    FOURTH_GONE = "fourth_gone"
    COMPLETE = "complete"
    CANCEL = "cancel"
    SWAP = "swap"
    CONFERENCE = "conference"
    ADD_PARTY = "add_party"
    DROP_TARGET = "drop_target"
    DROP_FOURTH = "drop_fourth"
    CHOSEN = "chosen"
    WRONG_CHOICE = "wrong_choice"
    BRIDGED = "bridged"
    BRIDGE_FAILED = "bridge_failed"
    REDIRECTED = "redirected"
    REDIRECT_FAILED = "redirect_failed"
    OFFERED = "offered"
    UNANSWERED = "unanswered"
    DELIVERED = "delivered"
    LEFT_QUEUE = "left_queue"
    TIMED_OUT = "timed_out"


LEFT_QUEUE: Final = "left_queue"
"""The reason of a transfer whose caller has left the queue into another dialplan."""

TAKEN: Final = "taken"
"""The reason of a transfer whose call another program or another phone has taken."""

ENTERED: Final[Mapping[str, EventType]] = {
    "caller": EventType.CALLER_ENTERED,
    "leg": EventType.LEG_ANSWERED,
    "fourth": EventType.FOURTH_ANSWERED,
    "transferor": EventType.TRANSFEROR_ENTERED,
}
"""Role of a channel to the event of its entering Stasis."""

GONE: Final[Mapping[str, EventType]] = {
    "caller": EventType.CALLER_GONE,
    "leg": EventType.LEG_GONE,
    "fourth": EventType.FOURTH_GONE,
    "transferor": EventType.TRANSFEROR_GONE,
}
"""Role of a channel to the event of its end, or of its being moved out of Stasis."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    kind: EventType
    reason: str = ""
    """The reason, for event types that have one; reported as ``ended_reason``."""
    agent: str = ""
    """For `DELIVERED`: the agent who took the call."""
    fourth: Fourth | None = None
    """For `ADD_PARTY`: the party that policy has permitted."""
    inferred: bool = field(default=False, compare=False)
    """A resync has concluded that it happened, at some time and in some way."""
    to_group: bool = False
    """For `LEFT_QUEUE`: the dialplan takes the caller to their group."""
    along: tuple[str, ...] = ()
    """For `CALLER_LEFT`: the roles of those who have left the transfer with the caller."""
    choice: Choice | None = None
    """For `CHOSEN`: the target that the transferor keyed in and policy has permitted."""
