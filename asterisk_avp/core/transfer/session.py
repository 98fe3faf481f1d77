"""One transfer: its parties, their state, and the policy's decision.

A `Session` is immutable; `machine.step` returns the next one. We choose the ids of channels and
bridges before creating them, so that no event can arrive for an unknown id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from asterisk_avp.core.messages.effects import Destination
from asterisk_avp.core.model.caller import Caller, Presentation
from asterisk_avp.core.model.hold import MUSIC
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Mode, Origin, Target, TargetKind
from asterisk_avp.core.transfer.spec import Recovery, Released
from asterisk_avp.core.transfer.states import State

SECRET_BYTES: Final = 16
"""Bytes of the secret in a leg's channel id."""

_SNOOP = re.compile("-leg-early[0-9]+(-whisper)?$")
_SECRET = re.compile("-[0-9a-f]{32}(?=-leg)")

ACCEPT_SECONDS = 60
"""Time for an external target to accept a call: the absolute timeout of avp-accept."""


class Presence(StrEnum):
    """Where a party's channel is, as far as the session knows."""

    EXPECTED = "expected"
    """Exists, but is not (yet) in our Stasis application."""
    PRESENT = "present"
    """In our Stasis application and in one of our bridges."""
    GONE = "gone"


class Intent(StrEnum):
    """The transferor's command while the parties were still on their way into Stasis."""

    NONE = "none"
    COMPLETE = "complete"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Party:
    """A channel of the call: its id (AMI Uniqueid, ARI channel id), caller id number and name."""

    channel: str
    number: str = ""
    name: str = ""
    presence: Presence = Presence.EXPECTED
    presentation: Presentation = Presentation.ALLOWED

    @property
    def identity(self) -> Caller:
        """The number and name, for whoever asks what may be told of them."""
        return Caller(self.number, self.name, self.presentation)


@dataclass(frozen=True, slots=True)
class Fourth:
    """A fourth party that the transferor added to the consultation."""

    id: str
    """The party id: that of the agent, or for an external number ``party-4``, ``party-5``…"""
    party: Party
    other: str
    """The id of the far end of its Local channel."""
    permission: Permission


@dataclass(frozen=True, slots=True)
class Choice:
    """A target that the transferor keyed in, with the policy's permission."""

    mode: Mode
    target: Target
    permission: Permission


@dataclass(frozen=True, slots=True)
class Times:
    """The times that the views of a transfer need, in Unix seconds."""

    started: float
    since: float
    """When it entered its state."""
    music_since: float | None = None
    """Since when the caller hears music without a pause; None: it hears none."""


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    agent: str
    group: str
    mode: Mode
    target: Target | None
    """None while the transferor is keying it in."""
    transferor: Party
    caller: Party
    leg: Party
    """The consult leg: the half of the Local channel that is in Stasis (``;1``)."""
    local_far_end: str
    """The id of its far end (``;2``), which waits in the target's queue."""
    permission: Permission
    """Policy's permission at the time of the request."""
    transferor_location: str
    """The transferor's member interface without technology, as app_queue names a dialled member."""
    max_hold_seconds: int
    ring_outside_seconds: int
    """Ring time of an external number."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further variables for the dialplan, set on the caller's channel."""
    notes: str = ""
    origin: Origin = Origin.API
    refused: bool = False
    """Policy refused the phone's REFER. The phone is notified while both parties are in Stasis,
    because it may hang up on the refusal; ``reason`` says why."""
    attended: bool = False
    """The phone itself called the target: ``leg`` is the target's channel."""
    second_line: str = ""
    """The phone's channel of its own call to the target; empty: none."""
    tries: int = 0
    """Refused entries that the transferor has keyed in."""
    state: State = State.STARTING
    intent: Intent = Intent.NONE
    outcome: State = State.CANCELLED
    """The final state that `RETURNING` and `RECALLING` lead to."""
    reason: str = ""
    """The reason of the outcome; reported as ``ended_reason`` once the state is final."""
    delivered_to: str | None = None
    fourth: Fourth | None = None
    """Set from dialling until the party has gone or has become the target."""
    fourths_called: int = 0
    target_id: str = ""
    """The party id of a fourth party that has become the target; empty: none has."""
    asked: tuple[str, ...] = ()
    """The colleagues who were asked to be the fourth party, also after they have left."""
    waiting_since: float | None = None
    """When the latest wait for the target began, in Unix seconds; None: it has not."""
    on_hold: frozenset[str] = frozenset()
    """The channels of the parties who have put the call on hold by their phones' own key."""
    times: Times | None = None
    """As the engine has noted them (`core.engine.record`), so that the next daemon knows them.
    None: an earlier daemon did not write them."""

    @property
    def hold_bridge(self) -> str:
        """The bridge in which the caller is on hold."""
        return f"avp-{self.id}-hold"

    @property
    def consult_bridge(self) -> str:
        return f"avp-{self.id}-consult"

    @property
    def shared_call(self) -> bool:
        """Whether the transfer is completed while a conference with the fourth party goes on."""
        of_target = self.state.spec.released is Released.IF_COMPLETED
        return of_target and self.outcome is State.COMPLETED

    @property
    def caller_is_elsewhere(self) -> bool:
        """Whether another program has taken the caller, and the others are being connected."""
        parting = self.state.spec.recovery is Recovery.BRIDGE_REST
        return parting and self.outcome is State.FAILED

    @property
    def parties(self) -> tuple[Party, ...]:
        """The transferor first and the caller last."""
        fourth = (self.fourth.party,) if self.fourth is not None else ()
        return (self.transferor, self.leg, *fourth, self.caller)

    @property
    def present(self) -> tuple[Party, ...]:
        """The parties in our Stasis application, the transferor first and the caller last."""
        return tuple(party for party in self.parties if party.presence is Presence.PRESENT)

    def presence_of(self, party: str) -> Presence:
        """The presence of "transferor", "caller", "leg" or "fourth"; gone: no fourth party."""
        match party:
            case "transferor":
                return self.transferor.presence
            case "caller":
                return self.caller.presence
            case "leg":
                return self.leg.presence
            case _:
                return self.fourth.party.presence if self.fourth is not None else Presence.GONE

    @property
    def fourth_is(self) -> Presence:
        """The presence of the fourth party; gone: there is none."""
        return self.presence_of("fourth")

    @property
    def music_class(self) -> str:
        """The class of the caller's music; empty: unknown."""
        return self.variables.get(MUSIC, "")

    @property
    def wait_seconds(self) -> int:
        """Time for the target to answer, by Asterisk's own timers."""
        if self.permission.number is None:
            return self.max_hold_seconds
        return self.ring_outside_seconds + (
            ACCEPT_SECONDS if self.permission.requires_acceptance else 0
        )

    @property
    def may_detach(self) -> bool:
        """Whether it may continue without the transferor (unsupervised)."""
        return self.permission.may_detach

    @property
    def group_after(self) -> str:
        """The call's group after the transfer: the target, if it is a group."""
        target = None if self.refused else self.target
        return target.value if target and target.kind is TargetKind.GROUP else self.group

    @property
    def target_destination(self) -> Destination:
        """Where the dialplan sends a caller without the transferor; never an external number.

        Raises `ValueError` for an external target.
        """
        where = "remote" if self.permission.by_trunk else "agent"
        if self.permission.agent is not None:
            return Destination(f"avp-{where}-queue", self.permission.agent)
        if self.permission.queue is None:
            raise ValueError("an external number cannot be a queue")
        context = "avp-remote-group" if self.permission.trunks else "avp-group-queue"
        return Destination(context, self.permission.queue)

    def with_presence(self, party: str, presence: Presence) -> Session:
        """The session with another presence of one party.

        ``party`` is "transferor", "caller", "leg" or "fourth"; a fourth party that has gone is
        removed.
        """
        if party == "fourth":
            if self.fourth is None:
                return self
            if presence is Presence.GONE:
                return replace(self, fourth=None)
            there = replace(self.fourth.party, presence=presence)
            return replace(self, fourth=replace(self.fourth, party=there))
        if party == "transferor":
            return replace(self, transferor=replace(self.transferor, presence=presence))
        if party == "caller":
            return replace(self, caller=replace(self.caller, presence=presence))
        return replace(self, leg=replace(self.leg, presence=presence))


