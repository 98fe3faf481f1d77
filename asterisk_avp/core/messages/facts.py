"""Facts: what happened in Asterisk, independent of AMI and ARI.

The adapters translate messages of AMI and ARI into facts. Facts update the state of channels,
queues and agents. Those that concern a transfer become a `SessionEvent` (`core.transfer.events`),
the only input of the state table. Nobody changes a fact. `ChannelSeen` and `MemberSeen` are not
frozen all the same: thousands may come in a second, and a frozen one takes four times as long.
"""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.model.caller import Presentation


class Fact:
    """Base class of all facts."""

    __slots__ = ()


@dataclass(slots=True, unsafe_hash=True)
class ChannelSeen(Fact):
    """A channel exists: it was created, found by a resync, or has new properties."""

    id: str
    name: str
    caller_number: str = ""
    caller_name: str = ""
    connected_number: str = ""
    queue: str | None = None
    bridge: str | None = None
    linked: str = ""
    """Asterisk's Linkedid, common to all channels of one call. Set by a resync only."""
    rung: bool = False
    """Whether the channel is a ringing phone. Set by a resync only."""
    created: bool = True
    """False: an update, which does not add an unknown channel."""
    presentation: Presentation = Presentation.ALLOWED
    """Unknown: the message does not tell it."""
    context: str = ""
    """The dialplan's context that it is in; empty: in none."""


@dataclass(frozen=True, slots=True)
class ChannelGone(Fact):
    id: str


@dataclass(frozen=True, slots=True)
class ChannelEnding(Fact):
    """AMI reports the end of a channel. A hint; ARI's `ChannelGone` is authoritative."""

    id: str


@dataclass(frozen=True, slots=True)
class HangUpAsked(Fact):
    """The end of a channel was asked for, usually by its phone's BYE. It has not ended yet."""

    id: str
    soft: bool = False
    """By a program or the dialplan, not by the phone."""


@dataclass(frozen=True, slots=True)
class ChannelLocated(Fact):
    """Where Asterisk says that a channel is, on a question of ours."""

    id: str
    context: str
    extension: str
    application: str
    """What it executes; empty: nothing."""
    in_our_app: bool
    """Whether that is our Stasis application."""
    abandoned: bool = False
    """Whether the last queue lost the caller (app_queue.c, ``record_abandoned``)."""


@dataclass(frozen=True, slots=True)
class CallerAsked(Fact):
    """Asterisk was asked where a caller is, and everything that follows has been reported."""

    caller: str


@dataclass(frozen=True, slots=True)
class BridgeEntered(Fact):
    channel: str
    bridge: str


@dataclass(frozen=True, slots=True)
class BridgeLeft(Fact):
    channel: str
    bridge: str


@dataclass(frozen=True, slots=True)
class BridgeSwapped(Fact):
    """A channel has replaced another in a bridge. A hint: see `core.pbx.swaps`."""

    channel: str
    name: str
    replaced: str


@dataclass(frozen=True, slots=True)
class HoldChanged(Fact):
    channel: str
    on_hold: bool


@dataclass(frozen=True, slots=True)
class CallGroup(Fact):
    """The channel's variable ``AVP_GROUP``; empty: not set."""

    channel: str
    group: str


@dataclass(frozen=True, slots=True)
class CallerPresentation(Fact):
    """Whether others may be told the channel's number and name, as Asterisk has answered."""

    channel: str
    presentation: Presentation


@dataclass(frozen=True, slots=True)
class MusicChanged(Fact):
    """Music on hold has started or stopped on a channel."""

    channel: str
    playing: bool
    music_class: str = ""
    """The class that has started; empty: unknown."""


@dataclass(frozen=True, slots=True)
class RecordingMuted(Fact):
    """Somebody has muted whatever records a channel, or has ended that (`ami.recording`)."""

    channel: str
    direction: str
    """As spelled in the action: read, write or both."""
    muted: bool


@dataclass(frozen=True, slots=True)
class StasisEntered(Fact):
    channel: str


@dataclass(frozen=True, slots=True)
class StasisLeft(Fact):
    channel: str


