"""Immutable data types: the configuration (`World`), requests, and views of API and CLI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Self

from asterisk_avp.core.model.agent_state import (
    AgentState as AgentState,  # noqa: PLC0414 - one of this module's names
)
from asterisk_avp.core.model.features import Features, MaxHoldAction
from asterisk_avp.core.model.nodes import Node
from asterisk_avp.core.model.transferred import TransferredView
from asterisk_avp.core.model.work import WorkRules, WorkView


class Mode(StrEnum):
    SUPERVISED = "supervised"
    UNSUPERVISED = "unsupervised"


class Origin(StrEnum):
    """Where a transfer was requested."""

    API = "api"
    BUTTON = "button"  # the phone's own Transfer button (SIP REFER)
    CODE = "code"  # the feature code, keyed in on the phone
    JOIN = "join"  # the Transfer button at another node, where the phone talks to the target


class TargetKind(StrEnum):
    AGENT = "agent"
    GROUP = "group"
    PRESET = "preset"
    NUMBER = "number"


class TransferState(StrEnum):
    """States of a transfer as reported by the API; the last four are final."""

    final: bool

    def __new__(cls, value: str, final: bool = False) -> Self:  # noqa: FBT001, FBT002 - a column
        made = str.__new__(cls, value)
        made._value_ = value
        made.final = final
        return made

    STARTING = "starting"
    RINGING = "ringing"
    WAITING = "waiting"
    CONSULTING = "consulting"
    SWAPPED = "swapped"
    CONFERENCE = "conference"
    COMPLETING = "completing"
    COMPLETED = "completed", True
    CANCELLED = "cancelled", True
    FAILED = "failed", True
    ABANDONED = "abandoned", True


class CallerOutcome(StrEnum):
    """Where a transfer has left the caller, as reported by the API."""

    CONNECTED = "connected"
    """With the target."""
    RETURNED = "returned"
    """With the transferor, or on the way to them."""
    GROUP = "group"
    """At the head of the queue of the call's group, or already with one of its agents."""
    DISCONNECTED = "disconnected"
    """Hung up on, after an announcement: nobody took the call in time."""
    HUNG_UP = "hung_up"
    ELSEWHERE = "elsewhere"  # others took the call, or the caller left the queue by a key
    LOST = "lost"
    """Unknown: Asterisk failed, or the daemon was cut off from it meanwhile."""


class PartyState(StrEnum):
    """What a party of a transfer does, as reported by the API."""

    TALKING = "talking"
    HOLDING = "holding"
    ON_HOLD = "on_hold"  # by its phone's own key
    RINGING = "ringing"
    WAITING = "waiting"
    GONE = "gone"


# --- configuration ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """An agent group: one queue in app_queue."""

    id: str
    queue: str
    name: str
    account: str | None = None
    acw_seconds: int = 0
    max_hold_seconds: int = 120
    max_hold_action: MaxHoldAction = MaxHoldAction.HANGUP
    extension: str | None = None
    pop_url: str | None = None
    """Template of the URL that a screen pop opens."""
    features: Features = field(default_factory=Features)
    shared_with: tuple[str, ...] = ()
    """Other accounts whose agents see it and may transfer calls to it (`core.model.tenants`)."""

    def open_to(self, account: str | None) -> bool:
        """Whether ``account`` owns the group or shares it."""
        return account == self.account or account in self.shared_with


@dataclass(frozen=True, slots=True)
class Preset:
    """A configured external number that agents may select, associated with a group."""

    id: str
    name: str
    number: str
    """As configured; policy converts it to E.164."""
    group: str
    code: str | None = None
    """The digits that select it on a phone."""
    shared_with: tuple[str, ...] = ()
    """Accounts, other than its group's, whose agents may select it."""


@dataclass(frozen=True, slots=True)
class ConfiguredAgent:
    """The configuration of an agent. ``interface``: instead of the queue member's."""

    id: str
    name: str | None = None
    interface: str | None = None
    country: str | None = None
    groups: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    node: str | None = None


@dataclass(frozen=True, slots=True)
class World:
    """The configuration as the core sees it, without connections and secrets."""

    groups: Mapping[str, Group]
    agents: Mapping[str, ConfiguredAgent] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)
    work: WorkRules = field(default_factory=WorkRules)
    node: str = ""
    """This node; empty: there is one Asterisk."""
    nodes: Mapping[str, Node] = field(default_factory=dict)

    def group_of_queue(self, queue: str) -> Group | None:
        for group in self.groups.values():
            if group.queue == queue:
                return group
        return None


PERSONAL_QUEUE_PREFIX = "avp-agent-"

# It becomes part of queues' names, dial strings and URLs: no character that is special there.
AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@lru_cache(maxsize=16_384)
def agent_id_of_interface(interface: str) -> str | None:
    """``1001`` of ``PJSIP/1001`` or ``Local/1001@agents/n``; None: no valid id."""
    _, slash, rest = interface.partition("/")
    if not slash:
        return None
    identifier = re.split(r"[@/]", rest, maxsplit=1)[0]
    return identifier if AGENT_ID.fullmatch(identifier) else None


