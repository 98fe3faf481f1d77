"""Who hears whom in a transfer, from the spec of its state and the parties present. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.spec import Place, Sound

Heard = tuple[str, ...] | Sound
"""The roles that a party hears, or the sound that it hears instead."""


class Company(NamedTuple):
    """Whom a channel is with, and where."""

    place: Place
    channels: frozenset[str]


def places(session: Session) -> Iterator[tuple[str, Party, Place]]:
    """Role, party and the party's place in the session's state, whether it is there yet or not."""
    spec = session.state.spec
    yield "transferor", session.transferor, spec.transferor.place
    yield "caller", session.caller, spec.caller.place
    yield "leg", session.leg, spec.target.place
    if session.fourth is not None:
        yield "fourth", session.fourth.party, spec.fourth


def hearing(session: Session) -> Mapping[str, Heard]:
    """What each party hears now, by its role: "transferor", "caller", "leg" or "fourth"."""
    there = _there(session)
    return {role: _heard(session, role, there) for role, _, _ in places(session)}


def _there(session: Session) -> dict[str, Place]:
    return {
        role: place
        for role, party, place in places(session)
        if _is_there(session, role, party, place)
    }


def _company(role: str, there: Mapping[str, Place]) -> tuple[str, ...]:
    place = there.get(role)
    if place is None or place is Place.QUEUE:
        return ()
    return tuple(other for other in there if other != role and there[other] is place)


def held(session: Session) -> Mapping[str, Company]:
    """The channels in our bridges that are only with parties on hold, and so hear music."""
    channels = {role: party.channel for role, party, _ in places(session)}
    found = {}
    there = _there(session)
    for role, place in there.items():
        company = frozenset(channels[other] for other in _company(role, there))
        if place.ours and company and company <= session.on_hold:
            found[channels[role]] = Company(place, company)
    return found


def _is_there(session: Session, role: str, party: Party, place: Place) -> bool:
    match place:
        case Place.HOLD | Place.CONSULT:
            return party.presence is Presence.PRESENT
        case Place.ELSEWHERE:
            return False
        case Place.PLAIN | Place.QUEUE if role == "transferor":
            return session.mode is Mode.SUPERVISED and party.presence is not Presence.GONE
        case _:
            # The channel by which the target finally takes part is unknown here.
            return role == "leg" or party.presence is not Presence.GONE


def _heard(session: Session, role: str, there: Mapping[str, Place]) -> Heard:
    holding = {each for each, party, _ in places(session) if party.channel in session.on_hold}
    if role not in there or role in holding:
        return Sound.NOTHING  # a phone that has put the call on hold does not listen
    company = _company(role, there)
    if company:
        return tuple(other for other in company if other not in holding) or Sound.MUSIC
    spec = session.state.spec
    match role:
        case "transferor":
            return spec.transferor.alone
        case "caller" if not session.refused:
            return spec.caller.alone
        case "leg":
            return spec.target.alone
        case _:
            return Sound.NOTHING
