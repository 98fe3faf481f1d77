"""Tell the dialplan by which interface agents are members of their groups (avp-colleague).

Colleagues dial an agent's id, also while no daemon runs. Most agents have the phone ``PJSIP/<id>``.
For the others, hot desks and ``Local/…`` members among them, a global variable names the interface.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.errors import AvpError

log = structlog.get_logger(__name__)

_VARIABLE: Final = "GLOBAL(AVP_MEMBER_{})"
"""With the agent's id, which may contain what no variable's name does but a function's argument."""

PAUSE_SECONDS: Final = 0.02
"""Between two agents whose variable an earlier daemon may have left, of which there are many."""


class AgentInterfaces:
    def __init__(
        self,
        engine: TransferEngine,
        ami: AmiReader,
        set_global: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._ami = ami
        self._set_global = set_global
        self._told: dict[str, str] = {}
        """Agent to the variable's value, as far as it is known."""
        self._wanted: dict[str, None] = {}
        self._unknown: deque[str] = deque()
        """Agents whose variable should be empty, and may not be."""
        self._connected_anew = True
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def changed(self, agent_id: str) -> None:
        """Something of the agent's memberships may have changed."""
        if self._told.get(agent_id, "") != self._value(agent_id):
            self._wanted[agent_id] = None
            self._news.set()

    def connected(self) -> None:
        """Asterisk may have restarted: the next resync tells everything again."""
        self._connected_anew = True

    def resynced(self) -> None:
        agents = self._engine.agents.by_id
        if self._connected_anew:
            self._connected_anew = False
            self._told.clear()
            self._unknown = deque(agent_id for agent_id in agents if not self._value(agent_id))
        for agent_id in agents:
            self.changed(agent_id)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="interfaces of agents")
        self._news.set()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _value(self, agent_id: str) -> str:
        agents = self._engine.agents
        agent = agents.by_id.get(agent_id)
        first = agents.first_membership(agent) if agent is not None else None
        usual = first is None or first.interface == f"PJSIP/{agent_id}"
        return "" if first is None or usual else clean.interface(first.interface)

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._wanted or self._unknown:
                try:
                    if self._wanted:
                        await self._tell(self._wanted.popitem()[0])
                    else:
                        await asyncio.sleep(PAUSE_SECONDS)
                        await self._look(self._unknown.popleft() if self._unknown else "")
                except AvpError as error:
                    log.debug("interface_not_told", error=str(error))  # the next resync does

    async def _tell(self, agent_id: str) -> None:
        value = self._value(agent_id)
        if self._told.get(agent_id, "") != value:
            await self._set_global(_VARIABLE.format(agent_id), value)
            self._told[agent_id] = value

    async def _look(self, agent_id: str) -> None:
        """Empty a variable that an earlier daemon has written."""
        if not agent_id or agent_id in self._told or self._value(agent_id):
            return
        if await self._ami.function(_VARIABLE.format(agent_id)):
            await self._set_global(_VARIABLE.format(agent_id), self._value(agent_id))
