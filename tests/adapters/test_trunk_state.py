"""What Asterisk says of trunks gets to the engine, to the other nodes and to the administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from servers.nats import NatsServer
from servers.node import WITHIN, Node, asterisks
from servers.waiting import eventually

from asterisk_avp.core.messages.remote import NodeRestarted
from asterisk_avp.service.inbox import Message

TO_B, TO_A = "avp-node-b", "avp-node-a"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def nodes(nats: NatsServer) -> AsyncIterator[tuple[Node, Node]]:
    async with asterisks() as pbxes:
        a, b = (Node(name, pbxes[name], nats) for name in "ab")
        await a.ready()
        await b.ready()
        await eventually(lambda: a.remote("1005", "b") and b.remote("1001", "a"), WITHIN)
        yield a, b
        await a.kill()
        await b.kill()


def warnings(node: Node) -> tuple[str, ...]:
    return node.daemon.readiness().warnings


async def test_a_cut_trunk_is_seen_by_both_sides(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    a.pbx.cut.add(TO_B)  # b still reaches a
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    await eventually(lambda: not b.remote("1001", "a"), WITHIN)
    assert a.agent("1005").remote.cut  # type: ignore[union-attr]
    assert warnings(a) == ("The trunks to these nodes do not work: b.",)
    assert warnings(b) == ("These nodes get no answer over their trunks to this one: a.",)
    assert "asterisk_avp_trunks_cut 1.0" in a.daemon._metrics.text().decode()
    a.pbx.cut.clear()
    await eventually(lambda: a.remote("1005", "b") and b.remote("1001", "a"), WITHIN)
    assert warnings(a) == warnings(b) == ()


async def test_it_is_seen_without_nats(nodes: tuple[Node, Node], nats: NatsServer) -> None:
    a, _ = nodes
    nats.stop()
    await eventually(lambda: len(warnings(a)) == 1, WITHIN)
    a.pbx.cut.add(TO_B)
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    a.pbx.cut.clear()
    await eventually(lambda: a.remote("1005", "b"), WITHIN)


async def test_the_daemon_of_a_node_alone_is_lost(nodes: tuple[Node, Node]) -> None:
    """Its agents are no targets; its trunk works."""
    a, b = nodes
    await b.kill()
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    assert not a.agent("1005").remote.cut  # type: ignore[union-attr]
    assert warnings(a) == ("Nothing is heard of these nodes: b.",)


async def test_an_asterisk_that_was_started_again_has_no_calls(nodes: tuple[Node, Node]) -> None:
    """However short it was away."""
    a, b = nodes
    seen = list[object]()
    inbox = a.daemon._inbox
    handle = inbox._handle

    def heard(message: Message) -> None:
        seen.append(message)
        handle(message)

    inbox.consume(heard)
    await eventually(lambda: a.directory.others.asterisk_of("b") == "202601010000000000000", WITHIN)
    b.pbx.started = "2026-01-01T00:00:09.000+0000"
    b.pbx.ari.last.drop()
    await eventually(lambda: NodeRestarted("b") in seen, WITHIN)
    assert seen.count(NodeRestarted("b")) == 1
