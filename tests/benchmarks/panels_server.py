"""The server of `panels`: the API over agents that change when told so, a line of JSON each."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scripted_transfer_service import ScriptedTransferService

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.broadcast import EventBroadcaster, agent_event
from asterisk_avp.api.connections import Connections
from asterisk_avp.api.server import serve
from asterisk_avp.core.model.world import AgentState, AgentView

_STATES = (AgentState.AVAILABLE, AgentState.TALKING, AgentState.ACW, AgentState.NOT_READY)


class Centre(ScriptedTransferService):
    """Each agent is in two groups. The marker is in all of them, so that every panel shows it."""

    def __init__(self, agents: int, groups: int) -> None:
        super().__init__()
        self.changes = EventBroadcaster()
        self.random = random.Random(14)
        names = [f"q{n:03d}" for n in range(groups)]
        self.views = {}
        for n in range(agents):
            own = tuple(dict.fromkeys((names[n % groups], names[(n + 1) % groups])))
            agent = str(10_000 + n)
            self.views[agent] = AgentView(
                agent, f"Agent {agent}", AgentState.AVAILABLE, time.time(), own,
                waiting_transfer=False,
            )  # fmt: skip
        self.marker = AgentView(
            "marker", "Marker", AgentState.AVAILABLE, 0.0, tuple(names), waiting_transfer=False
        )
        self.views["marker"] = self.marker
        self.states: dict[str, Counter[AgentState]] = {name: Counter() for name in names}
        for view in self.views.values():
            self.count(view, 1)

    def count(self, view: AgentView, change: int) -> None:
        for group in view.groups:
            self.states[group][view.state] += change

    def group_counts(self, groups: Collection[str] | None = None) -> Sequence[Mapping[str, Any]]:
        """Kept with each change, as the daemon does (`core.pbx.headcount`)."""
        return [
            {
                "id": group,
                "available": states[AgentState.AVAILABLE],
                "logged_in": states.total(),
                "ready": states.total() - states[AgentState.NOT_READY],
            }
            for group, states in self.states.items()
            if groups is None or group in groups
        ]

    def subscribe(self) -> asyncio.Queue[Mapping[str, Any]]:
        return self.changes.subscribe()

    def unsubscribe(self, queue: asyncio.Queue[Mapping[str, Any]]) -> None:
        self.changes.unsubscribe(queue)

    def change(self, agent: str, **changes: Any) -> None:
        self.count(self.views[agent], -1)
        self.views[agent] = view = replace(self.views[agent], **changes)
        self.count(view, 1)
        self.changes.send(agent_event(view))

    async def play(self, count: int, rate: float) -> None:
        agents = list(self.views)
        due = time.monotonic()
        for _ in range(count):
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.change(
                self.random.choice(agents), state=self.random.choice(_STATES), since=time.time()
            )


async def main(agents: int, groups: int, panels: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    centre = Centre(agents, groups)
    ids = list(centre.views)[:panels]
    auth = Authenticator(pins=dict.fromkeys(ids, "1"))
    tokens = [
        await auth.login(agent, "1", f"10.0.{n // 250}.{n % 250}") for n, agent in enumerate(ids)
    ]
    server = await serve(
        create_app(centre, auth), "127.0.0.1", 0, Connections(limit=lambda: 4 * panels + 100)
    )

    def answer(content: object) -> None:
        print(json.dumps(content), flush=True)

    answer({"url": server.url, "tokens": tokens})
    while line := await asyncio.to_thread(sys.stdin.readline):
        match json.loads(line):
            case ["play", count, rate]:
                await centre.play(count, rate)
                answer(None)
            case ["marker"]:
                answer("marked")
            case ["mark"]:
                centre.change("marker", name="marked", since=time.time())
                answer("marked")
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
