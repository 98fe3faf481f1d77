"""Which effects of one transfer can run concurrently.

Each effect is a round trip to Asterisk, and a step often has half a dozen of them. To cancel a
transfer, for example, the leg is hung up, music and ringback stop on two channels, and variables
are set on two channels, before transferor and caller are bridged. These effects are independent of
each other; only the Bridge depends on all of them.

By default, effects run one after the other; the pairs below are the exceptions. Effects begin in
their order, each as soon as all effects in flight permit it (with few exceptions, see
`next_to_begin`). Nothing runs concurrently with a
Redirect, a Bridge or an originate that depends on it or that it depends on. Of two effects on the
same channel, only setting variables and stopping sounds run concurrently. AMI executes the actions
of one connection in order (main/manager.c, ``session_do``). So variables are set in order, and a
Redirect or a Bridge that follows them need not wait for their responses: if one of them could not
be set, its channel has ended, and nobody waited for that either. A channel's translation is renewed
only when its sounds have ended, because their end would end the renewal's pause, and when whoever
was to join has joined (`core.transfer.translation`).

A call that is sent into a personal queue before its member is there would be turned away: it waits
for the changes of that queue, which belong to no transfer. Those of different queues run
concurrently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from asterisk_avp.core.messages.effects import (
    AddMember,
    AddToBridge,
    BridgePair,
    CreateBridge,
    Destination,
    DialLeg,
    Effect,
    HangUp,
    LeaveStasis,
    LimitCall,
    PauseMember,
    Redirect,
    RemoveMember,
    RenewTranslation,
    SetPenalty,
    SetVariables,
    StartMusic,
    StopMusic,
    StopPlaying,
    StopRingback,
)
from asterisk_avp.core.model.world import personal_queue

_SET: Final = (SetVariables, LimitCall)
_VARIABLES: Final = (*_SET, RenewTranslation)
_STOPS: Final = (StopMusic, StopRingback, StopPlaying)
_JOINS: Final = (AddToBridge, StartMusic)
_MEMBERS: Final = (AddMember, RemoveMember, PauseMember, SetPenalty)
_OVERTAKEN: Final = (*_JOINS, RenewTranslation)


def can_run_concurrently(effect: Effect, others: Iterable[Effect]) -> bool:
    """Whether the effect need not wait for the others, which precede it."""
    return all(_independent(effect, other) for other in others)


def next_to_begin(queue: Sequence[Effect], running: Collection[Effect]) -> int | None:
    """The index of the queued effect that can begin now; None: none.

    It is the first one, except that joins, sounds and renewals of one party keep neither those of
    another party waiting, nor the variables, nor the call to a target. Each of them is a round trip
    to Asterisk, and there are four before a party on hold hears music.
    """
    overtaken: list[Effect] = []
    for at, effect in enumerate(queue):
        if _may_overtake(effect, overtaken) and can_run_concurrently(effect, running):
            return at
        if not isinstance(effect, _OVERTAKEN):
            break
        overtaken.append(effect)
    return None


def _may_overtake(effect: Effect, overtaken: Iterable[Effect]) -> bool:
    if isinstance(effect, RenewTranslation):
        return all(_of_others(effect, x) and not isinstance(x, _JOINS) for x in overtaken)
    if isinstance(effect, _OVERTAKEN):
        return all(_of_others(effect, other) for other in overtaken)
    return not overtaken or isinstance(effect, (SetVariables, DialLeg))


def queue_changed(effect: Effect) -> str:
    """The queue whose members the effect changes; empty: none."""
    match effect:
        case AddMember() | RemoveMember() | PauseMember() | SetPenalty():
            return effect.queue
    return ""


def queue_entered(effect: Effect) -> str:
    """The personal queue that the effect sends a call into; empty: none."""
    match effect:
        case DialLeg():
            agent = effect.permission.agent
            return personal_queue(agent) if agent is not None else ""
        case Redirect(destination=Destination("avp-agent-queue", agent_id)):
            return personal_queue(agent_id)
        case LeaveStasis(to=Destination("avp-agent-queue", agent_id)):
            return personal_queue(agent_id)
    return ""


def _independent(effect: Effect, other: Effect) -> bool:
    for later, earlier, test in _PAIRS:
        if isinstance(effect, later) and isinstance(other, earlier):
            return test is None or test(effect, other)
    return False


def _of_other_queues(effect: Effect, other: Effect) -> bool:
    return queue_changed(effect) != queue_changed(other)


def _of_others(effect: Effect, other: Effect) -> bool:
    """Whether the effects concern different channels."""
    return getattr(effect, "channel", None) != getattr(other, "channel", None)


def _of_a_third(effect: Effect, other: Effect) -> bool:
    """Whether a Bridge does not concern the channel of the other effect."""
    return isinstance(effect, BridgePair) and getattr(other, "channel", "") not in (
        effect.first,
        effect.second,
    )


def _not_of_the_pair(effect: Effect, other: Effect) -> bool:
    """Whether the channel of an effect is none of those of the Bridge before it."""
    return _of_a_third(other, effect)


def _of_another_bridge(effect: Effect, other: Effect) -> bool:
    """Whether somebody joins a bridge, other than the one that is being created."""
    return isinstance(effect, AddToBridge) and effect.bridge != getattr(other, "bridge", "")


_Test = Callable[[Effect, Effect], bool] | None

_PAIRS: Final[tuple[tuple[tuple[type, ...], tuple[type, ...], _Test], ...]] = (
    # later, earlier, condition
    (_VARIABLES, _VARIABLES, None),
    (_SET, _STOPS, None),
    ((RenewTranslation,), _STOPS, _of_others),
    (_STOPS, (*_SET, *_STOPS, HangUp), None),
    (_STOPS, (RenewTranslation,), _of_others),
    (_SET, _JOINS, None),
    (_SET, (HangUp, *_JOINS), _of_others),
    # Not with a join, of whomever: whoever is there hears the joining party, and that may take
    # longer than the pause that a renewal makes.
    ((RenewTranslation,), (HangUp,), _of_others),
    ((HangUp,), (*_VARIABLES, *_STOPS, HangUp), _of_others),
    # By the order of AMI's actions. The marks describe where the call is about to be.
    ((Redirect,), _SET, None),
    ((BridgePair,), _VARIABLES, None),
    ((BridgePair,), (HangUp,), _of_a_third),
    # So that the end of a third party, which is work for Asterisk, is behind the Bridge.
    ((HangUp,), (BridgePair,), _not_of_the_pair),
    # Different parties join different bridges. The variables that describe it are for a later
    # daemon, which checks the bridges too.
    (_JOINS, _VARIABLES, None),
    (_JOINS, _JOINS, _of_others),
    # The target is dialled while transferor and caller join their bridges. The variables for a
    # later daemon have been sent by then (`service.executor`).
    ((DialLeg,), (*_JOINS, *_VARIABLES, CreateBridge), None),
    ((*_JOINS, RenewTranslation), (DialLeg,), None),
    # The bridges are created while both parties are on their way into Stasis.
    (_MEMBERS, _MEMBERS, _of_other_queues),
    ((CreateBridge,), (*_SET, Redirect, CreateBridge), None),
    (_SET, (CreateBridge,), None),
    (_JOINS, (CreateBridge,), _of_another_bridge),
)
