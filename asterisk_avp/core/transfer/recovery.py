"""Recovery of a session after a lost connection or a restart of the daemon. Pure.

The current locations of the parties tell what must have happened. The state table gets these events
as if they had just occurred. If the state does not change, its arrangement (bridges and sounds) is
set up again, since the last effects may not have been performed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from asterisk_avp.core.transfer import translation
from asterisk_avp.core.transfer.events import ENTERED, GONE, TAKEN, EventType, SessionEvent
from asterisk_avp.core.transfer.hearing import Heard, hearing, places
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.spec import Deadline, Place, Recovery, Sound

Effects = tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class ChannelLocations:
    """The current locations of channels, by channel id."""

    alive: Callable[[str], bool]
    in_stasis: Callable[[str], bool]
    """In our Stasis application, and not bridged out of it."""
    bridge_of: Callable[[str], str | None]
    agent_with: Callable[[str], str]
    """The agent in the same bridge as a channel; empty: none."""
    has_ringing_phone: Callable[[str], bool] = lambda _channel: False
    """Whether a phone rings for a channel."""
    has_bridge: Callable[[str], bool] = lambda _bridge: False
    """Whether Asterisk has the bridge of this id."""

    def elsewhere(self, channel: str) -> bool:
        """Whether the channel is in a bridge that is not ours."""
        return self.bridge_of(channel) is not None and not self.in_stasis(channel)

    def together(self, first: str, second: str) -> bool:
        """Whether the two channels are in the same bridge."""
        bridge = self.bridge_of(first)
        return bridge is not None and bridge == self.bridge_of(second)


def missed(session: Session, where: ChannelLocations) -> list[SessionEvent]:
    """The events that must have occurred, in a possible order."""
    spec = session.state.spec
    if not (spec.needs_daemon or session.state.final) and where.elsewhere(session.caller.channel):
        return [SessionEvent(EventType.DELIVERED, agent=_taker(session, where))]
    events = [
        _end(role, moved=role == "caller" and where.alive(party.channel))
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


def _end(role: str, *, moved: bool) -> SessionEvent:
    """``moved``: the channel exists, so another program has it, or Asterisk's own time limit."""
    if moved:
        return SessionEvent(EventType.CALLER_LEFT, TAKEN, inferred=True)
    return SessionEvent(GONE[role], "target_unreachable" if role == "leg" else "", inferred=True)


def outcome(session: Session, where: ChannelLocations) -> list[SessionEvent]:
    """The outcome of a Redirect or Bridge whose response was lost with its daemon or connection."""
    events = [SessionEvent(kind) for kind in _outcome(session, where)]
    caller = session.caller.channel
    queued = bool(events) and session.state.spec.recovery is Recovery.QUEUE
    if queued and events[0].kind is EventType.REDIRECTED and where.elsewhere(caller):
        # An agent already has the call: the stored state is out of date.
        events.append(SessionEvent(EventType.DELIVERED, agent=_taker(session, where)))
    elif queued and where.has_ringing_phone(caller):
        events.append(SessionEvent(EventType.OFFERED))
    return events


def _taker(session: Session, where: ChannelLocations) -> str:
    """Who has the caller; of an agent on another node, there is only the trunk's channel."""
    there = session.permission.agent if session.permission.node else None
    return where.agent_with(session.caller.channel) or there or ""


def needed(session: Session, where: ChannelLocations | None = None) -> Effects:
    """Effects that the next step depends on and that may not have been performed."""
    return _bridges(session, where) if session.state.spec.recovery is Recovery.ENTER else ()


def _bridges(session: Session, where: ChannelLocations | None) -> Effects:
    """Those that are missing; without ``where`` both."""
    both = (
        CreateBridge(session.hold_bridge, "hold"),
        CreateBridge(session.consult_bridge, "consult"),
    )
    return tuple(one for one in both if where is None or not where.has_bridge(one.bridge))


def _parties(session: Session) -> list[tuple[str, Party]]:
    """The parties, the caller first: if the caller has gone, the transfer is over."""
    parties = [("caller", session.caller), ("leg", session.leg), ("transferor", session.transferor)]
    if session.fourth is not None:
        parties.append(("fourth", session.fourth.party))
    return parties


def _lost(session: Session, role: str, party: Party, where: ChannelLocations) -> bool:
    spec = session.state.spec
    if not where.alive(party.channel):
        # A leg that has not been dialled yet is not missing.
        return role != "leg" or spec.needs_leg or session.attended
    held = spec.recovery.arranges and party.presence is Presence.PRESENT
    return held and not where.in_stasis(party.channel)


def _outcome(session: Session, where: ChannelLocations) -> tuple[EventType, ...]:
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


def _bridged(where: ChannelLocations, *moved: str) -> tuple[EventType, ...]:
    """The outcome of a Bridge. One channel suffices: Asterisk may have optimised away the leg."""
    if any(map(where.elsewhere, moved)):
        return (EventType.BRIDGED,)
    if all(map(where.in_stasis, moved)):
        return ()  # not yet; `restore` repeats it
    return (EventType.BRIDGE_FAILED,)


def restore(session: Session, where: ChannelLocations) -> Effects:
    """Effects that restore the arrangement of the state; harmless where it is in place."""
    recovery = session.state.spec.recovery
    repeat = _REPEATED.get(recovery)
    if repeat is not None:
        return translation.restored(session, repeat(session))
    if not recovery.arranges:
        return ()
    joining = tuple(
        AddToBridge(bridge, channel, absorb_dtmf=channel == session.transferor.channel)
        for channel, bridge in _bridges_of(session).items()
        if where.bridge_of(channel) != bridge
    )
    release = do.drop_leg(session) if recovery is Recovery.RELEASE_LEG else ()
    effects = (*_bridges(session, where), *joining, *_sounds(session), *release)
    return translation.restored(session, effects)


def _return(session: Session) -> Effects:
    """Return the caller, and end the calls to target and fourth party, if they are still there."""
    # The target of an attended transfer was called by the transferor's phone.
    called = () if session.attended else (*do.drop_leg(session), *do.drop_fourth(session))
    return (*do.return_to_transferor(session), *called)


_REPEATED: Final[dict[Recovery, Callable[[Session], Effects]]] = {
    Recovery.BRIDGE_TARGET: do.complete,
    Recovery.BRIDGE_TRANSFEROR: _return,
    Recovery.BRIDGE_REST: do.bridge_rest,
    Recovery.QUEUE: do.queue_caller,
    Recovery.RECALL: do.recall,
}


def repeats(session: Session) -> bool:
    """Whether `restore` repeats a Redirect or Bridge that may be under way."""
    return session.state.spec.recovery in _REPEATED


def _bridges_of(session: Session) -> dict[str, str]:
    """Channel to bridge, for the parties present."""
    bridges = {Place.HOLD: session.hold_bridge, Place.CONSULT: session.consult_bridge}
    return {
        party.channel: bridges[place]
        for _, party, place in places(session)
        if place in bridges and party.presence is Presence.PRESENT
    }


def _sounds(session: Session) -> Effects:
    """Start the sounds of waiting parties, and stop those of talking parties."""
    heard = hearing(replace(session, on_hold=frozenset()))  # see `core.engine.holds`
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