def bridged_pair(session: Session) -> tuple[str, str] | None:
    """The channels that the AMI Bridge of this state moves; None: there is none."""
    match session.state.spec.recovery:
        case Recovery.BRIDGE_TARGET:
            return session.leg.channel, session.caller.channel
        case Recovery.BRIDGE_TRANSFEROR:
            return session.transferor.channel, session.caller.channel
        case Recovery.BRIDGE_REST if len(session.present) > 1:
            return session.present[0].channel, session.present[-1].channel
        case _:
            return None


def far_end_of(session: Session, channel: str) -> str:
    """The far end of the leg with this id; empty: it is no leg of the session."""
    if channel == session.leg.channel:
        return session.local_far_end
    if session.fourth is not None and channel == session.fourth.party.channel:
        return session.fourth.other
    return ""


def promoted(session: Session) -> Session:
    """Make the fourth party the target, because the target has left."""
    fourth = session.fourth
    if fourth is None:
        return session
    return replace(
        session,
        leg=fourth.party,
        local_far_end=fourth.other,
        permission=fourth.permission,
        target_id=fourth.id,
        fourth=None,
    )


def leg_id(transfer: str, secret: str) -> str:
    """The channel id of a transfer's consult leg.

    ``secret``: unguessable hexadecimal digits. Agents know the ids of transfers, and knowledge of a
    channel's id would allow forged events about it, because AMI sends some texts unescaped.
    """
    return f"avp-{transfer}{_joined(secret)}-leg"


def fourth_id(transfer: str, count: int, secret: str) -> str:
    """The channel id of the ``count``-th fourth party added to a transfer."""
    return f"avp-{transfer}-{count}{_joined(secret)}-leg"


def _joined(secret: str) -> str:
    return f"-{secret}" if secret else ""


def shown_id(channel: str) -> str:
    """A channel's id as agents may see it: without the secret of a leg."""
    return _SECRET.sub("", channel) if is_half(channel) else channel


def other_half(leg: str) -> str:
    """The id of the far end of a leg's Local channel, which enters the queue or calls the trunk."""
    return leg + "-queue"


def early_bridge(transfer: str) -> str:
    """The bridge from which the transferor hears a fourth party's network before it answers."""
    return f"avp-{transfer}-early"


def is_leg(channel: str) -> bool:
    """Whether a channel id is that of a leg of any transfer."""
    return channel.startswith("avp-") and channel.endswith("-leg")


def is_snoop(channel: str) -> bool:
    """Whether a channel id is that of a Snoop channel of any transfer (`early_media`)."""
    return channel.startswith("avp-") and _SNOOP.search(channel) is not None


def is_half(channel: str) -> bool:
    """Whether a channel id is that of either half of a leg of any transfer."""
    return is_leg(channel.removesuffix("-queue"))


def is_bridge(bridge: str) -> bool:
    """Whether a bridge id is that of a bridge of any transfer."""
    return bridge.startswith("avp-") and bridge.endswith(("-hold", "-consult", "-early"))
