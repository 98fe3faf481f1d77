"""The JSON of the API: requests, responses, and the conversion of the core's views.

Times are ISO 8601 in UTC with milliseconds, e.g. ``2026-01-31T09:05:07.250Z``. Requests with
unknown fields are rejected. The same functions create the objects in events.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from asterisk_avp.core.model.world import (
    AgentState,
    AgentView,
    CallerOutcome,
    Mode,
    PartyState,
    Readiness,
    Target,
    TargetKind,
    TransferRequest,
    TransferState,
    TransferView,
)


def iso_time(unix_seconds: float) -> str:
    """``1769850307.25`` is ``2026-01-31T09:05:07.250Z``."""
    moment = datetime.fromtimestamp(unix_seconds, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(value: object) -> object:
    return iso_time(value) if isinstance(value, int | float) else value


def _target(value: object) -> object:
    if not isinstance(value, Target):
        return value
    key = "number" if value.kind is TargetKind.NUMBER else "id"
    return {"kind": value.kind.value, key: value.value}


Time = Annotated[
    str,
    BeforeValidator(_time),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-01-31T09:05:07.250Z"]}
    ),
]
"""Converted from Unix seconds in views."""


class In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Out(BaseModel):
    """Base class; ``model_validate`` converts a view of the core with the same attributes."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


# --- requests --------------------------------------------------------------------------------


class LoginIn(In):
    agent: Annotated[str, Field(min_length=1, max_length=80)]
    pin: Annotated[str, Field(min_length=1, max_length=80)]


class IdTarget(In):
    """An agent, a group or a preset. An id that does not exist is refused, not malformed."""

    kind: Literal["agent", "group", "preset"]
    id: Annotated[str, Field(max_length=80)]


class NumberTarget(In):
    """A number as the agent typed it."""

    kind: Literal["number"]
    number: Annotated[str, Field(max_length=80)]


AnyTarget = Annotated[IdTarget | NumberTarget, Field(discriminator="kind")]


class TransferIn(In):
    mode: Mode
    target: AnyTarget
    notes: Annotated[str, Field(max_length=2000)] = ""
    call: Annotated[str, Field(min_length=1, max_length=150)] | None = None
    """The id of one of the agent's calls; default: the call that is not on hold."""

    def request(self, agent: str) -> TransferRequest:
        value = self.target.id if isinstance(self.target, IdTarget) else self.target.number
        return TransferRequest(
            agent=agent,
            mode=self.mode,
            target=Target(kind=TargetKind(self.target.kind), value=value),
            notes=self.notes,
            call=self.call,
        )


class NumberPartyIn(In):
    """An external number as fourth party, as the agent types it."""

    number: Annotated[str, Field(max_length=80)]

    def target(self) -> Target:
        return Target(TargetKind.NUMBER, self.number)


class AgentPartyIn(In):
    """A colleague as fourth party. An id that does not exist is refused, not malformed."""

    agent: Annotated[str, Field(max_length=80)]

    def target(self) -> Target:
        return Target(TargetKind.AGENT, self.agent)


AnyParty = NumberPartyIn | AgentPartyIn


# --- responses -------------------------------------------------------------------------------


Role = Literal["transferor", "caller", "target", "fourth"]
ACTION = "^(complete|cancel|swap|conference|add_party|drop_party:.+)$"


class TokenOut(Out):
    token: str


class PartyOut(Out):
    """``hears``: the roles of the parties that this one hears, or what it hears instead.

    Empty: nothing that the transfer decides about; a phone that rings, a party being connected.

    ``state`` is ``on_hold`` while the party has put the call on hold by its phone's own key. It
    hears nothing, and whoever is only with parties on hold hears music.
    """

    id: str
    role: Role
    name: str
    name_formatted: str
    """``name``, if that is a number, as people of the client's country write it."""
    state: PartyState
    hears: list[Role | Literal["music", "ringback", "prompt"]]


class IdTargetOut(Out):
    kind: Literal["agent", "group", "preset"]
    id: str


class NumberTargetOut(Out):
    kind: Literal["number"]
    number: str


