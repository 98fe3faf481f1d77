"""Daemons of several nodes, each with a simulated Asterisk, over a real nats-server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import nats as nats_py
import pytest
from nats.aio.msg import Msg
from servers.ami_server import Action, error
from servers.nats import ANYBODY, NatsServer, password
from servers.node import WITHIN, Node, asterisks
from servers.pbx import Pbx
from servers.waiting import eventually

from asterisk_avp.cluster import wire
from asterisk_avp.cluster.messages import Changes, Heartbeat, Told
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from tests.config.test_settings import NEEDED

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

    def start(name: str, **more: str) -> Node:
        started.append(Node(name, pbxes[name], nats, **more))
        return started[-1]

    yield start
    for node in started:
        await node.kill()


async def both(begin: Begin) -> tuple[Node, Node]:
    a, b = begin("a"), begin("b")
    await a.ready()
    await b.ready()
    await eventually(lambda: a.remote("1005", "b") and b.remote("1001", "a"), WITHIN)
    return a, b


async def test_nodes_know_each_others_agents(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, b = await both(begin)
    erin = a.agent("1005")
    assert erin.state is AgentState.AVAILABLE
    assert b.agent("1005").remote is None
    assert a.engine.agents.groups_of("1005") == ("sales",)
    await eventually(lambda: a.engine.agents.headcounts.of("sales").available == 3, WITHIN)
    await eventually(lambda: b.engine.agents.headcounts.of("support").available == 2, WITHIN)
    call = pbxes["b"].offer("1005", "sales")
    await eventually(lambda: a.agent("1005").state is AgentState.RINGING, WITHIN)
    await eventually(lambda: a.engine.waiting.of("sales").callers == 1, WITHIN)
    pbxes["b"].answer(call)
    await eventually(lambda: a.agent("1005").state is AgentState.TALKING, WITHIN)
    assert a.engine.agents.headcounts.of("sales").available == 2
    await eventually(lambda: a.engine.waiting.of("sales").callers == 0, WITHIN)
    pbxes["b"].pause("1005", paused=True)
    await eventually(lambda: a.agent("1005").paused, WITHIN)
    assert a.engine.agents.headcounts.of("sales").ready == 2
    pbxes["b"].hang_up(call.caller)
    await eventually(lambda: a.agent("1005").state is AgentState.NOT_READY, WITHIN)


async def test_a_node_that_is_lost_and_comes_back(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, b = await both(begin)
    await b.kill()
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    assert a.agent("1005").state is AgentState.OFFLINE
    assert any("b" in text for text in a.directory.warnings())
    pbxes["b"].members["1005"].paused = True
    b = begin("b")
    await eventually(lambda: a.remote("1005", "b"), WITHIN)
    await eventually(lambda: a.agent("1005").paused, WITHIN)
    assert a.directory.warnings() == ()
    await b.ready()


async def test_the_server_is_restarted(
    begin: Begin, pbxes: dict[str, Pbx], nats: NatsServer
) -> None:
    a, b = await both(begin)
    nats.stop()
    await eventually(lambda: not a.directory.connection.connected, WITHIN)
    assert a.remote("1005", "b")  # the last picture is kept
    assert any("NATS" in text for text in a.daemon.readiness().warnings)
    assert a.daemon.readiness().ready
    pbxes["b"].pause("1005", paused=True)
    await eventually(lambda: b.agent("1005").paused, WITHIN)
    assert not a.agent("1005").paused
    nats.start()
    await eventually(lambda: a.agent("1005").paused, WITHIN)
    assert b.remote("1001", "a")


async def test_the_asterisk_of_a_node_is_away(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, b = await both(begin)
    await pbxes["b"].ami.stop()
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    assert not b.daemon.readiness().ready
    await pbxes["b"].ami.listen()
    await eventually(lambda: a.remote("1005", "b"), WITHIN)


async def test_who_logs_in_elsewhere_moves(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, b = await both(begin)
    pbxes["b"].log_in("1001", "sales")
    await eventually(lambda: a.remote("1001", "b"), WITHIN)
    assert b.agent("1001").remote is None
    assert b.agent("1001").state is AgentState.AVAILABLE
    # Node a takes the agent out of its queue, so that two queues never offer one agent.
    await eventually(lambda: not pbxes["a"].members["1001"].queues, WITHIN)
    await eventually(lambda: not a.agent("1001").memberships, WITHIN)
    assert "1001" in b.directory.picture.held
    assert "1001" not in a.directory.picture.held
    pbxes["a"].log_in("1001", "sales")  # and back
    await eventually(lambda: b.remote("1001", "a"), WITHIN)
    await eventually(lambda: not pbxes["b"].members["1001"].queues, WITHIN)
    assert a.agent("1001").state is AgentState.AVAILABLE


async def test_who_logs_out_stays_at_home(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    a, _ = await both(begin)
    pbxes["b"].log_out("1005", "sales")
    await eventually(lambda: a.agent("1005").state is AgentState.OFFLINE, WITHIN)
    assert a.remote("1005", "b")


async def test_the_home_of_a_lost_node_moves_to_where_the_agent_is_logged_in(
    begin: Begin, pbxes: dict[str, Pbx], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asterisk_avp.cluster.homes.LOST_SECONDS", 1.0)
    a, b = await both(begin)
    pbxes["a"].log_in("1005", "sales")
    await eventually(lambda: b.remote("1005", "a"), WITHIN)
    await a.kill()
    # Logged in on node b as well, and the daemon there has just begun: this is no log-in.
    await b.kill()
    pbxes["b"].members["1005"].queues = ("sales",)
    c = begin("b")
    await eventually(lambda: "1005" in c.directory.picture.held, WITHIN)
    assert c.directory.picture.held["1005"] > a.directory.picture.held["1005"]
    assert c.agent("1005").state is AgentState.AVAILABLE


async def test_a_pinned_agent_does_not_move(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    pinned = {"AVP_AGENTS__1001__NODE": "a"}
    a, b = begin("a", **pinned), begin("b", **pinned)
    await eventually(lambda: b.remote("1001", "a"), WITHIN)
    await b.ready()
    pbxes["b"].log_in("1001", "sales")
    await eventually(lambda: not pbxes["b"].members["1001"].queues, WITHIN)
    assert b.remote("1001", "a")
    assert a.agent("1001").remote is None


async def test_a_pinned_agent_leaves_each_queue(begin: Begin, pbxes: dict[str, Pbx]) -> None:
    """Also those in which Asterisk has not let them be removed at first."""
    a, b = begin("a", AVP_AGENTS__1001__NODE="a"), begin("b", AVP_AGENTS__1001__NODE="a")
    await eventually(lambda: b.remote("1001", "a"), WITHIN)
    await b.ready()
    remove, refused = pbxes["b"].ami.answers["QueueRemove"], list[str]()

    def once(action: Action) -> bytes:
        if action["Queue"] in refused:
            return remove(action)
        refused.append(action["Queue"])
        return error(action, "no")

    pbxes["b"].ami.answers["QueueRemove"] = once
    for queue in ("sales", "support"):
        pbxes["b"].log_in("1001", queue)
    await eventually(lambda: not pbxes["b"].members["1001"].queues, WITHIN)
    assert {"sales", "support"} <= set(refused)
    assert b.remote("1001", "a")
    await a.ready()


async def test_settings_that_differ(begin: Begin) -> None:
    a, b = begin("a"), begin("b", AVP_GROUPS__SALES__ACW_SECONDS="7")
    await eventually(lambda: any("settings" in text for text in a.directory.warnings()), WITHIN)
    await eventually(lambda: any("settings" in text for text in b.directory.warnings()), WITHIN)
    assert "The settings differ from those of these nodes: b." in a.daemon.readiness().warnings


async def test_a_peer_with_garbage(begin: Begin, nats: NatsServer) -> None:
    a, b = await both(begin)
    stranger = await nats_py.connect(nats.url, user=ANYBODY, password=password(ANYBODY))
    try:
        for data in (b"", b"\xff", b"{}", b'{"v":1,"node":"b","epoch":1,"now":1}'):
            for kind in ("node", "state", "group"):
                for node in ("b", "c", "x"):
                    await stranger.publish(wire.subject(kind, node), data)
            await stranger.publish(wire.subject("snapshot", "a"), data, reply="nowhere")
        beat = wire.write(Heartbeat("c", 1, time.time(), 0, True, "", "", {}))
        await stranger.publish(wire.subject("node", "b"), beat)
        await stranger.publish(wire.subject("node", "c"), beat)
        await stranger.flush()
    finally:
        await stranger.close()
    await eventually(lambda: a.directory.dropped["unknown_node"] == 1, WITHIN)
    await eventually(lambda: sum(a.directory.dropped.values()) >= 40, WITHIN)
    assert a.remote("1005", "b")
    metrics = a.daemon._metrics.text().decode()
    assert "asterisk_avp_directory_messages_dropped 4" in metrics
    assert "asterisk_avp_nodes_connected 1.0" in metrics
    assert b.remote("1001", "a")


async def test_a_node_cannot_speak_for_another(begin: Begin, nats: NatsServer) -> None:
    """With the rights of a node's user (docs: `asterisk-avp render` writes them)."""
    a, _ = await both(begin)
    errors: list[str] = []

    async def refused(error: Exception) -> None:
        errors.append(str(error).lower())

    c = await nats_py.connect(nats.url, user="c", password=password("c"), error_cb=refused)
    try:
        erin = Told("1005", 999, 99, RemoteAgent("b", AgentState.OFFLINE, 0.0, ()))
        for kind in ("node", "state", "group"):
            told = Changes("b", a.directory.epoch + 9, time.time(), 99, (erin,), ())
            await c.publish(wire.subject(kind, "b"), wire.write(told))
        await c.subscribe("avp.v1.snapshot.b")
        await c.flush()
        await eventually(lambda: len(errors) == 4, WITHIN)
    finally:
        await c.close()
    assert all("permissions violation" in error for error in errors)
    assert a.agent("1005").state is AgentState.AVAILABLE


