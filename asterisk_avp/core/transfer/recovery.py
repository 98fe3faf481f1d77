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
from asterisk_avp.core.transfer import actions as do
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Party, Presence, Session, State

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


S = State

_HELD: Final = frozenset(
    {
        S.COLLECTING,
        S.DECLINED,
        S.WAITING,
        S.RINGING,
        S.CONSULTING,
        S.SWAPPED,
        S.CONFERENCE,
        S.SHARED,
        S.DETACHING,
    }
)
"""States in which whoever is present is in Stasis until a hang-up, or a stranger, ends that."""

_DIALLED: Final = _HELD - {S.COLLECTING, S.DECLINED}
"""States in which the leg has been asked for."""

_GONE: Final = {
    "caller": EventType.CALLER_GONE,
    "leg": EventType.LEG_GONE,
    "fourth": EventType.FOURTH_GONE,
    "transferor": EventType.AGENT_GONE,
}
_ENTERED: Final = {
    "caller": EventType.CALLER_ENTERED,
    "leg": EventType.LEG_ANSWERED,
    "fourth": EventType.FOURTH_ANSWERED,
    "transferor": EventType.AGENT_ENTERED,
}


def missed(session: Session, where: Whereabouts) -> list[SessionEvent]:
    """What must have happened to this session, in an order that it may have happened in."""
    if session.state in (S.QUEUED, S.OFFERED) and where.elsewhere(session.caller.channel):
        taker = where.agent_with(session.caller.channel)
        return [SessionEvent(EventType.DELIVERED, agent=taker)]
    events = [
        SessionEvent(_GONE[role], "target_unreachable" if role == "leg" else "")
        for role, party in _parties(session)
        if party.presence is not Presence.GONE and _lost(session, role, party, where)
    ]
    events += [
        SessionEvent(_ENTERED[role])
        for role, party in _parties(session)
        if party.presence is Presence.EXPECTED and where.in_stasis(party.channel)
    ]
    if session.state is S.WAITING and where.has_ringing_phone(session.leg_other):
        events.append(SessionEvent(EventType.LEG_RINGING))
    if session.state is S.QUEUED and where.has_ringing_phone(session.caller.channel):
        events.append(SessionEvent(EventType.OFFERED))
    return events


def outcome(session: Session, where: Whereabouts) -> list[SessionEvent]:
    """How a request to Asterisk ended whose answer nobody heard.

    The daemon that asked is no more, or the connection that it asked by.
    """
    events = [SessionEvent(kind) for kind in _outcome(session, where)]
    caller = session.caller.channel
    queued = bool(events) and session.state is S.QUEUEING
    if queued and events[0].kind is EventType.REDIRECTED and where.elsewhere(caller):
        # On to an agent already: what was written is older than what happened.
        events.append(SessionEvent(EventType.DELIVERED, agent=where.agent_with(caller)))
    elif queued and where.has_ringing_phone(caller):
        events.append(SessionEvent(EventType.OFFERED))
    return events


def needed(session: Session) -> Effects:
    """What the session's next step takes for granted, and may never have been done."""
    if session.state is not S.STARTING:
        return ()
    return _bridges(session)


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
    if not where.alive(party.channel):
        # A leg that nobody has dialled yet is not missing.
        return role != "leg" or session.state in _DIALLED or session.attended
    held = session.state in _HELD and party.presence is Presence.PRESENT
    return held and not where.in_stasis(party.channel)


def _outcome(session: Session, where: Whereabouts) -> tuple[EventType, ...]:
    caller, agent = session.caller.channel, session.transferor.channel
    match session.state:
        case S.STARTING if where.together(caller, agent) and not where.in_stasis(caller):
            return (EventType.REDIRECT_FAILED,)  # they talk as before
        case S.STARTING if not any(map(where.in_stasis, (caller, agent))) and not where.alive(
            agent
        ):
            # There was no application to enter: the dialplan hung agent 1 up, and the caller is
            # where its net has taken them.
            return (EventType.REDIRECT_FAILED,)
        case S.QUEUEING if where.together(caller, agent) and not where.in_stasis(caller):
            return (EventType.REDIRECT_FAILED,)
        case S.QUEUEING | S.RECALLING if not where.in_stasis(caller):
            return (EventType.REDIRECTED,)
        case S.COMPLETING:
            return _bridged(where, caller)
        case S.RETURNING:
            return _bridged(where, caller)
        case S.PARTING:
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
    repeat = _REPEATED.get(session.state)
    if repeat is not None:
        return repeat(session)
    seats = _seats(session)
    if not seats:
        return ()
    seating = tuple(
        AddToBridge(bridge, channel, absorb_dtmf=channel == session.transferor.channel)
        for channel, bridge in seats.items()
        if where.bridge_of(channel) != bridge
    )
    return (
        *_bridges(session),
        *seating,
        *_sounds(session),
    )


_REPEATED: Final[dict[State, Callable[[Session], Effects]]] = {
    S.COMPLETING: do.complete,
    S.RETURNING: do.return_to_transferor,
    S.PARTING: do.bridge_rest,
    S.QUEUEING: do.queue_caller,
    S.RECALLING: do.recall,
}


def repeats(session: Session) -> bool:
    """Whether `again` asks Asterisk for something that it may be doing already."""
    return session.state in _REPEATED


def _seats(session: Session) -> dict[str, str]:
    """Who belongs into which of our bridges."""
    hold, consult = session.hold_bridge, session.consult_bridge
    caller, agent, leg = (
        party.channel for party in (session.caller, session.transferor, session.leg)
    )
    match session.state:
        case S.COLLECTING | S.WAITING | S.RINGING | S.DETACHING:
            seats = {caller: hold, agent: consult}
        case S.CONSULTING:
            seats = {caller: hold, agent: consult, leg: consult}
        case S.SWAPPED:
            seats = {caller: hold, agent: hold, leg: consult}
        case S.DECLINED:
            seats = {caller: hold, agent: hold}
        case S.CONFERENCE | S.SHARED:
            seats = {caller: consult, agent: consult, leg: consult}
        case _:
            return {}
    if session.fourth is not None:
        seats[session.fourth.party.channel] = consult
    present = {party.channel for party in session.present}
    return {channel: bridge for channel, bridge in seats.items() if channel in present}


def _sounds(session: Session) -> Effects:
    """Nobody waits in silence, and nobody who talks hears music over it."""
    caller, agent = do.on_hold(session), session.transferor
    there = agent.presence is Presence.PRESENT
    match session.state:
        case S.WAITING:
            return (*caller, StartMusic(agent.channel)) if there else caller
        case S.RINGING:
            return (*caller, StartRingback(agent.channel)) if there else caller
        case S.COLLECTING:
            return (*caller, *do.ask(session))
        case S.CONSULTING:
            return (*caller, *do.quiet(session))
        case S.DETACHING:
            return (*caller, *do.drop_leg(session))
        case S.SWAPPED:
            return (*_no_music(session, "transferor", "caller"), *do.alone(session))
        case S.DECLINED:
            return _no_music(session, "caller")
        case _:
            return _no_music(session, "transferor", "caller", "leg")


def _no_music(session: Session, *roles: str) -> Effects:
    effects: list[Effect] = []
    for role, party in _parties(session):
        if role in roles and party.presence is Presence.PRESENT:
            effects += do.off_hold(session) if role == "caller" else [StopMusic(party.channel)]
    return tuple(effects)
