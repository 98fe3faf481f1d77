"""An agent who logs in elsewhere while their node does not hear it over NATS, and what then."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bed.relay import Relay
from servers.nats import NatsServer
from servers.node import WITHIN, Node, asterisks
from servers.waiting import eventually

from asterisk_avp.core.model.world import AgentState
from tests.ports import free_port

ERIN = "1005"
"""At home on node b at first."""


@dataclass
class Line:
    """Node b's way to NATS."""

    relay: Relay

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.relay.port}"


@dataclass
class Split:
    a: Node
    b: Node
    nats: NatsServer
    relay: Relay

    async def b_is_cut_off(self) -> None:
        self.relay.silence()
        await eventually(lambda: self.b.directory.picture.alone, WITHIN)
        await eventually(lambda: not self.a.remote(ERIN, "b"), WITHIN)

    def offered_by(self, node: Node) -> bool:
        """Whether the node's Asterisk may offer Erin a call."""
        return bool(node.pbx.members[ERIN].queues)

    @property
    def holders(self) -> list[str]:
        return [node.name for node in (self.a, self.b) if ERIN in node.directory.picture.held]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture(params=[True, False], ids=["by the API", "API cut too"])
async def split(request: pytest.FixtureRequest, nats: NatsServer) -> AsyncIterator[Split]:
    """``param``: whether the daemons reach each other's API."""
    relay = Relay(nats.port)
    await relay.start()
    ports = {name: free_port() for name in "ab"}
    urls = {
        f"AVP_NODES__{name.upper()}__URL": f"http://127.0.0.1:{port}"
        for name, port in ports.items()
        if request.param
    }
    async with asterisks() as pbxes:
        a = Node("a", pbxes["a"], nats, ports["a"], **urls)
        b = Node("b", pbxes["b"], Line(relay), ports["b"], **urls)
        await a.ready()
        await b.ready()
        await eventually(lambda: a.remote(ERIN, "b") and b.remote("1001", "a"), WITHIN)
        yield Split(a, b, nats, relay)
        await a.kill()
        await b.kill()
    await relay.stop()


async def test_who_logs_in_elsewhere_has_one_home(
    split: Split, request: pytest.FixtureRequest
) -> None:
    """The new home says so by the API; where that is cut too, it is two until one is heard."""
    reached = "API cut" not in request.node.name
    await split.b_is_cut_off()
    split.a.pbx.log_in(ERIN, "sales")
    await eventually(lambda: ERIN in split.a.directory.picture.held, WITHIN)
    assert split.a.agent(ERIN).state is AgentState.AVAILABLE
    if reached:
        await eventually(lambda: split.holders == ["a"], WITHIN)
        await eventually(lambda: not split.offered_by(split.b), WITHIN)
        assert split.b.directory.picture.alone
        assert split.b.remote(ERIN, "a")
        assert split.b.agent(ERIN).state is AgentState.NOT_READY  # no target until NATS tells more
    else:
        assert split.holders == ["a", "b"]

    split.relay.mend()

    await eventually(lambda: split.holders == ["a"], WITHIN)
    await eventually(lambda: not split.offered_by(split.b), WITHIN)
    await eventually(lambda: split.b.agent(ERIN).state is AgentState.AVAILABLE, WITHIN)
    assert split.offered_by(split.a)


async def test_homes_are_claimed_again_from_an_empty_store(split: Split) -> None:
    """JetStream's files are lost: everybody stays at home where they are, and can still move."""
    for node in (split.a, split.b):
        assert node.directory.picture.held
    split.nats.stop()
    shutil.rmtree(split.nats.folder / "store")
    split.nats.start()
    for node in (split.a, split.b):
        await eventually(lambda node=node: not node.directory.picture.alone, WITHIN)  # type: ignore[misc]
    await eventually(lambda: split.a.remote(ERIN, "b") and split.b.remote("1001", "a"), WITHIN)
    assert split.holders == ["b"]

    split.a.pbx.log_in(ERIN, "sales")

    await eventually(lambda: split.holders == ["a"], WITHIN)
    await eventually(lambda: not split.offered_by(split.b), WITHIN)
    await eventually(lambda: split.b.remote(ERIN, "a"), WITHIN)
