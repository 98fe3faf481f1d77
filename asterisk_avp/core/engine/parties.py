"""Add and drop a fourth party in a consultation.

The fourth party is an external number. It needs the ``conference`` feature and everything that a
typed number needs. A party that is dropped hears no announcement; their call just ends.
"""

from __future__ import annotations

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.model.errors import UnknownParty, WrongState
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group, World
from asterisk_avp.core.policy import needs, policy
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.machine import legal
from asterisk_avp.core.transfer.session import (
    Fourth,
    Party,
    Session,
    fourth_id,
    other_half,
)
from asterisk_avp.core.transfer.spec import Action


def check_party(session: Session, typed: str, group: Group, world: World) -> Permission:
    """Policy's permission to add the number ``typed``. Raises `Refused`.

    ``group``: the transfer's group as now configured.
    """
    return policy.decide_party(typed, session.agent, group, world)


def check_addition(session: Session, group: Group) -> None:
    """Raises `Refused` or `WrongState` where no number could be added, whichever it is."""
    policy.check_features(needs.PARTY, group.features)
    _check_room(session)


def _check_room(session: Session) -> None:
    if Action.ADD_PARTY not in session.state.spec.actions:
        state = session.state.spec.reported
        raise WrongState(f"Cannot add a party while the transfer is {state}.")
    if session.fourth is not None:
        raise WrongState("Cannot add a party: the transfer already has a fourth party.")


def add(
    store: SessionStore, session: Session, permission: Permission, now: float, secret: str
) -> Outcome:
    """Call the fourth party that policy has permitted. Raises `WrongState`.

    ``secret``: see `fourth_id`.
    """
    _check_room(session)
    leg = fourth_id(session.id, session.fourths_called + 1, secret)
    fourth = Fourth(
        id=f"party-{session.fourths_called + 4}",
        party=Party(leg, number=permission.number or ""),
        other=other_half(leg),
        permission=permission,
    )
    outcome = Outcome()
    store.apply(session.id, SessionEvent(EventType.ADD_PARTY, fourth=fourth), now, outcome)
    return outcome


def drop(store: SessionStore, session: Session, party: str, now: float) -> Outcome:
    """Hang up on the target or the fourth party. Raises `UnknownParty` or `WrongState`.

    Without a fourth party, dropping the target cancels the transfer.
    """
    outcome = Outcome()
    store.apply(session.id, SessionEvent(check_drop(session, party)), now, outcome)
    return outcome


def check_drop(session: Session, party: str) -> EventType:
    """The event that drops this party. Raises `UnknownParty` or `WrongState`."""
    kind = None
    if session.fourth is not None and party == session.fourth.id:
        kind = EventType.DROP_FOURTH
    elif party == target_id(session):
        kind = EventType.DROP_TARGET
    elif party not in ("caller", session.agent):
        raise UnknownParty(party)
    if kind is None or not legal(session, kind):
        state = session.state.spec.reported
        raise WrongState(f"Cannot drop this party while the transfer is {state}.")
    return kind


def droppable(session: Session) -> tuple[str, ...]:
    """The ids of the parties that can be dropped in some state."""
    fourth = (session.fourth.id,) if session.fourth is not None else ()
    target = target_id(session)
    return (*((target,) if target else ()), *fourth)


def target_id(session: Session) -> str:
    """The party id of the target."""
    return session.target_id or (session.target.value if session.target is not None else "")
