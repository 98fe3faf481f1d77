"""The test bed of several nodes: trunks carry calls both ways, refuse strangers, and can be cut.

And what `asterisk-avp check` and `asterisk-avp render all` make of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import requests
from bed.inviting import InvitingPhone
from bed.nodes import Node, Nodes

from asterisk_avp.config.node_secrets import trunk_password
from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.ports import free_udp_port

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

#: 87 and an agent's id: that agent, on the other node.
DIALPLAN = """
[avp-node-in](+)
exten => _bed-X.,1,Dial(PJSIP/${EXTEN:4},20)
 same => n,Hangup()

[callers](+)
exten => _871XXX,1,Answer()
 same => n,Dial(PJSIP/bed-${EXTEN:2}@avp-node-${IF($[${EXTEN:2} > 1002]?b:a)},20)
 same => n,Hangup()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", relays=False, extensions=DIALPLAN) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


@pytest.mark.parametrize(("caller", "agent"), [("caller1", "1003"), ("caller3", "1001")])
async def test_a_call_over_the_trunk_is_heard_both_ways(
    scene: NodesScene, caller: str, agent: str
) -> None:
    await scene.phone(caller).dial(f"87{agent}")
    await scene.phone(agent).answer()

    await scene.talking(caller, agent)

    await scene.only_legs(1)
    await scene.hang_up(agent)
    await scene.gone(caller)


async def test_a_cut_trunk_loses_everything_silently_and_is_noticed_within_seconds(
    scene: NodesScene,
) -> None:
    nodes = scene.nodes
    await scene.phone("caller1").dial("871003")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")

    nodes.cut("a", "b")
    await asyncio.gather(
        nodes.a.reaches("b", reached=False, within=10),
        nodes.b.reaches("a", reached=False, within=10),
    )
    await scene.gone("caller1", "1003", within=8)  # rtp_timeout, with no dialplan of ours

    nodes.mend()
    await nodes.trunks_up()


async def test_each_node_has_its_own_agents_callers_and_tones(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("caller3").dial("801")
    await scene.phone("1003").answer()
    await scene.talking("caller3", "1003")
    await scene.talking("caller1", "1001")


class Pretender(InvitingPhone):
    """Somebody who calls node a over its trunk as node b, from whatever address."""

    def __init__(self, nodes: Nodes, host: str, password: str) -> None:
        port, rtp = free_udp_port(host), free_udp_port(host)
        super().__init__("avp-node-b", port, nodes.trunks.port("a"), rtp)
        self.host, self.password = host, password
        self._trunk = (nodes.trunks.address("a", "b"), nodes.trunks.port("a"))

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, self.port))

    def send(self, text: str) -> None:
        self._send_to(text, self._trunk)


@pytest.mark.parametrize(
    ("address", "password", "known"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
    ids=["the node", "wrong password", "wrong address", "both wrong"],
)
async def test_a_trunk_refuses_strangers(
    scene: NodesScene, address: bool, password: bool, known: bool
) -> None:
    nodes = scene.nodes
    own = nodes.trunks.address("b", "a")
    host = own if address else own.replace("127.66.", "127.67.")
    secret = trunk_password(nodes.tokens["b"]) if password else "wrong"
    stranger = Pretender(nodes, host, secret)
    await stranger.listen()
    try:
        # Of the dialplan of nodes, and of that of phones and callers.
        answers = {number: await stranger.invite(number) for number in ("bed-9999", "800", "1001")}
    finally:
        stranger.stop()

    assert all((answer != 401) is known for answer in answers.values()), answers


async def check(node: Node) -> dict[str, list[str]]:
    """What `asterisk-avp check` finds on a node about nodes: each finding's severity and text."""
    process = await asyncio.create_subprocess_exec(
        *(str(node.program), "check", "--config-dir", str(node.directory / "etc"), "--json"),
        env={**node._inherited(), **node.daemon_env()},
        cwd=node.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert errors == b"", errors
    found: dict[str, list[str]] = {}
    for one in json.loads(output)["findings"]:
        if one["id"].startswith(("node", "nats")):
            found.setdefault(one["id"], []).append(f"{one['severity']}: {one['what']}")
    return found


async def says(node: Node, warning: str) -> bool | None:
    """Whether a node's daemon gives this warning."""
    answer = await asyncio.to_thread(requests.get, f"{node.url}/readyz", timeout=5)
    return warning in answer.json()["warnings"] or None


async def test_check_says_what_is_well_and_what_is_not(two: Nodes) -> None:
    await two.idle()
    well = await check(two.a)

    ids = ["node_trunk_settings", "node_trunk", "node_api", "nats", "nodes", "node_members"]
    assert [*well] == ids
    assert all(text.startswith("ok: ") for texts in well.values() for text in texts), well

    two.cut("a", "b")
    await two.b.stop_daemon(kill=True)
    await two.b.start_daemon({"AVP_ENTERPRISE__MAX_HOLD_SECONDS": "9"})
    await two.a.reaches("b", reached=False)
    assert await two.b.ami.until(
        lambda: says(two.b, "The trunks to these nodes do not work: a."), 9
    )
    broken = await check(two.a)
    await two.b.stop_daemon(kill=True)
    await two.idle()

    assert broken["node_trunk"] == [
        "error: node b does not answer over the trunk avp-node-b (Unreachable)",
        "error: node b gets no answer from this node over its trunk",
    ]
    (text,) = broken["nodes"]
    assert text.startswith("error: node b has other settings")
