"""A node's standby hears the directory while it waits, and the others do not lose the node."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import nats as nats_py
import pytest
from servers.nats import NatsServer, password
from servers.node import WITHIN, Node, asterisks
from servers.pbx import Pbx
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.cluster import directory, wire
from asterisk_avp.cluster.messages import Heartbeat
from asterisk_avp.core.model.world import AgentState
from tests.ports import free_port

Begin = Callable[..., Node]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def pbxes() -> AsyncIterator[dict[str, Pbx]]:
    async with asterisks() as found:
        yield found


@pytest.fixture
async def begin(nats: NatsServer, pbxes: dict[str, Pbx]) -> AsyncIterator[Begin]:
    started: list[Node] = []
    ports = {name: str(free_port()) for name in pbxes}

    def start(name: str, *, standby: bool = False, **more: str) -> Node:
        more = {"AVP_API__PORT": ports[name], **more}
        started.append(Node(name, pbxes[name], nats, standby=standby, **more))
        return started[-1]

    yield start
    for node in started:
        await node.kill()


async def three(begin: Begin) -> tuple[Node, Node, Node]:
    """Node a, node b, and the standby of b, which has seen both."""
    a, b = begin("a"), begin("b")
    await a.ready()
    await b.ready()
    await eventually(lambda: a.remote("1005", "b") and b.remote("1001", "a"), WITHIN)
    standby = begin("b", standby=True)
    await eventually(lambda: standby._takeover.waiting is not None, WITHIN)
    await eventually(lambda: b.daemon.readiness().standby, WITHIN)
    return a, b, standby


async def test_it_knows_the_others_before_it_serves(begin: Begin) -> None:
    a, b, standby = await three(begin)
    await eventually(lambda: standby.remote("1001", "a") and standby.remote("1002", "a"), WITHIN)
    assert not standby.serves
    assert standby.directory.picture.held == {}
    assert a.remote("1005", "b")  # the standby answers no questions
    assert a.directory.dropped == b.directory.dropped == standby.directory.dropped == {}


async def test_the_others_do_not_lose_the_node(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, b, standby = await three(begin)
    await eventually(lambda: standby.remote("1001", "a"), WITHIN)
    revision = b.directory.picture.held["1005"]
    epoch = a.directory.picture.peers["b"].epoch
    with capture_logs() as logs:
        await b.kill()
        await eventually(lambda: standby.serves, WITHIN)
        assert standby.remote("1001", "a")
        await standby.ready()
        await eventually(lambda: a.directory.picture.peers["b"].epoch > epoch, WITHIN)
        await eventually(lambda: a.directory.picture.peers["b"].complete is not None, WITHIN)
    assert a.remote("1005", "b")
    assert not [line for line in logs if line["event"] in ("node_lost", "home_moved")]
    assert standby.directory.picture.held["1005"] == revision
    assert a.directory.picture.home("1005")[1].revision == revision
    pbxes["b"].pause("1005", paused=True)
    await eventually(lambda: a.agent("1005").paused, WITHIN)
    assert a.agent("1005").state is AgentState.NOT_READY


async def test_a_standby_without_asterisk_keeps_no_node(
    begin: Begin, pbxes: dict[str, Pbx]
) -> None:
    """Asterisk ends together with the daemon."""
    a, b, standby = await three(begin)
    await eventually(standby.directory.standing_by, WITHIN)
    await pbxes["b"].ari.stop()
    await pbxes["b"].ami.stop()
    await b.kill()
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    assert not standby.directory.standing_by()


async def test_a_daemon_whose_place_was_taken_is_silent(
    begin: Begin, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have stood still, and not know it yet; or another node has the same letter.

    It speaks again once the other one is gone.
    """
    a, b, _ = await three(begin)
    seq = b.directory._own.seq
    later = b.directory.epoch + 1000
    other = await nats_py.connect(nats.url, user="b", password=password("b"))
    beat = Heartbeat("b", later, time.time(), 0, True, "", "", {})
    await other.publish(wire.subject("node", "b"), wire.write(beat))
    await other.flush()
    await eventually(lambda: b.directory._former == later, WITHIN)
    assert not b.directory._speaks()
    b.pbx.pause("1005", paused=True)
    await eventually(lambda: b.agent("1005").paused, WITHIN)
    assert b.directory._own.seq == seq
    assert any("Another daemon says" in x for x in b.directory.warnings())
    await other.close()
    monkeypatch.setattr(directory, "STANDBY_SECONDS", 1.0)
    await eventually(b.directory._speaks, WITHIN)
    assert not any("Another daemon says" in x for x in b.directory.warnings())
    assert b.directory.epoch > later
    await eventually(lambda: _paused(a, "1005"), WITHIN)


def _paused(node: Node, agent: str) -> bool:
    """Whether an agent of another node is paused, as this one sees it."""
    seen = node.engine.agents.by_id[agent].remote
    return seen is not None and seen.state is AgentState.NOT_READY


async def test_settings_that_are_read_again(begin: Begin) -> None:
    """The daemon that waited with the former settings leaves NATS."""
    _, _, standby = await three(begin)
    former = standby.daemon.nodes.directory
    await standby._takeover.reload()
    await eventually(
        lambda: standby._takeover.waiting is not None and standby.directory is not former, WITHIN
    )
    await eventually(lambda: standby.remote("1001", "a"), WITHIN)
    await eventually(lambda: not former.connection.connected, WITHIN)
