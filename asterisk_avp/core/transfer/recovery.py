"""What a session missed while nobody listened, and how it goes on. Pure.

The same after a connection was lost and after a new daemon has found the session on a channel:
where everybody is now says what must have happened. What happened is told to the state table as
the events that were missed; where the state stays as it was, its arrangement (who sits where, who
hears music) is made once more, since nobody knows how far it had got.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.messages.effects import (
    AddToBridge,
    CreateBridge,
    Effect,
    StartMusic,
    StartRingback,
    StopMusic,
)
from asterisk_avp.core.model.world import PartyState
from asterisk_avp.core.transfer import actions as do
from asterisk_avp.core.transfer.events import ENTERED, GONE, EventType, SessionEvent
from asterisk_avp.core.transfer.hearing import Heard, hearing, places
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.spec import Deadline, Place, Recovery, Sound

Effects = tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where channels are, by their ids."""

    alive: Callable[[str], bool]
    in_stasis: Callable[[str], bool]
    """In our Stasis app, and not bridged away from it."""
    bridge_of: Callable[[str], str | None]
    agent_with: Callable[[str], str]
    """The agent who is in a bridge with a channel; empty where there is none."""
    has_ringing_phone: Callable[[str], bool] = lambda _channel: False
    """Whether a phone is being rung for a channel."""

    def elsewhere(self, channel: str) -> bool:
        """Whether somebody talks with it, and not in a bridge of ours."""
        return self.bridge_of(channel) is not None and not self.in_stasis(channel)

    def together(self, first: str, second: str) -> bool:
        """Whether the two are in one bridge."""
        bridge = self.bridge_of(first)
        return bridge is not None and bridge == self.bridge_of(second)


def missed(session: Session, where: Whereabouts) -> list[SessionEvent]:
    """What must have happened to this session, in an order that it may have happened in."""
    spec = session.state.spec
    if not (spec.needs_daemon or session.state.final) and where.elsewhere(session.caller.channel):
        taker = where.agent_with(session.caller.channel)
        return [SessionEvent(EventType.DELIVERED, agent=taker)]
    events = [
        SessionEvent(GONE[role], "target_unreachable" if role == "leg" else "")
        for role, party in _parties(session)
        if party.presence is not Presence.GONE and _lost(session, role, party, where)
    ]
    events += [
        SessionEvent(ENTERED[role])
        for role, party in _parties(session)
        if party.presence is Presence.EXPECTED and where.in_stasis(party.channel)
    ]
    if spec.target.shown is PartyState.WAITING:  # no phone rings, as far as is known
        if spec.deadline is Deadline.TARGET and where.has_ringing_phone(session.local_far_end):
            events.append(SessionEvent(EventType.LEG_RINGING))
        if spec.deadline is Deadline.QUEUE and where.has_ringing_phone(session.caller.channel):
            events.append(SessionEvent(EventType.OFFERED))
    return events


def outcome(session: Session, where: Whereabouts) -> list[SessionEvent]:
    """How a request to Asterisk ended whose answer nobody heard.

    The daemon that asked is no more, or the connection that it asked by.
    """
    events = [SessionEvent(kind) for kind in _outcome(session, where)]
    caller = session.caller.channel
    queued = bool(events) and session.state.spec.recovery is Recovery.QUEUE
    if queued and events[0].kind is EventType.REDIRECTED and where.elsewhere(caller):
        # On to an agent already: what was written is older than what happened.
        events.append(SessionEvent(EventType.DELIVERED, agent=where.agent_with(caller)))
    elif queued and where.has_ringing_phone(caller):
        events.append(SessionEvent(EventType.OFFERED))
    return events


def needed(session: Session) -> Effects:
    """What the session's next step takes for granted, and may never have been done."""
    return _bridges(session) if session.state.spec.recovery is Recovery.ENTER else ()


def _bridges(session: Session) -> Effects:
    return (
        CreateBridge(session.hold_bridge, "hold"),
        CreateBridge(session.consult_bridge, "consult"),
    )


def _parties(session: Session) -> list[tuple[str, Party]]:
    """The caller first: if they are gone, nothing else matters."""
    parties = [("caller", session.caller), ("leg", session.leg), ("transferor", session.transferor)]
    if session.fourth is not None:
        parties.append(("fourth", session.fourth.party))
    return parties


