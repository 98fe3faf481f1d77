"""AMI events in the project's own words. Anything that is not about us becomes nothing.

Whoever can dial can write into this stream, so what comes of it are hints: of what grants, ends or
moves something Asterisk itself is asked before it counts (`asterisk_avp.service.members`).
Channels, bridges and what the dialplan says come by ARI (`asterisk_avp.ari.translate`).

Header names are Asterisk's (main/manager_channels.c, manager_bridges.c, apps/app_queue.c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from asterisk_avp.core.messages import facts as ev

log = structlog.get_logger(__name__)

Event = Mapping[str, str]


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


def _hangup(event: Event, now: float) -> ev.Fact | None:
    return ev.ChannelEnding(event["Uniqueid"])


def _swapped(event: Event, now: float) -> ev.Fact | None:
    replaced = event.get("SwapUniqueid")
    return ev.BridgeSwapped(event["Uniqueid"], event["Channel"], replaced) if replaced else None


def _joined(event: Event, now: float) -> ev.Fact | None:
    # Wait: only in the list of QueueStatus.
    return ev.QueueJoined(event["Queue"], event["Uniqueid"], float(_integer(event.get("Wait"))))


def _left(event: Event, now: float) -> ev.Fact | None:
    return ev.QueueLeft(event["Queue"], event["Uniqueid"])


def _agent_complete(event: Event, now: float) -> ev.Fact | None:
    # No channel: app_queue leaves them out where they are gone already.
    return ev.AgentCompleted(event["Queue"], event["Interface"], now)


_TRANSLATORS: dict[str, Callable[[Event, float], ev.Fact | None]] = {
    "MusicOnHoldStart": _music,
    "MusicOnHoldStop": _music,
    "MixMonitorMute": _recording,
    "BridgeEnter": _swapped,
    "Hangup": _hangup,
    "QueueMember": _member,
    "QueueMemberStatus": _member,
    "QueueMemberAdded": _member,
    "QueueMemberPause": _member,
    "QueueMemberRemoved": _member_removed,
    "QueueCallerJoin": _joined,
    "QueueCallerLeave": _left,
    "QueueEntry": _joined,
    "AgentComplete": _agent_complete,
}

EVENTS = frozenset(_TRANSLATORS)
"""Names of the AMI events that mean anything to us."""


_MAX_INTEGER: Final = 2**32 - 1
"""Larger than any time (seconds of the epoch) or duration that Asterisk tells, and a date still."""


_MAX_DIGITS: Final = 10


def _integer(value: str | None) -> int:
    """A number as Asterisk writes one; 0 for anything else (RingTime is -1 for none)."""
    if not value or len(value) > _MAX_DIGITS or not (value.isascii() and value.isdigit()):
        return 0
    return min(int(value), _MAX_INTEGER)
