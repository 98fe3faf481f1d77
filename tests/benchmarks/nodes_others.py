"""The other nodes of `nodes`: they speak as daemons do, and their agents change as told."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from dataclasses import dataclass, field

from asterisk_avp.cluster import wire
from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.directory import CHANGES_SECONDS, HEARTBEAT_SECONDS
from asterisk_avp.cluster.messages import Changes, Heartbeat, Page, Told
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState

STATES = itertools.cycle(
    [AgentState.RINGING, AgentState.TALKING, AgentState.ACW, AgentState.AVAILABLE]
)


@dataclass
class Other:
    """``agents``: id to the agent's groups."""

    node: str
    url: str
    user: str
    agents: dict[str, tuple[str, ...]]
    rate: float = 0.0
    """Changes a second."""
    seq: int = 0
    epoch: int = field(default_factory=lambda: int(time.time() * 1000))
    told: dict[str, Told] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = ClusterSettings.model_validate(
            {"node": self.node, "servers": self.url, "credentials": self.user}
        )
        asked = {wire.subject("snapshot", self.node): self._asked}
        self.connection = Connection(settings, asked, lambda: None)
        for agent in self.agents:
            self.told[agent] = self._tell(agent, AgentState.AVAILABLE, 0.0, 0)
        self.ids = sorted(self.agents)

    def _tell(self, agent: str, state: AgentState, since: float, seq: int) -> Told:
        groups = self.agents[agent]
        about = RemoteAgent(self.node, state, since, groups, groups)
        return Told(agent, 1, seq, about)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for each in (self.connection.run, self._beat, self._change):
                group.create_task(each())

    async def _beat(self) -> None:
        while True:
            now = time.time()
            beat = Heartbeat(self.node, self.epoch, now, self.seq, True, "bench", "bench", {})
            await self.connection.publish(wire.subject("node", self.node), wire.write(beat))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _change(self) -> None:
        """Changes at random moments; each is told at the next message, as a daemon does."""
        due = 0.0
        last = time.monotonic()
        while True:
            await asyncio.sleep(CHANGES_SECONDS)
            now = time.monotonic()
            passed, last = now - last, now
            due += passed * self.rate
            many, due = int(due), due - int(due)
            if not many:
                continue
            self.seq += 1
            unix = time.time()
            some = [
                self._tell(
                    random.choice(self.ids),
                    next(STATES),
                    unix - random.random() * passed,
                    self.seq,
                )
                for _ in range(many)
            ]
            self.told.update((told.id, told) for told in some)
            told = tuple({told.id: told for told in some}.values())
            message = Changes(self.node, self.epoch, time.time(), self.seq, told, ())
            await self.connection.publish(wire.subject("state", self.node), wire.write(message))

    async def _asked(self, _node: str, message: object) -> None:
        after = wire.request(message.data)  # type: ignore[attr-defined]
        ids = [agent for agent in self.ids if agent > after]
        some = ids[: wire.PAGE]
        page = Page(
            self.node,
            self.epoch,
            time.time(),
            self.seq,
            tuple(self.told[agent] for agent in some),
            some[-1] if len(ids) > len(some) else "",
        )
        await self.connection.publish(message.reply, wire.write(page))  # type: ignore[attr-defined]


async def serve() -> None:
    what = json.loads(sys.stdin.readline())
    others = [Other(**each) for each in what]
    running = [asyncio.create_task(other.run()) for other in others]
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        for other in others:
            other.rate = float(line) / len(others)
        print("ok", flush=True)
    for task in running:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(serve())
