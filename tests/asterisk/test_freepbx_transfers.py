"""Transfers on a PBX of FreePBX's shape: its members, star codes, routes and recordings."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import match

from tests.asterisk.conftest import open_scene
from tests.asterisk.freepbx.installed import Installed
from tests.asterisk.recording import Recording
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import known, press, pressed

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SALES, SUPPORT = "15550600", "15550601"
OUTSIDE = "+12025550100"


@pytest_asyncio.fixture(loop_scope="session")
async def scene(freepbx: Installed) -> AsyncIterator[Scene]:
    async with open_scene(freepbx) as opened:
        yield opened


async def call(scene: Scene, caller: str = "caller1", agent: str = "1001") -> None:
    await scene.call(caller, agent, number=SALES)


@pytest.mark.smoke("FreePBX")
async def test_supervised(scene: Scene) -> None:
    await call(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("1002")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_supervised_cancelled(scene: Scene) -> None:
    await call(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.gone("1002")
    await scene.hang_up("caller1")
    await scene.booked(Alice=1, Bob=1)


async def test_unsupervised_to_whom_talks(scene: Scene) -> None:
    """The transferred call waits, and comes before the group's own calls."""
    await call(scene)
    await scene.phone("caller2").dial(SALES)
    await scene.phone("1002").answer()
    await scene.talking("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=8)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("1002")
    await scene.booked(Alice=1, Bob=2)


@pytest.mark.thorough
async def test_to_a_group(scene: Scene) -> None:
    await call(scene)
    transfer = await scene.transfer("1001", "unsupervised", "queue_601", kind="group")
    await scene.phone("1003").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1003")
    await scene.hang_up("caller1")
    await scene.booked(Alice=1, Carol=1)


@pytest.mark.thorough
async def test_the_code(scene: Scene, freepbx: Installed) -> None:
    """The keys are those of the rendered settings: the PBX's codes keep their meaning."""
    keys = freepbx.daemon_env()
    await call(scene)
    asked = time.time()
    await scene.press("1001", keys.get("AVP_KEYS__TRANSFER", "*7"))
    await scene.on_music("caller1")
    await scene.prompted("1001", asked)
    await scene.press("1001", "1002#")
    await scene.phone("1002").answer(within=8)
    await scene.phone("1001").hearing({"1002"})
    await scene.press("1001", keys.get("AVP_KEYS__COMPLETE", "*1"))
    await scene.talking("caller1", "1002")


async def test_the_button(scene: Scene) -> None:
    await call(scene)
    transfer = await press(scene, "1001", "1002")
    await scene.gone("1001")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_the_button_to_a_queue(scene: Scene) -> None:
    await call(scene)
    transfer = await press(scene, "1001", "601")
    await scene.phone("1003").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1003")


@pytest.mark.thorough
async def test_the_button_to_somewhere_else(scene: Scene) -> None:
    """The PBX's own extensions are no targets: nobody sends a caller past the rules."""
    await call(scene)
    before = known(scene)
    await scene.phone("1001").transfer("2025550100")
    await pressed(scene, before, "1001", "deny", "unsupervised_external")
    assert not scene.phone("pstn").live


@pytest.mark.thorough
async def test_the_attended_button(scene: Scene, freepbx: Installed) -> None:
    """The consultation is a call of the PBX's own, to an extension."""
    await call(scene)
    phone = scene.phone("1001")
    first = phone.call
    await phone.hold(first)
    await scene.on_music("caller1")
    second = await phone.dial("1002")
    await scene.phone("1002").answer()
    await phone.established(second)
    await scene.hear_one_another("1001", "1002")
    before = known(scene)
    await freepbx.attended_transfer(phone, first, second)
    await pressed(scene, before, "1001", "allow", "ok", "supervised")
    await scene.hear_one_another("caller1", "1002")
    await scene.gone("1001")


async def test_to_a_number_outside(scene: Scene) -> None:
    """By the PBX's own outbound route."""
    await call(scene)
    body = {"mode": "supervised", "target": {"kind": "number", "number": "(202) 555-0100"}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 201, answer
    transfer = str(answer.body["id"])
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    assert scene.ami.seen(match("Newexten", Context="trunk-dial-with-exten"), scene.since)
    await scene.complete(transfer)
    await scene.hear_one_another("caller1", "pstn")
    await scene.gone("1001")


@pytest.mark.thorough
async def test_log_in_and_pause_by_star_code(scene: Scene, freepbx: Installed) -> None:
    await freepbx.star("1004", "*45601")

    async def known() -> bool | None:
        return (await scene.api("GET", "/v1/agents/1004")).status == 200 or None

    assert await scene.ami.until(known, 3.0)
    await scene.agent_is("1004", "available")
    await scene.call("caller1", "1003", number=SUPPORT)
    await freepbx.star("1004", "*46601")
    await scene.agent_is("1004", "not_ready")
    assert await scene.refused("1003", "supervised", "agent", "1004") == "target_not_ready"
    await freepbx.star("1004", "*46601")
    await scene.agent_is("1004", "available")
    transfer = await scene.transfer("1003", "supervised", "1004")
    await scene.phone("1004").answer()
    await scene.consulting(transfer, "caller1", "1003", "1004")
    await scene.complete(transfer)
    await scene.hear_one_another("caller1", "1004")
    await scene.hang_up("1004")
    await scene.agent_is("1004", "available")
    await freepbx.star("1004", "*45601")
    await scene.agent_is("1004", "offline")


async def popped(scene: Scene, agent: str) -> dict[str, str]:
    """The data of the screen pop of the agent's call."""

    async def look() -> dict[str, str] | None:
        found = (await scene.agent(agent))["call"]
        return (found and found["pop"].get("data")) or None

    data = await scene.ami.until(look, 3.0)
    assert data is not None, await scene.agent(agent)
    return data


@pytest.mark.thorough
async def test_the_pop(scene: Scene, freepbx: Installed) -> None:
    """The inbound dialplan's variables are the administrator's, in a context of theirs."""
    custom = freepbx.etc / "extensions_custom.conf"
    before = custom.read_text()
    custom.write_text(
        f"{before}\n[ext-did-custom]\nexten => 15550609,1,Set(AVP_POP_CASE=4711)\n"
        " same => n,Goto(ext-queues,600,1)\n"
    )
    freepbx.backend.give(freepbx.etc)
    await freepbx.apply_config()
    try:
        await scene.call("caller1", "1001", number="15550609")
        assert (await popped(scene, "1001")) == {"case": "4711"}
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
        assert (await popped(scene, "1002")) == {"case": "4711"}
    finally:
        custom.write_text(before)
        await freepbx.apply_config()


# --- recordings -----------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_the_queues_recording(scene: Scene) -> None:
    """The PBX records the caller's channel before Queue(); the file goes on after a transfer."""
    await scene.call("caller1", "1003", number=SUPPORT)
    channel = await scene.ami.channel_of("caller1")
    recording = Recording(scene.bed, f"q-601-{channel['Uniqueid']}.wav")

    async def recorded(*names: str) -> None:
        async def look() -> bool | None:
            return recording.together(*names) > 0.5 or None

        assert await scene.ami.until(look, 6.0), recording.parts()

    await recorded("caller1", "1003")
    transfer = await scene.transfer("1003", "supervised", "1005")
    await scene.phone("2005").answer()
    await scene.consulting(transfer, "caller1", "1003", "2005")
    await scene.complete(transfer)
    await scene.hear_one_another("caller1", "2005")
    seconds = recording.seconds

    async def grows() -> bool | None:
        return recording.seconds > seconds + 1 or None

    assert await scene.ami.until(grows, 6.0)


@pytest.mark.thorough
async def test_star_1_records_as_before(scene: Scene) -> None:
    """The PBX's own dynamic feature is still on the agent's phone, beside ours."""
    await call(scene)
    since = await scene.ami.mark()
    await scene.press("1001", "*1")
    await scene.ami.wait(match("Newexten", Context="macro-one-touch-record"), 3.0, since)

    async def recorded() -> bool | None:
        found = list((scene.bed.directory / "spool" / "monitor").glob("ondemand-*.wav"))
        return (
            any(Recording(scene.bed, x.name).together("caller1", "1001") > 0.5 for x in found)
            or None
        )

    assert await scene.ami.until(recorded, 6.0)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")


# --- calls by no queue ----------------------------------------------------------------------------


@pytest.mark.thorough
async def test_a_call_from_extension_to_extension(scene: Scene) -> None:
    """1003 calls 1001, who transfers 1003 to 1002."""
    await scene.phone("1003").dial("1001")
    await scene.phone("1001").answer()
    await scene.hear_one_another("1003", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "1003", "1001", "1002")
    await scene.complete(transfer)
    await scene.hear_one_another("1003", "1002")
    await scene.gone("1001")


@pytest.mark.thorough
async def test_a_direct_call_from_outside(scene: Scene) -> None:
    await scene.phone("caller1").dial("15551001")
    await scene.phone("1001").answer()
    await scene.hear_one_another("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.hear_one_another("caller1", "1002")


@pytest.mark.thorough
async def test_an_outbound_call(scene: Scene) -> None:
    await scene.phone("1001").dial("2025550100")
    await scene.phone("pstn").answer()
    await scene.hear_one_another("1001", "pstn")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "pstn", "1001", "1002")
    await scene.complete(transfer)
    await scene.hear_one_another("pstn", "1002")
    await scene.gone("1001")


# --- devices and users ----------------------------------------------------------------------------


@pytest.mark.thorough
async def test_a_target_at_a_hot_desk(scene: Scene) -> None:
    await scene.call("caller1", "1003", number=SUPPORT)
    transfer = await scene.transfer("1003", "supervised", "1005")
    await scene.phone("2005").answer()
    await scene.consulting(transfer, "caller1", "1003", "2005")
    await scene.complete(transfer)
    await scene.hear_one_another("caller1", "2005")


@pytest.mark.thorough
async def test_a_transferor_at_a_hot_desk(scene: Scene) -> None:
    """Their call is known as theirs, by button and by code."""
    await scene.phone("2005").dial("1002")
    await scene.phone("1002").answer()
    await scene.hear_one_another("2005", "1002")
    transfer = await scene.transfer("1005", "supervised", "1003")
    await scene.phone("1003").answer()
    await scene.consulting(transfer, "1002", "2005", "1003")
    await scene.complete(transfer)
    await scene.hear_one_another("1002", "1003")


@pytest.mark.thorough
async def test_somebody_else_logs_on_to_the_desk(scene: Scene, freepbx: Installed) -> None:
    """Alice sits at Erin's desk: both her phones ring, and either is hers."""
    await freepbx.star("2005", "*111001")
    try:
        await scene.phone("caller1").dial(SALES)
        await scene.phone("1001").ringing()
        await scene.phone("2005").answer()
        await scene.hear_one_another("caller1", "2005")
        await scene.gone("1001")
        await scene.has_call("1001", caller="caller1")
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "2005", "1002")
        await scene.cancel(transfer)
        await scene.hear_one_another("caller1", "2005")
    finally:
        await scene.phone("2005").idle()
        await freepbx.star("2005", "*12")
