"""What a session wants done: plain data, performed by the adapters in the order given.

Effects of one session are performed one after the other; sessions do not wait for each other.
Each class belongs to exactly one adapter (`AriEffect` or `AmiEffect`) or to the daemon
(`TimerEffect`). An effect that names a ``report`` comes back to the session as an event of that
outcome. Of the others, one that fails because the channel or bridge has gone needs no word: that is
reported by its own event. One that fails otherwise (Asterisk did not answer, say) puts the session
in doubt, and what it was for is made once more (`takeover`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asterisk_avp.core.model.permission import Permission


@dataclass(frozen=True, slots=True)
class Effect:
    """Base of all effects."""


@dataclass(frozen=True, slots=True)
class AriEffect(Effect):
    """Performed by ``ari/perform.py``."""


@dataclass(frozen=True, slots=True)
class AmiEffect(Effect):
    """Performed by ``ami/perform.py``."""


@dataclass(frozen=True, slots=True)
class TimerEffect(Effect):
    """Performed by the daemon's clock."""


# --- ARI -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateBridge(AriEffect):
    bridge: str
    name: str


@dataclass(frozen=True, slots=True)
class DestroyBridge(AriEffect):
    bridge: str


@dataclass(frozen=True, slots=True)
class AddToBridge(AriEffect):
    """Into a bridge; a channel that is in another one is moved."""

    bridge: str
    channel: str
    absorb_dtmf: bool = False
    """What this channel's keys send is reported to us and not heard in the bridge."""


@dataclass(frozen=True, slots=True)
class StartMusic(AriEffect):
    """Music on the channel, never on the bridge (asterisk issue 1926)."""

    channel: str


@dataclass(frozen=True, slots=True)
class StopMusic(AriEffect):
    """Done once Asterisk says that the music has stopped; it overlooks some requests."""

    channel: str


@dataclass(frozen=True, slots=True)
class StartRingback(AriEffect):
    channel: str


@dataclass(frozen=True, slots=True)
class StopRingback(AriEffect):
    channel: str


@dataclass(frozen=True, slots=True)
class LeaveStasis(AriEffect):
    """Back to the dialplan, at the line after Stasis() or at another place."""

    channel: str
    to: Destination | None = None


@dataclass(frozen=True, slots=True)
class Play(AriEffect):
    """Play sounds to one channel; the others in its bridge do not hear them, nor it them.

    ``id`` names the playback for `StopPlaying`.
    """

    channel: str
    media: tuple[str, ...]
    id: str


@dataclass(frozen=True, slots=True)
class StopPlaying(AriEffect):
    """End a playback; a channel cannot change bridges before it has ended."""

    id: str


@dataclass(frozen=True, slots=True)
class SendKeys(AriEffect):
    """Key presses, as if pressed at the phone of whoever talks with ``channel``."""

    channel: str
    keys: str


@dataclass(frozen=True, slots=True)
class NotifyPhone(AriEffect):
    """The answer to the phone's Transfer button, whose channel is with us: done, or declined."""

    channel: str
    done: bool


@dataclass(frozen=True, slots=True)
class DialLeg(AriEffect):
    """Originate a leg into the Stasis app. Failure is reported as `LEG_FAILED`."""

    channel: str
    other_channel: str
    allow: Permission
    """What may be dialled comes from policy's permission and from nowhere else."""
    originator: str
    caller_id: str
    """``"Alice" <1001>``; empty: none."""
    variables: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int | None = None
    """How long it may ring; None: the queue it enters decides."""
    fourth: bool = False
    """It is the leg of a fourth party; failure is reported as `FOURTH_FAILED`."""
    first: Destination | None = None
    """Where in the dialplan the answered leg goes first, which sends it on into Stasis."""


# --- AMI -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HangUp(AmiEffect):
    """AMI Hangup, by channel id.

    app_queue closes its books on a hang-up *request* (app_queue.c, ``handle_hangup``), which is
    raised when the channel's PBX ends (pbx.c, ``__ast_pbx_run``) and not by this action itself:
    only for channels that are in our Stasis application, which the dialplan runs.
    """

    channel: str


@dataclass(frozen=True, slots=True)
class SetVariables(AmiEffect):
    """Variables on one channel, written before the step they describe."""

    channel: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LimitCall(AmiEffect):
    """When Asterisk ends the call by itself (TIMEOUT(absolute)), in Unix seconds."""

    channel: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class PauseRecording(AmiEffect):
    """Whatever records this channel records silence. Nothing, where nothing records it."""

    channel: str


@dataclass(frozen=True, slots=True)
class ResumeRecording(AmiEffect):
    """The end of `PauseRecording`; what others have paused stays paused."""

    channel: str


@dataclass(frozen=True, slots=True)
class Destination:
    context: str
    extension: str
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Redirect(AmiEffect):
    """AMI Redirect of one or two channels; reported as `REDIRECTED` or `REDIRECT_FAILED`."""

    channel: str
    destination: Destination
    extra_channel: str | None = None
    extra_destination: Destination | None = None


@dataclass(frozen=True, slots=True)
class BridgePair(AmiEffect):
    """AMI Bridge: out of Stasis, into a plain bridge; reported as `BRIDGED` or `BRIDGE_FAILED`.

    Both channels must be in a bridge: a channel outside one is masqueraded, and app_queue then
    closes the call in its books while both still talk.
    """

    first: str
    second: str


# --- queue membership, not tied to a session -------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddMember(AmiEffect):
    queue: str
    interface: str
    state_interface: str
    member_name: str
    paused: bool
    wrapup_seconds: int = 0
    """The member's own; 0: the queue's."""


@dataclass(frozen=True, slots=True)
class RemoveMember(AmiEffect):
    queue: str
    interface: str


@dataclass(frozen=True, slots=True)
class PauseMember(AmiEffect):
    queue: str
    interface: str
    paused: bool
    reason: str = ""
    """As app_queue tells it to whoever watches; empty: none given."""


# --- timers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetTimer(TimerEffect):
    """(Re)start the session's one timer; its expiry comes back as `TIMED_OUT`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ClearTimer(TimerEffect):
    """Stop the session's timer."""
