"""Three NATS servers by the rendered files, with TLS: which may be lost, and what is lost then."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from nats import errors, js
from nats.aio.msg import Msg
from servers.nats_cluster import LETTERS, NatsCluster
from servers.waiting import eventually

from asterisk_avp.cluster import wire
from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.homes import Entry, StoreAway, Taken
from asterisk_avp.cluster.store import STREAM, HomeStore
from asterisk_avp.install.checks import nodes as checks
from asterisk_avp.install.checks.model import Facts
from asterisk_avp.install.checks.nodes_model import NatsFacts, NodesFacts
from asterisk_avp.install.nats_probe import ask_nats
from tests.certificates import Authority

T = TypeVar("T")

WITHIN = 60.0
"""An election takes 5 to 8 s on a quiet machine, and servers that come back longer."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    with NatsCluster(tmp_path) as servers:
        servers.start()
        yield servers


class Node:
    """The connection of a node's daemon, and what it hears of node a's states."""

    def __init__(self, letter: str, cluster: NatsCluster) -> None:
        self.heard: list[bytes] = []
        self.connection = Connection(
            cluster.settings(letter).cluster,
            {wire.subject("state", "a"): self._heard},
            lambda: None,
        )
        self.store = HomeStore(self.connection, len(LETTERS))
        self.letter = letter

    async def _heard(self, _node: str, message: Msg) -> None:
        self.heard.append(message.data)

    async def ask(self, what: Callable[[], Awaitable[T]]) -> T:
        """What the store answers, once it does."""
        async with asyncio.timeout(WITHIN):
            while True:
                self.store._failed = None  # otherwise it does not ask for a while
                try:
                    return await what()
                except StoreAway:
                    await asyncio.sleep(0.05)

    async def claims(self, revision: int | None = None, agent: str = "1001") -> int:
        """Make this node the agent's home, in place of the entry of that revision; the new one.

        A store that answers too late may have stored it, and refuses the repetition.
        """
        late = False

        async def write() -> int:
            nonlocal late
            try:
                if revision is None:
                    return await self.store.create(agent, self.letter)
                return await self.store.update(agent, self.letter, revision)
            except StoreAway:
                late = True
                raise
            except Taken:
                stored = await self.store.get(agent) if late else None
                if stored is None or stored.node != self.letter or stored.revision == revision:
                    raise
                return stored.revision

        return await self.ask(write)

    async def home(self, agent: str = "1001") -> Entry | None:
        return await self.ask(lambda: self.store.get(agent))

    async def leader(self) -> str:
        """Whose server leads the copies of the homes."""
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    info = await self.connection.client.jetstream(timeout=1).stream_info(STREAM)
                except (errors.Error, js.errors.Error, ConnectionError, TimeoutError):
                    await asyncio.sleep(0.05)
                    continue
                if info.cluster is not None and info.cluster.leader:
                    return info.cluster.leader.removeprefix("avp-")
                await asyncio.sleep(0.05)


@asynccontextmanager
async def connected(cluster: NatsCluster, letters: str = "ab") -> AsyncIterator[list[Node]]:
    nodes = [Node(letter, cluster) for letter in letters]
    running = [asyncio.create_task(node.connection.run()) for node in nodes]
    try:
        await eventually(lambda: all(node.connection.connected for node in nodes), WITHIN)
        yield nodes
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def goes_across(a: Node, b: Node) -> None:
    """What node a tells arrives at node b, by whichever servers."""
    mark = json.dumps({"number": len(b.heard)}).encode()

    async def tell() -> None:
        while mark not in b.heard:
            await a.connection.publish(wire.subject("state", "a"), mark)
            await asyncio.sleep(0.05)

    await asyncio.wait_for(tell(), WITHIN)


def findings(nats: NatsFacts) -> list[str]:
    facts = NodesFacts("a", {}, "", "", servers=len(LETTERS), nats=nats)
    return [f"{x.severity.value}: {x.what}" for x in checks.nats(Facts({}, nodes=facts))]


async def told(cluster: NatsCluster, right: Callable[[NatsFacts], bool]) -> list[str]:
    """What `check` finds, once its facts are right: copies follow, and leaders are elected."""
    deadline = time.monotonic() + WITHIN
    while not right(facts := await ask_nats(cluster.settings("a"))):
        assert time.monotonic() < deadline, facts
    return findings(facts)


