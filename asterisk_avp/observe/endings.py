"""Every way in which a transfer can end, and every decision about one, for the metrics.

A counter that appears in Prometheus with the value 1 has not increased: ``increase()`` of it is 0,
and no rule fires at the first failure. So the metrics begin with all of these at 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import product
from typing import Final

from asterisk_avp.core.engine.queue_events import DIAL_REASONS, QUEUE_REASONS
from asterisk_avp.core.model.world import CallerOutcome, Mode, TargetKind, TransferState
from asterisk_avp.core.policy.policy import REASONS
from asterisk_avp.core.transfer.events import LEFT_QUEUE, TAKEN
from asterisk_avp.core.transfer.states import State
from asterisk_avp.core.transfer.table import ROWS

NO_TARGET: Final = "none"
"""The kind of the target while the transferor dials it, which may change the mode."""

MAX_HOLD: Final = QUEUE_REASONS["TIMEOUT"]
_FAILED: Final = State.FAILED.spec.reported.value
_UNANSWERED: Final = ("no_answer", "rejected")
_DECISION_MODES: Final = (*Mode, "party", "dial")

OUTCOMES: Final = tuple(state.value for state in TransferState if state.final)
"""How a transfer ends, as the API reports it."""


class LostCause(StrEnum):
    """Why nobody has the caller of a transfer that has ended."""

    MAX_HOLD = "max_hold"
    """Hung up on because nobody took the call before the maximum hold time was over."""
    DISCONNECTED = "disconnected"
    """Hung up on for another reason, such as a group that emptied."""
    LOST = "lost"
    """Asterisk or the daemon failed."""


def cause_of_loss(outcome: CallerOutcome | None, reason: str) -> LostCause | None:
    """Why nobody has a caller who has ended up so; None: somebody has, or they hung up.

    ``reason``: the transfer's ended_reason.
    """
    match outcome:
        case CallerOutcome.LOST:
            return LostCause.LOST
        case CallerOutcome.DISCONNECTED:
            return LostCause.MAX_HOLD if reason == MAX_HOLD else LostCause.DISCONNECTED
        case _:
            return None


def transfers() -> Iterator[tuple[str, str, str, str]]:
    """Mode, target, outcome and reason of each possible end.

    All modes with all targets: a phone's request that policy refuses is a transfer that fails,
    whatever it asked for.
    """
    for mode, target in product(Mode, (*TargetKind, NO_TARGET)):
        for outcome, reason in _ENDS:
            yield mode.value, str(target), outcome, reason


def decisions() -> Iterator[tuple[str, str, str]]:
    """Mode, decision and reason of each possible decision."""
    for mode in _DECISION_MODES:
        yield str(mode), "allow", "ok"
        for reason in REASONS:
            yield str(mode), "deny", reason
    yield "dial", "pass", "emergency"


def _ends() -> Iterator[tuple[str, str]]:
    """Outcome and reason: those of the table's rows, and those that events bring.

    Where a queue has nobody to answer, the reason is one of policy's (`_queue_left_reason`).
    """
    for row in ROWS:
        end = row.outcome or row.next
        if end.final and row.reason:
            yield end.spec.reported.value, row.reason
    for reason in (
        *_UNANSWERED,
        LEFT_QUEUE,
        TAKEN,
        *QUEUE_REASONS.values(),
        *DIAL_REASONS.values(),
        *REASONS,
    ):
        if reason != "target_left":
            yield _FAILED, reason


_ENDS: Final = sorted(set(_ends()))
