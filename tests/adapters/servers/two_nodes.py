"""Two simulated Asterisk, each with its daemon, that speak to each other over real HTTP.

There is no directory: each is told of the other's agents by hand, and of the calls of the trunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.messages.remote import NodeCall, RemoteLeg
from asterisk_avp.core.model.caller import PRESENTATION_VARIABLES
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.service.daemon import Daemon
from servers.pbx import Pbx
from servers.pbx_channels import UP, Channel
from servers.waiting import eventually
from tests.ports import free_port

WITHIN = 10.0
TOKENS = {"a": "a" * 40, "b": "b" * 40, "c": "c" * 40}
INTEGRATION = "an-integration"
MEMBERS = {"a": {"1001": ["sales"], "1002": ["sales"]}, "b": {"1003": ["sales"], "1004": ["sales"]}}


@dataclass
class Node:
    name: str
    pbx: Pbx
    daemon: Daemon
    url: str
    http: aiohttp.ClientSession
    environ: Mapping[str, str]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Any:
        return self.daemon._engine

    def post(self, message: Any) -> None:
        self.daemon._inbox.post(message)

    def sees(self, agent: str, node: str, **more: Any) -> None:
        """The directory tells of an agent of another node."""
        seen = RemoteAgent(node, AgentState.AVAILABLE, 0.0, ("sales",), ("sales",))
        known = self.engine.agents.by_id[agent]
        known.remote = replace(seen, **more)
        known.state = known.remote.state

    async def knows(self, channel: Channel) -> None:
        """The dialplan tells of a channel after Asterisk does."""
        await eventually(lambda: channel.id in self.engine.calls.channels, WITHIN)

    async def ask(
        self, method: str, path: str, body: Any = None, token: str = INTEGRATION, **headers: str
    ) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {token}", **headers}
        data = body if isinstance(body, bytes) else None
        async with self.http.request(
            method, self.url + path, json=None if data else body, data=data, headers=sent
        ) as answer:
            text = await answer.text()
            return answer.status, (await answer.json(content_type=None)) if text else None

    async def call_of(self, agent: str) -> Any:
        return (await self.ask("GET", f"/v1/agents/{agent}"))[1]["call"]

    async def start(self) -> None:
        """A daemon, which may be another one than before."""
        if self.running is not None:
            self.daemon = Daemon(Settings.load(self.environ, Path("/nonexistent")))
        self.stopping = asyncio.Event()
        self.running = asyncio.create_task(self.daemon.run(self.stopping))

    async def ready(self) -> None:
        await eventually(lambda: self.daemon.readiness().ready, WITHIN)

    async def stop(self) -> None:
        self.stopping.set()
        if self.running is not None:
            await self.running


@dataclass
class TwoNodes:
    a: Node
    b: Node
    numbers: int = 0

    def directory(self) -> None:
        """What the nodes tell each other of their agents."""
        for agent in MEMBERS["b"]:
            self.a.sees(agent, "b")
        for agent in MEMBERS["a"]:
            self.b.sees(agent, "a")

    async def restart(self, name: str) -> None:
        """The node's daemon ends, and another one begins."""
        node = self.a if name == "a" else self.b
        await node.stop()
        await node.start()
        await node.ready()
        self.directory()

    def left(self, agent: str, leg: Channel, transfer: str = "t0") -> dict[str, str]:
        """What the dialplan has left on the trunk's channel at the agent's home."""
        caller = next(x for x in self.a.pbx.channels.values() if leg.linked == x.id)
        return {
            "AVP_AGENT": agent,
            "AVP_QUEUE": f"avp-agent-{agent}",
            "AVP_TRANSFER": transfer,
            "AVP_TRUNK": "avp-node-a",
            "AVP_ANCHOR_CALL": caller.id,
            "AVP_GROUP": "sales",
            "AVP_LEG": "",
            "AVP_TRANSFEROR": "1001",
        }

    async def brought(
        self,
        agent: str = "1003",
        transfer: str = "t0",
        *,
        consult: bool = False,
        group: bool = False,
    ) -> tuple[Channel, Channel, Channel, Channel]:
        """A caller of a's talks to b's agent, by a trunk. Caller, leg; trunk's channel, phone."""
        self.numbers += 1
        a, b = self.a.pbx, self.b.pbx
        caller = a.channel(f"PJSIP/trunk-{self.numbers:08x}", number="+12025550123")
        caller.variables |= {"AVP_GROUP": "sales", "AVP_POP_CUSTOMER": "C-7"}
        caller.variables |= dict.fromkeys(PRESENTATION_VARIABLES, "allowed")
        leg = a.channel(f"PJSIP/avp-node-b-{self.numbers:08x}", linked=caller.id)
        await self.a.knows(leg)
        self.a.post(RemoteLeg(leg.id, "" if group else agent, "b", transfer))
        incoming = b.channel(f"PJSIP/avp-node-a-{self.numbers:08x}", number="1001")
        await self.b.knows(incoming)
        self.b.post(
            NodeCall(
                channel=incoming.id,
                agent="" if group else agent,
                queue="sales" if group else f"avp-agent-{agent}",
                transfer=transfer,
                anchor="a",
                anchor_call=caller.id,
                group="sales",
                leg="consult" if consult else "",
                transferor="1001",
            )
        )
        member = b.members[agent]
        phone = b.channel(f"PJSIP/{agent}-{self.numbers:08x}", linked=incoming.id)
        phone.member = member
        queue = "sales" if group else f"avp-agent-{agent}"
        b.join(incoming, queue)
        b.ring(member, phone, incoming, queue)
        b.connect(member, phone, incoming, queue)
        for channel in (caller, leg):
            a._state(channel, UP)
        bridge = a.new_bridge("basic")
        a.enter(caller, bridge)
        a.enter(leg, bridge)
        service = self.b.daemon.transfer_service
        await eventually(lambda: service.agent(agent).call is not None, WITHIN)
        await eventually(lambda: self.a.engine.call_of(agent) is not None, WITHIN)
        return caller, leg, incoming, phone


