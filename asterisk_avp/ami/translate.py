"""AMI events in the project's own words. Anything that is not about us becomes nothing.

Header names are Asterisk's (main/manager_channels.c, manager_bridges.c, apps/app_queue.c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from asterisk_avp.core import events as ev

log = structlog.get_logger(__name__)

Event = Mapping[str, str]

QUEUE_ENDED = "AVPQueueEnded"
"""Name of the UserEvent that our dialplan sends when Queue() gave a call back unanswered."""

FEATURE = "AVPFeature"
"""Name of the one that features.conf sends when an agent keys in the feature code."""

NOT_ACCEPTED = "AVPNotAccepted"
"""Name of the one it sends when an external target answered but did not accept the call."""


def translate(event: Event, now: float) -> ev.Fact | None:
    """One AMI event as a fact. ``now``: Unix seconds by our clock.

    One that lacks what it is about is left out, and the log says so; nothing is raised.
    """
    name = event.get("Event", "")
    translator = _TRANSLATORS.get(name)
    if translator is None:
        return None
    try:
        return translator(event, now)
    except KeyError as missing:
        log.warning("ami_event_incomplete", ami_event=name, header=missing.args[0])
        return None


def _channel(event: Event, now: float) -> ev.Fact | None:
    return ev.ChannelSeen(
        id=event["Uniqueid"],
        name=event["Channel"],
        caller_number=_known(event.get("CallerIDNum")),
        caller_name=_known(event.get("CallerIDName")),
        connected_number=_known(event.get("ConnectedLineNum")),
    )


def _listed_channel(event: Event, now: float) -> ev.Fact | None:
    """One of CoreShowChannels: also tells the bridge, and the queue it waits or talks in."""
    queue = None
    if event.get("Application") == "Queue":
        queue = event.get("ApplicationData", "").split(",", 1)[0] or None
    return ev.ChannelSeen(
        id=event["Uniqueid"],
        name=event["Channel"],
        caller_number=_known(event.get("CallerIDNum")),
        caller_name=_known(event.get("CallerIDName")),
        connected_number=_known(event.get("ConnectedLineNum")),
        queue=queue,
        bridge=event.get("BridgeId") or None,
        linked=event.get("Linkedid", ""),
        rung=event.get("ChannelStateDesc") == "Ringing",
    )


def _renamed(event: Event, now: float) -> ev.Fact | None:
    return ev.ChannelRenamed(event["Uniqueid"], event["Newname"])


def _hangup(event: Event, now: float) -> ev.Fact | None:
    return ev.ChannelGone(event["Uniqueid"])


def _bridge_enter(event: Event, now: float) -> ev.Fact | None:
    return ev.BridgeEntered(event["Uniqueid"], event["BridgeUniqueid"])


def _bridge_leave(event: Event, now: float) -> ev.Fact | None:
    return ev.BridgeLeft(event["Uniqueid"], event["BridgeUniqueid"])


def _hold(event: Event, now: float) -> ev.Fact | None:
    return ev.HoldChanged(event["Uniqueid"], on_hold=event["Event"] == "Hold")


def _music(event: Event, now: float) -> ev.Fact | None:
    return ev.MusicChanged(event["Uniqueid"], playing=event["Event"] == "MusicOnHoldStart")


def _recording(event: Event, now: float) -> ev.Fact | None:
    muted = event.get("State") == "1"
    return ev.RecordingMuted(event["Uniqueid"], event.get("Direction", ""), muted=muted)


def _member(event: Event, now: float) -> ev.Fact | None:
    # The events say Interface and MemberName; the list of QueueStatus says Location and Name.
    interface = event.get("Interface") or event.get("Location", "")
    return ev.MemberSeen(
        queue=event["Queue"],
        interface=interface,
        state_interface=event.get("StateInterface", ""),
        name=event.get("MemberName") or event.get("Name", ""),
        status=_integer(event.get("Status")),
        paused=event.get("Paused") == "1",
        in_call=event.get("InCall") == "1",
        last_call=float(_integer(event.get("LastCall"))),
        wrapup_seconds=_integer(event.get("Wrapuptime")),
        now=now,
        paused_reason=event.get("PausedReason", ""),
    )


def _member_removed(event: Event, now: float) -> ev.Fact | None:
    return ev.MemberRemoved(event["Queue"], event["Interface"], now)


def _joined(event: Event, now: float) -> ev.Fact | None:
    # Wait: only in the list of QueueStatus.
    return ev.QueueJoined(event["Queue"], event["Uniqueid"], float(_integer(event.get("Wait"))))


def _left(event: Event, now: float) -> ev.Fact | None:
    return ev.QueueLeft(event["Queue"], event["Uniqueid"])


def _agent_called(event: Event, now: float) -> ev.Fact | None:
    return ev.AgentRung(event["Queue"], event["Uniqueid"], event["Interface"])


def _agent_no_answer(event: Event, now: float) -> ev.Fact | None:
    ring_seconds = _integer(event.get("RingTime")) / 1000
    return ev.AgentUnanswered(event["Queue"], event["Uniqueid"], event["Interface"], ring_seconds)


def _agent_connect(event: Event, now: float) -> ev.Fact | None:
    return ev.AgentConnected(event["Queue"], event["Uniqueid"], event["Interface"])


def _agent_complete(event: Event, now: float) -> ev.Fact | None:
    # No channel: app_queue leaves them out where they are gone already.
    return ev.AgentCompleted(event["Queue"], event["Interface"], now)


def _dial(event: Event, now: float) -> ev.Fact | None:
    # Without a dialling channel it is an originate, known by the channel it makes.
    channel = event.get("Uniqueid") or event.get("DestUniqueid")
    return ev.DialProgress(channel, event.get("DialStatus", "")) if channel else None


def _user_event(event: Event, now: float) -> ev.Fact | None:
    name = event.get("UserEvent")
    if name == FEATURE:
        return ev.FeatureUsed(event["Uniqueid"])
    if name == QUEUE_ENDED:
        return ev.QueueEnded(event["Uniqueid"], event.get("Status", ""))
    if name == NOT_ACCEPTED:
        return ev.NotAccepted(event["Uniqueid"])
    return None


_TRANSLATORS: dict[str, Callable[[Event, float], ev.Fact | None]] = {
    "Newchannel": _channel,
    "NewCallerid": _channel,
    "NewConnectedLine": _channel,
    "CoreShowChannel": _listed_channel,
    "Rename": _renamed,
    "Hangup": _hangup,
    "BridgeEnter": _bridge_enter,
    "BridgeLeave": _bridge_leave,
    "Hold": _hold,
    "MusicOnHoldStart": _music,
    "MusicOnHoldStop": _music,
    "MixMonitorMute": _recording,
    "Unhold": _hold,
    "QueueMember": _member,
    "QueueMemberStatus": _member,
    "QueueMemberAdded": _member,
    "QueueMemberPause": _member,
    "QueueMemberRemoved": _member_removed,
    "QueueCallerJoin": _joined,
    "QueueCallerLeave": _left,
    "QueueEntry": _joined,
    "AgentCalled": _agent_called,
    "AgentRingNoAnswer": _agent_no_answer,
    "AgentConnect": _agent_connect,
    "AgentComplete": _agent_complete,
    "DialState": _dial,
    "DialEnd": _dial,
    "UserEvent": _user_event,
}

EVENTS = frozenset(_TRANSLATORS)
"""Names of the AMI events that mean anything to us."""


def _known(value: str | None) -> str:
    return "" if value is None or value == "<unknown>" else value


_MAX_INTEGER: Final = 2**32 - 1
"""Larger than any time (seconds of the epoch) or duration that Asterisk tells, and a date still."""


_MAX_DIGITS: Final = 10


def _integer(value: str | None) -> int:
    """A number as Asterisk writes one; 0 for anything else (RingTime is -1 for none)."""
    if not value or len(value) > _MAX_DIGITS or not (value.isascii() and value.isdigit()):
        return 0
    return min(int(value), _MAX_INTEGER)
