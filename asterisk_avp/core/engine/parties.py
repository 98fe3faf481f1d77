"""Add and drop a fourth party in a consultation.

The fourth party is an external number or a colleague. Both need the ``conference`` feature, and
everything that a typed number or the target of a consult needs. A party that is dropped hears no
announcement; their call just ends.
"""

from __future__ import annotations

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.model.errors import Refused, UnknownParty, WrongState
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group, Mode, Target, TargetKind, TransferRequest, World
from asterisk_avp.core.pbx.agents import Agents
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


def check_party(
    session: Session,
    wanted: Target,
    group: Group,
    agents: Agents,
    world: World,
    *,
    slot_taken: bool = False,
) -> Permission:
    """Policy's permission to add this number or agent. Raises `Refused`.

    ``group``: the transfer's group as now configured. ``slot_taken``: a transferred call waits for
    the agent or is on its way to them.
    """
    if wanted.kind is not TargetKind.AGENT:
        return policy.decide_party(wanted.value, session.agent, group, world)
    request = TransferRequest(session.agent, Mode.SUPERVISED, wanted)
    return policy.decide_colleague(
        session.permission.agent or "", request, group, agents, slot_taken=slot_taken
    )


def check_addition(session: Session, group: Group) -> None:
    """Raises `Refused` or `WrongState` where nobody could be added, whoever it is."""
    try:
        policy.check_features(needs.PARTY, group.features)
    except Refused as refused:
        try:
            policy.check_features(needs.COLLEAGUE, group.features)
        except Refused:
            raise refused from None
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
        id=permission.agent or f"party-{session.fourths_called + 4}",
        party=Party(leg, number=permission.number or permission.agent or ""),
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
