"""Which effects of one transfer can run concurrently.

Each effect is a round trip to Asterisk, and a step often has half a dozen of them. To cancel a
transfer, for example, the leg is hung up, music and ringback stop on two channels, and variables
are set on two channels, before transferor and caller are bridged. These effects are independent of
each other; only the Bridge depends on all of them.

By default, effects run one after the other; the pairs below are the exceptions. Nothing runs
concurrently with a Redirect, a Bridge or an originate that depends on it or that it depends on. Of
two effects on the same channel, only setting variables and stopping sounds run concurrently. AMI
executes the actions of one connection in order, so variables are set in order. A channel's
translation is renewed only when its sounds have ended, because their end would end the renewal's
pause (`core.transfer.translation`).
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
    RenewTranslation,
    SetVariables,
    StartMusic,
    StopMusic,
    StopPlaying,
    StopRingback,
)

_SET: Final = (SetVariables, LimitCall)
_VARIABLES: Final = (*_SET, RenewTranslation)
_STOPS: Final = (StopMusic, StopRingback, StopPlaying)
_JOINS: Final = (AddToBridge, StartMusic)


def can_run_concurrently(effect: Effect, others: Iterable[Effect]) -> bool:
    """Whether the effect need not wait for the others, which precede it."""
    return all(_independent(effect, other) for other in others)


def _independent(effect: Effect, other: Effect) -> bool:
    for later, earlier, test in _PAIRS:
        if isinstance(effect, later) and isinstance(other, earlier):
            return test is None or test(effect, other)
    return False


def _of_others(effect: Effect, other: Effect) -> bool:
    """Whether the effects concern different channels."""
    return getattr(effect, "channel", None) != getattr(other, "channel", None)


_Test = Callable[[Effect, Effect], bool] | None

_PAIRS: Final[tuple[tuple[tuple[type, ...], tuple[type, ...], _Test], ...]] = (
    # later, earlier, condition
    (_VARIABLES, _VARIABLES, None),
    (_SET, _STOPS, None),
    ((RenewTranslation,), _STOPS, _of_others),
    (_STOPS, (*_SET, *_STOPS, HangUp), None),
    (_STOPS, (RenewTranslation,), _of_others),
    (_VARIABLES, (HangUp, *_JOINS), _of_others),
    ((HangUp,), (*_VARIABLES, *_STOPS, HangUp), _of_others),
    # Different parties join different bridges. The variables that describe it are for a later
    # daemon, which checks the bridges too.
    (_JOINS, _VARIABLES, None),
    (_JOINS, _JOINS, _of_others),
    # The target can be dialled before the transferor hears music.
    ((DialLeg,), (StartMusic,), None),
    # The bridges are created while both parties are on their way into Stasis.
    ((CreateBridge,), (Redirect, CreateBridge), None),
)
