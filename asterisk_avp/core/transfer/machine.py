"""Apply the state table: a session and an event give the next session and its effects.

The table and its theory are in `asterisk_avp.core.transfer.table`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from asterisk_avp.core.messages.effects import ClearTimer, Effect, SetTimer
from asterisk_avp.core.transfer import start, translation
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Intent, Presence, Session
from asterisk_avp.core.transfer.spec import Deadline
from asterisk_avp.core.transfer.states import State
from asterisk_avp.core.transfer.table import ROWS, Transition

ASTERISK_SECONDS: Final = 5.0
"""Deadline for an operation that a healthy Asterisk completes within milliseconds."""

GRACE_SECONDS: Final = 30.0
"""Added to a wait that Asterisk's own timer should end, before ours does."""

FIRST_KEY_SECONDS: Final = 15.0
"""Time for the transferor to begin keying in the target, prompt included."""

DECLINED_SECONDS: Final = 3.0
"""Time in which a phone may hang up after it was notified of a refusal."""

TABLE: Final[dict[tuple[State, EventType], tuple[Transition, ...]]] = {}
for _row in ROWS:
    TABLE[_row.state, _row.kind] = (*TABLE.get((_row.state, _row.kind), ()), _row)


def begin(session: Session) -> tuple[Session, tuple[Effect, ...]]:
    """The first effects of a session that policy has permitted."""
    if session.state is State.QUEUEING:
        return session, (SetTimer(ASTERISK_SECONDS), *start.unsupervised(session))
    return session, (SetTimer(ASTERISK_SECONDS), *start.supervised(session))


def legal(session: Session, kind: EventType) -> bool:
    """Whether a row applies to the event in the session's state."""
    return _choose(_note(session, SessionEvent(kind)), kind) is not None


class Step(NamedTuple):
    """The result of one event."""

    session: Session
    """The next session; the same object as before where no row applies."""
    effects: tuple[Effect, ...] = ()
    row: Transition | None = None
    """The row that was applied; None: none applies."""


def step(session: Session, event: SessionEvent) -> Step:
    """The next session and its effects. An illegal event returns the session unchanged."""
    if _noted_before(session, event.kind):
        return Step(session)
    noted = _note(session, event)
    row = _choose(noted, event.kind)
    if row is None:
        return Step(session)
    if row.change is not None:
        noted = row.change(noted)
    reason = noted.reason
    if row.outcome is not None or row.next.final:
        reason = row.reason or event.reason or noted.reason
    following = replace(noted, state=row.next, outcome=row.outcome or noted.outcome, reason=reason)
    effects = [effect for action in row.actions for effect in action(following)]
    heard = translation.renewed(session, following, tuple(effects))
    return Step(following, (*heard, *_timer(session.state, following)), row)


def _choose(session: Session, kind: EventType) -> Transition | None:
    for row in TABLE.get((session.state, kind), ()):
        if row.guard is None or row.guard(session):
            return row
    return None


def timer(session: Session) -> tuple[Effect, ...]:
    """Restart the timer of the session's state, if it has one."""
    seconds = _seconds(session.state.spec.deadline, session)
    return () if seconds is None else (SetTimer(seconds),)


def _timer(before: State, session: Session) -> tuple[Effect, ...]:
    after = session.state
    if after.final:
        return () if before.final else (ClearTimer(),)
    deadline = after.spec.deadline
    if after is before or (deadline is before.spec.deadline and deadline.goes_on):
        return ()  # the same wait continues
    seconds = _seconds(deadline, session)
    return (ClearTimer(),) if seconds is None else (SetTimer(seconds),)


def _seconds(deadline: Deadline, session: Session) -> float | None:
    match deadline:
        case Deadline.NONE:
            return None
        case Deadline.TARGET | Deadline.QUEUE:
            return session.wait_seconds + GRACE_SECONDS
        case Deadline.ASTERISK:
            return ASTERISK_SECONDS
        case Deadline.FIRST_KEY:
            return FIRST_KEY_SECONDS
        case Deadline.PHONE:
            return DECLINED_SECONDS


_PRESENCES: Final = {
    EventType.CALLER_ENTERED: ("caller", Presence.PRESENT),
    EventType.TRANSFEROR_ENTERED: ("transferor", Presence.PRESENT),
    EventType.LEG_ANSWERED: ("leg", Presence.PRESENT),
    EventType.CALLER_GONE: ("caller", Presence.GONE),
    EventType.CALL_ENDED: ("caller", Presence.GONE),
    EventType.TRANSFEROR_GONE: ("transferor", Presence.GONE),
    EventType.LEG_GONE: ("leg", Presence.GONE),
    EventType.LEG_FAILED: ("leg", Presence.GONE),
    EventType.FOURTH_ANSWERED: ("fourth", Presence.PRESENT),
    EventType.FOURTH_FAILED: ("fourth", Presence.GONE),
    EventType.FOURTH_GONE: ("fourth", Presence.GONE),
}


def _noted_before(session: Session, kind: EventType) -> bool:
    """Whether the end of a party was noted before: it leaves Stasis, then its channel ends."""
    party, presence = _PRESENCES.get(kind, ("", None))
    return presence is Presence.GONE and session.presence_of(party) is Presence.GONE


def _note(session: Session, event: SessionEvent) -> Session:
    """Note what the event says regardless of the state."""
    for role in event.along:
        session = session.with_presence(role, Presence.GONE)
    if event.kind in _PRESENCES:
        return session.with_presence(*_PRESENCES[event.kind])
    if event.kind is EventType.COMPLETE:
        return replace(session, intent=Intent.COMPLETE)
    if event.kind is EventType.CANCEL:
        return replace(session, intent=Intent.CANCEL)
    if event.kind is EventType.ADD_PARTY:
        asked = event.fourth.permission.agent if event.fourth is not None else None
        return replace(
            session,
            fourth=event.fourth,
            fourths_called=session.fourths_called + 1,
            asked=tuple(dict.fromkeys((*session.asked, asked))) if asked else session.asked,
        )
    if event.kind is EventType.CHOSEN and event.choice is not None:
        choice = event.choice
        return replace(
            session, mode=choice.mode, target=choice.target, permission=choice.permission
        )
    if event.kind is EventType.WRONG_CHOICE:
        return replace(session, tries=session.tries + 1)
    if event.kind is EventType.DELIVERED:
        return replace(session, delivered_to=event.agent)
    return session