@pytest.mark.parametrize(
    "subject",
    [
        *("avp.v1.node.b", "avp.v1.state.b", "avp.v1.group.b", "avp.v1.anything"),
        *("_INBOX.b.x", "_INBOX.c.x", "other", "$SYS.REQ.SERVER.PING", "$KV.other.1001"),
        *("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.CREATE.other"),
        *(f"$JS.API.STREAM.{what}.KV_homes" for what in ("DELETE", "PURGE", "UPDATE", "SNAPSHOT")),
        *("$JS.API.STREAM.MSG.DELETE.KV_homes", "$JS.API.CONSUMER.CREATE.KV_homes"),
        *("$JS.API.CONSUMER.DURABLE.CREATE.KV_homes.x", "$JS.API.CONSUMER.CREATE.KV_homes.x"),
    ],
)
async def test_what_a_node_may_not_say(nats: NatsServer, subject: str) -> None:
    assert await _refused(nats, publish=subject), subject


@pytest.mark.parametrize(
    "subject",
    [
        *(">", "*", "avp.>", "avp.v1.>", "avp.v1.*.b", "avp.v1.snapshot.*", "avp.v1.snapshot.b"),
        *("_INBOX.>", "_INBOX.b.>", "$KV.>", "$KV.homes.*", "$JS.>", "$SYS.>"),
    ],
)
async def test_what_a_node_may_not_hear(nats: NatsServer, subject: str) -> None:
    assert await _refused(nats, subscribe=subject), subject