@dataclass(slots=True, unsafe_hash=True)
class MemberSeen(Fact):
    """A queue member with its current status (QueueMember, QueueMemberStatus, Added…)."""

    queue: str
    interface: str
    state_interface: str
    name: str
    status: int
    """``enum ast_device_state``."""
    paused: bool
    in_call: bool
    last_call: float
    """End of the member's last call in Unix seconds, by Asterisk's clock; 0: none."""
    wrapup_seconds: int
    """The member's own wrap-up time; 0: the queue's."""
    now: float
    """Time of receipt in Unix seconds, by our clock."""
    paused_reason: str = ""
    dynamic: bool = False
    """Whether it was added at run time (QueueAdd), so that it can also be removed."""
    penalty: int = 0
    ring_in_use: bool | None = None
    """Whether it is rung while its phone is in use; None: not read, because no event of AMI and no
    list has it."""
    login_time: float = 0.0
    """When app_queue made this membership, by adding or reading it, in Unix seconds by Asterisk's
    clock; 0: unknown."""


@dataclass(frozen=True, slots=True)
class MemberRemoved(Fact):
    queue: str
    interface: str
    now: float


@dataclass(frozen=True, slots=True)
class QueueJoined(Fact):
    queue: str
    channel: str
    waited_seconds: float = 0.0
    """Time waited so far, where a resync finds it."""


@dataclass(frozen=True, slots=True)
class QueueLeft(Fact):
    """The channel has stopped waiting in the queue: answered, abandoned or timed out."""

    queue: str
    channel: str


@dataclass(frozen=True, slots=True)
class QueueWaiting(Fact):
    """How many callers wait in a queue, and its members; all are 0 where there is no such queue."""

    queue: str
    callers: int
    longest_seconds: int
    """How long the first of them has waited."""
    now: float
    """Time of receipt in Unix seconds, by our clock."""
    logged_in: int = 0
    """Members whose phones can be reached, paused or not."""
    available: int = 0
    """Those of them who are not paused and whose phones are idle."""


@dataclass(frozen=True, slots=True)
class AgentRung(Fact):
    """app_queue rings a member for the call of ``channel``."""

    queue: str
    channel: str
    interface: str


@dataclass(frozen=True, slots=True)
class AgentUnanswered(Fact):
    """The member's phone stopped ringing because the member did not answer or rejected."""

    queue: str
    channel: str
    interface: str
    ring_seconds: float


@dataclass(frozen=True, slots=True)
class AgentRingEnded(Fact):
    """The member's phone stopped ringing because another answered or the call left the queue."""

    queue: str
    channel: str
    interface: str


@dataclass(frozen=True, slots=True)
class AgentConnected(Fact):
    """A member has answered the call of ``channel``."""

    queue: str
    channel: str
    interface: str


@dataclass(frozen=True, slots=True)
class AgentCompleted(Fact):
    """app_queue reported the end of a member's call (AgentComplete)."""

    queue: str
    interface: str
    now: float
    """Time of receipt in Unix seconds, by our clock."""


@dataclass(frozen=True, slots=True)
class DialProgress(Fact):
    """Dial() on ``channel`` progressed or ended, with its DIALSTATUS.

    For an originated leg, ``channel`` is the leg itself. An administrator's context may try several
    trunks in turn, so the end of one attempt is not the end of the leg.
    """

    channel: str
    status: str


@dataclass(frozen=True, slots=True)
class QueueEnded(Fact):
    """Our dialplan reports that Queue() ended, with its QUEUESTATUS."""

    channel: str
    status: str
    to_group: bool = False
    """Whether the caller goes to the head of their group, whatever the max-hold action."""


@dataclass(frozen=True, slots=True)
class NotAccepted(Fact):
    """Whoever answered leg ``channel`` declined, pressed no key or hung up; the leg ends next."""

    channel: str


@dataclass(frozen=True, slots=True)
class ClockTick(Fact):
    """The ACW of at least one agent has ended."""

    now: float


# --- requests from agents' phones, handled by `core.phone` -----------------------------------


@dataclass(frozen=True, slots=True)
class PhoneFact(Fact):
    """Base class of requests from a phone, which policy must decide."""


@dataclass(frozen=True, slots=True)
class ReferReceived(PhoneFact):
    """A phone in a call sent a REFER (Transfer button); Asterisk waits for our answer."""

    channel: str
    number: str
    """The user part of Refer-To, unverified."""
    attended: bool
    """Refer-To contains Replaces: the phone claims to have called the target itself."""
    second: str | None = None
    """Attended: the phone's channel of its call to the target; None: no such call."""
    target: str | None = None
    """Attended: the channel of the target who has answered."""


@dataclass(frozen=True, slots=True)
class FeatureUsed(PhoneFact):
    """The feature code was keyed in on this channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class KeyPressed(PhoneFact):
    """A key was pressed on the phone behind a channel in Stasis."""

    channel: str
    key: str
    at: float = 0.0
    """When Asterisk reported it, in Unix seconds by its clock; 0: not told."""