def settings(node: str, pbx: Pbx, urls: Mapping[str, str], **more: str) -> dict[str, str]:
    agents = {
        f"AVP_AGENTS__{agent}__{key}": value
        for where, members in MEMBERS.items()
        for agent, groups in members.items()
        for key, value in (("GROUPS", ",".join(groups)), ("NODE", where), ("PIN", agent))
    }
    nodes = {
        f"AVP_NODES__{name.upper()}__{key}": value
        for name, url in urls.items()
        for key, value in (("URL", url), ("TOKEN", TOKENS[name]))
    }
    return {
        "AVP_ARI__URL": pbx.ari.url,
        "AVP_ARI__USERNAME": "avp",
        "AVP_ARI__PASSWORD": "s3cret",
        "AVP_AMI__PORT": str(pbx.ami.port),
        "AVP_AMI__USERNAME": "avp",
        "AVP_AMI__SECRET": "s3cret",
        "AVP_API__PORT": urls[node].rpartition(":")[2],
        "AVP_API__TOKENS": INTEGRATION,
        "AVP_AGI__PORT": str(free_port()),
        "AVP_SESSION__DRAIN_SECONDS": "0.1",
        "AVP_CLUSTER__NODE": node,
        "AVP_CLUSTER__SERVERS": "nats://127.0.0.1:9",
        "AVP_ACCOUNTS__ACME__CONTRACTED": "true",
        "AVP_ACCOUNTS__ACME__COUNTRY": "US",
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
        "AVP_GROUPS__SUPPORT__ACCOUNT": "acme",
        **agents,
        **nodes,
        **more,
    }


@asynccontextmanager
async def two_nodes(of_b: Mapping[str, str] | None = None, **more: str) -> AsyncIterator[TwoNodes]:
    """``of_b``: settings that node b alone has."""
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in TOKENS}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        found = {}
        for name in ("a", "b"):
            pbx = await stack.enter_async_context(Pbx(MEMBERS[name], app="asterisk_avp"))
            own = of_b or {} if name == "b" else {}
            environ = settings(name, pbx, urls, **{**more, **own})
            daemon = Daemon(Settings.load(environ, Path("/nonexistent")))
            found[name] = Node(name, pbx, daemon, urls[name], http, environ)
            await found[name].start()
            stack.push_async_callback(found[name].stop)
        nodes = TwoNodes(found["a"], found["b"])
        for node in found.values():
            await node.ready()
        nodes.directory()
        yield nodes
