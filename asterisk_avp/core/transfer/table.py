"""The transfer of one call, as one table: state x event -> next state, effects.

Theory. A supervised transfer takes agent 1 and the caller out of their bridge (STARTING), puts
the caller alone on music and agent 1 into a private bridge, and dials the target through the
target's personal queue (WAITING, RINGING). When the target answers they talk (CONSULTING).
Agent 1 may go to the caller and back (SWAPPED: the target hears music), bring all together
(CONFERENCE), and call a fourth party to those who consult; if the target then leaves, the fourth
party takes the target's place.
There are then three ways out, and every path through the table takes one of them:

* COMPLETING: caller and target are put into a plain bridge; agent 1 is hung up.
* RETURNING: agent 1 and the caller are put into a plain bridge; the leg is hung up.
* QUEUEING: the caller is sent into a queue by the dialplan and waits there without agent 1.
  It is also how an unsupervised transfer begins. RELEASING_LEG comes before it while the consult
  leg still occupies the target's one waiting slot. QUEUED and OFFERED only watch: app_queue and
  the dialplan do the work and go on doing it without us.

An agent may also ask on the phone: by the feature code (COLLECTING: where to?), or by the Transfer
button, which is told the outcome; where policy refuses, both parties are taken into Stasis all the
same (DECLINED), since only there the phone can be told so, and it may hang up on hearing it. With
the target on the agent's other line already, STARTING goes straight to COMPLETING.

A conference may also lose one and go on without: CONFERENCE_WITHOUT_TRANSFEROR is the
talk of three that is left when the transferor or the caller leaves a conference of four, and
DISSOLVING puts the last two of any conference into a plain bridge.

RECALLING is the net below all of them: whatever fails while the caller is still there, the
caller goes to the head of the call's group; by AMI Redirect, and if that fails too, by leaving
Stasis, where the dialplan has a net of its own.

Rules. `ROWS` holds the rows, and `transfer.step` applies them: for a state and event the first row
whose guard holds is taken. A pair without such a row is illegal and changes nothing. What an event
says about a party's whereabouts is noted before the guards are asked. In every state that waits for
Asterisk or a queue a timer runs (`transfer`). Bridging comes in pairs and only when both are in a
bridge, and ``AVP_STATE`` is set to ``done`` before it (DESIGN section 2, "Afterwards").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.model.world import Mode, Origin
from asterisk_avp.core.transfer import actions as do
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.session import Intent, Presence, Session, promoted
from asterisk_avp.core.transfer.states import State

MAX_TRIES: Final = 3
"""How many times agent 1 may key in something that is refused."""

Guard = Callable[[Session], bool]
Action = Callable[[Session], tuple[Effect, ...]]
Change = Callable[[Session], Session]


# --- guards ----------------------------------------------------------------------------------


def caller_in(session: Session) -> bool:
    return session.caller.presence is Presence.PRESENT


def both_in(session: Session) -> bool:
    return caller_in(session) and session.transferor.presence is Presence.PRESENT


def transferor_left(session: Session) -> bool:
    return session.transferor.presence is Presence.GONE


def left_may_detach(session: Session) -> bool:
    return transferor_left(session) and session.may_detach


def may_detach(session: Session) -> bool:
    return session.may_detach


def in_may_detach(session: Session) -> bool:
    return caller_in(session) and session.may_detach


def cancel_wanted(session: Session) -> bool:
    return both_in(session) and session.intent is Intent.CANCEL


def complete_wanted(session: Session) -> bool:
    return both_in(session) and session.intent is Intent.COMPLETE and session.may_detach


def transferor_in(session: Session) -> bool:
    return session.transferor.presence is Presence.PRESENT


def caller_here(session: Session) -> bool:
    return session.caller.presence is not Presence.GONE


def declined(session: Session) -> bool:
    return both_in(session) and session.refused


def asking(session: Session) -> bool:
    return both_in(session) and session.target is None


def attended(session: Session) -> bool:
    """The phone has called the target itself, who is still there."""
    return caller_in(session) and session.attended and session.leg.presence is not Presence.GONE


def both_attended(session: Session) -> bool:
    return attended(session) and both_in(session)


def attended_lost(session: Session) -> bool:
    return both_in(session) and session.attended and session.leg.presence is Presence.GONE


def by_button(session: Session) -> bool:
    return transferor_in(session) and session.origin is Origin.BUTTON


def tries_left(session: Session) -> bool:
    return session.tries < MAX_TRIES


def consults(session: Session) -> bool:
    return session.mode is Mode.SUPERVISED


def fourth_in(session: Session) -> bool:
    return session.fourth_is is Presence.PRESENT


def strangers(session: Session) -> bool:
    """Those left have only our own people in common, and these have gone."""
    return transferor_left(session) and not caller_here(session)


def completed(session: Session) -> bool:
    return session.outcome is State.COMPLETED


# --- changes of the session itself -----------------------------------------------------------


def without_transferor(session: Session) -> Session:
    """Agent 1 is being hung up and does not count any more."""
    return session.with_presence("transferor", Presence.GONE)


# --- the table -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    state: State
    kind: EventType
    next: State
    actions: tuple[Action, ...] = ()
    guard: Guard | None = None
    outcome: State | None = None
    """Set where the row decides how the transfer will end."""
    reason: str = ""
    """The ended_reason for that; an event's own reason is taken where this is empty."""
    change: Change | None = None
    """What else becomes of the session; made before the actions are asked."""


