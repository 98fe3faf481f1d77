"""A node that has been taken over, or somebody who pretends to be one, at the trunk of another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from bed.inviting import InvitingPhone
from bed.nodes import Nodes

from asterisk_avp.config.node_secrets import trunk_password
from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.test_nodes_bed import Pretender
from tests.ports import free_udp_port

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ODD = (
    *("1001", "800", "s", "h", "T", "ended", "rejected", "refused", "agent", "agent-", "group-"),
    *("agent-1001;x=1", "agent-..%2F", "agent-1001%00", "agent-1001%0d%0aX:%201", "agent-%ff"),
    *("agent-9999", "agent-1003", "group-nobody", "group-avp-agent-1001", "group-sales%20", "%2a8"),
    *("agent-$%7bSHELL(id)%7d", "group-sales%22%20%26%20%22", "Local%2f911%40avp-external", "911"),
    *("agent-1001&PJSIP%2f1002", "AGENT-1001", f"agent-{'1' * 500}", f"group-{'a' * 2000}"),
)
REFUSED = (401, 403, 404, 416, 480, 484, 500, 603)
"""401: of a user with control characters, which pjproject hashes otherwise than it was sent."""
HEADERS = (
    "X-AVP-Hold: 1\r\nX-AVP-Hold: 99999999\r\nX-AVP-Transfer: a\r\nX-AVP-Transfer: b\r\n",
    f"X-AVP-Hold: 1\r\nX-AVP-Transfer: {'x' * 3000}\r\nX-AVP-Call: ${{SHELL(id)}}\r\n",
    'X-AVP-Hold: 1\r\nX-AVP-Group: sales"],1)\r\n more\r\nX-AVP-Leg: consult\r\n',
    "X-AVP-Hold: 1\r\nX-AVP-Hold: -1\r\nX-AVP-Transferor: 1001,1):System(id)\r\n",
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", relays=False) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def taken_over(two: Nodes) -> AsyncIterator[Pretender]:
    """Node b: its address, and its password."""
    node = Pretender(two, two.trunks.address("b", "a"), trunk_password(two.tokens["b"]))
    await node.listen()
    yield node
    node.stop()


async def test_odd_users_reach_nobody_and_leave_nothing(
    scene: NodesScene, taken_over: Pretender
) -> None:
    await scene.call("caller1", "1001")

    answers = {number: await taken_over.invite(number) for number in ODD}

    assert {x: y for x, y in answers.items() if y not in REFUSED} == {}
    await scene.talking("caller1", "1001")  # nobody has touched it
    await scene.only_legs(0)
    assert not any(scene.phone(name).live for name in ("1002", "1003", "caller2"))


async def test_odd_headers_make_no_other_call_of_it(
    scene: NodesScene, taken_over: Pretender
) -> None:
    """The agent rings, as for any call of that node, and for as long as is asked at most."""
    for headers in HEADERS:
        # Its time is up, or, for a consultation, its first ring.
        assert await taken_over.invite("agent-1002", headers) in (403, 408), headers
    shown = await scene.sees("a", "1002", waiting_transfer=False)
    assert shown["state"] == "available"


async def test_requests_in_a_call_take_nobody_anywhere(
    scene: NodesScene, taken_over: Pretender
) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("1002").auto_answer()
    try:
        assert await taken_over.invite("agent-1002", "X-AVP-Hold: 9\r\n") == 200
    finally:
        await scene.phone("1002").auto_answer(False)
    theirs = await scene.nodes.a.dialog(await channel(scene, "1001"))
    for replaces in ("", f"?Replaces={quote(theirs, safe='')}"):
        refer = f"Refer-To: <sip:1001@127.0.0.1:{scene.nodes.a.ports.sip}{replaces}>\r\n"
        assert await taken_over.ask_in_call("REFER", refer) in (405, 501, 603)
    for method in ("INFO", "MESSAGE"):
        assert await taken_over.ask_in_call(method) != 202, method
    await scene.talking("caller1", "1001")
    await taken_over.bye()
    await scene.gone("1002")


async def channel(scene: NodesScene, name: str) -> str:
    channels = await scene.at("a").ami.channels()
    return next(x["Channel"] for x in channels if x["Channel"].startswith(f"PJSIP/{name}-"))


async def test_headers_of_nodes_are_believed_from_no_other_endpoint(scene: NodesScene) -> None:
    nodes = scene.nodes
    headers = "X-AVP-Hold: 9\r\nX-AVP-Transfer: x\r\nX-AVP-Leg: consult\r\n"
    for name in ("1001", "caller1"):
        ports = free_udp_port(), free_udp_port()
        phone = InvitingPhone(name, ports[0], nodes.a.ports.sip, ports[1])
        await phone.listen()
        try:
            for number in ("agent-1002", "group-sales"):
                assert await phone.invite(number, headers) in (404, 484), number
        finally:
            phone.stop()
    assert not scene.phone("1002").live
