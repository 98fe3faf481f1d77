"""The daemon that `nodes` measures, in a process of its own; a line of input asks for a figure."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.messages.remote import RemoteAgentSeen
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.observe import log as logging_setup
from asterisk_avp.runtime.loop import run
from asterisk_avp.service.daemon import Daemon
from tests.benchmarks.figures import percentile

POLL_SECONDS = 0.005


class Measured:
    """A daemon whose engine notes how old each change is when it knows it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.ages: list[float] = []
        self.connected = 0.0
        directory = daemon.nodes.directory
        assert directory is not None
        self.directory = directory
        tell = directory._tell_engine

        def told(fact: Any) -> None:
            tell(fact)
            if isinstance(fact, RemoteAgentSeen):
                self._note(fact.seen)

        directory._tell_engine = told

    def _note(self, seen: RemoteAgent) -> None:
        if seen.since:
            self.ages.append(time.time() - seen.since)

    async def joined(self, agents: int) -> float:
        """Seconds from the connection to NATS until all agents of all other nodes are known."""
        connection, picture = self.directory.connection, self.directory.picture
        while not connection.connected:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(POLL_SECONDS)
        began = time.monotonic()
        while not self._complete(picture.peers.values(), agents):
            if time.monotonic() > began + 60:
                raise RuntimeError("the picture does not become complete")
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def _complete(self, peers: Any, agents: int) -> bool:
        there = [peer for peer in peers if peer.complete is not None]
        if sum(len(peer.agents) for peer in there) < agents:
            return False
        known = self.daemon._engine.agents.by_id.values()
        return sum(agent.remote is not None and agent.remote.reachable for agent in known) >= agents

    def report(self) -> dict[str, float]:
        ages, self.ages = self.ages, []
        if not ages:
            return {"changes": 0}
        return {
            "changes": len(ages),
            "p50": percentile(ages, 50),
            "p99": percentile(ages, 99),
            "most": max(ages),
        }


async def serve(agents: int) -> None:
    daemon = Daemon(Settings.load(dict(os.environ), Path("/nonexistent")))
    measured = Measured(daemon)
    stop = asyncio.Event()
    running = asyncio.create_task(daemon.run(stop))
    joined = asyncio.create_task(measured.joined(agents))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.strip():
            case "joined":
                answer: object = await joined
            case "report":
                answer = measured.report()
            case "dropped":
                answer = sum(measured.directory.dropped.values())
            case _:
                break
        print(json.dumps(answer), flush=True)
    stop.set()
    await running


if __name__ == "__main__":
    logging_setup.configure("info", "json", sys.stderr)  # answers go to standard output
    run(serve(int(sys.argv[1])))