S, K = State, EventType

# One line a row, however long: a table is read down its columns.
# fmt: off
ROWS: Final[tuple[Transition, ...]] = (
    # STARTING: the Redirect is under way; whoever arrives in Stasis is seated at once.
    Transition(S.STARTING, K.CALLER_ENTERED, S.QUEUEING, (do.hold_caller, do.queue_caller), left_may_detach, S.FAILED, "transferor_hangup"),
    Transition(S.STARTING, K.CALLER_ENTERED, S.RECALLING, (do.hold_caller, do.recall), transferor_left, S.FAILED, "transferor_hangup"),
    Transition(S.STARTING, K.CALLER_ENTERED, S.RETURNING, (do.hold_caller, do.return_to_transferor), cancel_wanted, S.CANCELLED, "cancelled"),
    Transition(S.STARTING, K.CALLER_ENTERED, S.QUEUEING, (do.hold_caller, do.queue_caller), complete_wanted),
    Transition(S.STARTING, K.CALLER_ENTERED, S.DECLINED, (do.hold_caller, do.decline), declined, S.FAILED),
    Transition(S.STARTING, K.CALLER_ENTERED, S.DECLINED, (do.hold_caller, do.rejoin, do.decline), attended_lost, S.FAILED, "target_hangup"),
    Transition(S.STARTING, K.CALLER_ENTERED, S.COMPLETING, (do.hold_caller, do.complete), both_attended),
    Transition(S.STARTING, K.CALLER_ENTERED, S.COLLECTING, (do.hold_caller, do.ask), asking),
    Transition(S.STARTING, K.CALLER_ENTERED, S.WAITING, (do.hold_caller, do.dial_target), both_in),
    Transition(S.STARTING, K.CALLER_ENTERED, S.STARTING, (do.hold_caller,)),
    Transition(S.STARTING, K.AGENT_ENTERED, S.RETURNING, (do.seat_transferor, do.return_to_transferor), cancel_wanted, S.CANCELLED, "cancelled"),
    Transition(S.STARTING, K.AGENT_ENTERED, S.QUEUEING, (do.queue_caller,), complete_wanted),
    Transition(S.STARTING, K.AGENT_ENTERED, S.DECLINED, (do.seat_transferor, do.decline), declined, S.FAILED),
    Transition(S.STARTING, K.AGENT_ENTERED, S.DECLINED, (do.rejoin, do.decline), attended_lost, S.FAILED, "target_hangup"),
    Transition(S.STARTING, K.AGENT_ENTERED, S.COMPLETING, (do.seat_transferor, do.complete), both_attended),
    Transition(S.STARTING, K.AGENT_ENTERED, S.COLLECTING, (do.seat_transferor, do.ask), asking),
    Transition(S.STARTING, K.AGENT_ENTERED, S.WAITING, (do.seat_transferor, do.dial_target), both_in),
    Transition(S.STARTING, K.AGENT_ENTERED, S.STARTING, (do.seat_transferor,)),
    Transition(S.STARTING, K.AGENT_GONE, S.COMPLETING, (do.complete,), attended),
    Transition(S.STARTING, K.AGENT_GONE, S.QUEUEING, (do.queue_caller,), in_may_detach, S.FAILED, "transferor_hangup"),
    Transition(S.STARTING, K.AGENT_GONE, S.RECALLING, (do.recall,), caller_in, S.FAILED, "transferor_hangup"),
    Transition(S.STARTING, K.AGENT_GONE, S.STARTING),
    Transition(S.STARTING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.STARTING, K.LEG_GONE, S.STARTING),
    Transition(S.STARTING, K.COMPLETE, S.STARTING, (), may_detach),
    Transition(S.STARTING, K.CANCEL, S.STARTING),
    Transition(S.STARTING, K.REDIRECTED, S.STARTING),
    Transition(S.STARTING, K.REDIRECT_FAILED, S.FAILED, (do.unmark, do.clear_away), reason="call_gone"),
    Transition(S.STARTING, K.TIMED_OUT, S.RECALLING, (do.drop_transferor, do.recall), caller_here, S.FAILED, "start_timeout"),
    # COLLECTING: agent 1 keys in where the call is to go (`core.phone.feature_code`); the caller hears music.
    Transition(S.COLLECTING, K.CHOSEN, S.WAITING, (do.hush, do.dial_target), consults),
    Transition(S.COLLECTING, K.CHOSEN, S.QUEUEING, (do.queue_caller,)),
    Transition(S.COLLECTING, K.WRONG_CHOICE, S.COLLECTING, (), tries_left),
    Transition(S.COLLECTING, K.WRONG_CHOICE, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition(S.COLLECTING, K.CANCEL, S.RETURNING, (do.return_to_transferor,), None, S.CANCELLED, "cancelled"),
    Transition(S.COLLECTING, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor,), None, S.FAILED, "no_input"),
    Transition(S.COLLECTING, K.AGENT_GONE, S.RECALLING, (do.recall,), None, S.FAILED, "transferor_hangup"),
    Transition(S.COLLECTING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    # DECLINED: the phone's Transfer button was refused; both talk in a bridge of ours meanwhile.
    Transition(S.DECLINED, K.AGENT_GONE, S.RECALLING, (do.recall,), None, S.FAILED),
    Transition(S.DECLINED, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition(S.DECLINED, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.DECLINED, K.LEG_GONE, S.DECLINED),
    # WAITING, RINGING: the consult leg waits in the target's queue, or their phone rings.
    Transition(S.WAITING, K.LEG_RINGING, S.RINGING, (do.ringback,)),
    Transition(S.WAITING, K.LEG_ANSWERED, S.CONSULTING, (do.seat_target,)),
    Transition(S.WAITING, K.LEG_UNANSWERED, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED),
    Transition(S.WAITING, K.LEG_LEFT_QUEUE, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED),
    Transition(S.WAITING, K.LEG_FAILED, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED, "target_unreachable"),
    Transition(S.WAITING, K.LEG_GONE, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition(S.WAITING, K.AGENT_GONE, S.RELEASING_LEG, (do.drop_leg,), may_detach, S.FAILED, "transferor_hangup"),
    Transition(S.WAITING, K.AGENT_GONE, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "transferor_hangup"),
    Transition(S.WAITING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.WAITING, K.COMPLETE, S.RELEASING_LEG, (do.drop_leg,), may_detach),
    Transition(S.WAITING, K.CANCEL, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.WAITING, K.TIMED_OUT, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED, "max_hold"),
    Transition(S.RINGING, K.LEG_RINGING, S.RINGING),
    Transition(S.RINGING, K.LEG_ANSWERED, S.CONSULTING, (do.seat_target,)),
    Transition(S.RINGING, K.LEG_UNANSWERED, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED),
    Transition(S.RINGING, K.LEG_LEFT_QUEUE, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED),
    Transition(S.RINGING, K.LEG_FAILED, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED, "target_unreachable"),
    Transition(S.RINGING, K.LEG_GONE, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition(S.RINGING, K.AGENT_GONE, S.RELEASING_LEG, (do.drop_leg,), may_detach, S.FAILED, "transferor_hangup"),
    Transition(S.RINGING, K.AGENT_GONE, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "transferor_hangup"),
    Transition(S.RINGING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.RINGING, K.COMPLETE, S.RELEASING_LEG, (do.drop_leg,), may_detach),
    Transition(S.RINGING, K.CANCEL, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.RINGING, K.TIMED_OUT, S.RETURNING, (do.drop_leg, do.return_to_transferor), None, S.FAILED, "max_hold"),
    # CONSULTING: agent 1 and the target talk, the caller hears music.
    Transition(S.CONSULTING, K.COMPLETE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller, do.hang_up_transferor), fourth_in, S.COMPLETED, "completed", without_transferor),
    Transition(S.CONSULTING, K.COMPLETE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition(S.CONSULTING, K.AGENT_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller,), fourth_in, S.COMPLETED, "completed"),
    Transition(S.CONSULTING, K.AGENT_GONE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition(S.CONSULTING, K.CANCEL, S.RETURNING, (do.drop_leg, do.drop_fourth, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.CONSULTING, K.LEG_GONE, S.CONSULTING, (), fourth_in, change=promoted),
    Transition(S.CONSULTING, K.LEG_GONE, S.RETURNING, (do.drop_fourth, do.return_to_transferor), None, S.FAILED, "target_hangup"),
    Transition(S.CONSULTING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.CONSULTING, K.SWAP, S.SWAPPED, (do.swap_to_caller,)),
    Transition(S.CONSULTING, K.CONFERENCE, S.CONFERENCE, (do.join_caller,)),
    Transition(S.CONSULTING, K.ADD_PARTY, S.CONSULTING, (do.dial_fourth,)),
    Transition(S.CONSULTING, K.DROP_TARGET, S.CONSULTING, (do.drop_leg,), fourth_in),
    Transition(S.CONSULTING, K.DROP_TARGET, S.RETURNING, (do.drop_leg, do.drop_fourth, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.CONSULTING, K.DROP_FOURTH, S.CONSULTING, (do.drop_fourth,)),
    Transition(S.CONSULTING, K.FOURTH_ANSWERED, S.CONSULTING, (do.seat_fourth,)),
    Transition(S.CONSULTING, K.FOURTH_FAILED, S.CONSULTING),
    Transition(S.CONSULTING, K.FOURTH_GONE, S.CONSULTING),
    # SWAPPED: agent 1 and the caller talk, the target hears music (or talks with the fourth).
    Transition(S.SWAPPED, K.COMPLETE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller, do.hang_up_transferor), fourth_in, S.COMPLETED, "completed", without_transferor),
    Transition(S.SWAPPED, K.COMPLETE, S.COMPLETING, (do.drop_fourth, do.end_swap, do.complete)),
    Transition(S.SWAPPED, K.AGENT_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller,), fourth_in, S.COMPLETED, "completed"),
    Transition(S.SWAPPED, K.AGENT_GONE, S.COMPLETING, (do.drop_fourth, do.end_swap, do.complete)),
    Transition(S.SWAPPED, K.CANCEL, S.RETURNING, (do.drop_leg, do.drop_fourth, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.SWAPPED, K.LEG_GONE, S.SWAPPED, (do.alone,), fourth_in, change=promoted),
    Transition(S.SWAPPED, K.LEG_GONE, S.RETURNING, (do.drop_fourth, do.return_to_transferor), None, S.FAILED, "target_hangup"),
    Transition(S.SWAPPED, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.SWAPPED, K.SWAP, S.CONSULTING, (do.swap_to_target,)),
    Transition(S.SWAPPED, K.CONFERENCE, S.CONFERENCE, (do.join_both,)),
    Transition(S.SWAPPED, K.DROP_TARGET, S.SWAPPED, (do.drop_leg,), fourth_in),
    Transition(S.SWAPPED, K.DROP_TARGET, S.RETURNING, (do.drop_leg, do.drop_fourth, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.SWAPPED, K.DROP_FOURTH, S.SWAPPED, (do.drop_fourth,)),
    Transition(S.SWAPPED, K.FOURTH_ANSWERED, S.SWAPPED, (do.seat_fourth_with_target,)),
    Transition(S.SWAPPED, K.FOURTH_FAILED, S.SWAPPED),
    Transition(S.SWAPPED, K.FOURTH_GONE, S.SWAPPED, (do.alone,)),
    # CONFERENCE: agent 1, the caller and the target talk, and the fourth party if there is one.
    Transition(S.CONFERENCE, K.COMPLETE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.hang_up_transferor,), fourth_in, S.COMPLETED, "completed", without_transferor),
    Transition(S.CONFERENCE, K.COMPLETE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition(S.CONFERENCE, K.AGENT_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (), fourth_in, S.COMPLETED, "completed"),
    Transition(S.CONFERENCE, K.AGENT_GONE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition(S.CONFERENCE, K.CANCEL, S.RETURNING, (do.drop_leg, do.drop_fourth, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.CONFERENCE, K.LEG_GONE, S.CONFERENCE, (), fourth_in, change=promoted),
    Transition(S.CONFERENCE, K.LEG_GONE, S.RETURNING, (do.drop_fourth, do.return_to_transferor), None, S.FAILED, "target_hangup"),
    Transition(S.CONFERENCE, K.CALLER_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (), fourth_in, S.ABANDONED, "caller_hangup"),
    Transition(S.CONFERENCE, K.CALLER_GONE, S.DISSOLVING, (do.drop_fourth, do.bridge_rest), None, S.ABANDONED, "caller_hangup"),
    Transition(S.CONFERENCE, K.ADD_PARTY, S.CONFERENCE, (do.dial_fourth,)),
    Transition(S.CONFERENCE, K.DROP_TARGET, S.CONFERENCE, (do.drop_leg,), fourth_in),
    Transition(S.CONFERENCE, K.DROP_TARGET, S.RETURNING, (do.drop_leg, do.drop_fourth, do.return_to_transferor), None, S.CANCELLED, "cancelled"),
    Transition(S.CONFERENCE, K.DROP_FOURTH, S.CONFERENCE, (do.drop_fourth,)),
    Transition(S.CONFERENCE, K.FOURTH_ANSWERED, S.CONFERENCE, (do.seat_fourth,)),
    Transition(S.CONFERENCE, K.FOURTH_FAILED, S.CONFERENCE),
    Transition(S.CONFERENCE, K.FOURTH_GONE, S.CONFERENCE),
    # CONFERENCE_WITHOUT_TRANSFEROR: three talk in our bridge; the transferor or the caller has left, and decided the outcome.
    Transition(S.CONFERENCE_WITHOUT_TRANSFEROR, K.AGENT_GONE, S.ABANDONED, (do.drop_leg, do.drop_fourth, do.clear_away), strangers, reason="caller_hangup"),
    Transition(S.CONFERENCE_WITHOUT_TRANSFEROR, K.AGENT_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR),
    Transition(S.CONFERENCE_WITHOUT_TRANSFEROR, K.CALLER_GONE, S.COMPLETED, (do.drop_leg, do.drop_fourth, do.clear_away), reason="completed"),
    Transition(S.CONFERENCE_WITHOUT_TRANSFEROR, K.LEG_GONE, S.DISSOLVING, (do.bridge_rest,)),
    Transition(S.CONFERENCE_WITHOUT_TRANSFEROR, K.FOURTH_GONE, S.DISSOLVING, (do.bridge_rest,)),
    # DISSOLVING: AMI Bridge of the last two of a conference is under way.
    Transition(S.DISSOLVING, K.BRIDGED, S.COMPLETED, (do.clear_away,), completed),
    Transition(S.DISSOLVING, K.BRIDGED, S.ABANDONED, (do.clear_away,)),
    Transition(S.DISSOLVING, K.BRIDGE_FAILED, S.COMPLETED, (do.let_go, do.clear_away), completed),
    Transition(S.DISSOLVING, K.BRIDGE_FAILED, S.ABANDONED, (do.let_go, do.clear_away)),
    Transition(S.DISSOLVING, K.TIMED_OUT, S.COMPLETED, (do.let_go, do.clear_away), completed),
    Transition(S.DISSOLVING, K.TIMED_OUT, S.ABANDONED, (do.let_go, do.clear_away)),
    Transition(S.DISSOLVING, K.AGENT_GONE, S.DISSOLVING),
    Transition(S.DISSOLVING, K.CALLER_GONE, S.DISSOLVING),
    Transition(S.DISSOLVING, K.LEG_GONE, S.DISSOLVING),
    Transition(S.DISSOLVING, K.FOURTH_GONE, S.DISSOLVING),
    # COMPLETING: AMI Bridge of caller and target is under way.
    Transition(S.COMPLETING, K.BRIDGED, S.COMPLETED, (do.end_with_call, do.tell_done, do.drop_transferor, do.clear_away), by_button, reason="completed"),
    Transition(S.COMPLETING, K.BRIDGED, S.COMPLETED, (do.end_with_call, do.drop_transferor, do.clear_away), reason="completed"),
    Transition(S.COMPLETING, K.BRIDGE_FAILED, S.DECLINED, (do.rejoin, do.decline), by_button, S.FAILED, "target_hangup"),
    Transition(S.COMPLETING, K.TIMED_OUT, S.DECLINED, (do.rejoin, do.decline), by_button, S.FAILED, "asterisk_timeout"),
    Transition(S.COMPLETING, K.BRIDGE_FAILED, S.RETURNING, (do.drop_leg, do.return_to_transferor), transferor_in, S.FAILED, "target_hangup"),
    Transition(S.COMPLETING, K.BRIDGE_FAILED, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "target_hangup"),
    Transition(S.COMPLETING, K.LEG_GONE, S.COMPLETING),
    Transition(S.COMPLETING, K.AGENT_GONE, S.COMPLETING),
    Transition(S.COMPLETING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.COMPLETING, K.TIMED_OUT, S.RETURNING, (do.drop_leg, do.return_to_transferor), transferor_in, S.FAILED, "asterisk_timeout"),
    Transition(S.COMPLETING, K.TIMED_OUT, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "asterisk_timeout"),
    # RETURNING: AMI Bridge of agent 1 and caller is under way.
    Transition(S.RETURNING, K.BRIDGED, S.CANCELLED, (do.clear_away,), lambda s: s.outcome is S.CANCELLED),
    Transition(S.RETURNING, K.BRIDGED, S.FAILED, (do.clear_away,)),
    Transition(S.RETURNING, K.BRIDGE_FAILED, S.RECALLING, (do.drop_transferor, do.recall), None, S.FAILED, "transferor_hangup"),
    Transition(S.RETURNING, K.LEG_ANSWERED, S.RETURNING, (do.drop_leg,)),
    Transition(S.RETURNING, K.LEG_FAILED, S.RETURNING),
    Transition(S.RETURNING, K.LEG_GONE, S.RETURNING),
    Transition(S.RETURNING, K.AGENT_GONE, S.RETURNING),
    Transition(S.RETURNING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.RETURNING, K.TIMED_OUT, S.RECALLING, (do.drop_transferor, do.recall), None, S.FAILED, "asterisk_timeout"),
    # RELEASING_LEG: the leg gives up the target's waiting slot, so that the caller can take it.
    Transition(S.RELEASING_LEG, K.LEG_GONE, S.QUEUEING, (do.queue_caller,)),
    Transition(S.RELEASING_LEG, K.LEG_FAILED, S.QUEUEING, (do.queue_caller,)),
    Transition(S.RELEASING_LEG, K.LEG_ANSWERED, S.RELEASING_LEG, (do.drop_leg,)),
    Transition(S.RELEASING_LEG, K.AGENT_GONE, S.RELEASING_LEG),
    Transition(S.RELEASING_LEG, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.RELEASING_LEG, K.TIMED_OUT, S.QUEUEING, (do.queue_caller,)),
    # QUEUEING: the Redirect of the caller into the queue is under way.
    Transition(S.QUEUEING, K.REDIRECTED, S.QUEUED, (do.drop_transferor, do.clear_away)),
    Transition(S.QUEUEING, K.REDIRECT_FAILED, S.RECALLING, (do.recall,), caller_in, S.FAILED, "asterisk_error"),
    Transition(S.QUEUEING, K.REDIRECT_FAILED, S.FAILED, (do.unmark, do.clear_away), reason="call_gone"),
    Transition(S.QUEUEING, K.OFFERED, S.OFFERED, (do.drop_transferor, do.clear_away)),
    Transition(S.QUEUEING, K.DELIVERED, S.COMPLETED, (do.drop_transferor, do.clear_away), reason="completed"),
    Transition(S.QUEUEING, K.LEFT_QUEUE, S.FAILED, (do.drop_transferor, do.clear_away)),
    Transition(S.QUEUEING, K.AGENT_ENTERED, S.QUEUEING, (do.tell_done, do.let_transferor_go)),
    Transition(S.QUEUEING, K.LEG_GONE, S.QUEUEING),
    Transition(S.QUEUEING, K.AGENT_GONE, S.QUEUEING),
    Transition(S.QUEUEING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.QUEUEING, K.TIMED_OUT, S.RECALLING, (do.recall,), caller_in, S.FAILED, "asterisk_timeout"),
    Transition(S.QUEUEING, K.TIMED_OUT, S.FAILED, (do.drop_transferor, do.clear_away), reason="asterisk_timeout"),
    # QUEUED, OFFERED: app_queue has the call; max hold is Queue()'s own timer.
    Transition(S.QUEUED, K.AGENT_ENTERED, S.QUEUED, (do.tell_done, do.let_transferor_go)),
    Transition(S.QUEUED, K.OFFERED, S.OFFERED),
    Transition(S.QUEUED, K.DELIVERED, S.COMPLETED, reason="completed"),
    Transition(S.QUEUED, K.LEFT_QUEUE, S.FAILED),
    Transition(S.QUEUED, K.CALLER_GONE, S.ABANDONED, reason="caller_hangup"),
    Transition(S.QUEUED, K.AGENT_GONE, S.QUEUED),
    Transition(S.QUEUED, K.REDIRECTED, S.QUEUED),
    Transition(S.QUEUED, K.TIMED_OUT, S.FAILED, reason="max_hold"),
    Transition(S.OFFERED, K.AGENT_ENTERED, S.OFFERED, (do.tell_done, do.let_transferor_go)),
    Transition(S.OFFERED, K.OFFERED, S.OFFERED),
    Transition(S.OFFERED, K.UNANSWERED, S.QUEUED),
    Transition(S.OFFERED, K.DELIVERED, S.COMPLETED, reason="completed"),
    Transition(S.OFFERED, K.LEFT_QUEUE, S.FAILED),
    Transition(S.OFFERED, K.CALLER_GONE, S.ABANDONED, reason="caller_hangup"),
    Transition(S.OFFERED, K.AGENT_GONE, S.OFFERED),
    Transition(S.OFFERED, K.REDIRECTED, S.OFFERED),
    Transition(S.OFFERED, K.TIMED_OUT, S.FAILED, reason="max_hold"),
    # RECALLING: the Redirect of the caller to the head of the call's group is under way.
    Transition(S.RECALLING, K.REDIRECTED, S.FAILED, (do.drop_transferor, do.clear_away)),
    Transition(S.RECALLING, K.REDIRECT_FAILED, S.FAILED, (do.drop_transferor, do.release, do.clear_away)),
    Transition(S.RECALLING, K.LEG_ANSWERED, S.RECALLING, (do.drop_leg,)),
    Transition(S.RECALLING, K.LEG_GONE, S.RECALLING),
    Transition(S.RECALLING, K.AGENT_GONE, S.RECALLING),
    Transition(S.RECALLING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition(S.RECALLING, K.TIMED_OUT, S.FAILED, (do.drop_transferor, do.release, do.clear_away)),
)
# fmt: on
