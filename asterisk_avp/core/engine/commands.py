"""Which commands the transferor may give to a running transfer now.

`check` decides about a command; `offered` lists the commands that would pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from asterisk_avp.core.engine import parties
from asterisk_avp.core.model.errors import Refused, WrongState
from asterisk_avp.core.model.world import Group
from asterisk_avp.core.policy import needs, policy
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Action

COMMANDS: Final[Mapping[Action, EventType]] = {
    Action.COMPLETE: EventType.COMPLETE,
    Action.CANCEL: EventType.CANCEL,
    Action.SWAP: EventType.SWAP,
    Action.CONFERENCE: EventType.CONFERENCE,
}

_PARTICIPLES: Final = {
    EventType.COMPLETE: "completed",
    EventType.CANCEL: "cancelled",
    EventType.SWAP: "swapped",
    EventType.CONFERENCE: "made a conference",
}
_NEEDED: Final[Mapping[EventType, tuple[str, ...]]] = {
    EventType.SWAP: (),
    EventType.CONFERENCE: needs.CONFERENCE,
}
"""Commands that begin something new in a running transfer, with the features they need in addition
to ``session_transfer``. Completing and cancelling a transfer need no feature."""


def check(session: Session, kind: EventType, group: Group, obstacle: str = "") -> None:
    """Check a command. Raises `Refused` or `WrongState`.

    ``session``: with its permission as the current settings have it. ``group``: the transfer's
    group as now configured. ``obstacle``: why the target would be offered no call now, as a reason
    code; it tells why a transfer cannot continue without the transferor.
    """
    needed = _NEEDED.get(kind)
    if needed is not None:
        policy.check_features(needed, group.features)
    if not machine.legal(session, kind):
        completes = kind is EventType.COMPLETE and Action.COMPLETE in session.state.spec.actions
        if completes and obstacle:
            raise policy.refused(obstacle)
        state = session.state.spec.reported
        raise WrongState(f"A transfer that is {state} cannot be {_PARTICIPLES[kind]}.")


def offered(session: Session, group: Group) -> tuple[str, ...]:
    """The commands that would be accepted: ``complete``, …, ``drop_party:<party id>``."""
    asked: dict[str, Callable[[], object]] = {
        action.value: partial(check, session, kind, group) for action, kind in COMMANDS.items()
    }
    asked[Action.ADD_PARTY.value] = partial(parties.check_addition, session, group)
    for party in parties.droppable(session):
        asked[f"{Action.DROP_PARTY.value}:{party}"] = partial(parties.check_drop, session, party)
    in_state = session.state.spec.actions
    return tuple(
        name
        for name, check_it in asked.items()
        if Action(name.partition(":")[0]) in in_state and _passes(check_it)
    )


def _passes(check_it: Callable[[], object]) -> bool:
    try:
        check_it()
    except (Refused, WrongState):
        return False
    return True
