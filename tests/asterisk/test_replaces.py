"""INVITE with Replaces: a phone that takes a party's place in a call, past every rule.

The bed's pjsip.conf has the lines that docs/security.md requires. The last test removes them, to
show that they protect the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, InvitingPhone, World, backend_named

from tests.asterisk import guard
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.ports import free_udp_port

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

INTRUDER = "1002"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[tuple[Bed, InvitingPhone]]:
    bed = Bed(World().with_group("sales", strategy="linear"), backend=backend_named(None))
    ports = bed.ports.phone(bed.world.accounts.index(INTRUDER))
    phone = InvitingPhone(INTRUDER, ports.sip, bed.ports.sip, ports.rtp[0])
    try:
        await bed.start(name for name in bed.world.accounts if name != INTRUDER)
        await phone.start()
        await guard.start_daemon(bed)
        yield bed, phone
    finally:
        phone.stop()
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: tuple[Bed, InvitingPhone]) -> AsyncIterator[Scene]:
    async with open_scene(office[0]) as opened:
        yield opened


@pytest.fixture
def intruder(office: tuple[Bed, InvitingPhone]) -> InvitingPhone:
    return office[1]


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(scene: Scene) -> AsyncIterator[InvitingPhone]:
    """A sender without an account, on a port of its own."""
    ports = free_udp_port(), free_udp_port()
    phone = InvitingPhone("stranger", ports[0], scene.bed.ports.sip, ports[1])
    await phone.listen()
    yield phone
    phone.stop()


async def dialog(scene: Scene, name: str) -> str:
    return await scene.bed.dialog((await scene.ami.channel_of(name))["Channel"])


async def test_nobody_takes_a_place_in_a_call(scene: Scene, intruder: InvitingPhone) -> None:
    """Neither the agent's nor the caller's, whatever is dialled and however it is written."""
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    for place in ("1001", "caller1"):
        named = await dialog(scene, place)
        for header in (
            f"Replaces: {named}",
            f"REPLACES : {named};early-only",
            f"Replaces:\r\n {named}",
            f"Require: replaces\r\nReplaces: {named}",
        ):
            for number in ("1001", "1004", "+12025550100"):
                status = await intruder.invite(number, f"{header}\r\n")
                assert status == 401, f"{place} {header} {number}: {status}"
    await guard.undisturbed(scene, began)


@pytest.mark.parametrize(
    "number",
    [
        *("*8", "%2A8", "700"),
        *(pytest.param(x, marks=pytest.mark.thorough) for x in ("*8-", "s", "")),
    ],
)
async def test_nor_by_the_pick_up_extension(
    scene: Scene, intruder: InvitingPhone, stranger: InvitingPhone, number: str
) -> None:
    """Asterisk accepts it in any context; a stranger needed no account."""
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    for place in ("1001", "caller1"):
        named = await dialog(scene, place)
        for header in (f"Replaces: {named}", f"Replaces:{named};early-only"):
            for who in (intruder, stranger):
                assert await who.invite(number, f"{header}\r\n") == 401
    await guard.undisturbed(scene, began)


@pytest.mark.thorough
async def test_nor_by_other_ways_to_name_a_call(scene: Scene, intruder: InvitingPhone) -> None:
    """Twice, and as Join (RFC 3911) and Target-Dialog (RFC 4538), unsupported by Asterisk."""
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    named = await dialog(scene, "1001")
    for number, more in (
        ("1003", f"Replaces: x;to-tag=1;from-tag=2\r\nReplaces: {named}\r\n"),
        ("1003", f"Replaces: {named}\r\nReplaces: x;to-tag=1;from-tag=2\r\n"),
        ("nobody", f"Join: {named}\r\n"),
        (
            "nobody",
            f"Target-Dialog: {named.replace('to-', 'local-').replace('from-', 'remote-')}\r\n",
        ),
    ):
        assert await intruder.invite(number, more) in {400, 401, 404, 416}, (number, more)
    await guard.undisturbed(scene, began)


@pytest.mark.thorough
async def test_nobody_picks_up_a_call_that_rings(scene: Scene, intruder: InvitingPhone) -> None:
    """The queue rings 1001; an early dialog can be replaced as well (RFC 3891 section 3)."""
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").ringing()
    assert await intruder.invite("1001", f"Replaces: {await dialog(scene, '1001')}\r\n") == 401
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")


async def test_the_phone_dials_as_before(scene: Scene, intruder: InvitingPhone) -> None:
    await scene.call("caller1", "1001")
    named = f"Replaces: {await dialog(scene, '1001')}\r\n"
    assert await intruder.invite("1004", named) == 401
    await scene.phone("1004").auto_answer()
    assert await intruder.invite("1004") == 200
    await scene.ami.bridged(INTRUDER, "1004")
    await intruder.bye()
    await scene.phone("1004").closed()
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_without_these_lines_the_call_is_taken(scene: Scene, intruder: InvitingPhone) -> None:
    scene.expected |= {'"level": "error', "[error"}  # the alarm
    file = scene.bed.directory / "etc" / "pjsip.conf"
    ours = file.read_text()
    await scene.call("caller1", "1001")
    named = f"Replaces: {await dialog(scene, '1001')}\r\n"
    try:
        file.write_text(ours.replace("match_header = Replaces:", "match_header = X-Other:"))
        await reload(scene)
        assert await intruder.invite("1004", named) == 200
        await scene.ami.bridged("caller1", INTRUDER)
        await scene.phone("1001").closed()
        assert await scene.ami.until(lambda: taken_over(scene), 3)
        scene.expected |= {'"level": "error'}  # which reports it
        await intruder.bye()
    finally:
        file.write_text(ours)
        await reload(scene)
    await scene.phone("caller1").closed()
    await scene.direct_call("caller2", "1001")  # the queue would give its agent time to wrap up
    named = f"Replaces: {await dialog(scene, '1001')}\r\n"
    assert await intruder.invite("1004", named) == 401
    await scene.talking("caller2", "1001")


async def taken_over(scene: Scene) -> bool | None:
    """The daemon reports it, and who was replaced."""
    lines = guard.records(scene.bed, "phone_took_over_a_call")
    return any("PJSIP/1001-" in line["replaced"] for line in lines) or None


async def reload(scene: Scene) -> None:
    for module in ("res_pjsip.so", "res_pjsip_endpoint_identifier_ip.so"):
        await scene.ami.action("Reload", Module=module)
