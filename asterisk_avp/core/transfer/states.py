"""The states of a transfer: one spec for each, and everything that depends on a state is in it.

How a transfer goes from one to the other is `table`; what the columns mean is `spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from asterisk_avp.core.model.world import CallerOutcome, PartyState, TransferState
from asterisk_avp.core.transfer.spec import (
    Action,
    Deadline,
    Keys,
    Orphan,
    Phase,
    Place,
    Recovery,
    Released,
    Seat,
    Sound,
    StateSpec,
)


class State(StrEnum):
    """Written to channels by these values, which another daemon reads (`persistence`)."""

    STARTING = "starting"
    COLLECTING = "collecting"
    DECLINED = "declined"
    WAITING = "waiting"
    RINGING = "ringing"
    CONSULTING = "consulting"
    SWAPPED = "swapped"
    CONFERENCE = "conference"
    CONFERENCE_WITHOUT_TRANSFEROR = "conference_without_transferor"
    DISSOLVING = "dissolving"
    COMPLETING = "completing"
    RETURNING = "returning"
    RELEASING_LEG = "releasing_leg"
    QUEUEING = "queueing"
    QUEUED = "queued"
    OFFERED = "offered"
    RECALLING = "recalling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def spec(self) -> StateSpec:
        return SPECS[self]

    @property
    def final(self) -> bool:
        return SPECS[self].reported.final


FORMER_VALUES: Final[Mapping[str, State]] = {
    "shared": State.CONFERENCE_WITHOUT_TRANSFEROR,
    "parting": State.DISSOLVING,
    "detaching": State.RELEASING_LEG,
}
"""What earlier daemons wrote for these states, and may have left on a channel."""

_HOLD, _CONSULT, _PLAIN = Place.HOLD, Place.CONSULT, Place.PLAIN
_MUSIC, _RINGBACK, _NOTHING = Sound.MUSIC, Sound.RINGBACK, Sound.NOTHING
_TALKING, _HOLDING, _RINGING = PartyState.TALKING, PartyState.HOLDING, PartyState.RINGING
_WAITING = PartyState.WAITING
_GONE: Final = Seat(Place.ELSEWHERE, _NOTHING, PartyState.GONE)
_MOVED: Final = Seat(Place.ELSEWHERE, _NOTHING, _TALKING)
"""Being moved, to talk or to be hung up."""
_CALLER_MOVED: Final = Seat(Place.ELSEWHERE, _NOTHING, _HOLDING)
_ON_HOLD: Final = Seat(_HOLD, _MUSIC, _HOLDING)
_NOT_YET: Final = Seat(Place.ELSEWHERE, _NOTHING, _WAITING)
_RUNG: Final = Seat(Place.ELSEWHERE, _NOTHING, _RINGING)
_QUEUED: Final = Seat(Place.QUEUE, _MUSIC, _WAITING)
_RETURNED: Final = CallerOutcome.RETURNED
_NO_ACTIONS: Final = frozenset[Action]()

# Rows of columns rather than one column a line: one state is one screen.
# fmt: off
SPECS: Final[Mapping[State, StateSpec]] = {
    State.STARTING: StateSpec(
        meaning="The Redirect into Stasis is under way; whoever arrives joins a bridge at once.",
        reported=TransferState.STARTING, phase=Phase.NONE,
        deadline=Deadline.ASTERISK, orphan=Orphan.SETTING,
        transferor=Seat(_CONSULT, _NOTHING, _TALKING), caller=_ON_HOLD,
        target=_NOT_YET, fourth=Place.ELSEWHERE,
        held_in_stasis=True, recording_pauses=True, takes_slot=True, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=True, released=Released.NO,
        keys=Keys.NOBODY, actions=frozenset({Action.COMPLETE, Action.CANCEL}),
        recovery=Recovery.ENTER, caller_after=_RETURNED,
    ),
    State.COLLECTING: StateSpec(
        meaning="The transferor keys in where the call is to go.",
        reported=TransferState.STARTING, phase=Phase.NONE,
        deadline=Deadline.FIRST_KEY, orphan=Orphan.SETTING,
        transferor=Seat(_CONSULT, Sound.PROMPT, _TALKING), caller=_ON_HOLD,
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=True, recording_pauses=True, takes_slot=True, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.TARGET_CHOICE, actions=frozenset({Action.CANCEL}),
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.DECLINED: StateSpec(
        meaning="The phone's Transfer button was refused; transferor and caller talk meanwhile.",
        reported=TransferState.COMPLETING, phase=Phase.NONE,
        deadline=Deadline.PHONE, orphan=Orphan.TALK,
        transferor=Seat(_HOLD, _NOTHING, _TALKING), caller=Seat(_HOLD, _NOTHING, _HOLDING),
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=True, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.CALLER, actions=_NO_ACTIONS,
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.WAITING: StateSpec(
        meaning="The consult leg waits in the target's queue.",
        reported=TransferState.WAITING, phase=Phase.NONE,
        deadline=Deadline.TARGET, orphan=Orphan.SETTING,
        transferor=Seat(_CONSULT, _MUSIC, _TALKING), caller=_ON_HOLD,
        target=_NOT_YET, fourth=Place.ELSEWHERE,
        held_in_stasis=True, recording_pauses=True, takes_slot=True, releases_slot=False,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.NO,
        keys=Keys.COMMANDS, actions=frozenset({Action.COMPLETE, Action.CANCEL}),
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.RINGING: StateSpec(
        meaning="The target's phone rings for the consult leg.",
        reported=TransferState.RINGING, phase=Phase.RING,
        deadline=Deadline.TARGET, orphan=Orphan.SETTING,
        transferor=Seat(_CONSULT, _RINGBACK, _TALKING), caller=_ON_HOLD,
        target=_RUNG, fourth=Place.ELSEWHERE,
        held_in_stasis=True, recording_pauses=True, takes_slot=True, releases_slot=False,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.NO,
        keys=Keys.COMMANDS, actions=frozenset({Action.COMPLETE, Action.CANCEL}),
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.CONSULTING: StateSpec(
        meaning="Transferor and target talk, with the fourth party if there is one.",
        reported=TransferState.CONSULTING, phase=Phase.CONSULT,
        deadline=Deadline.NONE, orphan=Orphan.SETTING,
        transferor=Seat(_CONSULT, _NOTHING, _TALKING), caller=_ON_HOLD,
        target=Seat(_CONSULT, _NOTHING, _TALKING), fourth=_CONSULT,
        held_in_stasis=True, recording_pauses=True, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.NO,
        keys=Keys.COMMANDS_OR_TARGET, actions=frozenset(Action),
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.SWAPPED: StateSpec(
        meaning="Transferor and caller talk; the target hears music, or the fourth party.",
        reported=TransferState.SWAPPED, phase=Phase.CONSULT,
        deadline=Deadline.NONE, orphan=Orphan.TALK,
        transferor=Seat(_HOLD, _NOTHING, _TALKING), caller=Seat(_HOLD, _NOTHING, _TALKING),
        target=Seat(_CONSULT, _MUSIC, _HOLDING), fourth=_CONSULT,
        held_in_stasis=True, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.NO,
        keys=Keys.COMMANDS_OR_CALLER, actions=frozenset(Action) - {Action.ADD_PARTY},
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.CONFERENCE: StateSpec(
        meaning="Transferor, caller and target talk, with the fourth party if there is one.",
        reported=TransferState.CONFERENCE, phase=Phase.CONSULT,
        deadline=Deadline.NONE, orphan=Orphan.TALK,
        transferor=Seat(_CONSULT, _NOTHING, _TALKING), caller=Seat(_CONSULT, _NOTHING, _TALKING),
        target=Seat(_CONSULT, _NOTHING, _TALKING), fourth=_CONSULT,
        held_in_stasis=True, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.NO,
        keys=Keys.COMMANDS_OR_TARGET,
        actions=frozenset(Action) - {Action.SWAP, Action.CONFERENCE},
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.CONFERENCE_WITHOUT_TRANSFEROR: StateSpec(
        meaning="Three talk on after the transferor, or the caller, has left a conference of four.",
        reported=TransferState.CONFERENCE, phase=Phase.CONSULT,
        deadline=Deadline.NONE, orphan=Orphan.TALK,
        transferor=Seat(_CONSULT, _NOTHING, _TALKING), caller=Seat(_CONSULT, _NOTHING, _TALKING),
        target=Seat(_CONSULT, _NOTHING, _TALKING), fourth=_CONSULT,
        held_in_stasis=True, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.IF_COMPLETED,
        keys=Keys.COMMANDS_OR_TARGET, actions=_NO_ACTIONS,
        recovery=Recovery.ARRANGE, caller_after=_RETURNED,
    ),
    State.DISSOLVING: StateSpec(
        meaning="The Bridge of the last two of a conference is under way.",
        reported=TransferState.COMPLETING, phase=Phase.NONE,
        deadline=Deadline.ASTERISK, orphan=Orphan.NONE,
        transferor=Seat(_CONSULT, _NOTHING, _TALKING), caller=Seat(_CONSULT, _NOTHING, _TALKING),
        target=Seat(_CONSULT, _NOTHING, _TALKING), fourth=_CONSULT,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=False, released=Released.IF_COMPLETED,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.BRIDGE_REST, caller_after=_RETURNED,
    ),
    State.COMPLETING: StateSpec(
        meaning="The Bridge of caller and target is under way.",
        reported=TransferState.COMPLETING, phase=Phase.COMPLETION,
        deadline=Deadline.ASTERISK, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_CALLER_MOVED,
        target=_MOVED, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=True, released=Released.YES,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.BRIDGE_TARGET, caller_after=_RETURNED,
    ),
    State.RETURNING: StateSpec(
        meaning="The Bridge of transferor and caller is under way.",
        reported=TransferState.COMPLETING, phase=Phase.NONE,
        deadline=Deadline.ASTERISK, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_CALLER_MOVED,
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.BRIDGE_TRANSFEROR, caller_after=_RETURNED,
    ),
    State.RELEASING_LEG: StateSpec(
        meaning="The consult leg gives up the target's waiting slot, for the caller to take it.",
        reported=TransferState.COMPLETING, phase=Phase.NONE,
        deadline=Deadline.ASTERISK, orphan=Orphan.SETTING,
        transferor=Seat(_CONSULT, _NOTHING, _TALKING), caller=_ON_HOLD,
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=True, recording_pauses=True, takes_slot=True, releases_slot=True,
        needs_daemon=True, needs_leg=True, phone_answer_due=False, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.RELEASE_LEG, caller_after=None,
    ),
    State.QUEUEING: StateSpec(
        meaning="The Redirect of the caller into the target's queue is under way.",
        reported=TransferState.STARTING, phase=Phase.START,
        deadline=Deadline.ASTERISK, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_QUEUED,
        target=_NOT_YET, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=True, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=True, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.QUEUE, caller_after=None,
    ),
    State.QUEUED: StateSpec(
        meaning="The caller waits in the target's queue; app_queue and the dialplan do the work.",
        reported=TransferState.WAITING, phase=Phase.NONE,
        deadline=Deadline.QUEUE, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_QUEUED,
        target=_NOT_YET, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=True, releases_slot=False,
        needs_daemon=False, needs_leg=False, phone_answer_due=True, released=Released.YES,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.NOTHING, caller_after=None,
    ),
    State.OFFERED: StateSpec(
        meaning="app_queue rings a phone for the caller.",
        reported=TransferState.RINGING, phase=Phase.RING,
        deadline=Deadline.QUEUE, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_QUEUED,
        target=_RUNG, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=True, releases_slot=False,
        needs_daemon=False, needs_leg=False, phone_answer_due=True, released=Released.YES,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.NOTHING, caller_after=None,
    ),
    State.RECALLING: StateSpec(
        meaning="The Redirect of the caller to the head of the call's group is under way.",
        reported=TransferState.COMPLETING, phase=Phase.NONE,
        deadline=Deadline.ASTERISK, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_CALLER_MOVED,
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=True, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.RECALL, caller_after=CallerOutcome.GROUP,
    ),
    State.COMPLETED: StateSpec(
        meaning="The target has the call.",
        reported=TransferState.COMPLETED, phase=Phase.NONE,
        deadline=Deadline.NONE, orphan=Orphan.NONE,
        transferor=_GONE, caller=Seat(_PLAIN, _NOTHING, _TALKING),
        target=Seat(_PLAIN, _NOTHING, _TALKING), fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=False, needs_leg=False, phone_answer_due=False, released=Released.YES,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.NOTHING, caller_after=CallerOutcome.CONNECTED,
    ),
    State.CANCELLED: StateSpec(
        meaning="The transferor has the caller back, as they wanted.",
        reported=TransferState.CANCELLED, phase=Phase.NONE,
        deadline=Deadline.NONE, orphan=Orphan.NONE,
        transferor=Seat(_PLAIN, _NOTHING, _TALKING), caller=Seat(_PLAIN, _NOTHING, _TALKING),
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=False, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.NOTHING, caller_after=_RETURNED,
    ),
    State.FAILED: StateSpec(
        meaning="The transfer could not be made; transferor or group have the caller back.",
        reported=TransferState.FAILED, phase=Phase.NONE,
        deadline=Deadline.NONE, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_CALLER_MOVED,
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=False, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.NOTHING, caller_after=_RETURNED,
    ),
    State.ABANDONED: StateSpec(
        meaning="The caller has hung up.",
        reported=TransferState.ABANDONED, phase=Phase.NONE,
        deadline=Deadline.NONE, orphan=Orphan.NONE,
        transferor=_MOVED, caller=_CALLER_MOVED,
        target=_GONE, fourth=Place.ELSEWHERE,
        held_in_stasis=False, recording_pauses=False, takes_slot=False, releases_slot=False,
        needs_daemon=False, needs_leg=False, phone_answer_due=False, released=Released.NO,
        keys=Keys.NOBODY, actions=_NO_ACTIONS,
        recovery=Recovery.NOTHING, caller_after=CallerOutcome.HUNG_UP,
    ),
}
# fmt: on
