"""Which effects of one transfer may be carried out at the same time.

Each is a round trip to Asterisk, and what agent 1 waits for is often half a dozen of them: to
cancel a transfer the leg is hung up, music and ringing end on two channels, and two are marked,
before the two who talk again are bridged. None of these needs another of them; the bridge needs
them all.

The rule is to wait, and these are the exceptions. What others rely on is never among them: nothing
goes beside a Redirect, a Bridge or an originate that has to come before or after it, and of two
effects on the same channel only marks and ends of sounds go together. AMI does what it is told on
one connection in order, so marks stay in order among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from asterisk_avp.core.messages.effects import (
    AddToBridge,
    CreateBridge,
    DialLeg,
    Effect,
    HangUp,
    LimitCall,
    Redirect,
    SetVariables,
    StartMusic,
    StopMusic,
    StopPlaying,
    StopRingback,
)

_VARIABLES: Final = (SetVariables, LimitCall)
_STOPS: Final = (StopMusic, StopRingback, StopPlaying)
_JOINS: Final = (AddToBridge, StartMusic)


def can_run_concurrently(effect: Effect, others: Iterable[Effect]) -> bool:
    """Whether the effect, which comes after the others, need not wait for them."""
    return all(_independent(effect, other) for other in others)


def _independent(effect: Effect, other: Effect) -> bool:
    for later, earlier, test in _PAIRS:
        if isinstance(effect, later) and isinstance(other, earlier):
            return test is None or test(effect, other)
    return False


def _of_others(effect: Effect, other: Effect) -> bool:
    """They are about different channels."""
    return getattr(effect, "channel", None) != getattr(other, "channel", None)


_Test = Callable[[Effect, Effect], bool] | None

_PAIRS: Final[tuple[tuple[tuple[type, ...], tuple[type, ...], _Test], ...]] = (
    # Later, earlier, and on what condition.
    (_VARIABLES, (*_VARIABLES, *_STOPS), None),
    (_STOPS, (*_VARIABLES, *_STOPS, HangUp), None),
    (_VARIABLES, (HangUp, *_JOINS), _of_others),
    ((HangUp,), (*_VARIABLES, *_STOPS, HangUp), _of_others),
    # Seats in different bridges for different people; a mark of who sits there is for a daemon that
    # comes after us, who looks at the bridges as well.
    (_JOINS, _VARIABLES, None),
    (_JOINS, _JOINS, _of_others),
    # Agent 1 need not hear music before the target is dialled.
    ((DialLeg,), (StartMusic,), None),
    # The bridges are made while both are on their way into Stasis.
    ((CreateBridge,), (Redirect, CreateBridge), None),
)
