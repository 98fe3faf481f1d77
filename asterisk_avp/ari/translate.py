"""Translate ARI events into facts.

Channels, bridges, hold, dialling and the dialplan's own events come by ARI and not by AMI: ARI's
events are JSON, so that a caller's number or extension cannot break out of its string.

An event about a channel contains the whole channel, so changes of its connected line need no event
of their own. Only its creation (or a resync) adds a channel: other events can arrive after its end,
and the channel would then never be removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from asterisk_avp.ari.node_events import NODE_EVENTS, NodeOf
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.caller import Presentation
from asterisk_avp.core.pbx.channel import resource_of
from asterisk_avp.core.transfer.session import is_half

QUEUE_ENDED: Final = "AVPQueueEnded"
"""Name of the UserEvent that our dialplan sends when Queue() ends without an answer."""

FEATURE: Final = "AVPFeature"
"""Name of the UserEvent that features.conf sends when an agent keys in the feature code."""

NOT_ACCEPTED: Final = "AVPNotAccepted"
"""Name of the UserEvent that our dialplan sends when an external target did not accept the call."""

_ANSWER, _CANCEL = "ANSWER", "CANCEL"
_CALLED: Final = frozenset({"RINGING", "PROGRESS", "PROCEEDING"})
"""Statuses of a Dial event during an attempt."""

_RESTRICTION: Final = 0x60
"""callerid.h, ``AST_PRES_RESTRICTION``: restricted, or unavailable."""

Event = Mapping[str, Any]


class Translator:
    """Translate events; keeps since when each phone rings, to report the ring's duration."""

    def __init__(self, node_of: NodeOf = lambda _trunk: "") -> None:
        """``node_of``: the node of the trunk that is this PJSIP endpoint; empty: none is."""
        self._node_of = node_of
        self._rings: dict[str, float] = {}
        """Channel that rings for a queue to the start of the ring, in Unix seconds by Asterisk."""

    def translate(self, event: Event) -> tuple[ev.Fact, ...]:
        """Translate one ARI event into facts, in order; empty: not relevant."""
        kind = event.get("type")
        if kind == "Dial":
            return self._dial(event)
        if kind == "ChannelTransfer":
            asked = _transfer_asked(event)
            return (asked,) if asked is not None else ()
        channel = _map(event.get("channel"))
        identifier = _text(channel, "id")
        if not isinstance(kind, str) or not identifier:
            return ()
        if kind == "ChannelDestroyed":
            self._rings.pop(identifier, None)
        return tuple(_of_channel(kind, event, channel, identifier, self._node_of))

    def forget(self) -> None:
        """Drop all rings, because events have been missed."""
        self._rings.clear()

    def _dial(self, event: Event) -> tuple[ev.Fact, ...]:
        """Progress of Queue() or Dial() on the caller's channel with one called party.

        app_queue also reports it by AMI (AgentCalled, AgentConnect, AgentRingNoAnswer), in a stream
        that callers can inject text into; ARI's events are also in order with those of the channels
        (apps/app_queue.c, ``ring_entry``, ``wait_for_answer``).
        """
        caller, peer = _map(event.get("caller")), _map(event.get("peer"))
        status = _text(event, "dialstatus")
        channel, phone = _text(caller, "id"), _text(peer, "id")
        queue = _queue_of(caller)
        if not queue or not channel:
            of = channel or phone
            return (ev.DialProgress(of, status),) if of and status else ()
        interface = resource_of(_text(peer, "name"))
        seen = _seen(caller, created=False)
        if not status:
            self._rings[phone] = _seconds(event)
            return (seen, ev.AgentRung(queue, channel, interface))
        if status in _CALLED:
            return ()
        began = self._rings.pop(phone, None)
        if status == _ANSWER:
            return (seen, ev.AgentConnected(queue, channel, interface))
        if began is None:
            return ()  # reported already
        if status == _CANCEL:
            return (ev.AgentRingEnded(queue, channel, interface),)
        return (ev.AgentUnanswered(queue, channel, interface, max(0.0, _seconds(event) - began)),)


def channel_seen(channel: Mapping[str, Any], bridge: str | None, linked: str) -> ev.ChannelSeen:
    """A channel in the response to ``GET /channels``. ``linked``: its Linkedid, if known."""
    return _seen(channel, created=True, bridge=bridge, linked=linked)


def _seen(
    channel: Mapping[str, Any], *, created: bool, bridge: str | None = None, linked: str = ""
) -> ev.ChannelSeen:
    caller, connected = _map(channel.get("caller")), _map(channel.get("connected"))
    return ev.ChannelSeen(
        id=_text(channel, "id"),
        name=_text(channel, "name"),
        caller_number=_text(caller, "number"),
        caller_name=_text(caller, "name"),
        connected_number=_text(connected, "number"),
        queue=_queue_of(channel) or None,
        bridge=bridge,
        linked=linked,
        rung=channel.get("state") == "Ringing",
        created=created,
        # Our own legs show the transferor. Of others the channel's JSON does not tell it.
        presentation=Presentation.ALLOWED
        if is_half(_text(channel, "id"))
        else Presentation.UNKNOWN,
        context=_text(_map(channel.get("dialplan")), "context"),
    )


