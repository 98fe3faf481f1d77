"""Who hears somebody else after a step, and by which channel Asterisk must translate anew.

Debian's Asterisk carries ``2016_opus_plc.patch``. It compares the numbers of the packets that a
channel's translator gets, and drops those with smaller numbers as late ones, although they are the
next partner's. A translator is made anew when the channel's write format changes. A party that is
in a bridge of ours by its own channel gets that from its music, from the dialplan on its way into
Stasis, and from Asterisk's notice of a new partner (dialplan, ``avp-translation``). Nothing of it
passes a Local channel, behind which the translator of a target, of a fourth party and of an agent
like ``Local/1001@agents/n`` is: `RenewTranslation` does.

Music and ringback count as well: their packets have the number 0. Ringback of an agent behind a
Local channel is generated before it, and the end of it passes the Local channel and ends the pause
that `RenewTranslation` makes. So sounds end first. A single packet of ringback after the pause
would leave a target whose numbers are large unheard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asterisk_avp.core.messages.effects import (
    AddToBridge,
    BridgePair,
    Effect,
    RenewTranslation,
    SetVariables,
    StartMusic,
    StopMusic,
    StopRingback,
)
from asterisk_avp.core.transfer.hearing import hearing, places
from asterisk_avp.core.transfer.session import Presence, Session
from asterisk_avp.core.transfer.spec import Sound

Effects = tuple[Effect, ...]

NEW_PARTNER: Final = {"CONNECTED_LINE_SEND_SUB": "avp-translation,now,1"}
"""What a target does that the phone itself has called, when Asterisk tells it of a new partner."""

TOLD: Final = {"REDIRECTING_SEND_SUB": "avp-translation,pause,1"}
"""What the phone's channel behind a Local channel does on `RenewTranslation`."""


def renewed(before: Session, session: Session, effects: Effects) -> Effects:
    """The effects of a step, with a `RenewTranslation` for each who hears others after it."""
    changed = dict.fromkeys((*_bridged(effects), *_changed(before, session)))
    return _with_renewals(session, tuple(changed), effects) if changed else effects


def restored(session: Session, effects: Effects) -> Effects:
    """The effects that restore an arrangement; what of it was in place is not known."""
    if not any(_arranges(effect, ()) for effect in effects):
        return effects
    return _with_renewals(
        session, tuple(dict.fromkeys((*_bridged(effects), *_heard(session)))), effects
    )


def _with_renewals(session: Session, changed: tuple[str, ...], effects: Effects) -> Effects:
    renewals = tuple(map(RenewTranslation, changed))
    places = [at for at, effect in enumerate(effects) if _arranges(effect, changed)]
    if not places:
        return (*effects, *renewals)
    first, last = places[0], _last(effects, places[-1], changed)
    # An outside line that the phone itself has called has a subroutine that does this, and more
    # (avp-connected).
    inside = session.attended and session.permission.number is None
    told = (SetVariables(session.leg.channel, NEW_PARTNER),) if inside else ()
    # Before: what Opus makes up for a jump of the numbers goes on for minutes. Afterwards again,
    # because that may take longer than the pause; but not after AMI Bridge, when Asterisk optimises
    # the Local channel away.
    again = () if isinstance(effects[places[-1]], BridgePair) else renewals
    before, between, after = effects[:first], effects[first : last + 1], effects[last + 1 :]
    return (*before, *told, *renewals, *between, *again, *after)


def _last(effects: Effects, arranged: int, channels: tuple[str, ...]) -> int:
    """After which effect none of the channels hears anything of before."""
    ends = (
        at
        for at, effect in enumerate(effects)
        if isinstance(effect, StopMusic | StopRingback) and effect.channel in channels
    )
    return max((arranged, *ends))


def _arranges(effect: Effect, channels: tuple[str, ...]) -> bool:
    match effect:
        case AddToBridge() | BridgePair():
            return True
        case StartMusic(channel):
            return channel in channels
        case _:
            return False


def _bridged(effects: Effects) -> tuple[str, ...]:
    """Whom AMI Bridge moves, which has no place and hears nothing meanwhile."""
    return tuple(
        x for pair in effects if isinstance(pair, BridgePair) for x in (pair.first, pair.second)
    )


def _changed(before: Session, session: Session) -> tuple[str, ...]:
    """The channels that hear others, or another sound, than before."""
    if session.state.final:
        return ()
    then = _heard(before)
    first = {
        party.channel
        for party in (before.leg, *((before.fourth.party,) if before.fourth is not None else ()))
        if party.presence is Presence.EXPECTED and not before.attended
    }
    return tuple(
        channel
        for channel, heard in _heard(session).items()
        if channel in then and channel not in first and heard not in (then[channel], Sound.NOTHING)
    )


def _heard(session: Session) -> Mapping[str, frozenset[str] | Sound]:
    """What each channel hears that has not gone: other channels, or a sound."""
    parties = {
        role: party for role, party, _ in places(session) if party.presence is not Presence.GONE
    }
    return {
        parties[role].channel: (
            frozenset(parties[other].channel for other in heard if other in parties)
            if isinstance(heard, tuple)
            else heard
        )
        for role, heard in hearing(session).items()
        if role in parties
    }
