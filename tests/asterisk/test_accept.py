"""External targets that must accept the call with 1 before they are connected to the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named, match
from bed.audio import SILENCE

from asterisk_avp.core.transfer.session import ACCEPT_SECONDS
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

NUMBER = "+12025550100"
BOX = "+12025550105"

# A number that rings nowhere: a recording answers it immediately.
TRUNK = """
[trunk]
exten => _+1202555010[0-4],1,Dial(PJSIP/pstn,60,i)
 same => n,Hangup()
exten => +12025550105,1,Answer()
 same => n,Playback(vm-goodbye&vm-goodbye&vm-goodbye&vm-goodbye&vm-goodbye&vm-goodbye)
 same => n,Hangup()
"""

# Shorter than an acceptance may take; neither may cut it off.
RING_SECONDS = 2

SETTINGS = {
    "AVP_GROUPS__SALES__EXTERNAL_ACCEPT": "press1",
    "AVP_SESSION__RING_OUTSIDE_SECONDS": str(RING_SECONDS),
}
TIMINGS = {"AVP_ACCEPT_SOUND": "beep", "AVP_ACCEPT_TRIES": "2", "AVP_ACCEPT_SECONDS": "2"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def careful() -> AsyncIterator[Bed]:
    """A call centre in which external calls are accepted only for `sales`."""
    world = World(settings=SETTINGS, extensions=TRUNK, variables=TIMINGS)
    world = world.with_group("sales", strategy="linear").with_group("support", strategy="linear")
    async with Bed(world, backend=backend_named(None)) as bed:
        await bed.ami.command("dialplan add include trunk into avp-external")
        await bed.ami.command("dialplan remove extension _[+0-9]!@avp-external")
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(careful: Bed) -> AsyncIterator[Scene]:
    async with open_scene(careful) as opened:
        yield opened


async def dialled(scene: Scene, number: str = NUMBER) -> str:
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": number}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 201, answer
    return str(answer.body["id"])


async def legs(scene: Scene) -> dict[str, str]:
    """The near halves of legs to external numbers, and their applications."""
    return {
        channel["Channel"]: channel["Application"]
        for channel in await scene.ami.channels()
        if channel["Channel"].startswith("Local/+") and channel["Channel"].endswith(";1")
    }


async def near_half(scene: Scene) -> str:
    (name,) = await legs(scene)
    return name


async def asking(scene: Scene) -> None:
    async def look() -> bool | None:
        return list((await legs(scene)).values()) == ["Read"] or None

    assert await scene.ami.until(look, 3.0), await legs(scene)


async def asked(scene: Scene) -> str:
    """The target has answered and hears the question."""
    transfer = await dialled(scene)
    await scene.phone("pstn").answer()
    await asking(scene)
    # The leg may ask before the daemon knows that it rings.
    await scene.reaches(transfer, "ringing")
    return transfer


async def accepted(scene: Scene) -> str:
    transfer = await asked(scene)
    assert await scene.state(transfer) == "ringing"
    await scene.press("pstn", "1")
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    return transfer


async def not_told(scene: Scene, since: float) -> None:
    """The caller heard only music, the transferor ringing or music; neither heard the target."""
    for name in ("caller1", "1001"):
        assert "pstn" not in scene.phone(name).heard(since), scene.phone(name).timeline(since)
    assert scene.phone("caller1").understood(since) <= {"music", "1001"}


async def back(scene: Scene, transfer: str, reason: str = "not_accepted") -> None:
    """The transfer has failed, and the transferor has the caller again."""
    await scene.ends(transfer, "failed", reason)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("pstn")


async def test_accepted_and_completed(scene: Scene) -> None:
    transfer = await accepted(scene)
    mark = await scene.ami.mark()
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")
    await scene.gone("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("pstn")
    await scene.booked(Alice=1)
    await scene.ami.assert_clean()
    # Neither half of the Local channel dials or asks again.
    again = scene.ami.seen(
        lambda e: (
            e.name == "DialBegin"
            or (e.name == "UserEvent" and e["UserEvent"] == "AVPNotAccepted")
            or (e.name == "Newexten" and e["Application"] == "Read")
        ),
        mark,
    )
    assert again == []


@pytest.mark.thorough
async def test_the_limit_of_an_acceptance(scene: Scene) -> None:
    """The daemon can rely on the timing whatever the prompts are; it ends with the acceptance."""
    await scene.ami.action("Setvar", Variable="AVP_ACCEPT_SECONDS", Value="300")
    try:
        transfer = await asked(scene)
        leg = await near_half(scene)
        left = float(await scene.ami.variable(leg, "TIMEOUT(absolute)"))
        assert 50 < left <= ACCEPT_SECONDS
        await scene.ami.action("AbsoluteTimeout", Channel=leg, Timeout="1")
        await back(scene, transfer)
    finally:
        await scene.ami.action("Setvar", Variable="AVP_ACCEPT_SECONDS", Value="2")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.agent_is("1001", "available")
    transfer = await accepted(scene)
    assert float(await scene.ami.variable(await near_half(scene), "TIMEOUT(absolute)")) == 0
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_completed_and_the_target_hangs_up(scene: Scene) -> None:
    transfer = await accepted(scene)
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")
    await scene.hang_up("pstn")
    await scene.gone("caller1", "1001")


@pytest.mark.thorough
async def test_accepted_and_cancelled(scene: Scene) -> None:
    transfer = await accepted(scene)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("pstn")
    await scene.ends(transfer, "cancelled", "cancelled")


@pytest.mark.thorough
async def test_agent_hangs_up_in_the_consult(scene: Scene) -> None:
    transfer = await accepted(scene)
    await scene.hang_up("1001")
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")
    await scene.ends(transfer, "completed", "completed")


@pytest.mark.thorough
async def test_agent_hears_ringing_until_it_is_accepted(scene: Scene) -> None:
    transfer = await asked(scene)
    since = await scene.phone("1001").hears({"ringback"})
    await scene.on_music("caller1")
    await not_told(scene, since)
    await scene.press("pstn", "1")
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.cancel(transfer)


@pytest.mark.thorough
async def test_declined(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.press("pstn", "2")
    await back(scene, transfer)


@pytest.mark.thorough
async def test_a_wrong_key_and_the_right_one(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.press("pstn", "5")
    await scene.press("pstn", "1")
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.cancel(transfer)


async def test_no_key(scene: Scene) -> None:
    """A voicemail box answers and talks. The ring time has long passed when it is abandoned."""
    transfer = await asked(scene)
    since = await scene.phone("1001").hears({"ringback"})
    channel = (await scene.ami.channel_of("pstn"))["Channel"]
    await scene.phone("pstn").closed(within=8)
    await back(scene, transfer)
    await not_told(scene, since)
    (answered,) = scene.ami.seen(
        match("Newstate", Channel=channel, ChannelStateDesc="Up"), scene.since
    )
    (ended,) = scene.ami.seen(match("Hangup", Channel=channel), scene.since)
    # By Asterisk's own times: a phone may tell of its answer later.
    assert float(ended["Timestamp"]) - float(answered["Timestamp"]) > 2 * RING_SECONDS


@pytest.mark.thorough
async def test_a_recording_that_answers_at_once(scene: Scene) -> None:
    """No phone rings, but the transferor hears ringing and the caller music."""
    transfer = await dialled(scene, BOX)
    await scene.reaches(transfer, "ringing")
    since = await scene.phone("1001").hears({"ringback"})
    assert "speech" not in scene.phone("1001").heard(since)
    await scene.ends(transfer, "failed", "not_accepted", within=8)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")


@pytest.mark.thorough
async def test_target_hangs_up_while_asked(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.hang_up("pstn")
    await back(scene, transfer)


@pytest.mark.thorough
async def test_caller_hangs_up_while_it_is_asked(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.hang_up("caller1")
    await scene.gone("pstn", "1001", within=1.5)
    await scene.ends(transfer, "abandoned", "caller_hangup")


@pytest.mark.thorough
async def test_agent_hangs_up_while_it_is_asked(scene: Scene) -> None:
    """As while an external target rings: the caller returns to the group."""
    transfer = await asked(scene)
    await scene.hang_up("1001")
    await scene.ends(transfer, "failed", "transferor_hangup")
    await scene.gone("pstn", within=1.5)
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_cancelled_while_it_is_asked(scene: Scene) -> None:
    transfer = await asked(scene)
    assert (await scene.api("POST", f"/v1/transfers/{transfer}/complete")).status == 409
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("pstn", within=1.5)
    await scene.ends(transfer, "cancelled", "cancelled")


async def test_nobody_answers(scene: Scene) -> None:
    transfer = await dialled(scene)
    await scene.phone("pstn").ringing()
    await back(scene, transfer, "no_answer")


@pytest.mark.thorough
async def test_busy(scene: Scene) -> None:
    transfer = await dialled(scene)
    await scene.phone("pstn").reject()
    await back(scene, transfer, "target_busy")


@pytest.mark.thorough
async def test_preset(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "billing", kind="preset")
    await scene.phone("pstn").answer()
    await asking(scene)
    await scene.press("pstn", "1")
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.complete(transfer)
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")


@pytest.mark.thorough
async def test_another_group_does_without(scene: Scene) -> None:
    await scene.call("caller1", "1003", group="support")
    body = {"mode": "supervised", "target": {"kind": "number", "number": NUMBER}}
    transfer = (await scene.api("POST", "/v1/agents/1003/transfers", body)).body["id"]
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1003", "pstn")
    await scene.cancel(transfer)


async def test_internal_targets_are_not_asked(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_the_prompt_that_comes_with_asterisk(scene: Scene) -> None:
    """By default a voice asks, and waits for a while afterwards."""
    for name in TIMINGS:
        await scene.ami.action("Setvar", Variable=name, Value="")
    try:
        transfer = await asked(scene)
        phone = scene.phone("pstn")
        await phone.hears({"speech"})
        ended = await phone.hears(set(), within=8, steady=1.5)
        # There are pauses in it, and we may have listened from the second part on only.
        heard = phone.ear.spans(phone.call.began, ended)
        began = next(start for start, _, what in heard if what != SILENCE)
        assert 4 < ended - began < 7, phone.timeline(began)
        await phone.dtmf("1")
        await scene.consulting(transfer, "caller1", "1001", "pstn")
        await scene.cancel(transfer)
        await scene.talking("caller1", "1001")
    finally:
        for name, value in TIMINGS.items():
            await scene.ami.action("Setvar", Variable=name, Value=value)


@pytest.mark.thorough
async def test_daemon_gone_when_it_is_accepted(scene: Scene) -> None:
    """The leg ends immediately instead of waiting in an application without a daemon."""
    await asked(scene)
    await scene.bed.stop_daemon(kill=True)
    try:
        await scene.press("pstn", "1")
        await scene.gone("pstn", within=1.5)
        # The dialplan may already have connected them, so that one ends the other's call.
        for name in ("caller1", "1001"):
            await scene.phone(name).idle()
    finally:
        await scene.bed.start_daemon()
