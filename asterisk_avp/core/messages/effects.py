"""Effects: commands of a session as plain data, which the adapters perform in order.

The effects of one session are performed one after the other, apart from those that
`core.transfer.concurrency` lists; sessions are independent of each other. Each class belongs to
exactly one adapter (`AriEffect` or `AmiEffect`) or to the daemon (`TimerEffect`). The outcome of
some effects comes back to the session as an event; their docstrings name it. Any other effect that
fails because its channel or bridge has ended needs no report, since an event says so. If it fails
for another reason (Asterisk did not answer, for example), the session needs a resync
(`core.engine.resync`), which repeats what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asterisk_avp.core.model.permission import Permission


@dataclass(frozen=True, slots=True)
class Effect:
    """Base class of all effects."""


@dataclass(frozen=True, slots=True)
class AriEffect(Effect):
    """Performed by ``ari/perform.py``."""


@dataclass(frozen=True, slots=True)
class AmiEffect(Effect):
    """Performed by ``ami/perform.py``."""


@dataclass(frozen=True, slots=True)
class TimerEffect(Effect):
    """Performed by the daemon's timers."""


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
    """Add a channel to a bridge; a channel in another bridge moves."""

    bridge: str
    channel: str
    absorb_dtmf: bool = False
    """Report this channel's DTMF as events and do not pass it on to the bridge."""


@dataclass(frozen=True, slots=True)
class StartMusic(AriEffect):
    """Play music on the channel, never on the bridge (asterisk issue 1926)."""

    channel: str
    music_class: str = ""
    """Empty: the channel's own (``CHANNEL(musicclass)``), or the default."""


@dataclass(frozen=True, slots=True)
class StopMusic(AriEffect):
    """Stop the music and wait until Asterisk reports it; repeated where Asterisk ignores it."""

    channel: str


@dataclass(frozen=True, slots=True)
class StartHold(AriEffect):
    """Tell a channel that all whom it is with are on hold, as a bridge of two does.

    It plays music, or has its phone play some (``moh_passthrough``). Asterisk ends it when that
    party resumes in a bridge of two, and when the channel leaves its bridge (bridge_channel.c,
    ``bridge_channel_internal_join``), also without us.
    """

    channel: str


@dataclass(frozen=True, slots=True)
class EndHold(AriEffect):
    """End `StartHold`, and verify as `StopMusic` does."""

    channel: str


@dataclass(frozen=True, slots=True)
class StartRingback(AriEffect):
    channel: str


@dataclass(frozen=True, slots=True)
class StopRingback(AriEffect):
    channel: str


@dataclass(frozen=True, slots=True)
class LeaveStasis(AriEffect):
    """Return the channel to the dialplan: to ``to``, or to the priority after Stasis()."""

    channel: str
    to: Destination | None = None


@dataclass(frozen=True, slots=True)
class Play(AriEffect):
    """Play sounds to one channel only; meanwhile it does not hear its bridge.

    ``id`` names the playback for `StopPlaying`.
    """

    channel: str
    media: tuple[str, ...]
    id: str


@dataclass(frozen=True, slots=True)
class StopPlaying(AriEffect):
    """End a playback; until then, the channel cannot change bridges."""

    id: str


@dataclass(frozen=True, slots=True)
class Snoop(AriEffect):
    """A Snoop channel of this id enters our application: it has what ``channel`` is sent.

    ``whispers``: the reverse, ``channel`` hears what the Snoop channel is sent, on top of its own.
    It ends with ``channel``.
    """

    channel: str
    snoop: str
    whispers: bool = False


@dataclass(frozen=True, slots=True)
class StopSnoop(AriEffect):
    channel: str


@dataclass(frozen=True, slots=True)
class SendKeys(AriEffect):
    """Send DTMF to ``channel``, as if from the phone of the party that it talks to."""

    channel: str
    keys: str


