"""Other SIP requests of phones and trunks: only an INVITE runs the dialplan or rings a phone.

Within a call, a caller's REFER (RFC 3515) would move the agent to another extension, or put the
agent into another call (Replaces in Refer-To, RFC 3891). `allow_transfer = no` refuses both; the
last tests remove that line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import pytest_asyncio
from bed import Bed, InvitingPhone, World, backend_named, match

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AGENT, CALLER = "1001", "caller1"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[tuple[Bed, dict[str, InvitingPhone]]]:
    # Two of the phones send no RTP.
    bed = Bed(World(rtp_timeout=120), backend=backend_named(None))
    phones = {}
    try:
        await bed.start(name for name in bed.world.accounts if name not in {AGENT, CALLER})
        for name in (AGENT, CALLER):
            ports = bed.ports.phone(bed.world.accounts.index(name))
            phones[name] = InvitingPhone(name, ports.sip, bed.ports.sip, ports.rtp[0])
            await phones[name].start()
        await bed.start_daemon()
        yield bed, phones
    finally:
        for phone in phones.values():
            phone.stop()
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: tuple[Bed, dict[str, InvitingPhone]]) -> AsyncIterator[Scene]:
    async with open_scene(office[0]) as opened:
        yield opened


@pytest.mark.parametrize("who", [AGENT, CALLER])
@pytest.mark.parametrize("method", ["MESSAGE", "REFER", "NOTIFY", "INFO", "UPDATE", "PUBLISH"])
async def test_a_request_out_of_a_call(
    scene: Scene, office: tuple[Bed, dict[str, InvitingPhone]], method: str, who: str
) -> None:
    """Whatever its destination, including an emergency number."""
    mark = await scene.ami.mark()
    phone = office[1][who]
    refer = f"Refer-To: <sip:+12025550100@127.0.0.1>\r\nReferred-By: <sip:{who}@127.0.0.1>\r\n"
    more = refer if method == "REFER" else "Event: dialog\r\nExpires: 60\r\n"
    for number in ("911", "112", "+12025550100", "1002", "800", "801", "s", "*8"):
        status = await phone.ask(method, number, more, "hello" if method == "MESSAGE" else "")
        assert status >= 400, f"{method} {number}: {status}"
    await scene.ami.mark()  # everything before it has been read
    assert scene.ami.seen(match("Newchannel"), mark) == []
    assert scene.ami.seen(match("Newexten"), mark) == []
    assert scene.ami.seen(match("DialBegin"), mark) == []


@pytest.mark.parametrize("method", ["SUBSCRIBE", "OPTIONS"])
async def test_a_question_runs_nothing(
    scene: Scene, office: tuple[Bed, dict[str, InvitingPhone]], method: str
) -> None:
    mark = await scene.ami.mark()
    more = "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 60\r\n"
    for number in ("911", "1002", "s", "*8", "_XX", "1%29%3ASystem(x"):
        status = await office[1][AGENT].ask(method, number, more)
        assert method == "OPTIONS" or status >= 400, f"{number}: {status}"
    await scene.ami.mark()
    assert scene.ami.seen(match("Newchannel"), mark) == []


# --- REFER within a call -------------------------------------------------------------------------

REFUSED = 603
"""res_pjsip_refer.c, refer_incoming_refer_request."""
TAKEN = 202
GUARD = "allow_transfer = no\n"
OUTSIDE = "pstn"
"""Represents the trunk for agents' calls; its other end may send a REFER as well."""


async def replaced(scene: Scene, name: str) -> str:
    """The dialog of a phone's call, as in a URI."""
    channel = (await scene.ami.channel_of(name))["Channel"]
    return quote(await scene.bed.dialog(channel), safe="")


@pytest_asyncio.fixture(loop_scope="session")
async def caller(
    scene: Scene, office: tuple[Bed, dict[str, InvitingPhone]]
) -> AsyncIterator[InvitingPhone]:
    """Talks to 1002, while caller2 talks to 1004."""
    phone = office[1][CALLER]
    await scene.direct_call("caller2", "1004")
    await scene.phone("1002").auto_answer()
    try:
        assert await phone.invite("1002") == 200
        await scene.ami.bridged(CALLER, "1002")
        yield phone
    finally:
        await scene.phone("1002").auto_answer(False)
        if any(c["Channel"].startswith(f"PJSIP/{CALLER}-") for c in await scene.ami.channels()):
            await phone.bye()


