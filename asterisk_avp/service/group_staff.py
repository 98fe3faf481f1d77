"""Tell the dialplan how many members of each group could be offered a call on this node.

A call for a group that spans nodes waits on each of them, also while nobody of the group is there
(avp-node-wait). It looks through the queue's members when this number changes. Without the variable
a queue is no group's, and a call from another node does not enter it; it outlives the daemon.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.headcount import headcount_of
from asterisk_avp.service.alone import Action
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

VARIABLE: Final = "GLOBAL(AVP_STAFF_{})"
"""With the queue's name, which may contain what no variable's name does."""
SOME: Final = 2
"""More are told as so many: one who is there may be the transferor."""
AGAIN_SECONDS: Final = 1.0


class GroupStaff(Part):
    def __init__(self, engine: TransferEngine, action: Action) -> None:
        self._engine = engine
        self._action = action
        self._groups: dict[str, tuple[str, ...]] = {}
        """Agent to groups, as they were at the agent's last change."""
        self._ready: dict[str, set[str]] = {}
        """Group to the agents of this node who are logged in and on no break."""
        self._told: dict[str, str] = {}
        """Queue to what Asterisk has been told."""
        self._wanted: dict[str, None] = {}
        self._connected_anew = True
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def connected(self) -> None:
        """Asterisk may have restarted: the next resync tells everything again."""
        self._connected_anew = True

    def perform(self, outcome: Outcome) -> None:
        for agent_id in outcome.agents:
            agent = self._engine.agents.by_id.get(agent_id)
            if agent is not None:
                self._count(agent)

    async def resynced(self) -> None:
        agents, queues = self._engine.agents, self._queues()
        if self._connected_anew:
            self._connected_anew = False
            self._told.clear()
        self._ready.clear()
        for agent in agents.by_id.values():
            self._count(agent)
        for queue in (*queues, *self._told):
            self._want(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="staff of groups")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _queues(self) -> dict[str, str]:
        """Queue to group."""
        return {group.queue: group.id for group in self._engine.world.groups.values()}

    def _count(self, agent: Agent) -> None:
        groups = self._engine.world.groups
        now = self._engine.agents.groups_of(agent.id)
        for group_id in {*now, *self._groups.get(agent.id, ())} & groups.keys():
            ready, queue = self._ready.setdefault(group_id, set()), groups[group_id].queue
            there = agent.remote is None and headcount_of(agent, group_id, queue).ready
            if bool(there) is not (agent.id in ready):
                (ready.add if there else ready.discard)(agent.id)
                self._want(queue)
        self._groups[agent.id] = now

    def _want(self, queue: str) -> None:
        self._wanted[queue] = None
        self._news.set()

    def _value(self, queue: str) -> str:
        group = self._queues().get(queue)
        return "" if group is None else str(min(len(self._ready.get(group, ())), SOME))

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._wanted:
                queue = next(iter(self._wanted))
                del self._wanted[queue]
                try:
                    await self._tell(queue)
                except AvpError as error:
                    log.debug("staff_not_told", queue=queue, error=str(error))
                    self._told.pop(queue, None)
                    self._wanted[queue] = None
                    await asyncio.sleep(AGAIN_SECONDS)

    async def _tell(self, queue: str) -> None:
        value = self._value(queue)
        if self._told.get(queue) != value:
            variable = VARIABLE.format(queue)
            await self._action("Setvar", {"Variable": variable, "Value": value})
            self._told[queue] = value
