"""One transfer: the parties, what is known of them, and the decision made when it was asked for.

A `Session` is immutable; `transfer.step` gives the next one. Ids of channels and bridges are
chosen by us before anything is created, so that an event can never arrive for an id we do not
know yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from asterisk_avp.core.messages.effects import Destination
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Mode, Origin, Target, TargetKind
from asterisk_avp.core.transfer.states import State

SECRET_BYTES: Final = 16
"""Of a leg's channel id."""

_SECRET = re.compile("-[0-9a-f]{32}(?=-leg)")


ACCEPT_SECONDS = 60
"""How long an external target is given to accept a call: avp-accept's absolute timeout."""


class Presence(StrEnum):
    """Where a party's channel is, as far as this session knows."""

    EXPECTED = "expected"
    """Exists, but is not in our Stasis app (yet)."""
    PRESENT = "present"
    """In our Stasis app and in one of our bridges."""
    GONE = "gone"


class Intent(StrEnum):
    """What agent 1 asked for while the parties were still on their way into Stasis."""

    NONE = "none"
    COMPLETE = "complete"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Party:
    """A channel of the call: id (AMI Uniqueid = ARI channel id), caller id number and name."""

    channel: str
    number: str = ""
    name: str = ""
    presence: Presence = Presence.EXPECTED


@dataclass(frozen=True, slots=True)
class Fourth:
    """A fourth party that agent 1 called into the consult: an external number."""

    id: str
    """Its id among the parties of the transfer: ``party-4``, ``party-5``…"""
    party: Party
    other: str
    """The id of the other half of its Local channel."""
    permission: Permission


@dataclass(frozen=True, slots=True)
class Choice:
    """A target that was keyed in, with the policy's permission for it."""

    mode: Mode
    target: Target
    permission: Permission


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    agent: str
    group: str
    mode: Mode
    target: Target | None
    """None while agent 1 is keying it in."""
    transferor: Party
    caller: Party
    leg: Party
    """The consult leg: the half of the Local channel that is in Stasis (``;1``)."""
    local_far_end: str
    """The id of its other half (``;2``), which waits in the target's queue."""
    permission: Permission
    """Policy's word at the time of asking: where to, and whether without agent 1."""
    transferor_location: str
    """Agent 1's member interface without its technology, as app_queue names a dialled member."""
    max_hold_seconds: int
    ring_outside_seconds: int
    """How long an external number may ring."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the dialplan needs to know of this transfer, set on the caller's channel."""
    notes: str = ""
    origin: Origin = Origin.API
    refused: bool = False
    """Policy has refused it. The phone that asked by its Transfer button is told so, with both
    parties in our hands, since it may hang up on hearing it; ``reason`` says why."""
    attended: bool = False
    """The phone itself has called the target already: ``leg`` is the target's channel."""
    second_line: str = ""
    """The channel of agent 1's own call to the target, where there is one."""
    tries: int = 0
    """How many times agent 1 has keyed in something that was refused."""
    state: State = State.STARTING
    intent: Intent = Intent.NONE
    outcome: State = State.CANCELLED
    """The final state that `RETURNING` and `RECALLING` lead to."""
    reason: str = ""
    """Why it ends as it does; reported as ``ended_reason`` once the state is final."""
    delivered_to: str | None = None
    fourth: Fourth | None = None
    """From the moment it is dialled until it has gone, or has taken the target's place."""
    fourths_called: int = 0
    target_id: str = ""
    """The id, among the parties, of a fourth party that has taken the target's place."""

    @property
    def hold_bridge(self) -> str:
        """Where the caller sits alone with music."""
        return f"avp-{self.id}-hold"

    @property
    def consult_bridge(self) -> str:
        return f"avp-{self.id}-consult"

    @property
    def present(self) -> tuple[Party, ...]:
        """Who is in our Stasis app, agent 1 first and the caller last."""
        fourth = (self.fourth.party,) if self.fourth is not None else ()
        parties = (self.transferor, self.leg, *fourth, self.caller)
        return tuple(party for party in parties if party.presence is Presence.PRESENT)

    def presence_of(self, party: str) -> Presence:
        """Where "transferor", "caller", "leg" or "fourth" is; gone where there is no fourth."""
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
        """Where the fourth party is; gone where there is none."""
        return self.presence_of("fourth")

    @property
    def wait_seconds(self) -> int:
        """How long the target may take to answer, by Asterisk's own timers."""
        if self.permission.number is None:
            return self.max_hold_seconds
        return self.ring_outside_seconds + (
            ACCEPT_SECONDS if self.permission.requires_acceptance else 0
        )

    @property
    def may_detach(self) -> bool:
        """Whether it may go on without agent 1 (unsupervised)."""
        return self.permission.may_detach

    @property
    def group_after(self) -> str:
        """The group whose call it is once the target has it: the target group, if it is one."""
        target = None if self.refused else self.target
        return target.value if target and target.kind is TargetKind.GROUP else self.group

    @property
    def target_destination(self) -> Destination:
        """Where the dialplan takes a caller who goes on alone; never outside."""
        if self.permission.agent is not None:
            return Destination("avp-agent-queue", self.permission.agent)
        if self.permission.queue is None:
            raise ValueError("an external number cannot be a queue")
        return Destination("avp-group-queue", self.permission.queue)

    def with_presence(self, party: str, presence: Presence) -> Session:
        """The same session with one party seen elsewhere.

        ``party`` is "transferor", "caller", "leg" or "fourth"; a fourth party that has gone is
        forgotten.
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


def promoted(session: Session) -> Session:
    """The target has gone and the fourth party is there: it takes the target's place."""
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

    ``secret``: hexadecimal digits that nobody can guess. Agents know the ids of transfers, and
    whoever knows a channel's id could write events about it (AMI sends some texts raw).
    """
    return f"avp-{transfer}{_joined(secret)}-leg"


def fourth_id(transfer: str, count: int, secret: str) -> str:
    """The channel id of the ``count``-th fourth party called into a transfer."""
    return f"avp-{transfer}-{count}{_joined(secret)}-leg"


def _joined(secret: str) -> str:
    return f"-{secret}" if secret else ""


def shown_id(channel: str) -> str:
    """A channel's id as agents may see it: that of a leg of ours without its secret."""
    return _SECRET.sub("", channel) if is_half(channel) else channel


def other_half(leg: str) -> str:
    """The id of the half of a leg's Local channel that goes to the queue or the trunk."""
    return leg + "-queue"


def is_leg(channel: str) -> bool:
    """Whether a channel id is that of a leg of ours, of whichever transfer."""
    return channel.startswith("avp-") and channel.endswith("-leg")


def is_half(channel: str) -> bool:
    """Whether a channel id is that of either half of a leg of ours, of whichever transfer."""
    return is_leg(channel.removesuffix("-queue"))


def is_bridge(bridge: str) -> bool:
    """Whether a bridge id is that of a bridge of ours, of whichever transfer."""
    return bridge.startswith("avp-") and bridge.endswith(("-hold", "-consult"))
