"""What else registered phones may send: only an INVITE runs the dialplan or rings anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, InvitingPhone, World, backend_named, match

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AGENT, CALLER = "1001", "caller1"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[tuple[Bed, dict[str, InvitingPhone]]]:
    bed = Bed(World(), backend=backend_named(None))
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
    """Whatever it is sent to, an emergency number included."""
    mark = scene.ami.mark()
    phone = office[1][who]
    refer = f"Refer-To: <sip:+12025550100@127.0.0.1>\r\nReferred-By: <sip:{who}@127.0.0.1>\r\n"
    more = refer if method == "REFER" else "Event: dialog\r\nExpires: 60\r\n"
    for number in ("911", "112", "+12025550100", "1002", "800", "801", "s", "*8"):
        status = await phone.ask(method, number, more, "hello" if method == "MESSAGE" else "")
        assert status >= 400, f"{method} {number}: {status}"
    await scene.ami.command("core show version")  # what came before it has been read
    assert scene.ami.seen(match("Newchannel"), mark) == []
    assert scene.ami.seen(match("Newexten"), mark) == []
    assert scene.ami.seen(match("DialBegin"), mark) == []


@pytest.mark.parametrize("method", ["SUBSCRIBE", "OPTIONS"])
async def test_a_question_runs_nothing(
    scene: Scene, office: tuple[Bed, dict[str, InvitingPhone]], method: str
) -> None:
    mark = scene.ami.mark()
    more = "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 60\r\n"
    for number in ("911", "1002", "s", "*8", "_XX", "1%29%3ASystem(x"):
        status = await office[1][AGENT].ask(method, number, more)
        assert method == "OPTIONS" or status >= 400, f"{number}: {status}"
    await scene.ami.command("core show version")
    assert scene.ami.seen(match("Newchannel"), mark) == []
