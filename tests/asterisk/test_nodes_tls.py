"""Two nodes with TLS: trunks with SRTP, NATS with certificates of clients, and the daemons' API.

Everything of the files is as the product renders it.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from bed.nodes import Nodes

from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.test_nodes_bed import check, says

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

_EVERYTHING = 0x0003
_IPV4 = 0x0800
_TCP, _UDP = 6, 17
_G711 = 160
"""Bytes of 20 ms."""
_RTP, _TAG = 12, 10
"""Bytes of RTP's header, and of the tag that SRTP adds to each packet (AES_CM_128_HMAC_SHA1_80)."""


class Wire:
    """What goes over the wire from one address: the sizes of UDP packets, and the text of TCP."""

    def __init__(self, address: str) -> None:
        self._address = socket.inet_aton(address)
        self.udp: Counter[int] = Counter()
        self.tcp = b""

    def take(self, frame: bytes) -> None:
        packet = frame[14:]
        if packet[12:16] != self._address:
            return
        inside = packet[(packet[0] & 15) * 4 :]
        if packet[9] == _UDP:
            self.udp[len(inside) - 8] += 1
        elif packet[9] == _TCP:
            self.tcp += inside[(inside[12] >> 4) * 4 :]


@contextmanager
def wire(address: str) -> Iterator[Wire]:
    """Look at what the loopback device carries."""
    loop, seen = asyncio.get_running_loop(), Wire(address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4)) as raw:
        raw.bind(("lo", _EVERYTHING))
        raw.setblocking(False)
        loop.add_reader(raw, lambda: seen.take(raw.recv(65536)))
        try:
            yield seen
        finally:
            loop.remove_reader(raw)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", tls=True) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


async def test_a_consultation_between_nodes_is_encrypted(scene: NodesScene) -> None:
    with wire(scene.nodes.trunks.address("a", "b")) as seen:
        transfer = await scene.consult("caller1", "1001", "1005")
        await scene.at("a").complete(transfer)
        await scene.talking("caller1", "1005")

        async def enough() -> bool | None:
            return sum(count for size, count in seen.udp.items() if size >= _G711) > 50 or None

        assert await scene.at("a").ami.until(enough, 5.0), seen.udp
    await scene.only_legs(1)

    assert [size for size in seen.udp if size >= _G711] == [_RTP + _G711 + _TAG], seen.udp
    assert seen.tcp
    assert b"SIP/2.0" not in seen.tcp


async def test_a_transfer_to_the_other_node_and_back(scene: NodesScene) -> None:
    await scene.call("caller3", "1005")
    await scene.transfer("1005", "unsupervised", "1001")
    await scene.phone("1001").answer()
    await scene.talking("caller3", "1001")
    await scene.transfer("1001", "unsupervised", "1005")
    await scene.phone("1005").answer()
    await scene.talking("caller3", "1005")
    await scene.only_legs(0)


async def test_check_has_nothing_against_it(two: Nodes) -> None:
    found = await check(two.a)

    assert [*found] == [
        *("node_trunk_settings", "node_trunk", "node_api", "node_tls", "nats", "nodes"),
        "node_members",
    ]
    assert all(text.startswith("ok: ") for texts in found.values() for text in texts), found


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("stranger", "unable to get local issuer certificate"),
        pytest.param("expired", "certificate has expired", marks=pytest.mark.thorough),
        pytest.param("name", "IP address mismatch", marks=pytest.mark.thorough),
    ],
)
async def test_a_node_with_a_bad_certificate_gets_no_call_and_check_says_why(
    two: Nodes, how: str, why: str
) -> None:
    assert two.tls is not None
    both = how != "name"  # of a client no name is asked: node b gets to node a
    warning = (
        "The trunks to these nodes do not work: a."
        if both
        else "These nodes get no answer over their trunks to this one: a."
    )
    await two.b.kill_asterisk()
    two.tls.bad("b", how).write(two.b.directory / "etc" / "tls")
    await two.b.start_asterisk()
    try:
        await two.a.reaches("b", reached=False)
        assert await two.b.ami.until(lambda: says(two.b, warning), 15)
        there, here = await check(two.a), await check(two.b)
    finally:
        await two.b.kill_asterisk()
        two.tls.install("b", two.b.directory)
        await two.b.start_asterisk()
        await two.idle()

    assert there["node_trunk"] == [
        "error: node b does not answer over the trunk avp-node-b (Unreachable)",
        *(["error: node b gets no answer from this node over its trunk"] if both else []),
    ]
    address = f"{two.trunks.address('b', 'a')}:{two.trunks.port('b')}"
    (said,) = there["node_tls"]
    assert said.startswith(f"error: node b at {address}: its certificate is refused: {why}")
    assert said in here["node_tls"]  # it sees its own fault, and perhaps that node a minds it
    assert all("our certificate" in told for told in here["node_tls"] if told != said)
    assert there["nats"] == ["ok: all NATS servers answer (1)"]
    if both:
        (refused,) = here["nats"]
        assert re.search("refuses? our certificate", refused)
