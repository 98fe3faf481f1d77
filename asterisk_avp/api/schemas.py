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
    Mode,
    PartyState,
    Readiness,
    Target,
    TargetKind,
    TargetsView,
    TransferRequest,
    TransferState,
    TransferView,
)
from asterisk_avp.core.numbers.rules import MESSAGES, NumberCheck, Reason


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


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Out(BaseModel):
    """Base class; ``model_validate`` converts a view of the core with the same attributes."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


# --- requests --------------------------------------------------------------------------------


class LoginIn(_In):
    agent: Annotated[str, Field(min_length=1, max_length=80)]
    pin: Annotated[str, Field(min_length=1, max_length=80)]


class IdTarget(_In):
    """An agent, a group or a preset. An id that does not exist is refused, not malformed."""

    kind: Literal["agent", "group", "preset"]
    id: Annotated[str, Field(max_length=80)]


class NumberTarget(_In):
    """A number as the agent typed it."""

    kind: Literal["number"]
    number: Annotated[str, Field(max_length=80)]


AnyTarget = Annotated[IdTarget | NumberTarget, Field(discriminator="kind")]


class TransferIn(_In):
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


class PauseIn(_In):
    """``reason`` is told to whoever watches the queues, e.g. in reports on pauses."""

    reason: Annotated[str, Field(max_length=80)] = ""


class PartyIn(_In):
    """A fourth party: an external number as the agent types it."""

    number: Annotated[str, Field(max_length=80)]


class NumberCheckIn(_In):
    """A number as ``agent`` would type it."""

    agent: Annotated[str, Field(min_length=1, max_length=80)]
    number: Annotated[str, Field(max_length=80)]


# --- responses -------------------------------------------------------------------------------


Role = Literal["transferor", "caller", "target", "fourth"]
ACTION = "^(complete|cancel|swap|conference|add_party|drop_party:.+)$"


class TokenOut(_Out):
    token: str


class SessionOut(_Out):
    """A log-in at the panel. ``expires``: when the agent has to log in anew."""

    agent: str
    name: str
    expires: Time


class PartyOut(_Out):
    """``hears``: the roles of the parties that this one hears, or what it hears instead.

    Empty: nothing that the transfer decides about; a phone that rings, a party being connected.
    """

    id: str
    role: Role
    name: str
    state: PartyState
    hears: list[Role | Literal["music", "ringback", "prompt"]]


class IdTargetOut(_Out):
    kind: Literal["agent", "group", "preset"]
    id: str


class NumberTargetOut(_Out):
    kind: Literal["number"]
    number: str


class TransferOut(_Out):
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
    parties: list[PartyOut]
    since: Time
    started: Time
    notes: str
    actions: list[Annotated[str, Field(pattern=ACTION)]]
    """What would not be refused if the transferor asked for it now; empty for other agents."""
    hold_until: Time | None
    """While the target is waited for: when that ends unless somebody answers."""


class CallOut(_Out):
    id: str
    caller: str
    group: str | None
    on_hold: bool
    pop: dict[str, Any]
    transfer: TransferOut | None


class AgentOut(_Out):
    id: str
    name: str
    state: AgentState
    since: Time
    groups: list[str]
    waiting_transfer: bool


class AgentDetailOut(AgentOut):
    paused: bool
    """In all queues; who is still talking will not be ready afterwards, and is no target."""
    pause_reason: str
    call: CallOut | None
    calls: list[CallOut]


class TargetAgentOut(_Out):
    id: str
    name: str
    state: AgentState
    since: Time
    waiting_transfer: bool


class TargetGroupOut(_Out):
    id: str
    name: str
    available: int
    agents: list[TargetAgentOut]


class TargetsOut(_Out):
    permissions: list[str]
    my_agent_groups: list[TargetGroupOut]
    agent_groups: list[TargetGroupOut]
    external_presets: list[dict[str, str]]


class HealthOut(_Out):
    status: Literal["ok"]


class ReadyOut(_Out):
    """``missing`` lists what new transfers have to wait for: ari, ami, sync.

    ``warnings``: what an administrator should change, though transfers are taken.
    """

    ready: bool
    ari: bool
    ami: bool
    synced: bool
    missing: list[str]
    detail: str
    warnings: list[str] = []


class NumberCheckOut(_Out):
    """``e164`` is what would be dialled: null unless allowed. ``region`` 001: of no country."""

    allowed: bool
    reason: Reason
    message: str
    e164: str | None
    region: str | None
    line_type: str | None


# --- errors ----------------------------------------------------------------------------------


class ErrorOut(_Out):
    error: str
    message: str


class RefusalOut(_Out):
    """``refused`` carries one of the reason codes; ``forbidden`` concerns the token.

    ``cross_site``: the panel's cookie came with a request that is not the panel's own.
    """

    error: Literal["refused", "forbidden", "cross_site"]
    message: str
    reason: str | None = None


class MalformedDetail(_Out):
    where: list[str | int]
    message: str


class MalformedOut(_Out):
    error: Literal["malformed"]
    message: str
    details: list[MalformedDetail]


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


def targets_out(view: TargetsView) -> TargetsOut:
    return TargetsOut.model_validate(view)


def ready_out(view: Readiness) -> ReadyOut:
    there = {"ari": view.ari, "ami": view.ami, "sync": view.synced}
    return ReadyOut(
        ready=view.ready,
        ari=view.ari,
        ami=view.ami,
        synced=view.synced,
        missing=[name for name, is_there in there.items() if not is_there],
        detail=view.detail,
        warnings=list(view.warnings),
    )


def number_check_out(check: NumberCheck) -> NumberCheckOut:
    return NumberCheckOut(
        allowed=check.allowed,
        reason=check.reason,
        message=MESSAGES[check.reason],
        e164=check.e164,
        region=check.region,
        line_type=check.line_type,
    )
