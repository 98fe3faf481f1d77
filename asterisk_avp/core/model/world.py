"""The nouns: what the administrator configured, what is asked, and what is shown.

Everything here is immutable data. The settings module builds `World` once at start (and again
on reload); the HTTP API and the command line show the views.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from asterisk_avp.core.model.features import Features, MaxHoldAction


class Mode(StrEnum):
    SUPERVISED = "supervised"
    UNSUPERVISED = "unsupervised"


class Origin(StrEnum):
    """What a transfer was asked for with."""

    API = "api"
    BUTTON = "button"
    """The phone's own Transfer button (SIP REFER)."""
    CODE = "code"
    """The feature code, keyed in on the phone."""


class TargetKind(StrEnum):
    AGENT = "agent"
    GROUP = "group"
    PRESET = "preset"
    NUMBER = "number"


class AgentState(StrEnum):
    AVAILABLE = "available"
    RINGING = "ringing"
    TALKING = "talking"
    ACW = "acw"
    NOT_READY = "not_ready"
    OFFLINE = "offline"


class TransferState(StrEnum):
    """States as reported by the API; the last four are final."""

    STARTING = "starting"
    RINGING = "ringing"
    WAITING = "waiting"
    CONSULTING = "consulting"
    SWAPPED = "swapped"
    CONFERENCE = "conference"
    COMPLETING = "completing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {
        TransferState.COMPLETED,
        TransferState.CANCELLED,
        TransferState.FAILED,
        TransferState.ABANDONED,
    }
)


# --- what the administrator configured -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """An agent group: one queue of app_queue."""

    id: str
    queue: str
    name: str
    account: str | None = None
    acw_seconds: int = 0
    max_hold_seconds: int = 120
    max_hold_action: MaxHoldAction = MaxHoldAction.HANGUP
    extension: str | None = None
    pop_url: str | None = None
    """Template of the address that a screen pop opens."""
    features: Features = field(default_factory=Features)
    shared_with: tuple[str, ...] = ()
    """Other accounts whose agents may know it, and transfer calls to it (`core.model.tenants`)."""

    def open_to(self, account: str | None) -> bool:
        """Whether the people of ``account`` may know of it."""
        return account == self.account or account in self.shared_with


@dataclass(frozen=True, slots=True)
class Preset:
    """An external number that agents may pick, associated with the group whose work it is."""

    id: str
    name: str
    number: str
    """As configured; the policy puts it into E.164."""
    group: str
    code: str | None = None
    """What agents key in for it on their phones."""
    shared_with: tuple[str, ...] = ()
    """Other accounts than its group's whose agents may pick it."""


@dataclass(frozen=True, slots=True)
class ConfiguredAgent:
    """What is known of an agent beyond their memberships. ``interface`` overrides the member's."""

    id: str
    name: str | None = None
    interface: str | None = None
    country: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """The configuration as the core sees it. Connections and secrets are not in it."""

    groups: Mapping[str, Group]
    agents: Mapping[str, ConfiguredAgent] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)

    def group_of_queue(self, queue: str) -> Group | None:
        for group in self.groups.values():
            if group.queue == queue:
                return group
        return None


PERSONAL_QUEUE_PREFIX = "avp-agent-"

# What an agent id may look like: it becomes part of a queue name, a dial string and a URL, so
# nothing with a meaning in any of those can be in it.
AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@lru_cache(maxsize=16_384)
def agent_id_of_interface(interface: str) -> str | None:
    """``PJSIP/1001`` and ``Local/1001@agents/n`` are agent ``1001``; None where no id is in it."""
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


# --- what is asked ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call is to go. ``value`` is an id, or the number as typed for `NUMBER`."""

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
    """The name of the phone's channel, where it was asked for on a phone."""
    call: str | None = None
    """Which of the agent's calls: the channel id of the caller. None: the one not on hold."""


# --- what is shown (the shapes of the HTTP API, DESIGN section 4) ----------------------------


@dataclass(frozen=True, slots=True)
class PartyView:
    id: str
    role: str  # transferor, caller, target, fourth
    name: str
    state: str  # talking, holding, ringing, waiting, gone


@dataclass(frozen=True, slots=True)
class TransferView:
    id: str
    agent: str
    group: str
    mode: Mode
    target: Target | None
    """None while the agent is still keying it in."""
    state: TransferState
    ended_reason: str | None
    caller: str
    parties: tuple[PartyView, ...]
    since: float
    """Unix time in seconds at which ``state`` was entered."""
    started: float
    notes: str = ""
    hold_until: float | None = None
    """While the target is waited for: when that ends, in Unix seconds, if nobody answers."""


@dataclass(frozen=True, slots=True)
class CallView:
    id: str
    caller: str
    group: str | None
    on_hold: bool
    pop: Mapping[str, object] = field(default_factory=dict)
    transfer: TransferView | None = None


@dataclass(frozen=True, slots=True)
class AgentView:
    id: str
    name: str
    state: AgentState
    since: float
    groups: tuple[str, ...]
    waiting_transfer: bool
    call: CallView | None = None
    calls: tuple[CallView, ...] = ()
    paused: bool = False
    """In all queues, whatever the state: who is talking is not ready afterwards."""
    pause_reason: str = ""


@dataclass(frozen=True, slots=True)
class TargetAgent:
    id: str
    name: str
    state: AgentState
    since: float
    waiting_transfer: bool


@dataclass(frozen=True, slots=True)
class TargetGroup:
    id: str
    name: str
    agents: tuple[TargetAgent, ...]
    available: int


@dataclass(frozen=True, slots=True)
class TargetsView:
    """The three lists of the agent's screen. What is disabled is absent, not empty or greyed."""

    permissions: tuple[str, ...]
    my_agent_groups: tuple[TargetGroup, ...]
    agent_groups: tuple[TargetGroup, ...]
    external_presets: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new transfers can be taken, and what is missing if not."""

    ready: bool
    ari: bool
    ami: bool
    synced: bool
    detail: str = ""
    warnings: tuple[str, ...] = ()
    """What an administrator should change, though transfers are taken."""