def located(channel: Mapping[str, Any], app: str, *, abandoned: bool = False) -> ev.ChannelLocated:
    """A channel in the response to ``GET /channels/{id}``. ``app``: our Stasis application."""
    dialplan = _map(channel.get("dialplan"))
    application = _text(dialplan, "app_name")
    return ev.ChannelLocated(
        id=_text(channel, "id"),
        context=_text(dialplan, "context"),
        extension=_text(dialplan, "exten"),
        application=application,
        in_our_app=application == "Stasis" and _text(dialplan, "app_data").partition(",")[0] == app,
        abandoned=abandoned,
    )


def _queue_of(channel: Mapping[str, Any]) -> str:
    """The queue of the Queue() that this channel executes; empty: none."""
    dialplan = _map(channel.get("dialplan"))
    if _text(dialplan, "app_name") != "Queue":
        return ""
    return _text(dialplan, "app_data").partition(",")[0]


def _of_channel(
    kind: str, event: Event, channel: Mapping[str, Any], identifier: str, node_of: NodeOf
) -> Iterator[ev.Fact]:
    """The facts in an event about a channel."""
    match kind:
        case "ChannelCreated":
            yield _seen(channel, created=True)
        case "ChannelCallerId":
            if _withheld(event, channel):  # before the number that it withholds
                yield ev.CallerPresentation(identifier, Presentation.WITHHELD)
            yield _seen(channel, created=False)
        case "ChannelDestroyed":
            yield ev.ChannelGone(identifier)
        case "ChannelHangupRequest":
            yield ev.HangUpAsked(identifier, soft=bool(event.get("soft")))
        case "ChannelEnteredBridge":
            yield _seen(channel, created=False)
            if _bridge(event):
                yield ev.BridgeEntered(identifier, _bridge(event))
        case "ChannelLeftBridge":
            yield ev.BridgeLeft(identifier, _bridge(event))
        case "ChannelHold" | "ChannelUnhold":
            yield ev.HoldChanged(identifier, on_hold=kind == "ChannelHold")
        case "StasisStart":
            yield _seen(channel, created=False)
            yield ev.StasisEntered(identifier)
        case "StasisEnd":
            yield ev.StasisLeft(identifier)
        case "ChannelDtmfReceived" if key := _text(event, "digit"):
            yield ev.KeyPressed(identifier, key, _seconds(event))
        case "ChannelUserevent":
            yield from _user_event(event, identifier, node_of)


def _withheld(event: Event, channel: Mapping[str, Any]) -> bool:
    """Whether the caller is withheld from now on. False: not, or only a part of it is allowed.

    Asterisk sends the event for another number or name, and not for another presentation alone
    (stasis_channels.c, ``ast_channel_snapshot_caller_id_equal``).
    """
    value, caller = event.get("caller_presentation"), _map(channel.get("caller"))
    restricted = isinstance(value, int) and value & _RESTRICTION != 0
    # Who has neither number nor name is unavailable, too.
    return restricted and bool(_text(caller, "number") or _text(caller, "name"))


def _user_event(event: Event, identifier: str, node_of: NodeOf) -> Iterator[ev.Fact]:
    name = _text(event, "eventname")
    if name == FEATURE:
        yield ev.FeatureUsed(identifier)
    elif name == QUEUE_ENDED:
        told = _map(event.get("userevent"))
        to_group = _text(told, "Next") == "group"
        yield ev.QueueEnded(identifier, _text(told, "Status"), to_group)
    elif name == NOT_ACCEPTED:
        yield ev.NotAccepted(identifier)
    elif name in NODE_EVENTS:
        yield NODE_EVENTS[name](identifier, _map(event.get("userevent")), node_of)


def _bridge(event: Event) -> str:
    return _text(_map(event.get("bridge")), "id")


EVENT_TYPES: Final = (
    "ChannelCreated",
    "ChannelCallerId",
    "ChannelHangupRequest",
    "ChannelDestroyed",
    "ChannelEnteredBridge",
    "ChannelLeftBridge",
    "ChannelHold",
    "ChannelUnhold",
    "ChannelUserevent",
    "ChannelDtmfReceived",
    "ChannelTransfer",
    "Dial",
    "StasisStart",
    "StasisEnd",
    "ApplicationReplaced",
)
"""The event types that Asterisk sends us; it filters out all others."""


def _transfer_asked(event: Event) -> ev.ReferReceived | None:
    """A REFER that waits for our answer; None: another use of the event.

    Our answer comes back as the same event with a ``state``. If the phone hangs up before it is
    answered, a final event has neither state nor bridge (res_pjsip_refer.c,
    ``refer_progress_framehook_destroy``).
    """
    referred_by, refer_to = _map(event.get("referred_by")), _map(event.get("refer_to"))
    channel = _text(_map(referred_by.get("source_channel")), "id")
    if event.get("state") or not channel or not referred_by.get("bridge"):
        return None
    wanted = _map(refer_to.get("requested_destination"))
    return ev.ReferReceived(
        channel=channel,
        number=str(wanted.get("destination") or ""),
        # An attended transfer names the call to the target (RFC 3891, Replaces).
        attended=bool(wanted.get("protocol_id")),
        second=_text(_map(refer_to.get("destination_channel")), "id") or None,
        target=_text(_map(refer_to.get("connected_channel")), "id") or None,
    )


def _seconds(event: Event) -> float:
    """The time of an event by Asterisk's clock, in Unix seconds; 0: not given."""
    try:
        return datetime.fromisoformat(_text(event, "timestamp")).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) else ""
