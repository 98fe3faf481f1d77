"""The state table of a transfer: state x event -> next state, actions.

Theory. A supervised transfer moves transferor and caller out of their bridge (STARTING), puts the
caller on hold with music and the transferor into the consult bridge, and dials the target through
the target's personal queue (WAITING, RINGING). When the target answers, transferor and target talk
(CONSULTING). The transferor can swap between target and caller (SWAPPED: the target hears music),
join all three (CONFERENCE), and add a fourth party to the consultation; if the target then leaves,
the fourth party becomes the target. There are three exits, and every path takes one of them:

* COMPLETING: caller and target move into a plain bridge; the transferor is hung up.
* RETURNING: transferor and caller move into a plain bridge; the consult leg is hung up.
* QUEUEING: the dialplan sends the caller into a queue, to wait there without the transferor. An
  unsupervised transfer also begins so. RELEASING_LEG precedes it while the consult leg still
  occupies the target's only waiting slot. In QUEUED and OFFERED we only observe: app_queue and the
  dialplan continue without us.

An agent can also begin a transfer on the phone: by the feature code (COLLECTING prompts for the
target), or by the Transfer button (REFER). The phone is notified of the outcome of a REFER. Where
policy refuses, both parties move into Stasis all the same (DECLINED), because only there the phone
can be notified, and some phones hang up on a refusal. If the target is already on the phone's other
line, STARTING leads straight to COMPLETING.

A conference can continue after a party has left: CONFERENCE_WITHOUT_TRANSFEROR has the three
parties who remain when the transferor or the caller leaves a conference of four, and DISSOLVING
moves the last two of any conference into a plain bridge.

RECALLING is the fallback for every other state: if anything fails while the caller is still there,
AMI Redirect sends the caller to the head of the call's group. If that fails too, the caller leaves
Stasis, and the dialplan's own fallback applies.

Rules. `ROWS` contains the rows, and `machine.step` applies the first row of a state and event whose
guard holds. A pair without such a row is illegal and changes nothing. The presence of a party that
an event reports is noted before the guards are evaluated. A timer runs in every state that waits
for Asterisk or a queue (`spec.Deadline`). AMI Bridge always takes two channels that are both in a
bridge, after ``AVP_STATE`` was set to ``done`` (DESIGN section 2, "Afterwards").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.model.world import Mode, Origin
from asterisk_avp.core.transfer import actions as do
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.legs import dial_fourth
from asterisk_avp.core.transfer.parting import bridge_colleagues, let_be, lift_limit
from asterisk_avp.core.transfer.session import Intent, Presence, Session, promoted
from asterisk_avp.core.transfer.states import State

MAX_TRIES: Final = 3
"""How many refused entries the transferor may key in."""

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
    """The phone called the target itself, and the target is still there."""
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


def colleagues_in(session: Session) -> bool:
    return transferor_in(session) and session.leg.presence is Presence.PRESENT


def strangers(session: Session) -> bool:
    """Transferor and caller have left; the remaining parties have no reason to talk."""
    return transferor_left(session) and not caller_here(session)


def completed(session: Session) -> bool:
    return session.outcome is State.COMPLETED


def failed(session: Session) -> bool:
    return session.outcome is State.FAILED


# --- changes of the session itself -----------------------------------------------------------


def without_transferor(session: Session) -> Session:
    """The transferor is being hung up and counts as gone."""
    return session.with_presence("transferor", Presence.GONE)


def without_caller(session: Session) -> Session:
    """The caller is elsewhere."""
    return session.with_presence("caller", Presence.GONE)


# --- the table -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    name: str
    """The row's name in the log (event ``transition``, field ``row``)."""
    state: State
    kind: EventType
    next: State
    actions: tuple[Action, ...] = ()
    guard: Guard | None = None
    outcome: State | None = None
    """The final state, where this row decides it."""
    reason: str = ""
    """The ended_reason; empty: the reason of the event."""
    change: Change | None = None
    """A further change of the session, applied before the actions."""


S, K = State, EventType

