"""The properties of a transfer's state: the columns of `states`.

Nothing here names a state. The properties of a state are only in its spec; no other module has a
table of states (`tests/repository/test_state_tables.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from asterisk_avp.core.model.world import CallerOutcome, PartyState, TransferState


class Place(Enum):
    """Where a party is, whom it hears there, and who moves it."""

    HOLD = "hold"
    """Our hold bridge. A party that is alone there hears the sound of its spec."""
    CONSULT = "consult"
    """Our consult bridge; likewise."""
    QUEUE = "queue"
    """The target's queue, or on the way into it: app_queue plays the sound of the spec."""
    PLAIN = "plain"
    """A bridge of Asterisk's own, with all other parties that have this place."""
    ELSEWHERE = "elsewhere"
    """None of these: being moved, not there yet, or gone."""

    @property
    def ours(self) -> bool:
        return self in (Place.HOLD, Place.CONSULT)


class Sound(StrEnum):
    """What a party that is alone hears, as the API reports it."""

    MUSIC = "music"
    RINGBACK = "ringback"
    PROMPT = "prompt"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Seat:
    """One party in one state."""

    place: Place
    alone: Sound
    """What it hears while it is alone."""
    shown: PartyState
    """The state that the API reports for the party, as long as it is there."""


class Deadline(Enum):
    """Which timer runs in a state (`machine`). The first three continue over such states."""

    NONE = "none"
    """No timer: the parties talk, or the transfer has ended."""
    TARGET = "target"
    """The target must answer the consult leg."""
    QUEUE = "queue"
    """The target's queue must deliver the call or give it up."""
    ASTERISK = "asterisk"
    """Asterisk must complete a Redirect or Bridge."""
    FIRST_KEY = "first_key"
    """The transferor must begin keying in a target."""
    PHONE = "phone"
    """The phone may hang up after it was notified of a refusal."""

    @property
    def goes_on(self) -> bool:
        """Whether the timer continues if the next state has the same deadline."""
        return self in (Deadline.NONE, Deadline.TARGET, Deadline.QUEUE)

    @property
    def awaits_target(self) -> bool:
        """Whether the transfer waits for the target, up to its own limit."""
        return self in (Deadline.TARGET, Deadline.QUEUE)


class Orphan(Enum):
    """When Asterisk releases the caller from Stasis without a daemon (`orphan_timeout`)."""

    NONE = "none"
    """The caller is not in Stasis, or about to leave it."""
    SETTING = "setting"
    """After ``AVP_SESSION__ORPHAN_SECONDS``."""
    TALK = "talk"
    """The caller talks to somebody, so the limit is longer."""


class Keys(Enum):
    """What the transferor's key presses do."""

    NOBODY = "nobody"
    TARGET_CHOICE = "target_choice"
    """They enter the target."""
    COMMANDS = "commands"
    """Codes only; other keys are ignored, because the transferor is alone."""
    COMMANDS_OR_TARGET = "commands_or_target"
    """Codes; other keys go to the target and the fourth party."""
    COMMANDS_OR_CALLER = "commands_or_caller"
    """Codes; other keys go to the caller."""
    CALLER = "caller"
    """To the caller; codes have no effect."""

    @property
    def commands(self) -> bool:
        """Whether codes have an effect, so that a code that is not possible causes a beep."""
        return self in (Keys.COMMANDS, Keys.COMMANDS_OR_TARGET, Keys.COMMANDS_OR_CALLER)

    @property
    def half_code_expires(self) -> bool:
        """Whether an incomplete code is passed through to the other party after a pause.

        Not where the transferor is alone, or where the transfer's own timer runs.
        """
        return self in (Keys.COMMANDS_OR_TARGET, Keys.COMMANDS_OR_CALLER)

    @property
    def to_target(self) -> bool:
        return self is Keys.COMMANDS_OR_TARGET

    @property
    def to_caller(self) -> bool:
        return self in (Keys.COMMANDS_OR_CALLER, Keys.CALLER)


class Action(StrEnum):
    """The transferor's commands to a running transfer. The table has rows for each."""

    COMPLETE = "complete"
    CANCEL = "cancel"
    SWAP = "swap"
    CONFERENCE = "conference"
    ADD_PARTY = "add_party"
    DROP_PARTY = "drop_party"


class Released(Enum):
    """Whether the transferor has released the call: the transfer is then part of its history."""

    NO = "no"
    IF_COMPLETED = "if_completed"
    """If the transfer ends as completed."""
    YES = "yes"


class Phase(StrEnum):
    """A phase whose duration the metrics measure (`observe.metrics`)."""

    NONE = ""
    START = "start"
    RING = "ring"
    CONSULT = "consult"
    COMPLETION = "completion"


class Recovery(Enum):
    """How a resync recovers a transfer in this state (`recovery`)."""

    NOTHING = "nothing"
    ENTER = "enter"
    """Create the bridges; parties that have arrived meanwhile are reported as events."""
    ARRANGE = "arrange"
    """Move all parties to their places, and start their sounds."""
    RELEASE_LEG = "release_leg"
    """`ARRANGE`, and hang up the consult leg again."""
    QUEUE = "queue"
    """Repeat the Redirect into the target's queue, unless it has succeeded."""
    RECALL = "recall"
    """Repeat the Redirect to the head of the group, unless it has succeeded."""
    BRIDGE_TARGET = "bridge_target"
    """Repeat the Bridge of caller and target, unless it has succeeded."""
    BRIDGE_TRANSFEROR = "bridge_transferor"
    """Repeat the Bridge of transferor and caller, unless it has succeeded."""
    BRIDGE_REST = "bridge_rest"
    """Repeat the Bridge of the last two of a conference, unless it has succeeded."""

    @property
    def arranges(self) -> bool:
        return self in (Recovery.ARRANGE, Recovery.RELEASE_LEG)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """One state. There are no defaults, so that a new state must set every property."""

    meaning: str
    reported: TransferState
    """What the API reports. Final exactly where the state is."""
    phase: Phase
    deadline: Deadline
    orphan: Orphan
    transferor: Seat
    caller: Seat
    target: Seat
    fourth: Place
    """Where the fourth party is, once it has answered."""
    held_in_stasis: bool
    """Whether a party that leaves Stasis has hung up or was moved by others. In the other states,
    our own Bridge or Redirect may be the cause."""
    recording_pauses: bool
    """Whether ``consult_recording=pause`` keeps the caller from being recorded."""
    takes_slot: bool
    """Whether the transfer occupies the target's waiting slot, or is about to."""
    releases_slot: bool
    """Whether the consult leg is releasing that slot, which needs the end of both its halves."""
    needs_daemon: bool
    """Whether the transfer cannot continue by app_queue and the dialplan alone."""
    needs_leg: bool
    """Whether the consult leg exists, so that its absence after a resync is the target's end."""
    phone_answer_due: bool
    """Whether a phone that sent a REFER has yet to be notified of the outcome."""
    released: Released
    keys: Keys
    actions: frozenset[Action]
    """The commands that the state permits: `table` has rows for these."""
    recovery: Recovery
    caller_after: CallerOutcome | None
    """Where the caller is if the transfer ends in this state, or fails out of it; None: where the
    max-hold action takes them."""
