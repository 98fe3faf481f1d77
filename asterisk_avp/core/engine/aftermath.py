"""What becomes of the caller of a transfer that has ended.

A transfer that fails in a queue is over for the engine, but not for the caller: the dialplan takes
them back to the transferor, to their group, or hangs up (avp-recall). The transferor, whose own
call may be over too, is told how that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from asterisk_avp.core.model.features import MaxHoldAction
from asterisk_avp.core.model.world import CallerOutcome
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session
from asterisk_avp.core.transfer.spec import Recovery

if TYPE_CHECKING:
    from asterisk_avp.core.engine.record import Record
    from asterisk_avp.core.engine.sessions import Outcome

_ACTION: Final = "AVP_HOLD_ACTION"
"""The channel variable with the max-hold action, which the dialplan carries out."""

_BY_ACTION: Final[Mapping[str, CallerOutcome]] = {
    MaxHoldAction.HANGUP: CallerOutcome.DISCONNECTED,
    MaxHoldAction.RETURN: CallerOutcome.RETURNED,
    MaxHoldAction.GROUP: CallerOutcome.GROUP,
}
_NEXT: Final = {
    CallerOutcome.RETURNED: CallerOutcome.GROUP,
    CallerOutcome.GROUP: CallerOutcome.DISCONNECTED,
}
"""Where the dialplan takes a caller next whom nobody has answered there (avp-recall)."""


class Aftermath:
    def __init__(self, alive: Callable[[str], bool]) -> None:
        """``alive``: whether a channel exists."""
        self._alive = alive
        self._waiting: dict[str, Record] = {}
        """Caller to ended transfer, while the dialplan may still take the caller further."""

    def ended(self, record: Record, before: Session, event: SessionEvent) -> None:
        """The transfer has just ended by ``event``; ``before``: its session until then."""
        session = record.session
        outcome = _first(before, event, session)
        if outcome is CallerOutcome.RETURNED and not self._alive(session.caller.channel):
            outcome = CallerOutcome.HUNG_UP
        record.caller_outcome = outcome
        if outcome in _NEXT and _in_a_queue(before, event):
            self._waiting[session.caller.channel] = record

    def settled(self, record: Record) -> bool:
        """Whether the outcome cannot change any more."""
        return self._waiting.get(record.session.caller.channel) is not record

    def unanswered(self, caller: str, outcome: Outcome) -> None:
        """The queue in which the caller waited has given up."""
        record = self._waiting.get(caller)
        if record is None or record.caller_outcome is None:
            return
        reached = _NEXT[record.caller_outcome]
        if reached not in _NEXT:
            del self._waiting[caller]
        _change(record, reached, outcome)

    def answered(self, caller: str) -> None:
        """An agent has the caller."""
        self._waiting.pop(caller, None)

    def of(self, caller: str) -> Record | None:
        """The ended transfer of a caller whom the dialplan still has; None: of none."""
        return self._waiting.get(caller)

    def returning(self) -> list[Record]:
        """The ended transfers whose callers wait for the transferor."""
        waiting = self._waiting.values()
        return [x for x in waiting if x.caller_outcome is CallerOutcome.RETURNED]

    def records(self) -> tuple[Record, ...]:
        return tuple(self._waiting.values())

    def left(self, caller: str, outcome: Outcome) -> None:
        """The caller is elsewhere: another program or phone has taken them, or by a key."""
        record = self._waiting.pop(caller, None)
        if record is not None:
            _change(record, CallerOutcome.ELSEWHERE, outcome)

    def gone(self, caller: str, outcome: Outcome, how: CallerOutcome) -> None:
        """The caller's channel has ended. ``how``: what to report of a caller who waited for the
        transferor; one who waited in the group's queue is the group's.
        """
        record = self._waiting.pop(caller, None)
        if record is not None and record.caller_outcome is CallerOutcome.RETURNED:
            _change(record, how, outcome)

    def resynced(self, bridge_of: Callable[[str], str | None], outcome: Outcome) -> None:
        """Events may have been missed."""
        for caller in tuple(self._waiting):
            if not self._alive(caller):
                self.gone(caller, outcome, CallerOutcome.LOST)
            elif bridge_of(caller) is not None:
                self.answered(caller)


def _change(record: Record, reached: CallerOutcome, outcome: Outcome) -> None:
    record.caller_outcome = reached
    outcome.ended.append(record.session.id)


def _first(before: Session, event: SessionEvent, after: Session) -> CallerOutcome | None:
    if event.kind is EventType.CALLER_LEFT:
        return CallerOutcome.ELSEWHERE
    if event.kind is EventType.CALL_ENDED:
        return CallerOutcome.DISCONNECTED
    if event.to_group:
        return CallerOutcome.GROUP
    ends_in, leaves = after.state.spec.caller_after, before.state.spec
    if event.kind is EventType.CALLER_GONE and event.inferred:
        return CallerOutcome.LOST
    if ends_in is not CallerOutcome.RETURNED:
        return ends_in
    match leaves.recovery:
        case Recovery.RECALL if event.kind is not EventType.REDIRECTED:
            # Whom we still hold is released to the same place.
            held = after.caller.presence is Presence.PRESENT
            return CallerOutcome.GROUP if held else CallerOutcome.LOST
        case Recovery.BRIDGE_REST:  # somebody took them out of a conference
            return CallerOutcome.ELSEWHERE
        case Recovery.QUEUE if event.kind is EventType.REDIRECT_FAILED:
            return CallerOutcome.RETURNED  # nobody was moved
        case Recovery.QUEUE if event.kind is EventType.TIMED_OUT:
            return CallerOutcome.LOST  # no answer: they may be anywhere
        case _ if leaves.caller_after is None:
            return _BY_ACTION.get(after.variables.get(_ACTION, ""), CallerOutcome.DISCONNECTED)
        case _:
            return leaves.caller_after


def _in_a_queue(before: Session, event: SessionEvent) -> bool:
    """Whether the dialplan has the caller, in a queue or on the way into one."""
    leaves = before.state.spec
    waits = leaves.caller_after is None or leaves.recovery is Recovery.RECALL
    return waits and not (
        leaves.recovery is Recovery.QUEUE and event.kind is EventType.REDIRECT_FAILED
    )