async def test_one_server_is_lost_and_then_another(cluster: NatsCluster) -> None:
    async with connected(cluster) as (a, b):
        assert await a.home() is None
        revision = await a.claims()
        await told(cluster, lambda x: findings(x) == ["ok: all NATS servers answer (3)"])

        first = await a.leader()
        cluster.kill(first)
        await goes_across(a, b)  # states need no leader
        assert await b.home() == Entry("a", revision)
        revision = await b.claims(revision)
        copies = ["warning: 2 of 3 copies of the homes are current"]
        found = await told(cluster, lambda x: findings(x)[1:] == copies)
        assert found[0].startswith(f"warning: tls://{cluster.hosts[first]} cannot be used: ")

        cluster.start(first)
        leader = await a.leader()
        second = next(x for x in LETTERS if x not in (first, leader))
        cluster.kill(second)  # no leader
        await goes_across(a, b)
        assert await a.home() == Entry("b", revision)


async def test_without_a_majority_states_go_on_and_homes_stay_where_they_are(
    cluster: NatsCluster,
) -> None:
    async with connected(cluster) as (a, b):
        revision = await a.claims()
        lost = [x for x in LETTERS if x != "c"]
        cluster.kill(*lost)
        await goes_across(a, b)
        a.store._failed = None
        with pytest.raises(StoreAway):
            await a.store.update("1001", "a", revision)
        # The server that is left notices after some seconds.
        unread = "error: the homes of agents cannot be read"
        found = await told(cluster, lambda facts: any(unread in x for x in findings(facts)))
        assert [x.split(":")[0] for x in found] == ["warning", "warning", "error"]

        cluster.start(*lost)
        home = await b.home()
        assert home is not None
        assert home.node == "a"
        await goes_across(a, b)


async def test_what_is_stored_is_lost(cluster: NatsCluster) -> None:
    """Homes are claimed anew, and are newer than those that were known before."""
    async with connected(cluster) as (a, b):
        revision = await a.claims()
        cluster.kill()
        cluster.wipe()
        cluster.start()
        assert await b.home() is None
        with pytest.raises(Taken):
            await b.ask(lambda: b.store.update("1001", "b", revision))
        assert await b.claims() > revision
        assert await a.home() is not None


async def test_three_servers_where_there_was_one(tmp_path: Path) -> None:
    """As the documentation says: the store is deleted, and made anew with three copies."""
    with NatsCluster(tmp_path) as cluster:
        cluster.start("a", servers="a")
        async with connected(cluster, "a") as (alone,):
            alone.store = HomeStore(alone.connection, 1)
            before = await alone.claims()
        cluster.kill()
        cluster.wipe()
        cluster.start()
        async with connected(cluster) as (a, _):
            assert await a.claims() > before
            await told(cluster, lambda x: (x.copies, x.current, x.store) == (3, 3, ""))


async def test_a_server_with_another_certificate_is_refused_and_named(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    settings = cluster.settings("a", AVP_CLUSTER__TLS_CA=str(_stranger(tmp_path)))
    found = findings(await ask_nats(settings))

    assert len(found) == len(LETTERS)
    assert all("its certificate is refused: unable to get local issuer" in x for x in found), found


async def test_a_server_with_another_certificate_is_asked_again(tmp_path: Path) -> None:
    """A daemon connects once the certificate is the right one, or to another server."""
    with NatsCluster(tmp_path) as cluster:
        cluster.certificates["a"] = Authority(tmp_path / "stranger", "somebody else")
        cluster.start("a", servers="a")
        node = Node("a", cluster)
        running = asyncio.create_task(node.connection.run())
        await eventually(lambda: bool(node.connection._trouble), WITHIN)
        assert not node.connection.connected
        cluster.kill()
        del cluster.certificates["a"]
        cluster.start("a", servers="a")
        await eventually(lambda: node.connection.connected, WITHIN)
        running.cancel()
        await asyncio.wait([running])


def _stranger(folder: Path) -> Path:
    Authority(folder / "stranger", "somebody else")
    return folder / "stranger" / "ca.pem"
