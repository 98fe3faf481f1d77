"""A node: a daemon beside a simulated Asterisk, as one of several over a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from asterisk_avp.cluster.directory import Directory
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.observe.systemd_notify import Notifier
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.takeover import Takeover
from servers.nats import NatsServer, password
from servers.pbx import Pbx
from servers.waiting import eventually
from tests.ports import free_port

WITHIN = 20.0
APP = "asterisk_avp"


def shared_settings(nodes: Iterable[str] = "ab") -> dict[str, str]:
    """What is the same on all nodes."""
    found = {
        "AVP_ACCOUNTS__ACME__COUNTRY": "US",
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
        "AVP_GROUPS__SUPPORT__ACCOUNT": "acme",
        "AVP_AGENTS__1001__GROUPS": "sales",
        "AVP_AGENTS__1002__GROUPS": "sales",
        "AVP_AGENTS__1005__GROUPS": "sales",
        "AVP_AGENTS__1005__NAME": "Erin",
    }
    for node in nodes:
        found[f"AVP_NODES__{node.upper()}__URL"] = f"http://127.0.0.1:1/{node}"
        found[f"AVP_NODES__{node.upper()}__TOKEN"] = f"token-of-node-{node}-" + "x" * 32
    return found


class Server(Protocol):
    """A NATS server, or the way to one."""

    @property
    def url(self) -> str: ...


class Node:
    """``more``: settings beyond those that all nodes have. ``standby``: `run --standby`."""

    def __init__(
        self,
        name: str,
        pbx: Pbx,
        nats: Server,
        port: int = 0,
        *,
        standby: bool = False,
        **more: str,
    ) -> None:
        """``port``: of its API, where others ask it."""
        self.name = name
        self.pbx = pbx
        self.port = port
        settings = Settings.load(self._environ(nats, more), Path("/nonexistent"))
        self._stop = asyncio.Event()
        self._takeover = Takeover(settings, Notifier({}), kill=False) if standby else None
        self._daemon = None if standby else Daemon(settings)
        runs = self._takeover or self._daemon
        assert runs is not None
        self._running = asyncio.create_task(runs.run(self._stop))

    def _environ(self, nats: Server, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "AVP_ARI__URL": self.pbx.ari.url,
            "AVP_ARI__USERNAME": "avp",
            "AVP_ARI__PASSWORD": "s3cret",
            "AVP_AMI__PORT": str(self.pbx.ami.port),
            "AVP_AMI__USERNAME": "avp",
            "AVP_AMI__SECRET": "s3cret",
            "AVP_API__PORT": "0",
            "AVP_AGI__PORT": str(free_port()),
            "AVP_CLUSTER__NODE": self.name,
            "AVP_CLUSTER__SERVERS": nats.url,
            "AVP_CLUSTER__CREDENTIALS": f"{self.name}:{password(self.name)}",
            **shared_settings(),
            **({"AVP_API__PORT": str(self.port)} if self.port else {}),
            **more,
        }

    @property
    def daemon(self) -> Daemon:
        found = self._daemon
        if self._takeover is not None:
            found = self._takeover.daemon or self._takeover.waiting
        assert found is not None
        return found

    @property
    def serves(self) -> bool:
        return self._takeover is None or self._takeover.daemon is not None

    @property
    def engine(self) -> TransferEngine:
        return self.daemon._engine

    @property
    def directory(self) -> Directory:
        found = self.daemon.nodes.directory
        assert found is not None
        return found

    def agent(self, agent: str) -> Agent:
        return self.engine.agents.by_id[agent]

    def remote(self, agent: str, node: str) -> bool:
        """Whether the agent is at home on that node, as this one sees it, and can be reached."""
        known = self.engine.agents.by_id.get(agent)
        seen = known.remote if known is not None else None
        return seen is not None and seen.node == node and seen.reachable

    async def ready(self) -> None:
        await eventually(lambda: self.daemon.readiness().ready, WITHIN)

    async def stop(self) -> None:
        self._stop.set()
        await self._running

    async def kill(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running


MEMBERS = {
    "a": {"1001": ["sales"], "1002": ["sales"], "1005": []},
    "b": {"1001": [], "1003": ["support"], "1004": ["support"], "1005": ["sales"]},
}


@asynccontextmanager
async def asterisks(
    members: Mapping[str, Mapping[str, Iterable[str]]] = MEMBERS,
) -> AsyncIterator[dict[str, Pbx]]:
    """A simulated Asterisk for each node."""
    found = {name: Pbx(listed, app=APP) for name, listed in members.items()}
    async with AsyncExitStack() as running:
        for pbx in found.values():
            await running.enter_async_context(pbx)
        yield found


@asynccontextmanager
async def a_and_b(nats: NatsServer) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes that know each other's agents."""
    async with asterisks() as pbxes:
        a, b = (Node(name, pbxes[name], nats) for name in "ab")
        await a.ready()
        await b.ready()
        await eventually(lambda: a.remote("1005", "b") and b.remote("1001", "a"), WITHIN)
        yield a, b
        await a.kill()
        await b.kill()
