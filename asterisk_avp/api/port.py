"""The interface that the API needs from the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from asterisk_avp.core.model.world import (
    AgentView,
    Readiness,
    TargetsView,
    TransferRequest,
    TransferView,
)
from asterisk_avp.core.numbers.rules import NumberCheck


class TransferService(Protocol):
    """The daemon as seen by the API. Reads are immediate; requests wait only for the decision."""

    def readiness(self) -> Readiness: ...

    def agents(self) -> Sequence[AgentView]: ...

    def roster(self) -> Sequence[AgentView]:
        """The agents without calls, in a fraction of the time."""
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

    def transfers(self) -> Sequence[TransferView]: ...

    def transfer(self, transfer_id: str) -> TransferView:
        """Raises `UnknownTransfer`."""
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

    async def add_party(self, transfer_id: str, number: str) -> TransferView:
        """Raises `UnknownTransfer`, `WrongState`, `Refused`, `AsteriskUnavailable`."""
        ...

    async def drop_party(self, transfer_id: str, party: str) -> TransferView:
        """Raises `UnknownTransfer`, `UnknownParty`, `WrongState`, `AsteriskUnavailable`."""
        ...

    def history(self, agent_id: str) -> Sequence[TransferView]:
        """The ended transfers that involve an agent, latest first. Raises `UnknownAgent`."""
        ...

    async def pause(self, agent_id: str, *, paused: bool, reason: str) -> AgentView:
        """Raises `UnknownAgent`, `WrongState`, `AsteriskUnavailable`, `AmiError`."""
        ...

    def subscribe(self) -> asyncio.Queue[Mapping[str, Any]]:
        """A queue of events for one WebSocket; each is a JSON-ready mapping with ``type``.

        ``{"type": "agent", "agent": {...}}``, ``{"type": "transfer", "transfer": {...}}``,
        ``{"type": "readiness", ...}``. The queue is bounded: a reader that does not keep up gets a
        final ``{"type": "overflow"}``, so that an outdated state never looks live.
        """
        ...

    def unsubscribe(self, queue: asyncio.Queue[Mapping[str, Any]]) -> None: ...
