"""What the network says before an outside number answers: the transferor hears it, nobody else.

The network's tone is one that Asterisk never plays by itself here, so that ringback differs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named
from bed.audio import PHONE_TONES

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SAYS = "+12025550141"
ANSWERS = "+12025550142"
TWO_TRUNKS = "+12025550143"
RINGS_FIRST = "+12025550144"
TONE = "caller4"
"""That phone's tone; nobody calls from it here."""

# The networks say something without an answer (183), and ring (180) or end with a cause of theirs.
TRUNK = """
[globals](+)
NETWORK_TONE={tone}

[avp-external](+)
exten => +12025550141,1,Progress()
 same => n,Set(TIMEOUT(absolute)=6)
 same => n,Playtones(${NETWORK_TONE})
 same => n,Wait(30)
exten => T,1,Hangup(1)
exten => +12025550142,1,Dial(Local/says@network/n,20,i)
exten => +12025550143,1,Dial(Local/refuses@network/n,20,i)
 same => n,Dial(PJSIP/pstn,20,i)
exten => +12025550144,1,Dial(Local/rings@network/n,20,i)

[network]
exten => says,1,Progress()
 same => n,Playtones(${NETWORK_TONE})
 same => n,Wait(4)
 same => n,StopPlaytones()
 same => n,Dial(PJSIP/pstn,20,i)
exten => refuses,1,Progress()
 same => n,Playtones(${NETWORK_TONE})
 same => n,Wait(4)
 same => n,Hangup(34)
exten => rings,1,Ringing()
 same => n,Wait(4)
 same => n,Progress()
 same => n,Playtones(${NETWORK_TONE})
 same => n,Wait(30)
"""


def centre(**settings: str) -> World:
    world = World(settings=settings)
    tone = PHONE_TONES[[*world.accounts].index(TONE)]
    world = replace(world, extensions=TRUNK.replace("{tone}", str(tone)))
    return world.with_group("sales", strategy="linear").with_group("support", strategy="linear")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outside() -> AsyncIterator[Bed]:
    async with Bed(centre(), backend=backend_named(None)) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(outside: Bed) -> AsyncIterator[Scene]:
    async with open_scene(outside) as opened:
        yield opened


async def dialled(scene: Scene, number: str) -> str:
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": number}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 201, answer
    return str(answer.body["id"])


async def nothing_listens(scene: Scene) -> None:
    """A hook leaves a channel with the channel's next frame, or its end (audiohook.c)."""

    async def look() -> bool | None:
        channels = [channel["Channel"] for channel in await scene.ami.channels()]
        return not any(channel.startswith("Snoop/") for channel in channels) or None

    assert await scene.ami.until(look, 5.0), "a channel of ours still listens"


async def test_not_in_service(scene: Scene) -> None:
    transfer = await dialled(scene, SAYS)
    await scene.phone("1001").hearing({TONE}, 5.0)
    await scene.reaches(transfer, "ringing")
    await scene.phone("caller1").hearing({"music"})
    await scene.ends(transfer, "failed", "target_unreachable", within=10.0)
    await scene.talking("caller1", "1001")
    await nothing_listens(scene)


async def test_the_network_speaks_and_the_number_answers(scene: Scene) -> None:
    """No answer is given before the number's own, and then nothing is heard twice."""
    transfer = await dialled(scene, ANSWERS)
    await scene.phone("1001").hearing({TONE}, 5.0)
    leg = next(c for c in await scene.ami.channels() if c["Channel"].startswith("Local/+"))
    assert leg["ChannelStateDesc"] != "Up"
    await scene.phone("pstn").ringing(within=8.0)
    await scene.reaches(transfer, "ringing")
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await nothing_listens(scene)
    await scene.complete(transfer)
    await scene.hear_one_another("caller1", "pstn")
    await scene.gone("1001")


@pytest.mark.thorough
async def test_a_second_trunk_that_only_rings(scene: Scene) -> None:
    transfer = await dialled(scene, TWO_TRUNKS)
    await scene.phone("1001").hearing({TONE}, 5.0)
    await scene.phone("pstn").ringing(within=8.0)
    await scene.phone("1001").hearing({"ringback"}, 5.0)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await nothing_listens(scene)


@pytest.mark.thorough
async def test_only_the_transferor_hears_the_network_of_a_fourth_party(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": SAYS})
    assert answer.status == 201, answer
    await scene.phone("1001").hearing({TONE, "1002"}, 5.0)
    await scene.phone("1002").hearing({"1001"})
    await scene.phone("caller1").hearing({"music"})
    await scene.phone("1001").hearing({"1002"}, 10.0)  # the call has ended by itself
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await nothing_listens(scene)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_ringing_first(scene: Scene) -> None:
    transfer = await dialled(scene, RINGS_FIRST)
    await scene.phone("1001").hearing({"ringback"}, 5.0)
    await scene.phone("1001").hearing({TONE}, 8.0)
    await scene.reaches(transfer, "ringing")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await nothing_listens(scene)


@pytest.mark.thorough
async def test_swapped_to_the_caller_while_a_fourth_party_is_called(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": SAYS})
    assert answer.status == 201, answer
    await scene.act(transfer, "swap")
    await scene.phone("1001").hearing({TONE, "caller1"}, 5.0)
    await scene.phone("caller1").hearing({"1001"})
    await scene.phone("1002").hearing({"music"})
    await scene.phone("1001").hearing({"caller1"}, 10.0)
    await nothing_listens(scene)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
@pytest.mark.parametrize("who", ["caller1", "1001"])
async def test_somebody_hangs_up_meanwhile(scene: Scene, who: str) -> None:
    transfer = await dialled(scene, SAYS)
    await scene.phone("1001").hearing({TONE}, 5.0)
    await scene.hang_up(who)
    if who == "caller1":
        await scene.ends(transfer, "abandoned", "caller_hangup")
        await scene.gone("1001")
    else:
        await scene.ends(transfer, "failed", "transferor_hangup")
    await nothing_listens(scene)


@pytest.mark.thorough
async def test_the_daemon_is_killed_meanwhile(scene: Scene) -> None:
    """The next one lets the transferor hear ringback, and no channel listens on."""
    transfer = await dialled(scene, ANSWERS)
    await scene.phone("1001").hearing({TONE}, 5.0)
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await scene.phone("pstn").ringing(within=8.0)
    await scene.phone("1001").hearing({"ringback"}, 8.0)
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await nothing_listens(scene)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_who_must_press_1_rings_after_the_answer() -> None:
    async with Bed(
        centre(AVP_GROUPS__SALES__EXTERNAL_ACCEPT="press1"), backend=backend_named(None)
    ) as bed:
        await bed.start_daemon()
        async with open_scene(bed) as scene:
            transfer = await dialled(scene, ANSWERS)
            await scene.phone("1001").hearing({TONE}, 5.0)
            await scene.phone("pstn").ringing(within=8.0)
            await scene.phone("pstn").answer()
            await scene.phone("1001").hearing({"ringback"}, 5.0)
            await scene.reaches(transfer, "ringing")
            await nothing_listens(scene)
            await scene.press("pstn", "1")
            await scene.consulting(transfer, "caller1", "1001", "pstn")
            await scene.cancel(transfer)
            await scene.talking("caller1", "1001")