# One line a row, however long: a table is read down its columns.
# fmt: off
ROWS: Final[tuple[Transition, ...]] = (
    # STARTING: the Redirect is under way; each party joins a bridge as soon as it is in Stasis.
    Transition("starting_caller_arrived_transferor_gone_may_continue", S.STARTING, K.CALLER_ENTERED, S.QUEUEING, (do.hold_caller, do.queue_caller), left_may_detach, S.FAILED, "transferor_hangup"),
    Transition("starting_caller_arrived_transferor_gone_may_not_continue", S.STARTING, K.CALLER_ENTERED, S.RECALLING, (do.hold_caller, do.recall), transferor_left, S.FAILED, "transferor_hangup"),
    Transition("starting_caller_arrived_cancel_wanted", S.STARTING, K.CALLER_ENTERED, S.RETURNING, (do.hold_caller, do.return_to_transferor), cancel_wanted, S.CANCELLED, "cancelled"),
    Transition("starting_caller_arrived_complete_wanted", S.STARTING, K.CALLER_ENTERED, S.QUEUEING, (do.hold_caller, do.queue_caller), complete_wanted),
    Transition("starting_caller_arrived_refused", S.STARTING, K.CALLER_ENTERED, S.DECLINED, (do.hold_caller, do.decline), declined, S.FAILED),
    Transition("starting_caller_arrived_attended_target_gone", S.STARTING, K.CALLER_ENTERED, S.DECLINED, (do.hold_caller, do.rejoin, do.decline), attended_lost, S.FAILED, "target_hangup"),
    Transition("starting_caller_arrived_attended_target_there", S.STARTING, K.CALLER_ENTERED, S.COMPLETING, (do.hold_caller, do.complete), both_attended),
    Transition("starting_caller_arrived_no_target_yet", S.STARTING, K.CALLER_ENTERED, S.COLLECTING, (do.hold_caller, do.ask), asking),
    Transition("starting_caller_arrived_both_arrived", S.STARTING, K.CALLER_ENTERED, S.WAITING, (do.hold_caller, do.dial_target), both_in),
    Transition("starting_caller_arrived_transferor_expected", S.STARTING, K.CALLER_ENTERED, S.STARTING, (do.hold_caller,)),
    Transition("starting_transferor_arrived_cancel_wanted", S.STARTING, K.TRANSFEROR_ENTERED, S.RETURNING, (do.join_transferor, do.return_to_transferor), cancel_wanted, S.CANCELLED, "cancelled"),
    Transition("starting_transferor_arrived_complete_wanted", S.STARTING, K.TRANSFEROR_ENTERED, S.QUEUEING, (do.queue_caller,), complete_wanted),
    Transition("starting_transferor_arrived_refused", S.STARTING, K.TRANSFEROR_ENTERED, S.DECLINED, (do.join_transferor, do.decline), declined, S.FAILED),
    Transition("starting_transferor_arrived_attended_target_gone", S.STARTING, K.TRANSFEROR_ENTERED, S.DECLINED, (do.rejoin, do.decline), attended_lost, S.FAILED, "target_hangup"),
    Transition("starting_transferor_arrived_attended_target_there", S.STARTING, K.TRANSFEROR_ENTERED, S.COMPLETING, (do.join_transferor, do.complete), both_attended),
    Transition("starting_transferor_arrived_no_target_yet", S.STARTING, K.TRANSFEROR_ENTERED, S.COLLECTING, (do.join_transferor, do.ask), asking),
    Transition("starting_transferor_arrived_both_arrived", S.STARTING, K.TRANSFEROR_ENTERED, S.WAITING, (do.join_transferor, do.dial_target), both_in),
    Transition("starting_transferor_arrived_caller_expected", S.STARTING, K.TRANSFEROR_ENTERED, S.STARTING, (do.join_transferor,)),
    Transition("starting_transferor_hung_up_attended_target_there", S.STARTING, K.TRANSFEROR_GONE, S.COMPLETING, (do.complete,), attended),
    Transition("starting_transferor_hung_up_may_continue", S.STARTING, K.TRANSFEROR_GONE, S.QUEUEING, (do.queue_caller,), in_may_detach, S.FAILED, "transferor_hangup"),
    Transition("starting_transferor_hung_up_may_not_continue", S.STARTING, K.TRANSFEROR_GONE, S.RECALLING, (do.recall,), caller_in, S.FAILED, "transferor_hangup"),
    Transition("starting_transferor_hung_up_caller_expected", S.STARTING, K.TRANSFEROR_GONE, S.STARTING),
    Transition("starting_caller_hung_up", S.STARTING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("starting_call_ended_by_transferor", S.STARTING, K.CALL_ENDED, S.FAILED, (do.drop_transferor, do.clear_away), reason="transferor_hangup"),
    Transition("starting_caller_left", S.STARTING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_transferor, do.clear_away)),
    Transition("starting_leg_ended", S.STARTING, K.LEG_GONE, S.STARTING),
    Transition("starting_complete_requested", S.STARTING, K.COMPLETE, S.STARTING, (), may_detach),
    Transition("starting_cancel_requested", S.STARTING, K.CANCEL, S.STARTING),
    Transition("starting_redirected", S.STARTING, K.REDIRECTED, S.STARTING),
    Transition("starting_redirect_failed", S.STARTING, K.REDIRECT_FAILED, S.FAILED, (do.unmark, do.clear_away), reason="call_gone"),
    Transition("starting_timed_out", S.STARTING, K.TIMED_OUT, S.RECALLING, (do.drop_transferor, do.recall), caller_here, S.FAILED, "start_timeout"),
    # COLLECTING: the transferor keys in where the call is to go (`core.phone.feature_code`); the caller hears music.
    Transition("collecting_target_chosen_supervised", S.COLLECTING, K.CHOSEN, S.WAITING, (do.stop_prompt, do.dial_target), consults),
    Transition("collecting_target_chosen_unsupervised", S.COLLECTING, K.CHOSEN, S.QUEUEING, (do.queue_caller,)),
    Transition("collecting_choice_refused_tries_left", S.COLLECTING, K.WRONG_CHOICE, S.COLLECTING, (), tries_left),
    Transition("collecting_choice_refused_no_tries_left", S.COLLECTING, K.WRONG_CHOICE, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition("collecting_cancel_requested", S.COLLECTING, K.CANCEL, S.RETURNING, (do.return_to_transferor,), None, S.CANCELLED, "cancelled"),
    Transition("collecting_timed_out", S.COLLECTING, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor,), None, S.FAILED, "no_input"),
    Transition("collecting_transferor_hung_up", S.COLLECTING, K.TRANSFEROR_GONE, S.RECALLING, (do.recall,), None, S.FAILED, "transferor_hangup"),
    Transition("collecting_caller_hung_up", S.COLLECTING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("collecting_caller_left", S.COLLECTING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_transferor, do.clear_away)),
    # DECLINED: the phone's Transfer button was refused; both talk in a bridge of ours meanwhile.
    Transition("declined_transferor_hung_up", S.DECLINED, K.TRANSFEROR_GONE, S.RECALLING, (do.recall,), None, S.FAILED),
    Transition("declined_timed_out", S.DECLINED, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition("declined_caller_hung_up", S.DECLINED, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("declined_caller_left", S.DECLINED, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_transferor, do.clear_away)),
    Transition("declined_leg_ended", S.DECLINED, K.LEG_GONE, S.DECLINED),
    # WAITING, RINGING: the consult leg waits in the target's queue, or their phone rings.
    Transition("waiting_target_rings", S.WAITING, K.LEG_RINGING, S.RINGING, (do.ringback,)),
    Transition("waiting_target_answered", S.WAITING, K.LEG_ANSWERED, S.CONSULTING, (do.join_target,)),
    Transition("waiting_target_did_not_answer", S.WAITING, K.LEG_UNANSWERED, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED),
    Transition("waiting_leg_left_queue", S.WAITING, K.LEG_LEFT_QUEUE, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED),
    Transition("waiting_leg_failed", S.WAITING, K.LEG_FAILED, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED, "target_unreachable"),
    Transition("waiting_leg_ended", S.WAITING, K.LEG_GONE, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition("waiting_transferor_hung_up_may_continue", S.WAITING, K.TRANSFEROR_GONE, S.RELEASING_LEG, (do.drop_leg,), may_detach, S.FAILED, "transferor_hangup"),
    Transition("waiting_transferor_hung_up_may_not_continue", S.WAITING, K.TRANSFEROR_GONE, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "transferor_hangup"),
    Transition("waiting_caller_hung_up", S.WAITING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("waiting_caller_left", S.WAITING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_transferor, do.clear_away)),
    Transition("waiting_complete_requested", S.WAITING, K.COMPLETE, S.RELEASING_LEG, (do.drop_leg,), may_detach),
    Transition("waiting_cancel_requested", S.WAITING, K.CANCEL, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.CANCELLED, "cancelled"),
    Transition("waiting_timed_out", S.WAITING, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED, "max_hold"),
    Transition("ringing_target_rings", S.RINGING, K.LEG_RINGING, S.RINGING),
    Transition("ringing_target_answered", S.RINGING, K.LEG_ANSWERED, S.CONSULTING, (do.join_target,)),
    Transition("ringing_target_did_not_answer", S.RINGING, K.LEG_UNANSWERED, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED),
    Transition("ringing_leg_left_queue", S.RINGING, K.LEG_LEFT_QUEUE, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED),
    Transition("ringing_leg_failed", S.RINGING, K.LEG_FAILED, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED, "target_unreachable"),
    Transition("ringing_leg_ended", S.RINGING, K.LEG_GONE, S.RETURNING, (do.return_to_transferor,), None, S.FAILED),
    Transition("ringing_transferor_hung_up_may_continue", S.RINGING, K.TRANSFEROR_GONE, S.RELEASING_LEG, (do.drop_leg,), may_detach, S.FAILED, "transferor_hangup"),
    Transition("ringing_transferor_hung_up_may_not_continue", S.RINGING, K.TRANSFEROR_GONE, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "transferor_hangup"),
    Transition("ringing_caller_hung_up", S.RINGING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("ringing_caller_left", S.RINGING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_transferor, do.clear_away)),
    Transition("ringing_complete_requested", S.RINGING, K.COMPLETE, S.RELEASING_LEG, (do.drop_leg,), may_detach),
    Transition("ringing_cancel_requested", S.RINGING, K.CANCEL, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.CANCELLED, "cancelled"),
    Transition("ringing_timed_out", S.RINGING, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor, do.drop_leg), None, S.FAILED, "max_hold"),
    # CONSULTING: the transferor and the target talk, the caller hears music.
    Transition("consulting_complete_requested_with_fourth", S.CONSULTING, K.COMPLETE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller, do.hang_up_transferor), fourth_in, S.COMPLETED, "completed", without_transferor),
    Transition("consulting_complete_requested_no_fourth", S.CONSULTING, K.COMPLETE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition("consulting_transferor_hung_up_with_fourth", S.CONSULTING, K.TRANSFEROR_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller,), fourth_in, S.COMPLETED, "completed"),
    Transition("consulting_transferor_hung_up_no_fourth", S.CONSULTING, K.TRANSFEROR_GONE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition("consulting_cancel_requested", S.CONSULTING, K.CANCEL, S.RETURNING, (do.return_to_transferor, do.drop_leg, do.drop_fourth), None, S.CANCELLED, "cancelled"),
    Transition("consulting_target_hung_up_fourth_takes_over", S.CONSULTING, K.LEG_GONE, S.CONSULTING, (), fourth_in, change=promoted),
    Transition("consulting_target_hung_up_no_fourth", S.CONSULTING, K.LEG_GONE, S.RETURNING, (do.return_to_transferor, do.drop_fourth), None, S.FAILED, "target_hangup"),
    Transition("consulting_caller_hung_up", S.CONSULTING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("consulting_caller_left", S.CONSULTING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away)),
    Transition("consulting_swap_requested", S.CONSULTING, K.SWAP, S.SWAPPED, (do.swap_to_caller,)),
    Transition("consulting_conference_requested", S.CONSULTING, K.CONFERENCE, S.CONFERENCE, (do.join_caller,)),
    Transition("consulting_add_party_requested", S.CONSULTING, K.ADD_PARTY, S.CONSULTING, (dial_fourth,)),
    Transition("consulting_drop_target_requested_with_fourth", S.CONSULTING, K.DROP_TARGET, S.CONSULTING, (do.drop_leg,), fourth_in),
    Transition("consulting_drop_target_requested_no_fourth", S.CONSULTING, K.DROP_TARGET, S.RETURNING, (do.return_to_transferor, do.drop_leg, do.drop_fourth), None, S.CANCELLED, "cancelled"),
    Transition("consulting_drop_fourth_requested", S.CONSULTING, K.DROP_FOURTH, S.CONSULTING, (do.drop_fourth,)),
    Transition("consulting_fourth_answered", S.CONSULTING, K.FOURTH_ANSWERED, S.CONSULTING, (do.join_fourth,)),
    Transition("consulting_fourth_failed", S.CONSULTING, K.FOURTH_FAILED, S.CONSULTING),
    Transition("consulting_fourth_hung_up", S.CONSULTING, K.FOURTH_GONE, S.CONSULTING),
    # SWAPPED: the transferor and the caller talk, the target hears music (or talks with the fourth).
    Transition("swapped_complete_requested_with_fourth", S.SWAPPED, K.COMPLETE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller, do.hang_up_transferor), fourth_in, S.COMPLETED, "completed", without_transferor),
    Transition("swapped_complete_requested_no_fourth", S.SWAPPED, K.COMPLETE, S.COMPLETING, (do.drop_fourth, do.end_swap, do.complete)),
    Transition("swapped_transferor_hung_up_with_fourth", S.SWAPPED, K.TRANSFEROR_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.join_caller,), fourth_in, S.COMPLETED, "completed"),
    Transition("swapped_transferor_hung_up_no_fourth", S.SWAPPED, K.TRANSFEROR_GONE, S.COMPLETING, (do.drop_fourth, do.end_swap, do.complete)),
    Transition("swapped_cancel_requested", S.SWAPPED, K.CANCEL, S.RETURNING, (do.return_to_transferor, do.drop_leg, do.drop_fourth), None, S.CANCELLED, "cancelled"),
    Transition("swapped_target_hung_up_fourth_takes_over", S.SWAPPED, K.LEG_GONE, S.SWAPPED, (do.alone,), fourth_in, change=promoted),
    Transition("swapped_target_hung_up_no_fourth", S.SWAPPED, K.LEG_GONE, S.RETURNING, (do.return_to_transferor, do.drop_fourth), None, S.FAILED, "target_hangup"),
    Transition("swapped_caller_hung_up", S.SWAPPED, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("swapped_caller_left", S.SWAPPED, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away)),
    Transition("swapped_swap_requested", S.SWAPPED, K.SWAP, S.CONSULTING, (do.swap_to_target,)),
    Transition("swapped_conference_requested", S.SWAPPED, K.CONFERENCE, S.CONFERENCE, (do.join_both,)),
    Transition("swapped_drop_target_requested_with_fourth", S.SWAPPED, K.DROP_TARGET, S.SWAPPED, (do.drop_leg,), fourth_in),
    Transition("swapped_drop_target_requested_no_fourth", S.SWAPPED, K.DROP_TARGET, S.RETURNING, (do.return_to_transferor, do.drop_leg, do.drop_fourth), None, S.CANCELLED, "cancelled"),
    Transition("swapped_drop_fourth_requested", S.SWAPPED, K.DROP_FOURTH, S.SWAPPED, (do.drop_fourth,)),
    Transition("swapped_fourth_answered", S.SWAPPED, K.FOURTH_ANSWERED, S.SWAPPED, (do.join_fourth_with_target,)),
    Transition("swapped_fourth_failed", S.SWAPPED, K.FOURTH_FAILED, S.SWAPPED),
    Transition("swapped_fourth_hung_up", S.SWAPPED, K.FOURTH_GONE, S.SWAPPED, (do.alone,)),
    # CONFERENCE: the transferor, the caller and the target talk, and the fourth party if there is one.
    Transition("conference_complete_requested_with_fourth", S.CONFERENCE, K.COMPLETE, S.CONFERENCE_WITHOUT_TRANSFEROR, (do.hang_up_transferor,), fourth_in, S.COMPLETED, "completed", without_transferor),
    Transition("conference_complete_requested_no_fourth", S.CONFERENCE, K.COMPLETE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition("conference_transferor_hung_up_with_fourth", S.CONFERENCE, K.TRANSFEROR_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (), fourth_in, S.COMPLETED, "completed"),
    Transition("conference_transferor_hung_up_no_fourth", S.CONFERENCE, K.TRANSFEROR_GONE, S.COMPLETING, (do.drop_fourth, do.complete)),
    Transition("conference_cancel_requested", S.CONFERENCE, K.CANCEL, S.RETURNING, (do.return_to_transferor, do.drop_leg, do.drop_fourth), None, S.CANCELLED, "cancelled"),
    Transition("conference_target_hung_up_fourth_takes_over", S.CONFERENCE, K.LEG_GONE, S.CONFERENCE, (), fourth_in, change=promoted),
    Transition("conference_target_hung_up_no_fourth", S.CONFERENCE, K.LEG_GONE, S.RETURNING, (do.return_to_transferor, do.drop_fourth), None, S.FAILED, "target_hangup"),
    Transition("conference_caller_hung_up_with_fourth", S.CONFERENCE, K.CALLER_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR, (), fourth_in, S.ABANDONED, "caller_hangup"),
    Transition("conference_caller_hung_up_no_fourth", S.CONFERENCE, K.CALLER_GONE, S.DISSOLVING, (do.drop_fourth, do.bridge_rest), None, S.ABANDONED, "caller_hangup"),
    Transition("conference_caller_left_colleagues_there", S.CONFERENCE, K.CALLER_LEFT, S.DISSOLVING, (let_be, lift_limit, do.drop_fourth, bridge_colleagues), colleagues_in, S.FAILED, change=without_caller),
    Transition("conference_caller_left_colleague_gone", S.CONFERENCE, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_fourth, do.drop_transferor, do.clear_away)),
    Transition("conference_add_party_requested", S.CONFERENCE, K.ADD_PARTY, S.CONFERENCE, (dial_fourth,)),
    Transition("conference_drop_target_requested_with_fourth", S.CONFERENCE, K.DROP_TARGET, S.CONFERENCE, (do.drop_leg,), fourth_in),
    Transition("conference_drop_target_requested_no_fourth", S.CONFERENCE, K.DROP_TARGET, S.RETURNING, (do.return_to_transferor, do.drop_leg, do.drop_fourth), None, S.CANCELLED, "cancelled"),
    Transition("conference_drop_fourth_requested", S.CONFERENCE, K.DROP_FOURTH, S.CONFERENCE, (do.drop_fourth,)),
    Transition("conference_fourth_answered", S.CONFERENCE, K.FOURTH_ANSWERED, S.CONFERENCE, (do.join_fourth,)),
    Transition("conference_fourth_failed", S.CONFERENCE, K.FOURTH_FAILED, S.CONFERENCE),
    Transition("conference_fourth_hung_up", S.CONFERENCE, K.FOURTH_GONE, S.CONFERENCE),
    # CONFERENCE_WITHOUT_TRANSFEROR: three talk in our bridge; the transferor or the caller has left, and decided the outcome.
    Transition("conference_without_transferor_transferor_hung_up_no_party_of_ours", S.CONFERENCE_WITHOUT_TRANSFEROR, K.TRANSFEROR_GONE, S.ABANDONED, (do.drop_leg, do.drop_fourth, do.clear_away), strangers, reason="caller_hangup"),
    Transition("conference_without_transferor_transferor_hung_up_others_stay", S.CONFERENCE_WITHOUT_TRANSFEROR, K.TRANSFEROR_GONE, S.CONFERENCE_WITHOUT_TRANSFEROR),
    Transition("conference_without_transferor_caller_hung_up", S.CONFERENCE_WITHOUT_TRANSFEROR, K.CALLER_GONE, S.COMPLETED, (do.drop_leg, do.drop_fourth, do.clear_away), reason="completed"),
    Transition("conference_without_transferor_caller_left", S.CONFERENCE_WITHOUT_TRANSFEROR, K.CALLER_LEFT, S.COMPLETED, (let_be, lift_limit, do.drop_leg, do.drop_fourth, do.clear_away), reason="completed"),
    Transition("conference_without_transferor_target_hung_up", S.CONFERENCE_WITHOUT_TRANSFEROR, K.LEG_GONE, S.DISSOLVING, (do.bridge_rest,)),
    Transition("conference_without_transferor_fourth_hung_up", S.CONFERENCE_WITHOUT_TRANSFEROR, K.FOURTH_GONE, S.DISSOLVING, (do.bridge_rest,)),
    # DISSOLVING: AMI Bridge of the last two of a conference is under way.
    Transition("dissolving_bridged_after_completing", S.DISSOLVING, K.BRIDGED, S.COMPLETED, (do.clear_away,), completed),
    Transition("dissolving_bridged_after_caller_was_taken", S.DISSOLVING, K.BRIDGED, S.FAILED, (do.clear_away,), failed),
    Transition("dissolving_bridged_after_caller_hung_up", S.DISSOLVING, K.BRIDGED, S.ABANDONED, (do.clear_away,)),
    Transition("dissolving_bridge_failed_after_completing", S.DISSOLVING, K.BRIDGE_FAILED, S.COMPLETED, (do.let_go, do.clear_away), completed),
    Transition("dissolving_bridge_failed_after_caller_was_taken", S.DISSOLVING, K.BRIDGE_FAILED, S.FAILED, (do.let_go, do.clear_away), failed),
    Transition("dissolving_bridge_failed_after_caller_hung_up", S.DISSOLVING, K.BRIDGE_FAILED, S.ABANDONED, (do.let_go, do.clear_away)),
    Transition("dissolving_timed_out_after_completing", S.DISSOLVING, K.TIMED_OUT, S.COMPLETED, (do.let_go, do.clear_away), completed),
    Transition("dissolving_timed_out_after_caller_was_taken", S.DISSOLVING, K.TIMED_OUT, S.FAILED, (do.let_go, do.clear_away), failed),
    Transition("dissolving_timed_out_after_caller_hung_up", S.DISSOLVING, K.TIMED_OUT, S.ABANDONED, (do.let_go, do.clear_away)),
    Transition("dissolving_transferor_hung_up", S.DISSOLVING, K.TRANSFEROR_GONE, S.DISSOLVING),
    Transition("dissolving_caller_hung_up", S.DISSOLVING, K.CALLER_GONE, S.DISSOLVING),
    Transition("dissolving_target_hung_up", S.DISSOLVING, K.LEG_GONE, S.DISSOLVING),
    Transition("dissolving_fourth_hung_up", S.DISSOLVING, K.FOURTH_GONE, S.DISSOLVING),
    # COMPLETING: AMI Bridge of caller and target is under way.
    Transition("completing_bridged_by_button", S.COMPLETING, K.BRIDGED, S.COMPLETED, (do.end_with_call, do.tell_done, do.drop_transferor, do.clear_away), by_button, reason="completed"),
    Transition("completing_bridged_not_by_button", S.COMPLETING, K.BRIDGED, S.COMPLETED, (do.end_with_call, do.drop_transferor, do.clear_away), reason="completed"),
    Transition("completing_bridge_failed_by_button", S.COMPLETING, K.BRIDGE_FAILED, S.DECLINED, (do.rejoin, do.decline), by_button, S.FAILED, "target_hangup"),
    Transition("completing_timed_out_by_button", S.COMPLETING, K.TIMED_OUT, S.DECLINED, (do.rejoin, do.decline), by_button, S.FAILED, "asterisk_timeout"),
    Transition("completing_bridge_failed_transferor_there", S.COMPLETING, K.BRIDGE_FAILED, S.RETURNING, (do.return_to_transferor, do.drop_leg), transferor_in, S.FAILED, "target_hangup"),
    Transition("completing_bridge_failed_transferor_gone", S.COMPLETING, K.BRIDGE_FAILED, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "target_hangup"),
    Transition("completing_leg_ended", S.COMPLETING, K.LEG_GONE, S.COMPLETING),
    Transition("completing_transferor_hung_up", S.COMPLETING, K.TRANSFEROR_GONE, S.COMPLETING),
    Transition("completing_caller_hung_up", S.COMPLETING, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("completing_caller_left", S.COMPLETING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_transferor, do.clear_away)),
    Transition("completing_timed_out_transferor_there", S.COMPLETING, K.TIMED_OUT, S.RETURNING, (do.return_to_transferor, do.drop_leg), transferor_in, S.FAILED, "asterisk_timeout"),
    Transition("completing_timed_out_transferor_gone", S.COMPLETING, K.TIMED_OUT, S.RECALLING, (do.drop_leg, do.recall), None, S.FAILED, "asterisk_timeout"),
    # RETURNING: AMI Bridge of the transferor and caller is under way.
    Transition("returning_bridged_after_cancelling", S.RETURNING, K.BRIDGED, S.CANCELLED, (do.clear_away,), lambda s: s.outcome is S.CANCELLED),
    Transition("returning_bridged_after_failure", S.RETURNING, K.BRIDGED, S.FAILED, (do.clear_away,)),
    Transition("returning_bridge_failed", S.RETURNING, K.BRIDGE_FAILED, S.RECALLING, (do.drop_transferor, do.recall), None, S.FAILED, "transferor_hangup"),
    Transition("returning_target_answered", S.RETURNING, K.LEG_ANSWERED, S.RETURNING, (do.drop_leg,)),
    Transition("returning_leg_failed", S.RETURNING, K.LEG_FAILED, S.RETURNING),
    Transition("returning_leg_ended", S.RETURNING, K.LEG_GONE, S.RETURNING),
    Transition("returning_transferor_hung_up", S.RETURNING, K.TRANSFEROR_GONE, S.RETURNING),
    Transition("returning_caller_hung_up", S.RETURNING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("returning_caller_left", S.RETURNING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_transferor, do.clear_away)),
    Transition("returning_timed_out", S.RETURNING, K.TIMED_OUT, S.RECALLING, (do.drop_transferor, do.recall), None, S.FAILED, "asterisk_timeout"),
    # RELEASING_LEG: the leg gives up the target's waiting slot, so that the caller can take it.
    Transition("releasing_leg_leg_ended", S.RELEASING_LEG, K.LEG_GONE, S.QUEUEING, (do.queue_caller,)),
    Transition("releasing_leg_leg_failed", S.RELEASING_LEG, K.LEG_FAILED, S.QUEUEING, (do.queue_caller,)),
    Transition("releasing_leg_target_answered", S.RELEASING_LEG, K.LEG_ANSWERED, S.RELEASING_LEG, (do.drop_leg,)),
    Transition("releasing_leg_transferor_hung_up", S.RELEASING_LEG, K.TRANSFEROR_GONE, S.RELEASING_LEG),
    Transition("releasing_leg_caller_hung_up", S.RELEASING_LEG, K.CALLER_GONE, S.ABANDONED, (do.drop_leg, do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("releasing_leg_caller_left", S.RELEASING_LEG, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_leg, do.drop_transferor, do.clear_away)),
    Transition("releasing_leg_timed_out", S.RELEASING_LEG, K.TIMED_OUT, S.QUEUEING, (do.queue_caller,)),
    # QUEUEING: the Redirect of the caller into the queue is under way.
    Transition("queueing_redirected", S.QUEUEING, K.REDIRECTED, S.QUEUED, (do.drop_transferor, do.clear_away)),
    Transition("queueing_redirect_failed_caller_held", S.QUEUEING, K.REDIRECT_FAILED, S.RECALLING, (do.recall,), caller_in, S.FAILED, "asterisk_error"),
    Transition("queueing_redirect_failed_caller_not_held", S.QUEUEING, K.REDIRECT_FAILED, S.FAILED, (do.unmark, do.clear_away), reason="call_gone"),
    Transition("queueing_phone_rings", S.QUEUEING, K.OFFERED, S.OFFERED, (do.drop_transferor, do.clear_away)),
    Transition("queueing_delivered", S.QUEUEING, K.DELIVERED, S.COMPLETED, (do.drop_transferor, do.clear_away), reason="completed"),
    Transition("queueing_left_queue", S.QUEUEING, K.LEFT_QUEUE, S.FAILED, (do.drop_transferor, do.clear_away)),
    Transition("queueing_transferor_arrived", S.QUEUEING, K.TRANSFEROR_ENTERED, S.QUEUEING, (do.tell_done, do.let_transferor_go)),
    Transition("queueing_leg_ended", S.QUEUEING, K.LEG_GONE, S.QUEUEING),
    Transition("queueing_transferor_hung_up", S.QUEUEING, K.TRANSFEROR_GONE, S.QUEUEING),
    Transition("queueing_caller_hung_up", S.QUEUEING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("queueing_call_ended_by_transferor", S.QUEUEING, K.CALL_ENDED, S.FAILED, (do.drop_transferor, do.clear_away), reason="transferor_hangup"),
    Transition("queueing_caller_left", S.QUEUEING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_transferor, do.clear_away)),
    Transition("queueing_timed_out_caller_held", S.QUEUEING, K.TIMED_OUT, S.RECALLING, (do.recall,), caller_in, S.FAILED, "asterisk_timeout"),
    Transition("queueing_timed_out_caller_not_held", S.QUEUEING, K.TIMED_OUT, S.FAILED, (do.drop_transferor, do.clear_away), reason="asterisk_timeout"),
    # QUEUED, OFFERED: app_queue has the call; max hold is Queue()'s own timer.
    Transition("queued_transferor_arrived", S.QUEUED, K.TRANSFEROR_ENTERED, S.QUEUED, (do.tell_done, do.let_transferor_go)),
    Transition("queued_phone_rings", S.QUEUED, K.OFFERED, S.OFFERED),
    Transition("queued_delivered", S.QUEUED, K.DELIVERED, S.COMPLETED, reason="completed"),
    Transition("queued_left_queue", S.QUEUED, K.LEFT_QUEUE, S.FAILED),
    Transition("queued_caller_hung_up", S.QUEUED, K.CALLER_GONE, S.ABANDONED, reason="caller_hangup"),
    Transition("queued_caller_left", S.QUEUED, K.CALLER_LEFT, S.FAILED, (let_be,)),
    Transition("queued_transferor_hung_up", S.QUEUED, K.TRANSFEROR_GONE, S.QUEUED),
    Transition("queued_redirected", S.QUEUED, K.REDIRECTED, S.QUEUED),
    Transition("queued_timed_out", S.QUEUED, K.TIMED_OUT, S.FAILED, reason="max_hold"),
    Transition("offered_transferor_arrived", S.OFFERED, K.TRANSFEROR_ENTERED, S.OFFERED, (do.tell_done, do.let_transferor_go)),
    Transition("offered_phone_rings", S.OFFERED, K.OFFERED, S.OFFERED),
    Transition("offered_phone_not_answered", S.OFFERED, K.UNANSWERED, S.QUEUED),
    Transition("offered_delivered", S.OFFERED, K.DELIVERED, S.COMPLETED, reason="completed"),
    Transition("offered_left_queue", S.OFFERED, K.LEFT_QUEUE, S.FAILED),
    Transition("offered_caller_hung_up", S.OFFERED, K.CALLER_GONE, S.ABANDONED, reason="caller_hangup"),
    Transition("offered_caller_left", S.OFFERED, K.CALLER_LEFT, S.FAILED, (let_be,)),
    Transition("offered_transferor_hung_up", S.OFFERED, K.TRANSFEROR_GONE, S.OFFERED),
    Transition("offered_redirected", S.OFFERED, K.REDIRECTED, S.OFFERED),
    Transition("offered_timed_out", S.OFFERED, K.TIMED_OUT, S.FAILED, reason="max_hold"),
    # RECALLING: the Redirect of the caller to the head of the call's group is under way.
    Transition("recalling_redirected", S.RECALLING, K.REDIRECTED, S.FAILED, (do.drop_transferor, do.clear_away)),
    Transition("recalling_redirect_failed", S.RECALLING, K.REDIRECT_FAILED, S.FAILED, (do.drop_transferor, do.release, do.clear_away)),
    Transition("recalling_target_answered", S.RECALLING, K.LEG_ANSWERED, S.RECALLING, (do.drop_leg,)),
    Transition("recalling_leg_ended", S.RECALLING, K.LEG_GONE, S.RECALLING),
    Transition("recalling_transferor_hung_up", S.RECALLING, K.TRANSFEROR_GONE, S.RECALLING),
    Transition("recalling_caller_hung_up", S.RECALLING, K.CALLER_GONE, S.ABANDONED, (do.drop_transferor, do.clear_away), reason="caller_hangup"),
    Transition("recalling_caller_left", S.RECALLING, K.CALLER_LEFT, S.FAILED, (let_be, lift_limit, do.drop_transferor, do.clear_away)),
    Transition("recalling_timed_out", S.RECALLING, K.TIMED_OUT, S.FAILED, (do.drop_transferor, do.release, do.clear_away)),
)
# fmt: on