async def undisturbed(scene: Scene, since: float) -> None:
    """Both calls continue unchanged, and nobody else was called."""
    await scene.ami.mark()  # everything before it has been read
    assert scene.ami.seen(match("Newchannel"), since) == []
    assert scene.ami.seen(match(("BlindTransfer", "AttendedTransfer")), since) == []
    assert scene.ami.seen(match(("BridgeEnter", "BridgeLeave")), since) == []
    await scene.ami.bridged(CALLER, "1002")
    await scene.talking("caller2", "1004")


@pytest.mark.parametrize("place", ["1004", "caller2"])
@pytest.mark.parametrize(
    "header",
    [
        "Refer-To: <sip:1004@127.0.0.1?Replaces={}>",
        "Refer-To: <sip:801@127.0.0.1?Replaces={}>\r\nReferred-By: <sip:1002@127.0.0.1>",
        "Refer-To: <sip:1004@127.0.0.1;Replaces={}>",
        "r: <sip:1004@127.0.0.1?Replaces={}%3Bearly-only>",
        "Refer-To: <sip:1004@127.0.0.1?Replaces={}>\r\nRefer-Sub: false",
        "Refer-To: <sip:1004@127.0.0.1?Require=replaces&Replaces={}>\r\nRequire: norefersub",
    ],
)
async def test_a_caller_takes_no_place_in_another_call(
    scene: Scene, caller: InvitingPhone, header: str, place: str
) -> None:
    more = header.format(await replaced(scene, place)) + "\r\n"
    mark = await scene.ami.mark()
    assert await caller.ask_in_call("REFER", more) == REFUSED
    await undisturbed(scene, mark)


async def test_a_caller_moves_no_agent(scene: Scene, caller: InvitingPhone) -> None:
    mark = await scene.ami.mark()
    unknown = "x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2"
    for to in (
        *("sip:801@127.0.0.1", "sip:1003@127.0.0.1", "sip:911@127.0.0.1", "sip:s@127.0.0.1"),
        *("sip:%2B12025550100@192.0.2.1", "sips:1003@127.0.0.1", "tel:911"),
        f"sip:1004@192.0.2.1?Replaces={unknown}",
    ):
        status = await caller.ask_in_call("REFER", f"Refer-To: <{to}>\r\n")
        assert status == REFUSED, f"{to}: {status}"
    await undisturbed(scene, mark)


async def test_nor_does_the_other_end_of_a_trunk(scene: Scene) -> None:
    """An agent has called out; the called party asks for the agent to be sent to another number."""
    await scene.phone("1003").dial("+12025550100")
    await scene.phone(OUTSIDE).answer()
    await scene.talking("1003", OUTSIDE)
    mark = await scene.ami.mark()
    await scene.phone(OUTSIDE).transfer("801")
    await scene.phone(OUTSIDE).closed()  # as baresip does when it is refused
    await scene.ami.mark()  # everything before it has been read
    assert scene.ami.seen(match("Newchannel"), mark) == []
    assert scene.ami.seen(match("BlindTransfer"), mark) == []


@asynccontextmanager
async def unguarded(scene: Scene) -> AsyncIterator[None]:
    """Asterisk without the line. A call keeps the settings that its endpoint had at the start."""
    file = scene.bed.directory / "etc" / "pjsip.conf"
    ours = file.read_text()
    assert GUARD in ours
    try:
        file.write_text(ours.replace(GUARD, ""))
        await scene.ami.action("Reload", Module="res_pjsip.so")
        yield
    finally:
        file.write_text(ours)
        await scene.ami.action("Reload", Module="res_pjsip.so")


@pytest_asyncio.fixture(loop_scope="session")
async def without_the_line(scene: Scene) -> AsyncIterator[None]:
    async with unguarded(scene):
        yield


@pytest.mark.usefixtures("without_the_line")
async def test_without_this_line_the_agent_is_put_into_another_call(
    scene: Scene, caller: InvitingPhone
) -> None:
    named = await replaced(scene, "1004")
    refer_to = f"Refer-To: <sip:1004@127.0.0.1?Replaces={named}>\r\n"
    scene.expected |= {"[error"}  # which the daemon reports as phone_took_over_a_call
    assert await caller.ask_in_call("REFER", refer_to) == TAKEN
    await scene.phone("1004").closed()
    await scene.talking("1002", "caller2")


@pytest.mark.usefixtures("without_the_line")
async def test_without_this_line_the_agent_is_moved(scene: Scene, caller: InvitingPhone) -> None:
    assert await caller.ask_in_call("REFER", "Refer-To: <sip:1003@127.0.0.1>\r\n") == TAKEN
    await scene.phone("1003").answer()
    await scene.talking("1002", "1003")
