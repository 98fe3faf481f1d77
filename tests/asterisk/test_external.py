"""Supervised transfer to a typed number and to a preset, through `avp-external`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Answer, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

NUMBER = "+12025550100"

# Trunk answers that a phone cannot give; the last digit of the number selects one.
TRUNK = """
[trunk]
exten => _+1202555010[0-4],1,Dial(PJSIP/pstn,60,i)
 same => n,Hangup()
exten => _+12025550105,1,Busy(1)
exten => _+12025550106,1,Congestion(1)
exten => _+12025550107,1,Hangup(1)
; A trunk that does not know the number.
exten => _+12025550111,1,Dial(PJSIP/${EXTEN}@pstn,60,i)
; Two trunks, of which the first is out of order.
exten => _+12025550108,1,Dial(PJSIP/nobody,5,i)
 same => n,Dial(PJSIP/pstn,60,i)
 same => n,Hangup()
; After Dial() the administrator does something else with a call that was not answered.
exten => _+12025550109,1,Dial(PJSIP/pstn,60,i)
 same => n,Queue(support,i)
"""

SETTINGS = {
    "AVP_ACCOUNTS__ACME__COUNTRY": "US",
    "AVP_ACCOUNTS__ACME__CALLER_ID": "+12025550199",
    "AVP_ENTERPRISE__TOLL_FREE_SERVICE": "false",
    "AVP_ENTERPRISE__TOLL_SERVICE": "false",
    "AVP_PRESETS__BILLING__NUMBER": "(202) 555-0101",
    "AVP_PRESETS__BILLING__GROUP": "support",
    "AVP_SESSION__RING_OUTSIDE_SECONDS": "3",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outside() -> AsyncIterator[Bed]:
    """A call centre that may call external numbers."""
    world = World(settings=SETTINGS, extensions=TRUNK).with_group("sales", strategy="linear")
    async with Bed(world, backend=backend_named(None)) as bed:
        # Before the demo's line to `pstn`, which matches every number.
        await bed.ami.command("dialplan add include trunk into avp-external")
        for extension in ("_[+0-9]!",):
            await bed.ami.command(f"dialplan remove extension {extension}@avp-external")
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(outside: Bed) -> AsyncIterator[Scene]:
    async with open_scene(outside) as opened:
        yield opened


async def to_number(scene: Scene, number: str, agent: str = "1001") -> Answer:
    body = {"mode": "supervised", "target": {"kind": "number", "number": number}}
    return await scene.api("POST", f"/v1/agents/{agent}/transfers", body)


async def dialled(scene: Scene, number: str) -> str:
    await scene.call("caller1", "1001")
    answer = await to_number(scene, number)
    assert answer.status == 201, answer
    return str(answer.body["id"])


async def consulting(scene: Scene, number: str = "202-555-0100") -> str:
    transfer = await dialled(scene, number)
    await scene.phone("pstn").ringing()
    await scene.reaches(transfer, "ringing")
    await scene.on_music("caller1")
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    return transfer


@pytest.mark.smoke("external number")
@pytest.mark.containers
async def test_complete(scene: Scene) -> None:
    transfer = await consulting(scene)
    assert scene.phone("pstn").call.peer.startswith("sip:+12025550199@"), "the account's number"
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")
    await scene.gone("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("pstn")
    await scene.booked(Alice=1)


@pytest.mark.thorough
async def test_target_hangs_up_after_completion(scene: Scene) -> None:
    """Nothing is dialled or queued again after the call."""
    transfer = await consulting(scene, "+1 202 555 0109")
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")
    mark = await scene.ami.mark()
    await scene.hang_up("pstn")
    await scene.gone("caller1", "1001")
    await scene.ami.assert_clean()
    assert list(scene.ami.seen(lambda e: e.name in ("DialBegin", "QueueCallerJoin"), mark)) == []


async def test_cancel(scene: Scene) -> None:
    transfer = await consulting(scene)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("pstn")
    await scene.ends(transfer, "cancelled", "cancelled")


@pytest.mark.thorough
async def test_cancel_while_it_rings(scene: Scene) -> None:
    transfer = await dialled(scene, NUMBER)
    await scene.phone("pstn").ringing()
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.gone("pstn")
    await scene.ends(transfer, "cancelled", "cancelled")


@pytest.mark.thorough
async def test_agent_hangs_up_in_the_consult(scene: Scene) -> None:
    transfer = await consulting(scene)
    await scene.hang_up("1001")
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")
    await scene.ends(transfer, "completed", "completed")


@pytest.mark.thorough
async def test_agent_hangs_up_while_it_rings(scene: Scene) -> None:
    """An external target is never reached unsupervised: the caller returns to the group."""
    transfer = await dialled(scene, NUMBER)
    await scene.phone("pstn").ringing()
    await scene.hang_up("1001")
    await scene.ends(transfer, "failed", "transferor_hangup")
    await scene.gone("pstn")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")


async def test_complete_while_it_rings_is_not_possible(scene: Scene) -> None:
    transfer = await dialled(scene, NUMBER)
    await scene.phone("pstn").ringing()
    await scene.reaches(transfer, "ringing")
    assert (await scene.api("POST", f"/v1/transfers/{transfer}/complete")).status == 409
    await scene.on_music("caller1")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_caller_hangs_up(scene: Scene) -> None:
    transfer = await consulting(scene)
    await scene.hang_up("caller1")
    await scene.gone("1001", "pstn")
    await scene.ends(transfer, "abandoned", "caller_hangup")


async def test_target_hangs_up_in_the_consult(scene: Scene) -> None:
    transfer = await consulting(scene)
    await scene.hang_up("pstn")
    await scene.talking("caller1", "1001")
    await scene.ends(transfer, "failed", "target_hangup")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("+12025550105", "target_busy"),
        pytest.param(*("+12025550106", "target_congested"), marks=pytest.mark.thorough),
        pytest.param(*("+12025550107", "target_unreachable"), marks=pytest.mark.thorough),
        ("+12025550111", "target_unreachable"),
    ],
)
async def test_what_the_trunk_says(scene: Scene, number: str, reason: str) -> None:
    transfer = await dialled(scene, number)
    await scene.ends(transfer, "failed", reason)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")


@pytest.mark.thorough
async def test_busy_phone(scene: Scene) -> None:
    transfer = await dialled(scene, NUMBER)
    await scene.phone("pstn").reject()
    await scene.ends(transfer, "failed", "target_busy")
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_no_answer(scene: Scene) -> None:
    transfer = await dialled(scene, NUMBER)
    await scene.ends(transfer, "failed", "no_answer", within=6)
    await scene.talking("caller1", "1001")
    await scene.gone("pstn")


@pytest.mark.thorough
async def test_the_second_trunk(scene: Scene) -> None:
    transfer = await consulting(scene, "+12025550108")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.containers
async def test_preset(scene: Scene) -> None:
    targets = (await scene.api("GET", "/v1/agents/1001/targets")).body
    assert [preset["id"] for preset in targets["external_presets"]] == ["billing"]
    theirs = (await scene.api("GET", "/v1/agents/1003/targets")).body
    assert theirs["external_presets"] == [], "presets are offered to other groups only"
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "billing", kind="preset")
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")


@pytest.mark.smoke("number refused by policy")
@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("911", "emergency"),
        pytest.param("+1911", "emergency", marks=pytest.mark.thorough),
        ("12", "invalid_format"),
        ("202-555-0100&PJSIP/1004", "invalid_format"),
        pytest.param("2025550100@avp-external", "invalid_format", marks=pytest.mark.thorough),
        pytest.param("Local/1004@agents", "invalid_format", marks=pytest.mark.thorough),
        pytest.param("sip:pstn@127.0.0.1", "invalid_format", marks=pytest.mark.thorough),
        pytest.param("2025550100,60,g", "invalid_format", marks=pytest.mark.thorough),
        ("${SHELL(x)}", "invalid_format"),
        ("2025550100\r\nAction: Logoff", "invalid_format"),
        ("+44 20 7946 0000", "country_mismatch"),
        pytest.param("011 44 20 7946 0000", "country_mismatch", marks=pytest.mark.thorough),
        pytest.param("+1 876 555 0100", "country_mismatch", marks=pytest.mark.thorough),
        ("1-800-356-9377", "toll_free_not_enabled"),
        ("900-234-5678", "toll_not_enabled"),
    ],
)
@pytest.mark.containers
async def test_numbers_that_are_refused(scene: Scene, typed: str, reason: str) -> None:
    """Nothing is dialled, and caller and agent continue to talk."""
    await scene.call("caller1", "1001")
    mark = await scene.ami.mark()
    answer = await to_number(scene, typed)
    assert (answer.status, answer.body["reason"]) == (403, reason)
    await scene.talking("caller1", "1001")
    assert scene.ami.seen(lambda event: event.name == "Newchannel", mark) == []
