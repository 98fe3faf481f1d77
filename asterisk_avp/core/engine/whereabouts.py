"""Where a transfer's caller is, judged from what Asterisk answers about their channel. Pure.

A caller can leave a transfer without hanging up: by the break-out key of a queue, or because
another program moves, bridges or parks them, or a colleague picks their call up. Asterisk has no
event for most of these ways, so a hint that it may have happened, or just the time, makes us ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from asterisk_avp.core.messages.facts import ChannelLocated
from asterisk_avp.core.pbx.channel import OUR_CONTEXTS
from asterisk_avp.core.transfer.events import LEFT_QUEUE, TAKEN, EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session, is_bridge
from asterisk_avp.core.transfer.spec import Deadline, Recovery

STEP_SECONDS: Final = 3.0
"""Age of a state in which a Redirect or Bridge of ours is under way, before the caller can count
as gone elsewhere: until it takes effect, they are where they were."""


class Place(StrEnum):
    """Where a channel is."""

    OUR_APP = "our_app"
    """In our Stasis application."""
    OUR_DIALPLAN = "our_dialplan"
    OUR_QUEUE = "our_queue"
    """In a Queue() of our dialplan, alone or with whoever answered it."""
    ENDING = "ending"
    """In extension h: the call is over."""
    OTHER_BRIDGE = "other_bridge"
    """In a bridge that is not ours, and that no queue of ours made."""
    OTHER_DIALPLAN = "other_dialplan"


def place_of(located: ChannelLocated, bridge: str | None) -> Place:
    """``bridge``: the bridge that the channel is in; None: none."""
    elsewhere = bridge is not None and not is_bridge(bridge)
    ours = located.context.startswith(OUR_CONTEXTS)
    if located.extension == "h" or located.context == "avp-end":
        return Place.ENDING
    if ours and located.application == "Queue":
        return Place.OUR_QUEUE
    if elsewhere:
        return Place.OTHER_BRIDGE
    if located.in_our_app or bridge is not None:
        return Place.OUR_APP
    return Place.OUR_DIALPLAN if ours else Place.OTHER_DIALPLAN


@dataclass(frozen=True, slots=True)
class Company:
    """Who is with a channel."""

    bridge: str | None
    has: Callable[[str], bool]
    """Whether a channel is in the same bridge."""
    agent: str = ""
    """The agent in the same bridge; empty: none."""
    target: bool = False
    """Whether the transfer was meant for that agent."""
    keyed: bool = False
    """Whether the caller has pressed a key while they waited."""

    @property
    def elsewhere(self) -> bool:
        """Whether the channel is in a bridge that is not ours."""
        return self.bridge is not None and not is_bridge(self.bridge)


def judged(
    session: Session, located: ChannelLocated, company: Company, age_seconds: float
) -> SessionEvent | None:
    """What must have happened to the caller; None: they are where the transfer has them, or may be.

    ``age_seconds``: for how long the transfer has been in its state.
    """
    spec, place = session.state.spec, place_of(located, company.bridge)
    if session.state.final or session.caller.presence is Presence.GONE:
        return None
    if place is Place.ENDING:
        return SessionEvent(EventType.CALLER_GONE)
    if spec.deadline is Deadline.QUEUE:
        return _left(place, located, company)
    if spec.held_in_stasis and session.caller.presence is Presence.PRESENT:
        # They were in our application, and nothing of ours lets them go from this state.
        there = place is Place.OUR_APP
        return None if there else SessionEvent(EventType.CALLER_LEFT, TAKEN)
    if age_seconds < STEP_SECONDS:
        return None
    if spec.recovery is Recovery.BRIDGE_TARGET or spec.recovery is Recovery.BRIDGE_TRANSFEROR:
        partners = (session.transferor.channel, session.leg.channel, session.local_far_end)
        if place is Place.OTHER_BRIDGE and not any(map(company.has, partners)):
            return SessionEvent(EventType.CALLER_LEFT, TAKEN)
        return None
    if company.has(session.transferor.channel):
        return None  # the Redirect has not taken effect
    return _left(place, located, company)


def is_elsewhere(located: ChannelLocated, company: Company) -> bool:
    """Whether a caller whom the dialplan has after their transfer (`aftermath`) has left it."""
    place = place_of(located, company.bridge)
    if place is Place.OUR_QUEUE:
        return company.elsewhere and not company.target  # as in `_left`
    return place in (Place.OTHER_BRIDGE, Place.OTHER_DIALPLAN)


def _left(place: Place, located: ChannelLocated, company: Company) -> SessionEvent | None:
    if place is Place.OUR_QUEUE and company.elsewhere:
        # Whoever answers a phone that the queue rings is reported, unless they picked it up.
        if company.target:
            return SessionEvent(EventType.DELIVERED, agent=company.agent)
        return SessionEvent(EventType.CALLER_LEFT, TAKEN)
    if place not in (Place.OTHER_BRIDGE, Place.OTHER_DIALPLAN):
        return None
    # By a key they go on in another context, and app_queue does not note that they were torn away.
    # The next queue forgets such a note. Whom AMI Bridge takes stays in our context.
    ours = located.context.startswith(OUR_CONTEXTS)
    by_key = company.keyed and not located.abandoned and not ours
    return SessionEvent(EventType.CALLER_LEFT, LEFT_QUEUE if by_key else TAKEN)
