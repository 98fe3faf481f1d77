"""A standby for one node's daemon, and what the nodes' daemons say of themselves meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import nats as nats_py
import requests
from bed.nodes import Node, Nodes
from bed.procs import ProcessId, end, exited, spawn

from tests.asterisk.scene import Scene

WITHIN_SECONDS = 10.0
"""Much more than it takes: other tests run beside this one."""


@dataclass
class Beats:
    """The heartbeats of all nodes: when each came, and what it says."""

    heard: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def ready(self, node: str, since: float) -> list[tuple[float, int]]:
        """When the node's daemons said that they serve, and which of them: its epoch."""
        return [
            (at, beat["epoch"])
            for at, beat in self.heard
            if at >= since and beat["node"] == node and beat["ready"]
        ]

    def gap(self, node: str, since: float) -> float:
        """The longest time in which no daemon of the node said that it serves, in seconds."""
        times = [at for at, _ in self.ready(node, since)]
        return max(later - sooner for sooner, later in itertools.pairwise(times))

    def late(self, node: str, since: float) -> int:
        """How often a former daemon still spoke after the next one had begun."""
        found = self.ready(node, since)
        last = max(epoch for _, epoch in found)
        began = min(at for at, epoch in found if epoch == last)
        return sum(at > began for at, epoch in found if epoch != last)


@asynccontextmanager
async def listening(nodes: Nodes) -> AsyncIterator[Beats]:
    """Everything that daemons tell of themselves, as node a's user may hear it."""
    beats = Beats()

    async def take(message: Any) -> None:
        beats.heard.append((time.monotonic(), json.loads(message.data)))

    url = f"nats://127.0.0.1:{nodes.nats.port}"
    client = await nats_py.connect(
        url, user="a", password=nodes.tokens["a"], inbox_prefix="_INBOX.a"
    )
    try:
        await client.subscribe("avp.v1.node.*", cb=take)
        await client.flush()
        yield beats
    finally:
        await client.close()


@dataclass
class NodeStandby:
    """A standby's process, and what it has logged."""

    node: Node
    process: ProcessId
    since: int
    away: int = 0
    """The port of its API, if it is not that of the daemon that serves."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.away}" if self.away else self.node.url

    def said(self) -> str:
        log = self.node.directory / "log" / "standby.log"
        return log.read_text(errors="replace")[self.since :]

    async def says(self, what: str, times: int = 1, within: float = 20.0) -> None:
        async def look() -> bool | None:
            return self.said().count(what) >= times or None

        assert await self.node.ami.until(look, within), self.said()[-3000:]


@asynccontextmanager
async def standby_of(node: Node, scene: Scene, *, away: bool = False) -> AsyncIterator[NodeStandby]:
    """A standby of the node's daemon; afterwards a daemon without one serves.

    ``away``: it has an address of its own, as on another machine.
    """
    first = node.daemon
    assert first is not None
    env = {**node._inherited(), **node.daemon_env()}
    port, agi = node.ports.spare[:2] if away else (0, 0)
    if away:
        env |= {"AVP_API__PORT": str(port), "AVP_AGI__PORT": str(agi)}
        env["AVP_STANDBY__ACTIVE_URL"] = node.url
    log = node.directory / "log" / "standby.log"
    since = len(log.read_text(errors="replace")) if log.exists() else 0
    command = node.backend.daemon(node.name, node.program, env, outlive=False)
    process = spawn([*command, "--standby"], log=log, env=env, cwd=node.directory)
    made = NodeStandby(node, process, since, port)

    async def known() -> bool | None:
        return await scene.metric("asterisk_avp_standby") == 1 or None

    try:
        await made.says("standby_ready")
        await made.says("directory_connected")
        assert await scene.ami.until(known, 20.0)
        yield made
    finally:
        await asyncio.to_thread(end, process, grace=15.0)
        await asyncio.to_thread(end, first, grace=15.0)
        await node.start_daemon()


async def replace_daemon(node: Node, settings: dict[str, str]) -> None:
    """The daemon is killed, and from now on the node's daemon is the one that was its standby."""
    first, log = node.daemon, node.directory / "log" / "daemon.log"
    assert first is not None
    since = log.stat().st_size
    env = {**node._inherited(), **node.daemon_env(), **settings}
    command = node.backend.daemon(node.name, node.program, env, outlive=False)
    process = spawn([*command, "--standby"], log=log, env=env, cwd=node.directory)

    async def said(*texts: str) -> None:
        async def look() -> bool | None:
            told = log.read_bytes()[since:].decode(errors="replace")
            return all(text in told for text in texts) or None

        assert await node.ami.until(look, 20.0), f"{node.letter}'s standby does not say {texts}"

    await said("standby_ready", "directory_connected")
    node.signal_daemon(signal.SIGKILL)
    await asyncio.to_thread(end, first, first=None)
    node.daemon = process
    await said("taking_over", "synchronised")


async def serves(standby: NodeStandby, scene: Scene) -> None:
    """Wait until the standby accepts transfers."""

    def ready() -> bool:
        try:
            return requests.get(f"{standby.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    async def look() -> bool | None:
        return await asyncio.to_thread(ready) or None

    await standby.says("taking_over", within=WITHIN_SECONDS)
    await standby.says("synchronised", within=WITHIN_SECONDS)
    assert await scene.ami.until(look, WITHIN_SECONDS), standby.said()[-3000:]
    assert exited(standby.process) is None
