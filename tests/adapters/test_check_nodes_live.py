"""What `asterisk-avp check` asks NATS servers and the other nodes' daemons, and says of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import nats as nats_py
import pytest
from servers.nats import NatsServer, password
from servers.two_nodes import TOKENS, TwoNodes, settings, two_nodes

from asterisk_avp.cluster import wire
from asterisk_avp.cluster.messages import Heartbeat
from asterisk_avp.config.settings import Settings
from asterisk_avp.install.checks import node_peers, nodes
from asterisk_avp.install.checks.model import Facts
from asterisk_avp.install.checks.nodes_model import NodesFacts, PeerAnswer
from asterisk_avp.install.nats_probe import ask_nats
from asterisk_avp.install.peer_probe import ask_peers
from tests.ports import free_port

HASH, VERSION = "0123456789abcdef", "1.2.0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as running:
        yield running


def of_node_a(url: str, secret: str = "") -> Settings:
    env = {
        "AVP_CLUSTER__NODE": "a",
        "AVP_CLUSTER__SERVERS": url,
        "AVP_CLUSTER__CREDENTIALS": f"a:{secret or password('a')}",
    }
    for name, token in TOKENS.items():
        env[f"AVP_NODES__{name.upper()}__URL"] = "http://127.0.0.1:9"
        env[f"AVP_NODES__{name.upper()}__TOKEN"] = token
    return Settings.load(env, Path("/nonexistent"), connect=False)


@asynccontextmanager
async def speaking(server: NatsServer, **beats: Heartbeat) -> AsyncIterator[None]:
    """These nodes send heartbeats, with the clock that theirs has."""
    clients = {
        name: await nats_py.connect(server.url, user=name, password=password(name))
        for name in beats
    }

    async def speak() -> None:
        while True:
            for name, beat in beats.items():
                told = replace(beat, now=time.time() + beat.now)
                await clients[name].publish(wire.subject("node", name), wire.write(told))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()
        for client in clients.values():
            await client.close()


def beat(node: str, ahead: float = 0.0, **changes: object) -> Heartbeat:
    well = Heartbeat(node, 1, ahead, 0, True, VERSION, HASH, {})
    return replace(well, **changes)  # type: ignore[arg-type]


async def found(url: str, *, secret: str = "") -> list[str]:
    nats = await ask_nats(of_node_a(url, secret))
    facts = Facts({}, nodes=NodesFacts("a", {"b": "avp-node-b"}, HASH, VERSION, nats=nats))
    seen = [*nodes.nats(facts), *nodes.same(facts)]
    assert all(x.mend or x.why for x in seen if x.severity != "ok")
    texts = [f"{x.severity.value}: {x.what}" for x in seen]
    assert not any(token in str(seen) for token in (*TOKENS.values(), password("a"), "wrong-one"))
    return texts


async def test_what_is_well(server: NatsServer) -> None:
    async with speaking(server, a=beat("a"), b=beat("b")):
        assert all(x.startswith("ok: ") for x in await found(server.url))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (beat("b", ahead=10.0), r"warning: the clock of node b is (10\.0|9\.\d) s ahead of ours"),
        (beat("b", ahead=-7200.0), r"warning: the clock of node b is 720\d\.\d s behind ours"),
        (beat("b", version="1.1.9"), f"warning: node b has version 1.1.9, this one {VERSION}"),
        (
            beat("b", config_hash="other"),
            r"error: node b has other settings \(other\) than this one \(.*\)",
        ),
        (beat("b", ready=False), "warning: the daemon of node b is not ready"),
    ],
    ids=["clock", "hours", "version", "settings", "not ready"],
)
async def test_a_node_that_differs(server: NatsServer, other: Heartbeat, said: str) -> None:
    async with speaking(server, a=beat("a"), b=other):
        faults = [x for x in await found(server.url) if not x.startswith("ok: ")]
    assert len(faults) == 1, faults
    # A heartbeat is on its way for a moment: of 10 s, 9.9 may be left.
    assert re.fullmatch(said, faults[0]), faults


async def test_two_daemons_with_one_letter(server: NatsServer) -> None:
    """The earlier one is not believed, and says that it is not ready; a standby is no fault."""
    later, standby = beat("b", epoch=2), beat("b", epoch=3, ready=False, standby=True)
    async with speaking(server, a=beat("a"), b=later), speaking(server, b=standby):
        assert all(x.startswith("ok: ") for x in await found(server.url))
    async with speaking(server, a=beat("a"), b=later), speaking(server, b=beat("b", ready=False)):
        assert "error: two daemons say that they are node b" in await found(server.url)


async def test_a_node_that_is_silent(server: NatsServer) -> None:
    async with speaking(server, a=beat("a")):
        assert "error: nothing is heard from the daemon of node b" in await found(server.url)


async def test_a_wrong_password(server: NatsServer) -> None:
    (said, *_) = await found(server.url, secret="wrong-one")
    assert said == f"error: {server.url} cannot be used: nats: 'Authorization Violation'"


async def test_nobody_answers() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    (said, *_) = await found(url)
    assert said.startswith(f"error: {url} cannot be used: connection refused")


async def test_a_port_that_is_open_and_silent() -> None:
    """As behind a firewall, or where another program listens."""
    lines: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, line: lines.append(line), "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    try:
        (said, *_) = await found(url)
    finally:
        silent.close()
        for line in lines:
            line.close()
    assert said == f"error: {url} cannot be used: TimeoutError"


# --- the other nodes' daemons -------------------------------------------------------------------


async def asked(two: TwoNodes, **changes: str) -> PeerAnswer:
    """What node b's daemon answers to node a's check."""
    urls = {"a": two.a.url, "b": two.b.url}
    env = settings("a", two.a.pbx, urls, **changes)
    return (await ask_peers(Settings.load(env, Path("/nonexistent"))))["b"]


async def test_the_daemons_answer_who_has_the_right_token() -> None:
    async with two_nodes() as two:
        assert await asked(two) == PeerAnswer(200)
        wrong = "another-token-than-the-one-that-node-b-knows"
        refused = await asked(two, AVP_NODES__A__TOKEN=wrong)
        assert refused == PeerAnswer(401)
        nowhere = await asked(two, AVP_NODES__B__URL=f"http://127.0.0.1:{free_port()}")
        assert "connection refused" in nowhere.problem
        other = await asked(two, AVP_NODES__B__URL=f"{two.b.url}/elsewhere")
        assert other == PeerAnswer(404)
        answers = {"b": refused, "c": nowhere, "d": other}
        facts = Facts({}, nodes=NodesFacts("a", {}, "", "", peers=answers))
        texts = [x.what for x in node_peers.apis(facts)]
        assert texts[0] == "the daemon of node b does not know this node's token"
        assert texts[1].startswith("the daemon of node c cannot be reached: ")
        assert texts[2] == "the address of node d's daemon answers 404"
        assert wrong not in str(list(node_peers.apis(facts)))
