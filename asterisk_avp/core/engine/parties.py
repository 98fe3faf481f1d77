"""A fourth party in a consult: called in by agent 1, and dropped again.

The fourth is an external number, gated by the setting ``conference`` and by everything that a
typed number is gated by. Whoever is dropped hears nothing of it but the end of their call.
"""

from __future__ import annotations

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.model.errors import UnknownParty, WrongState
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group, World
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.machine import legal
from asterisk_avp.core.transfer.session import (
    REPORTED,
    Fourth,
    Party,
    Session,
    State,
    fourth_id,
    other_half,
)

_WITH_ROOM = frozenset({State.CONSULTING, State.CONFERENCE})
"""The states in which a fourth party may be called."""


def may_call(session: Session, typed: str, group: Group, world: World) -> Permission:
    """Policy's word on calling ``typed`` into this transfer. Raises `Refused`.

    ``group``: the transfer's, as it is configured now.
    """
    return policy.decide_party(typed, session.agent, group, world)


def add(
    store: SessionStore, session: Session, allow: Permission, now: float, secret: str
) -> Outcome:
    """Call the fourth party that policy has allowed. Raises `WrongState`.

    ``secret``: see `fourth_id`.
    """
    if session.state not in _WITH_ROOM:
        state = REPORTED[session.state]
        raise WrongState(f"Nobody can be called into a transfer that is {state}.")
    if session.fourth is not None:
        raise WrongState("There is a fourth party already, and there can be no fifth.")
    leg = fourth_id(session.id, session.fourths_called + 1, secret)
    fourth = Fourth(
        id=f"party-{session.fourths_called + 4}",
        party=Party(leg, number=allow.number or ""),
        other=other_half(leg),
        allow=allow,
    )
    outcome = Outcome()
    store.apply(session.id, SessionEvent(EventType.ADD_PARTY, fourth=fourth), now, outcome)
    return outcome


def drop(store: SessionStore, session: Session, party: str, now: float) -> Outcome:
    """Hang up on the target or the fourth party. Raises `UnknownParty` or `WrongState`.

    Without a fourth party, dropping the target cancels the transfer.
    """
    kind = None
    if session.fourth is not None and party == session.fourth.id:
        kind = EventType.DROP_FOURTH
    elif party == target_id(session):
        kind = EventType.DROP_TARGET
    elif party not in ("caller", session.agent):
        raise UnknownParty(party)
    if kind is None or not legal(session, kind):
        state = REPORTED[session.state]
        raise WrongState(f"This party of a transfer that is {state} cannot be dropped.")
    outcome = Outcome()
    store.apply(session.id, SessionEvent(kind), now, outcome)
    return outcome


def target_id(session: Session) -> str:
    """The id, among the parties, of whom the call is to go to."""
    return session.target_id or (session.target.value if session.target is not None else "")