def personal_queue(agent_id: str) -> str:
    return PERSONAL_QUEUE_PREFIX + agent_id


def agent_of_personal_queue(queue: str) -> str | None:
    if not queue.startswith(PERSONAL_QUEUE_PREFIX):
        return None
    return queue[len(PERSONAL_QUEUE_PREFIX) :]


# --- requests --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a transfer. ``value`` is an id, or for `NUMBER` the number as typed."""

    kind: TargetKind
    value: str


@dataclass(frozen=True, slots=True)
class TransferRequest:
    agent: str
    mode: Mode
    target: Target
    notes: str = ""
    origin: Origin = Origin.API
    channel: str | None = None
    """The name of the phone's channel, where the request came from a phone."""
    call: str | None = None
    """The call, by the caller's channel id. None: the agent's call that is not on hold."""
    transfer: str = ""
    """The new transfer's id, if another node knows of it already; empty: not chosen yet."""


# --- views (the shapes of the HTTP API, DESIGN section 4) ------------------------------------


@dataclass(frozen=True, slots=True)
class PartyView:
    id: str
    role: str  # transferor, caller, target, fourth
    name: str
    state: PartyState
    hears: tuple[str, ...] = ()
    """Roles of the parties it hears, or "music", "ringback" or "prompt"; empty: nothing."""
    name_formatted: str = ""
    """``name``, if that is a number: as people of the client's country write it."""


@dataclass(frozen=True, slots=True)
class TransferView:
    id: str
    agent: str
    group: str
    mode: Mode
    target: Target | None  # None while the transferor is still keying it in
    state: TransferState
    ended_reason: str | None
    caller: str
    parties: tuple[PartyView, ...]
    since: float
    """Unix time in seconds at which ``state`` was entered."""
    started: float
    notes: str = ""
    actions: tuple[str, ...] = ()
    """What the transferor may ask for now: "complete", …, "drop_party:<id of the party>"."""
    hold_until: float | None = None
    """While waiting for the target: when the wait ends without an answer, in Unix seconds."""
    music_since: float | None = None
    """Since when the caller hears music without a pause (Unix seconds); None: none, or unknown."""
    caller_formatted: str = ""
    asked: tuple[str, ...] = ()
    """The colleagues who were asked to be the fourth party, also after they have left."""
    caller_name: str = ""
    caller_outcome: CallerOutcome | None = None
    """Where the caller is now that the transfer has ended; None while it runs."""
    caller_withheld: bool = False


@dataclass(frozen=True, slots=True)
class ConsultView:
    """The colleague who asks an agent about a call. None in a `CallView`: it is no consult."""

    agent: str
    name: str


@dataclass(frozen=True, slots=True)
class CallView:
    id: str
    caller: str
    group: str | None
    on_hold: bool
    pop: Mapping[str, object] = field(default_factory=dict)
    transfer: TransferView | None = None
    consult: ConsultView | None = None
    transferred: TransferredView | None = None
    caller_formatted: str = ""
    caller_withheld: bool = False


@dataclass(frozen=True, slots=True)
class AgentView(WorkView):
    id: str
    name: str
    state: AgentState
    since: float | None
    """When the state was entered, in Unix seconds; None: before anything was heard of it."""
    groups: tuple[str, ...]
    waiting_transfer: bool
    call: CallView | None = None
    calls: tuple[CallView, ...] = ()
    paused: bool = False
    """Paused in all queues, whatever ``state`` is; an agent can be paused while talking."""
    pause_reason: str = ""
    node: str | None = None
    """The node where the agent is at home; None: here."""


@dataclass(frozen=True, slots=True)
class TargetAgent:
    id: str
    name: str
    state: AgentState
    since: float | None
    waiting_transfer: bool
    node: str | None = None


@dataclass(frozen=True, slots=True)
class TargetGroup:
    id: str
    name: str
    agents: tuple[TargetAgent, ...]
    available: int
    logged_in: int
    """Who could be offered the call once they are free, or after a break."""
    ready: int
    """The same without those on a break. 0: the group cannot be a target now."""


@dataclass(frozen=True, slots=True)
class TargetsView:
    """The three target lists. Targets that the features do not permit are absent."""

    permissions: tuple[str, ...]
    my_agent_groups: tuple[TargetGroup, ...]
    agent_groups: tuple[TargetGroup, ...]
    external_presets: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the daemon accepts new transfers, and why not."""

    ready: bool
    ari: bool
    ami: bool
    synced: bool
    detail: str = ""
    warnings: tuple[str, ...] = ()
    """Problems that the administrator should fix although transfers are accepted."""
    reason: str = ""
    """A code for ``detail``: ``other_daemon stopping not_connected version silent reading``."""
    standby: bool = False  # whether another daemon waits to take this one's place
