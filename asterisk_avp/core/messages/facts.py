"""What happens at Asterisk, in the project's own words.

The adapters translate messages of AMI and ARI into these facts. They update the picture of
channels, queues and agents; those that concern a transfer become a `SessionEvent`
(`core.transfer.events`), the only thing that the table of transitions ever sees.
"""

from __future__ import annotations

from dataclasses import dataclass

# --- facts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """Base of what the adapters report."""


@dataclass(frozen=True, slots=True)
class ChannelSeen(Fact):
    """A channel exists, with what is known of it now (it was created, a resync found it)."""

    id: str
    name: str
    caller_number: str = ""
    caller_name: str = ""
    connected_number: str = ""
    queue: str | None = None
    bridge: str | None = None
    linked: str = ""
    """Asterisk's Linkedid: the same for all channels that one call has led to. Of a resync only."""
    rung: bool = False
    """A phone that rings for somebody. Of a resync only."""
    created: bool = True
    """False: news of a channel that is known if it still exists."""


@dataclass(frozen=True, slots=True)
class ChannelGone(Fact):
    id: str


@dataclass(frozen=True, slots=True)
class ChannelEnding(Fact):
    """AMI says that a channel has ended: a hint, where nothing else has said so."""

    id: str


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
    """A channel has taken another's place in a bridge. A hint: see `core.pbx.swaps`."""

    channel: str
    name: str
    replaced: str


@dataclass(frozen=True, slots=True)
class HoldChanged(Fact):
    channel: str
    on_hold: bool


@dataclass(frozen=True, slots=True)
class CallGroup(Fact):
    """What the channel's variable ``AVP_GROUP`` says; empty: nothing."""

    channel: str
    group: str


@dataclass(frozen=True, slots=True)
class MusicChanged(Fact):
    """Asterisk has begun or ceased to play music to a channel."""

    channel: str
    playing: bool


@dataclass(frozen=True, slots=True)
class RecordingMuted(Fact):
    """Somebody has muted whatever records a channel, or has ended that (`core.pbx.recordings`)."""

    channel: str
    direction: str
    """As it was spelled: read, write or both."""
    muted: bool


@dataclass(frozen=True, slots=True)
class StasisEntered(Fact):
    channel: str


@dataclass(frozen=True, slots=True)
class StasisLeft(Fact):
    channel: str


@dataclass(frozen=True, slots=True)
class MemberSeen(Fact):
    """A member of a queue with its present status (QueueMember, QueueMemberStatus, Added…)."""

    queue: str
    interface: str
    state_interface: str
    name: str
    status: int
    """``enum ast_device_state``."""
    paused: bool
    in_call: bool
    last_call: float
    """Unix seconds by Asterisk's clock at which the member's last call ended; 0: none."""
    wrapup_seconds: int
    """The member's own wrap-up; 0: the queue's applies."""
    now: float
    """Unix seconds by our clock when this was received."""
    paused_reason: str = ""


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
    """How long it has waited there already, where a resync finds it."""


@dataclass(frozen=True, slots=True)
class QueueLeft(Fact):
    """The channel no longer waits in the queue (answered, abandoned or timed out)."""

    queue: str
    channel: str


@dataclass(frozen=True, slots=True)
class AgentRung(Fact):
    """app_queue rings a member for the call of ``channel``."""

    queue: str
    channel: str
    interface: str


@dataclass(frozen=True, slots=True)
class AgentUnanswered(Fact):
    """The member's phone stopped ringing without an answer."""

    queue: str
    channel: str
    interface: str
    ring_seconds: float


@dataclass(frozen=True, slots=True)
class AgentRingEnded(Fact):
    """The member's phone rings no more: another has answered, or the call has left the queue."""

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
    """app_queue closed its books on a member's call (AgentComplete)."""

    queue: str
    interface: str
    now: float
    """Unix seconds by our clock when this was received."""


@dataclass(frozen=True, slots=True)
class DialProgress(Fact):
    """Dial() on ``channel`` got on or ended, with its DIALSTATUS.

    For the leg itself, which is originated, ``channel`` is the leg.
    An administrator's context may try one trunk after the other, so an end of one attempt is
    not the end of the leg.
    """

    channel: str
    status: str


@dataclass(frozen=True, slots=True)
class QueueEnded(Fact):
    """Our dialplan says that Queue() gave up, and with which QUEUESTATUS."""

    channel: str
    status: str


@dataclass(frozen=True, slots=True)
class NotAccepted(Fact):
    """Our dialplan says that who answered the leg ``channel`` did not accept the call.

    They declined, pressed nothing or hung up; the leg ends next.
    """

    channel: str


@dataclass(frozen=True, slots=True)
class ClockTick(Fact):
    """Time has reached something an agent's state was waiting for (the end of ACW)."""

    now: float


# --- what agents do on their phones; `core.phone.feature_code` handles these ---------------------


@dataclass(frozen=True, slots=True)
class PhoneFact(Fact):
    """Base of what is not about the picture, but a wish that a decision has to be made on."""


@dataclass(frozen=True, slots=True)
class ReferReceived(PhoneFact):
    """The Transfer button (SIP REFER) of a phone in a call; Asterisk waits for us to answer it."""

    channel: str
    number: str
    """Whom it is to go to, as the phone says; may be anything."""
    attended: bool
    """The phone says that it has called the target itself (Replaces)."""
    second: str | None = None
    """Attended: the phone's own call to the target; None where there is no such call."""
    target: str | None = None
    """Attended: the channel of the target who has answered."""


@dataclass(frozen=True, slots=True)
class FeatureUsed(PhoneFact):
    """The feature code was keyed in on this channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class KeyPressed(PhoneFact):
    """A key on the phone behind a channel that is with us."""

    channel: str
    key: str
