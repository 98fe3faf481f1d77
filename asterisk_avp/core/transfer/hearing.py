"""Who hears whom in a transfer, from the spec of its state and the parties present. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.spec import Place, Sound

Heard = tuple[str, ...] | Sound
"""The roles that a party hears, or the sound that it hears instead."""


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
    there = {
        role: place
        for role, party, place in places(session)
        if _is_there(session, role, party, place)
    }
    return {role: _heard(session, role, there) for role, _, _ in places(session)}


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
    place = there.get(role)
    if place is None:
        return Sound.NOTHING
    company = tuple(other for other in there if other != role and there[other] is place)
    if company and place is not Place.QUEUE:
        return company
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
