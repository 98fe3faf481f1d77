"""What Asterisk says of trunks gets to the engine, to the other nodes and to the administrator."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from servers.nats import NatsServer
from servers.node import WITHIN, Node, a_and_b
from servers.waiting import eventually

from asterisk_avp.cluster.messages import Heartbeat
from asterisk_avp.cluster.others import Others
from asterisk_avp.cluster.picture import Picture
from asterisk_avp.core.messages.remote import NodeRestarted
from asterisk_avp.service.inbox import Message

TO_B, TO_A = "avp-node-b", "avp-node-a"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def nodes(nats: NatsServer) -> AsyncIterator[tuple[Node, Node]]:
    async with a_and_b(nats) as both:
        yield both


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


def heard(node: Node) -> list[Message]:
    """What is posted from now on."""
    seen = list[Message]()
    inbox = node.daemon._inbox
    handle = inbox._handle

    def consume(message: Message) -> None:
        seen.append(message)
        handle(message)

    inbox.consume(consume)
    return seen


def beat(epoch: int, seq: int, started: str, now: float) -> Heartbeat:
    told = {"ready": True, "version": "", "config_hash": "", "trunks": {}}
    return Heartbeat("b", epoch, now, seq=seq, asterisk=started, **told)  # type: ignore[arg-type]


def start_of(a: Node, b: str) -> str:
    peer = a.directory.picture.peers.get(b)
    return peer.asterisk if peer is not None else ""


async def test_an_asterisk_that_was_started_again_has_no_calls(nodes: tuple[Node, Node]) -> None:
    """However short it was away."""
    a, b = nodes
    seen = heard(a)
    await eventually(lambda: start_of(a, "b") == "202601010000000000000", WITHIN)
    b.pbx.started = "2026-01-01T00:00:09.000+0000"
    b.pbx.ari.last.drop()
    await eventually(lambda: NodeRestarted("b") in seen, WITHIN)
    assert seen.count(NodeRestarted("b")) == 1


async def test_a_restart_between_two_looks_is_seen(nodes: tuple[Node, Node]) -> None:
    """Here, the time of the start that is looked at next is the one that was looked at last."""
    a, _ = nodes
    seen = heard(a)
    await eventually(lambda: start_of(a, "b") == "202601010000000000000", WITHIN)
    known = a.directory.picture.peers["b"]
    for started in ("202601010000090000000", known.asterisk):
        now = time.time()
        told = beat(known.epoch, known.seq or 0, started, now)
        a.directory.picture.heartbeat(told, time.monotonic(), now)
    await eventually(lambda: NodeRestarted("b") in seen, WITHIN)
    assert seen.count(NodeRestarted("b")) == 1


def test_a_start_that_is_not_known_yet_is_no_restart() -> None:
    picture = Picture("a", "ab", 1.5, lambda _agent: None)
    others, restarts = Others(picture), list[int]()
    for at, started in enumerate(("", "1", "", "1", "2", "", "2", "3")):
        picture.heartbeat(beat(1, 0, started, 0.0), float(at), 0.0)
        restarts.append(others.restarts("b"))
    assert restarts == [0, 0, 0, 0, 1, 1, 1, 2]
    assert others.restarts("c") == 0