async def _refused(nats: NatsServer, *, publish: str = "", subscribe: str = "") -> bool:
    """Whether the server refuses this to node c's user."""
    errors: list[str] = []

    async def refused(error: Exception) -> None:
        errors.append(str(error).lower())

    c = await nats_py.connect(nats.url, user="c", password=password("c"), error_cb=refused)
    try:
        if publish:
            await c.publish(publish, b"{}")
        else:
            await c.subscribe(subscribe)
        for _ in range(2):  # a PING may overtake what was published before it
            await c.flush()
    finally:
        await c.close()
    return bool(errors) and "permissions violation" in errors[0]


async def test_nobody_empties_the_store_of_homes(begin: Begin, nats: NatsServer) -> None:
    """A node's user may write any home, as agents may log in anywhere, but no more than that."""
    a, b = await both(begin)
    await eventually(lambda: "1001" in a.directory.picture.held, WITHIN)
    c = await nats_py.connect(nats.url, user="c", password=password("c"), inbox_prefix="_INBOX.c")
    try:
        for headers in ({"Nats-Rollup": "all"}, {"Nats-Rollup": "sub"}):
            answer = await c.request("$KV.homes.1001", b"c", headers=headers, timeout=5)
            assert b"rollup not permitted" in answer.data
        answer = await c.request("$KV.homes.1001", b"c" * 2_000, timeout=5)
        assert b"message size exceeds" in answer.data
    finally:
        await c.close()
    assert a.remote("1005", "b")
    assert b.remote("1001", "a")


