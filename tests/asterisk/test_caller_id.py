"""A caller from a trunk whose number is a piece of dialplan: nobody sees it as a number.

With EXTERNAL_CALLER_ID=caller, an external target sees the caller's number. The trunk's text is
foreign: if it is a number it is shown, otherwise the account's number is. Without one, the agent's
phone is shown, as in any call of theirs.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from bed import Bed, InvitingPhone, World, backend_named

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ACCOUNT = "+12025550199"
PORTS_OF = "caller4"

# A usual provider's trunk, identified by its address (here by a header).
TRUNK = """
[trunk](phone)
context = callers
[trunk]
type = identify
endpoint = trunk
match_header = X-Trunk: 1
"""
SETTINGS = {"AVP_ACCOUNTS__ACME__EXTERNAL_CALLER_ID": "caller"}
AGENT = "1001"
RUN = "Set(GLOBAL(AVP_RAN)=yes"
"""The program that each of these texts tries to run."""
EVIL = (
    f'" & "):{RUN}',
    f'"]?{RUN}):{RUN}',
    f"${{{RUN})}}",
    f"$[1]?{RUN})",
    f"1002):{RUN}",
    f"1,{RUN})",
    f"+1202555&{RUN})",
)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=[ACCOUNT, pytest.param("", marks=pytest.mark.thorough)],
)
async def centre(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bed, InvitingPhone]]:
    account = {"AVP_ACCOUNTS__ACME__CALLER_ID": request.param} if request.param else {}
    world = World(settings=SETTINGS | account, pjsip=TRUNK).with_group("sales", strategy="linear")
    bed = Bed(world, backend=backend_named(None))
    ports = bed.ports.phone(bed.world.accounts.index(PORTS_OF))
    trunk = InvitingPhone("trunk", ports.sip, bed.ports.sip, ports.rtp[0])
    try:
        await bed.start(name for name in bed.world.accounts if name != PORTS_OF)
        await trunk.listen()
        await bed.start_daemon()
        yield bed, trunk
    finally:
        trunk.stop()
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: tuple[Bed, InvitingPhone]) -> AsyncIterator[Scene]:
    async with open_scene(centre[0]) as opened:
        yield opened


@pytest.fixture
def trunk(centre: tuple[Bed, InvitingPhone]) -> InvitingPhone:
    return centre[1]


async def shown(scene: Scene, trunk: InvitingPhone, caller: str) -> str:
    """A call from ``caller`` is transferred outside. Returns the number on the target's display."""
    call = asyncio.create_task(trunk.invite("1001", "X-Trunk: 1\r\n", quote(caller, safe="+")))
    await scene.phone("1001").answer()
    assert await call == 200
    await scene.ami.bridged("trunk", "1001")
    await scene.has_call("1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": "+12025550100"}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 201, answer
    await scene.phone("pstn").ringing()
    number = scene.phone("pstn").call.peer.removeprefix("sip:").partition("@")[0]
    await trunk.bye()
    await scene.gone("1001", "pstn")
    return number


@pytest.mark.parametrize("caller", EVIL)
async def test_a_number_that_is_dialplan(scene: Scene, trunk: InvitingPhone, caller: str) -> None:
    account = scene.bed.world.settings.get("AVP_ACCOUNTS__ACME__CALLER_ID", AGENT)
    assert await shown(scene, trunk, caller) == account
    assert await scene.bed.ami.variable("", "AVP_RAN") == ""


@pytest.mark.parametrize("caller", ["+442079460000", "2025550123"])
async def test_a_number_that_is_one(scene: Scene, trunk: InvitingPhone, caller: str) -> None:
    assert await shown(scene, trunk, caller) == caller


async def test_nobody_can_guess_the_id_of_a_leg(scene: Scene) -> None:
    """Whoever knows a channel's id can forge events about it; agents know the ids of transfers."""
    transfer = await scene.consult("caller1", "1001", "1002")
    ids = {event["Uniqueid"] for event in await scene.ami.channels()}
    (leg,) = (i for i in ids if i.endswith("-leg"))
    secret = re.fullmatch(f"avp-{transfer}-([0-9a-f]{{32}})-leg", leg)
    assert secret, leg
    seen = [await scene.api("GET", path) for path in ("/v1/agents/1001", "/v1/agents/1002")]
    seen.append(await scene.api("GET", f"/v1/transfers/{transfer}"))
    assert secret[1] not in json.dumps([answer.body for answer in seen])
    assert seen[1].body["call"]["id"] == f"avp-{transfer}-leg-queue"
