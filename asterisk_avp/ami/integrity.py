"""Detect AMI messages that Asterisk cannot have written: a caller has injected text.

AMI sends a caller's number, a dialled extension and a queue member's name unescaped, including CR
and LF (main/manager_channels.c, ``ast_manager_build_channel_state_string_prefix``;
apps/app_queue.c, ``manager_queues_status``). So anyone who can dial can end one of Asterisk's
messages and begin others. The remainder is detectable: the truncated message lacks its end, the
text after the injection lacks a beginning, and an injected header occurs twice.

The checks find such messages. They cannot prove that an event is genuine, because a text of
unlimited length can forge all of it. So everything that grants, ends or moves something is verified
with Asterisk (`asterisk_avp.service.members`), or comes by ARI, whose JSON cannot be injected into.

Our ActionID does not prove an item of a list genuine either: QueueStatus and Status write it last,
so that a forged beginning gets it from the genuine end. But then the truncated message lacks it. A
list is genuine if every message in it is as Asterisk writes it; any other list is discarded
entirely (`AmiTampered`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

EVENT: Final = "Event: "
RESPONSE: Final = "Response: "
_PRIVILEGE: Final = "\r\nPrivilege: "
_ACTION_ID: Final = "\r\nActionID: "
_OF_COMPLAINT: Final = frozenset({"Response", "Message"})
_REPEATABLE: Final = ("ChanVariable", "Variable", "Output")
"""Suffixes of the only header names that Asterisk repeats in a message."""

CHANNEL: Final = (
    "Channel",
    "ChannelState",
    "ChannelStateDesc",
    "CallerIDNum",
    "CallerIDName",
    "ConnectedLineNum",
    "ConnectedLineName",
    "Language",
    "AccountCode",
    "Context",
    "Exten",
    "Priority",
    "Uniqueid",
    "Linkedid",
)
"""Headers of a channel's snapshot, in events about channels."""

_MEMBER: Final = (
    "StateInterface",
    "Membership",
    "Penalty",
    "CallsTaken",
    "LastCall",
    "Status",
    "Paused",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The headers of a type of message, in Asterisk 16 and later.

    ``needed``: headers that it always has; ``alien``: headers that it never has; ``only``: the
    complete list of its headers.
    """

    needed: Collection[str]
    alien: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()


_NO_CHANNEL: Final = frozenset(CHANNEL)
_EVENT_OF_MEMBER: Final = Shape(("Queue", "MemberName", "Interface", *_MEMBER), _NO_CHANNEL)

_END: Final = Shape(
    ("EventList",),
    only=frozenset({"Event", "ActionID", "EventList", "ListItems", "Items"}),
)

SHAPES: Final[Mapping[str, Shape]] = {
    "QueueMemberAdded": _EVENT_OF_MEMBER,
    "QueueMemberPause": _EVENT_OF_MEMBER,
    "QueueMemberRemoved": _EVENT_OF_MEMBER,
    "QueueMemberStatus": _EVENT_OF_MEMBER,
    "QueueCallerJoin": Shape((*CHANNEL, "Queue", "Position", "Count")),
    "QueueCallerLeave": Shape((*CHANNEL, "Queue", "Position", "Count")),
    "AgentComplete": Shape(("Queue", "Interface", "MemberName", "HoldTime", "TalkTime", "Reason")),
    "MusicOnHoldStart": Shape(CHANNEL),
    "MusicOnHoldStop": Shape(CHANNEL),
    "MixMonitorMute": Shape((*CHANNEL, "Direction", "State")),
    "BridgeEnter": Shape((*CHANNEL, "BridgeUniqueid", "BridgeType")),
    "Hangup": Shape((*CHANNEL, "Cause")),
    # Items and ends of lists, which carry our ActionID.
    "QueueParams": Shape(("Queue", "Max", "Strategy", "Calls"), _NO_CHANNEL),
    "QueueMember": Shape(("Queue", "Name", "Location", *_MEMBER), _NO_CHANNEL),
    "QueueEntry": Shape(("Queue", "Position", "Channel", "Uniqueid", "Wait")),
    "CoreShowChannel": Shape((*CHANNEL, "BridgeId", "Application", "ApplicationData", "Duration")),
    "Status": Shape(("Channel", "ChannelState", "CallerIDNum", "Uniqueid", "Linkedid")),
    "QueueStatusComplete": _END,
    "StatusComplete": _END,
    "CoreShowChannelsComplete": _END,
}
"""Event name to shape."""

LISTED: Final = frozenset(
    {
        "QueueParams",
        "QueueMember",
        "QueueEntry",
        "QueueStatusComplete",
        "CoreShowChannel",
        "CoreShowChannelsComplete",
        "Status",
        "StatusComplete",
    }
)
"""Items and ends of lists."""


def beginning_defect(block: str) -> str:
    """Why Asterisk cannot have written the beginning of a message; empty: it can.

    Asterisk writes ``Event`` or ``Response`` first in every message.
    """
    if block.startswith((EVENT, RESPONSE)):
        return ""
    return "it has no beginning" if block else "a blank line too many"


def defect(block: str, message: Mapping[str, str]) -> str:
    """Why Asterisk cannot have written this message; empty: it can.

    ``block``: the message as text, without the blank line at its end; ``message``: its headers.
    """
    name = message.get("Event")
    if name is None:
        # Asterisk writes the ActionID next (manager.c, astman_send_response_full); all our actions
        # have one. A response without it is an error about an unreadable action.
        if block.startswith(_ACTION_ID, block.find("\r\n")):
            return ""
        return "" if _complaint(message) else "an answer to nobody"
    shape = SHAPES.get(name)
    if shape is None:
        return ""
    if name in LISTED:
        if _ACTION_ID not in block:
            return "an item of a list that belongs to no list"
    elif not block.startswith(_PRIVILEGE, block.find("\r\n")):
        return "it has no class"
    for header in shape.needed:
        if header not in message:
            return f"it has no {header}"
    if not shape.alien.isdisjoint(message) or (shape.only and message.keys() - shape.only):
        return "it has headers of another event"
    return ""


def _complaint(message: Mapping[str, str]) -> bool:
    return message.keys() <= _OF_COMPLAINT and message["Response"] == "Error"


def repeated_defect(message: Mapping[str, str], names: Collection[str]) -> str:
    """Why these headers cannot be repeated in a message; empty: they can.

    Asterisk itself repeats some in events that we ignore (OriginateResponse).
    """
    event = message.get("Event")
    if event is not None and event not in SHAPES:
        return ""
    for name in names:
        if not name.endswith(_REPEATABLE):
            return "a header stands there twice"
    return ""