def _lost(session: Session, role: str, party: Party, where: Whereabouts) -> bool:
    spec = session.state.spec
    if not where.alive(party.channel):
        # A leg that nobody has dialled yet is not missing.
        return role != "leg" or spec.needs_leg or session.attended
    held = spec.recovery.arranges and party.presence is Presence.PRESENT
    return held and not where.in_stasis(party.channel)


def _outcome(session: Session, where: Whereabouts) -> tuple[EventType, ...]:
    caller, agent = session.caller.channel, session.transferor.channel
    as_before = where.together(caller, agent) and not where.in_stasis(caller)
    match session.state.spec.recovery:
        case Recovery.ENTER | Recovery.QUEUE if as_before:
            return (EventType.REDIRECT_FAILED,)
        case Recovery.ENTER if not any(map(where.in_stasis, (caller, agent))) and not where.alive(
            agent
        ):
            # There was no application to enter: the dialplan hung the transferor up, and the
            # caller is where its fallback has taken them.
            return (EventType.REDIRECT_FAILED,)
        case Recovery.QUEUE | Recovery.RECALL if not where.in_stasis(caller):
            return (EventType.REDIRECTED,)
        case Recovery.BRIDGE_TARGET | Recovery.BRIDGE_TRANSFEROR:
            return _bridged(where, caller)
        case Recovery.BRIDGE_REST:
            return _bridged(where, *(party.channel for party in session.present))
        case _:
            return ()


def _bridged(where: Whereabouts, *moved: str) -> tuple[EventType, ...]:
    """Not by both of a pair: our leg is no more once Asterisk has optimised it away."""
    if any(map(where.elsewhere, moved)):
        return (EventType.BRIDGED,)
    if all(map(where.in_stasis, moved)):
        return ()  # not yet: `again`
    return (EventType.BRIDGE_FAILED,)


def again(session: Session, where: Whereabouts) -> Effects:
    """The arrangement of the state, made once more; harmless where it is there already."""
    recovery = session.state.spec.recovery
    repeat = _REPEATED.get(recovery)
    if repeat is not None:
        return repeat(session)
    if not recovery.arranges:
        return ()
    joining = tuple(
        AddToBridge(bridge, channel, absorb_dtmf=channel == session.transferor.channel)
        for channel, bridge in _bridges_of(session).items()
        if where.bridge_of(channel) != bridge
    )
    release = do.drop_leg(session) if recovery is Recovery.RELEASE_LEG else ()
    return (*_bridges(session), *joining, *_sounds(session), *release)


_REPEATED: Final[dict[Recovery, Callable[[Session], Effects]]] = {
    Recovery.BRIDGE_TARGET: do.complete,
    Recovery.BRIDGE_TRANSFEROR: do.return_to_transferor,
    Recovery.BRIDGE_REST: do.bridge_rest,
    Recovery.QUEUE: do.queue_caller,
    Recovery.RECALL: do.recall,
}


def repeats(session: Session) -> bool:
    """Whether `again` asks Asterisk for something that it may be doing already."""
    return session.state.spec.recovery in _REPEATED


def _bridges_of(session: Session) -> dict[str, str]:
    """Who of those present belongs into which of our bridges."""
    bridges = {Place.HOLD: session.hold_bridge, Place.CONSULT: session.consult_bridge}
    return {
        party.channel: bridges[place]
        for _, party, place in places(session)
        if place in bridges and party.presence is Presence.PRESENT
    }


def _sounds(session: Session) -> Effects:
    """Nobody waits in silence, and nobody who talks hears music over it."""
    heard = hearing(session)
    effects: list[Effect] = []
    for role, party in _parties(session):
        if party.presence is Presence.PRESENT and role in heard:
            effects += _sound(session, role, party.channel, heard[role])
    return tuple(effects)


def _sound(session: Session, role: str, channel: str, heard: Heard) -> Effects:
    match role, heard:
        case "caller", Sound.MUSIC:
            return do.on_hold(session)
        case "caller", tuple():
            return do.off_hold(session)
        case "transferor", Sound.PROMPT:
            return do.ask(session)
        case "transferor", tuple():
            return do.quiet(session)
        case _, Sound.MUSIC:
            return (StartMusic(channel),)
        case _, Sound.RINGBACK:
            return (StartRingback(channel),)
        case "leg", tuple():
            return (StopMusic(channel),)
        case _:
            return ()