class TransferOut(Out):
    """Ids and names of what belongs to another client than the agent's who asks are empty."""

    id: str
    agent: str
    group: str
    mode: Mode
    target: Annotated[IdTargetOut | NumberTargetOut | None, BeforeValidator(_target)]
    """Null while the transferor is still keying it in on the phone."""
    state: TransferState
    ended_reason: str | None
    caller: str
    caller_formatted: str
    """``caller`` as people of the client's country write it."""
    caller_withheld: bool
    """The caller withholds number and name. They are empty unless `SHOW_WITHHELD` is on."""
    parties: list[PartyOut]
    since: Time
    started: Time
    notes: str
    actions: list[Annotated[str, Field(pattern=ACTION)]]
    """What would not be refused if the transferor asked for it now; empty for other agents."""
    hold_until: Time | None
    """While the target is waited for: when that ends unless somebody answers."""
    music_since: Time | None
    """Since when the caller hears music without a pause."""
    asked: list[str]
    """The colleagues who were asked to be the fourth party, also after they have left."""
    caller_name: str
    caller_outcome: CallerOutcome | None
    """Where the transfer has left the caller; null while it runs. It can change afterwards: a
    caller who is being returned may hang up before the transferor answers."""


class ConsultOut(Out):
    """Who consults the agent; empty where it is another client's agent."""

    agent: str
    name: str


class TransferredOut(Out):
    """Who transfers the call; empty where it is another client's agent."""

    agent: str
    name: str
    hears: list[Role | Literal["music", "ringback", "prompt"]]
    """What the agent who asks hears, as `hears` of a party."""


class CallOut(Out):
    id: str
    caller: str
    caller_formatted: str
    caller_withheld: bool
    """The caller withholds number and name. They are empty unless `SHOW_WITHHELD` is on."""
    group: str | None
    on_hold: bool
    pop: dict[str, Any]
    transfer: TransferOut | None
    consult: ConsultOut | None
    """Not null: a colleague consults this agent, who cannot transfer the call. The caller whom it
    is about is not told before the transfer is completed."""
    transferred: TransferredOut | None
    """Not null: the agent is the call's caller, and a colleague transfers it."""


class AgentOut(Out):
    id: str
    name: str
    state: AgentState
    since: Time | None
    """Null: unknown, because the state has not changed since the daemon started."""
    groups: list[str]
    waiting_transfer: bool
    acw_until: Time | None
    """While in after-call work: when it ends."""
    node: str | None
    """The node where the agent is at home, if there are several; null: this one."""


class MembershipOut(Out):
    """One of the agent's groups; ``member``: logged in, ``dynamic``: may log in and out."""

    group: str
    member: bool
    dynamic: bool
    actions: list[Literal["login", "logout"]]
    """What would not be refused now."""
    logged_in: bool
    """Whether the agent is one of those whom the group's count of this name has."""
    ready: bool
    available: bool


class AgentDetailOut(AgentOut):
    paused: bool
    """In all queues; who is still talking will not be ready afterwards, and is no target."""
    pause_reason: str
    work_actions: list[Literal["pause", "ready", "end_acw", "extend_acw"]]
    """What would not be refused now, if the agent asked for it."""
    memberships: list[MembershipOut]
    call: CallOut | None
    calls: list[CallOut]


class HealthOut(Out):
    status: Literal["ok"]


class ReadyOut(Out):
    """``missing`` lists what new transfers have to wait for: ari, ami, sync.

    ``warnings``: what an administrator should change, though transfers are taken. ``reason``: a
    code for what ``detail`` says to an administrator; null if ready. ``standby``: whether another
    daemon waits to take this one's place.
    """

    ready: bool
    ari: bool
    ami: bool
    synced: bool
    missing: list[str]
    detail: str
    reason: str | None = None
    warnings: list[str] = []
    standby: bool = False


# --- from the core's views -------------------------------------------------------------------


def transfer_out(view: TransferView) -> TransferOut:
    return TransferOut.model_validate(view)


def agent_out(view: AgentView) -> AgentOut:
    return AgentOut.model_validate(view)


def agent_for_all(view: AgentView) -> dict[str, Any]:
    """What every agent may see of an agent: `AgentDetailOut` without private fields."""
    return {**agent_out(view).model_dump(mode="json"), "paused": view.paused}


def agent_detail_out(view: AgentView) -> AgentDetailOut:
    return AgentDetailOut.model_validate(view)


def ready_out(view: Readiness) -> ReadyOut:
    there = {"ari": view.ari, "ami": view.ami, "sync": view.synced}
    return ReadyOut(
        ready=view.ready,
        ari=view.ari,
        ami=view.ami,
        synced=view.synced,
        missing=[name for name, is_there in there.items() if not is_there],
        detail=view.detail,
        reason=view.reason or None,
        warnings=list(view.warnings),
        standby=view.standby,
    )