@dataclass(frozen=True, slots=True)
class NotifyPhone(AriEffect):
    """Notify a phone of the outcome of its REFER. Its channel must be in Stasis."""

    channel: str
    done: bool


@dataclass(frozen=True, slots=True)
class DialLeg(AriEffect):
    """Originate a leg into the Stasis application. Failure is reported as `LEG_FAILED`."""

    channel: str
    other_channel: str
    permission: Permission
    """The only source of what is dialled."""
    originator: str
    caller_id: str
    """As ``"Alice" <1001>``; empty: none."""
    variables: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int | None = None
    """Ring time; None: that of the queue it enters."""
    fourth: bool = False
    """The leg of a fourth party; failure is reported as `FOURTH_FAILED`."""
    first: Destination | None = None
    """The dialplan that the answered leg executes before it enters Stasis; None: Stasis at once."""


# --- AMI -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HangUp(AmiEffect):
    """AMI Hangup, by channel id. Only for channels in our Stasis application.

    app_queue writes the end of the call on a hang-up *request* (app_queue.c, ``handle_hangup``).
    The end of the channel's PBX raises it (pbx.c, ``__ast_pbx_run``), not this action; Stasis runs
    in that PBX.
    """

    channel: str


@dataclass(frozen=True, slots=True)
class SetVariables(AmiEffect):
    """Set variables of one channel, before the step that they describe."""

    channel: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LimitCall(AmiEffect):
    """Set when Asterisk ends the call by itself (TIMEOUT(absolute)), in Unix seconds."""

    channel: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class PauseRecording(AmiEffect):
    """Make every recording of the channel record silence; without effect if there is none."""

    channel: str


@dataclass(frozen=True, slots=True)
class ResumeRecording(AmiEffect):
    """End `PauseRecording`. Directions that others have muted stay muted."""

    channel: str


@dataclass(frozen=True, slots=True)
class RenewTranslation(AmiEffect):
    """Make Asterisk translate anew what the phone behind a Local channel hears.

    Without effect for other channels, and where nothing is translated. See
    `core.transfer.translation`.
    """

    channel: str


@dataclass(frozen=True, slots=True)
class Destination:
    context: str
    extension: str
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Redirect(AmiEffect):
    """AMI Redirect of one or two channels. Reported as `REDIRECTED` or `REDIRECT_FAILED`."""

    channel: str
    destination: Destination
    extra_channel: str | None = None
    extra_destination: Destination | None = None


@dataclass(frozen=True, slots=True)
class BridgePair(AmiEffect):
    """AMI Bridge, from Stasis into a plain bridge. Reported as `BRIDGED` or `BRIDGE_FAILED`.

    Both channels must be in a bridge. Asterisk masquerades a channel outside one, and app_queue
    then writes the end of the call while both parties still talk.
    """

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class WithdrawCaller(AmiEffect):
    """Make app_queue end the wait of a caller. It does nothing once the call is answered."""

    queue: str
    channel: str


# --- queue membership, without a session -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddMember(AmiEffect):
    queue: str
    interface: str
    state_interface: str
    member_name: str
    paused: bool
    wrapup_seconds: int = 0
    """The member's own wrap-up time; 0: the queue's."""
    penalty: int = 0
    reason: str = ""
    """Why it is paused; empty: no reason, or not paused."""


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
    """The reason that app_queue reports in events; empty: none."""


@dataclass(frozen=True, slots=True)
class SetPenalty(AmiEffect):
    queue: str
    interface: str
    penalty: int


@dataclass(frozen=True, slots=True)
class SetRingInUse(AmiEffect):
    """Set whether the queue offers calls to the member while its phone is in use."""

    queue: str
    interface: str
    ring_in_use: bool


# --- timers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetTimer(TimerEffect):
    """(Re)start the session's only timer. Its expiry is reported as `TIMED_OUT`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ClearTimer(TimerEffect):
    """Stop the session's timer."""