async def test_a_snapshot_goes_to_who_asked_and_nowhere_else(
    begin: Begin, nats: NatsServer
) -> None:
    """The server lets a node answer to any subject that a question names."""
    a, _ = await both(begin)
    heard: list[str] = []
    stranger = await nats_py.connect(nats.url, user=ANYBODY, password=password(ANYBODY))

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    try:
        replies = ("avp.v1.state.x", "$KV.homes.1001", "_INBOX.x.here", "_INBOX.b.here")
        for reply in replies:
            await stranger.subscribe(reply, cb=hear)
        for reply in replies:
            await stranger.publish("avp.v1.snapshot.a", wire.write_request(""), reply=reply)
        await eventually(lambda: "_INBOX.b.here" in heard, WITHIN)
    finally:
        await stranger.close()
    assert heard == ["_INBOX.b.here"]
    assert a.remote("1005", "b")


async def test_a_node_that_runs_wild_is_not_read(begin: Begin, nats: NatsServer) -> None:
    a, b = await both(begin)
    wild = await nats_py.connect(nats.url, user="c", password=password("c"))
    try:
        for number in range(3_000):
            data = b"{}" if number % 100 else b"[" * 200_000
            await wild.publish("avp.v1.state.c", data)
        await wild.flush(timeout=30)
        await eventually(lambda: a.directory.dropped["too much"] > 1_000, WITHIN)
    finally:
        await wild.close()
    assert a.remote("1005", "b")
    assert b.remote("1001", "a")


async def test_many_agents_come_in_pages(nats: NatsServer) -> None:
    many = {str(2000 + number): ["sales"] for number in range(450)}
    listed = {"a": {"1001": ["sales"]}, "b": many}
    async with asterisks(listed) as pbxes:
        a, b = Node("a", pbxes["a"], nats), Node("b", pbxes["b"], nats)
        try:
            await a.ready()
            await b.ready()
            await eventually(lambda: all(a.remote(agent, "b") for agent in many), WITHIN)
            assert a.engine.agents.headcounts.of("sales").logged_in == 451
            c = Node("a", pbxes["a"], nats)  # another daemon of node a takes over
            await a.kill()
            await eventually(lambda: all(c.remote(agent, "b") for agent in many), WITHIN)
            await c.kill()
        finally:
            await a.kill()
            await b.kill()


def test_without_a_node_nothing_of_it_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from asterisk_avp.config.settings import Settings\n"
        "from asterisk_avp.service import process\n"
        "from asterisk_avp.service.daemon import Daemon\n"
        f"daemon = Daemon(Settings.load({NEEDED!r}, Path('/nonexistent')))\n"
        "assert daemon.nodes.parts == ()\n"
        "found = [x for x in sys.modules if x.partition('.')[0] == 'nats']\n"
        "found += [x for x in sys.modules if x.startswith('asterisk_avp.cluster')]\n"
        "assert found == [], found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=tmp_path)
