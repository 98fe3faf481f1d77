"""Translate AMI events into facts. Events that do not concern us are dropped.

Anyone who can dial can inject text into this stream, so the facts are hints: whatever grants, ends
or moves something is verified with Asterisk first (`asterisk_avp.service.members`). Channels,
bridges and the dialplan's own events come by ARI (`asterisk_avp.ari.translate`).

Header names are Asterisk's (main/manager_channels.c, manager_bridges.c, apps/app_queue.c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import structlog

from asterisk_avp.core.messages import facts as ev

log = structlog.get_logger(__name__)

Event = Mapping[str, str]


def translate(event: Event, now: float) -> ev.Fact | None:
    """Translate one AMI event; None: not relevant. ``now``: Unix seconds by our clock.

    An event that lacks a required header is logged and dropped.
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
    playing = event["Event"] == "MusicOnHoldStart"
    found = event.get("Class", "") if playing else ""
    return ev.MusicChanged(event["Uniqueid"], playing=playing, music_class=found)


def _recording(event: Event, now: float) -> ev.Fact | None:
    muted = event.get("State") == "1"
    return ev.RecordingMuted(event["Uniqueid"], event.get("Direction", ""), muted=muted)


def _member(event: Event, now: float) -> ev.Fact | None:
    # Events have Interface and MemberName; the list of QueueStatus has Location and Name.
    interface = event.get("Interface") or event.get("Location", "")
    return ev.MemberSeen(
        queue=event["Queue"],
        interface=interface,
        state_interface=event.get("StateInterface", ""),
        name=event.get("MemberName") or event.get("Name", ""),
        status=integer(event.get("Status")),
        paused=event.get("Paused") == "1",
        in_call=event.get("InCall") == "1",
        last_call=float(integer(event.get("LastCall"))),
        wrapup_seconds=integer(event.get("Wrapuptime")),
        now=now,
        paused_reason=event.get("PausedReason", ""),
        # The list of QueueStatus calls a realtime member static.
        dynamic=event.get("Membership") == "dynamic",
        penalty=integer(event.get("Penalty")),
        login_time=float(integer(event.get("LoginTime"))),
    )


def _member_removed(event: Event, now: float) -> ev.Fact | None:
    return ev.MemberRemoved(event["Queue"], event["Interface"], now)


def _hangup(event: Event, now: float) -> ev.Fact | None:
    return ev.ChannelEnding(event["Uniqueid"])


def _swapped(event: Event, now: float) -> ev.Fact | None:
    replaced = event.get("SwapUniqueid")
    return ev.BridgeSwapped(event["Uniqueid"], event["Channel"], replaced) if replaced else None


def _joined(event: Event, now: float) -> ev.Fact | None:
    # Only the list of QueueStatus has Wait.
    return ev.QueueJoined(event["Queue"], event["Uniqueid"], float(integer(event.get("Wait"))))


def _left(event: Event, now: float) -> ev.Fact | None:
    return ev.QueueLeft(event["Queue"], event["Uniqueid"])


def _agent_complete(event: Event, now: float) -> ev.Fact | None:
    # Without channels: app_queue omits them if they have ended.
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
"""Names of the AMI events that we use."""


_MAX_INTEGER: Final = 2**32 - 1
"""Larger than any time (Unix seconds) or duration that Asterisk reports, but still a valid date."""


_MAX_DIGITS: Final = 10


@lru_cache(maxsize=4096)
def integer(value: str | None) -> int:
    """Parse a number as Asterisk writes it; 0 for anything else (RingTime is -1 for none)."""
    if not value or len(value) > _MAX_DIGITS or not (value.isascii() and value.isdigit()):
        return 0
    return min(int(value), _MAX_INTEGER)
