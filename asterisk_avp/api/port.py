"""The interface that the API needs from the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from asterisk_avp.core.model.work import GroupView, MembershipView, WorkRules
from asterisk_avp.core.model.world import (
    AgentView,
    Readiness,
    Target,
    TargetsView,
    TransferRequest,
    TransferView,
)
from asterisk_avp.core.numbers.rules import NumberCheck


class TransferService(Protocol):
    """The daemon as seen by the API. Reads are immediate; requests wait only for the decision."""

    def readiness(self) -> Readiness: ...

    def agents(self) -> Sequence[AgentView]: ...

    def roster(self, groups: Collection[str] | None = None) -> Sequence[AgentView]:
        """The agents without calls, in a fraction of the time; those of ``groups`` only."""
        ...

    def group_counts(self, groups: Collection[str] | None = None) -> Sequence[Mapping[str, Any]]:
        """``id``, ``available``, ``logged_in`` and ``ready`` of these groups, or of all.

        As in the targets of an agent who is in none of them.
        """
        ...

    def agent(self, agent_id: str) -> AgentView:
        """Raises `UnknownAgent`."""
        ...

    def targets(self, agent_id: str) -> TargetsView:
        """Raises `UnknownAgent`."""
        ...

    def check_number(self, agent_id: str, number: str) -> NumberCheck:
        """Apply the number rules for this agent. Raises `UnknownAgent`."""
        ...

    def transfers(self, agent_id: str | None = None) -> Sequence[TransferView]:
        """All transfers; those that involve an agent."""
        ...

    def transfer(self, transfer_id: str) -> TransferView:
        """Raises `UnknownTransfer`."""
        ...

    async def find(self, transfer_id: str) -> TransferView:
        """As `transfer`. Waits briefly while the transfers of an earlier daemon are being read.

        Raises `UnknownTransfer`, and `AsteriskUnavailable` if it cannot be known yet.
        """
        ...

    async def request(self, request: TransferRequest) -> TransferView:
        """Raises `UnknownAgent`, `Refused`, `AsteriskUnavailable`."""
        ...

    async def complete(self, transfer_id: str) -> TransferView:
        """Raises `UnknownTransfer`, `WrongState`, `Refused`, `AsteriskUnavailable`."""
        ...

    async def cancel(self, transfer_id: str) -> TransferView:
        """Raises `UnknownTransfer`, `WrongState`, `AsteriskUnavailable`."""
        ...

    async def swap(self, transfer_id: str) -> TransferView:
        """Raises `UnknownTransfer`, `WrongState`, `AsteriskUnavailable`."""
        ...

    async def conference(self, transfer_id: str) -> TransferView:
        """Raises `UnknownTransfer`, `WrongState`, `Refused`, `AsteriskUnavailable`."""
        ...

    async def add_party(self, transfer_id: str, wanted: Target) -> TransferView:
        """Raises `UnknownTransfer`, `WrongState`, `Refused`, `AsteriskUnavailable`."""
        ...

    async def drop_party(self, transfer_id: str, party: str) -> TransferView:
        """Raises `UnknownTransfer`, `UnknownParty`, `WrongState`, `AsteriskUnavailable`."""
        ...

    def history(self, agent_id: str) -> Sequence[TransferView]:
        """The ended transfers that involve an agent, latest first. Raises `UnknownAgent`."""
        ...

    def offered_pops(self, agent_id: str | None) -> Sequence[Mapping[str, Any]]:
        """The ``pop`` events of the pops that are offered now; None: to all agents."""
        ...

    def work_rules(self) -> WorkRules: ...

    def groups(self, agent_id: str | None) -> Sequence[GroupView]:
        """An agent's groups; all for None."""
        ...

    def membership(self, agent_id: str, group_id: str) -> MembershipView | None:
        """The agent in one of their groups; None: it is not one of theirs."""
        ...

    async def pause(self, agent_id: str, reason: str) -> AgentView:
        """Raises `UnknownAgent`, `WrongState`, `AsteriskUnavailable`, `AmiError`."""
        ...

    async def ready(self, agent_id: str, *, keep_acw: bool) -> AgentView:
        """Raises `UnknownAgent`, `WrongState`, `Refused`, `AsteriskUnavailable`, `AmiError`."""
        ...

    async def extend_acw(self, agent_id: str, seconds: int) -> AgentView:
        """Raises `UnknownAgent`, `WrongState`, `Refused`, `AsteriskUnavailable`."""
        ...

    async def log_in(self, agent_id: str, group_id: str) -> AgentView:
        """Raises `UnknownAgent`, `UnknownGroup`, `Refused`, `AsteriskUnavailable`, `AmiError`."""
        ...

    async def log_out(self, agent_id: str, group_id: str) -> AgentView:
        """Raises `UnknownAgent`, `UnknownGroup`, `Refused`, `AsteriskUnavailable`, `AmiError`."""
        ...

    def subscribe(self) -> asyncio.Queue[Mapping[str, Any]]:
        """A queue of events for one WebSocket; each is a JSON-ready mapping with ``type``.

        ``{"type": "agent", "agent": {...}}``, ``{"type": "transfer", "transfer": {...}}``,
        ``{"type": "group", "group": {...}}``, ``{"type": "readiness", ...}``. The queue is bounded:
        a reader that does not keep up gets a final ``{"type": "overflow"}``, so that an outdated
        state never looks live.
        """
        ...

    def unsubscribe(self, queue: asyncio.Queue[Mapping[str, Any]]) -> None: ...
