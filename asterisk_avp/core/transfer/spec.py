"""What there is to say of a state of a transfer: the columns of `states`.

Nothing here names a state. Whoever asks what a state means asks its spec; no other module keeps
a table of states (`tests/repository/test_state_tables.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from asterisk_avp.core.model.world import PartyState, TransferState


class Place(Enum):
    """Where a party is, whom it hears there, and who moves it."""

    HOLD = "hold"
    """Our hold bridge. Whoever is there alone hears the seat's sound."""
    CONSULT = "consult"
    """Our consult bridge; the same."""
    QUEUE = "queue"
    """The target's queue, or on the way into it: app_queue plays the seat's sound."""
    PLAIN = "plain"
    """A bridge of Asterisk's own, with whoever else has this place."""
    ELSEWHERE = "elsewhere"
    """None of these: being moved, not there yet, or gone."""

    @property
    def ours(self) -> bool:
        return self in (Place.HOLD, Place.CONSULT)


class Sound(StrEnum):
    """What a party hears that nobody talks with, as the API reports it."""

    MUSIC = "music"
    RINGBACK = "ringback"
    PROMPT = "prompt"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Seat:
    """One party in one state."""

    place: Place
    alone: Sound
    """What it hears while nobody else is there."""
    shown: PartyState
    """What the API reports the party to be doing, as long as it is there."""


class Deadline(Enum):
    """Which timer runs in a state (`machine`). The first three go on into a state of the same."""

    NONE = "none"
    """People talk, or nobody waits any more."""
    TARGET = "target"
    """The target has to answer the consult leg."""
    QUEUE = "queue"
    """The target's queue has to deliver the call, or to give it up."""
    ASTERISK = "asterisk"
    """Asterisk has to do what it was asked for."""
    FIRST_KEY = "first_key"
    """The transferor has to begin keying in a target."""
    PHONE = "phone"
    """The phone may hang up on hearing that its transfer is refused."""

    @property
    def goes_on(self) -> bool:
        """Whether the time runs on where the next state has the same deadline."""
        return self in (Deadline.NONE, Deadline.TARGET, Deadline.QUEUE)

    @property
    def awaits_target(self) -> bool:
        """Whether the target is waited for, up to the transfer's own limit."""
        return self in (Deadline.TARGET, Deadline.QUEUE)


class Orphan(Enum):
    """When Asterisk takes the caller out of Stasis if no daemon is there (`orphan_timeout`)."""

    NONE = "none"
    """The caller is not held, or is on the way out."""
    SETTING = "setting"
    """After ``AVP_SESSION__ORPHAN_SECONDS``."""
    TALK = "talk"
    """The caller talks with somebody, and is given longer."""


class Keys(Enum):
    """Where keys go that the transferor presses."""

    NOBODY = "nobody"
    TARGET_CHOICE = "target_choice"
    """They say where the call is to go."""
    COMMANDS = "commands"
    """Codes only: there is nobody to pass other keys on to."""
    COMMANDS_OR_TARGET = "commands_or_target"
    """Codes; other keys go to the target and the fourth party."""
    COMMANDS_OR_CALLER = "commands_or_caller"
    """Codes; other keys go to the caller."""
    CALLER = "caller"
    """To the caller; no code does anything."""

    @property
    def commands(self) -> bool:
        """Whether a code does something, so that one that cannot is answered by a beep."""
        return self in (Keys.COMMANDS, Keys.COMMANDS_OR_TARGET, Keys.COMMANDS_OR_CALLER)

    @property
    def half_code_expires(self) -> bool:
        """Whether the beginning of a code is passed on after a pause: it may be meant for others.

        Not where there is nobody, or where a timer of the transfer's own runs.
        """
        return self in (Keys.COMMANDS_OR_TARGET, Keys.COMMANDS_OR_CALLER)

    @property
    def to_target(self) -> bool:
        return self is Keys.COMMANDS_OR_TARGET

    @property
    def to_caller(self) -> bool:
        return self in (Keys.COMMANDS_OR_CALLER, Keys.CALLER)


class Action(StrEnum):
    """What the transferor may ask of a running transfer. The table has the rows for each."""

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
    """If completing is how the transfer ends."""
    YES = "yes"


class Phase(StrEnum):
    """What the metrics measure the length of (`observe.metrics`)."""

    NONE = ""
    START = "start"
    RING = "ring"
    CONSULT = "consult"
    COMPLETION = "completion"


class Recovery(Enum):
    """What is done for a transfer that a resync finds in this state (`recovery`)."""

    NOTHING = "nothing"
    ENTER = "enter"
    """The bridges are created; who has arrived meanwhile is told as events."""
    ARRANGE = "arrange"
    """Everybody is put where the spec says, and hears what it says."""
    RELEASE_LEG = "release_leg"
    """The same, and the consult leg is hung up once more."""
    QUEUE = "queue"
    """The Redirect into the target's queue is repeated, unless it has been done."""
    RECALL = "recall"
    """So is the Redirect to the head of the group."""
    BRIDGE_TARGET = "bridge_target"
    """So is the Bridge of caller and target."""
    BRIDGE_TRANSFEROR = "bridge_transferor"
    """So is the Bridge of transferor and caller."""
    BRIDGE_REST = "bridge_rest"
    """So is the Bridge of the last two of a conference."""

    @property
    def arranges(self) -> bool:
        return self in (Recovery.ARRANGE, Recovery.RELEASE_LEG)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """One state. There are no defaults: whoever adds a state answers every question."""

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
    """Whether a party that leaves Stasis has hung up or was taken away. In the other states our
    own Bridge or Redirect may be what takes it out."""
    recording_pauses: bool
    """Whether ``consult_recording=pause`` keeps the caller from being recorded."""
    takes_slot: bool
    """Whether the transfer occupies the target's waiting slot, or is about to."""
    releases_slot: bool
    """Whether the consult leg is giving that slot up, which takes the end of both its halves."""
    needs_daemon: bool
    """Whether the transfer cannot go on by app_queue and the dialplan alone."""
    needs_leg: bool
    """Whether the consult leg exists, so that its absence after a resync is the target's end."""
    phone_answer_due: bool
    """Whether a phone that asked by its Transfer button is about to be told the outcome."""
    released: Released
    keys: Keys
    actions: frozenset[Action]
    """What the transferor may ask for, as far as the state goes: `table` has rows for these."""
    recovery: Recovery
