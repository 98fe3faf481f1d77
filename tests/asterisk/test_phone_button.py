"""The phone's own Transfer button, blind (SIP REFER): what is allowed, and every refusal.

The phone is baresip, which hangs up when its transfer is refused.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, PhoneError, backend_named, match, party

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import back_to_the_group, fails, known, press, pressed

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    async with Bed(transfer_button.world(), backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


# --- allowed ------------------------------------------------------------------------------------


@pytest.mark.smoke("transfer button")
async def test_to_an_agent(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await press(scene, "1001", "1002")
    await scene.gone("1001")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    assert transfer_button.told(scene.phone("1001"), scene.since) == "done"
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_to_an_agent_who_talks(scene: Scene) -> None:
    """The caller waits, and is the agent's next call."""
    await scene.call("caller1", "1001")
    await scene.phone("caller2").dial("800")
    await scene.phone("1002").answer()
    transfer = await press(scene, "1001", "1002")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.reaches(transfer, "waiting")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    assert transfer_button.told(scene.phone("1001"), scene.since) == "done"


async def test_to_a_group(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await press(scene, "1001", "801")
    await scene.phone("1003").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1003")
    await scene.plain("caller1", "1003")
    assert transfer_button.told(scene.phone("1001"), scene.since) == "done"
    assert await scene.variable("caller1", "AVP_GROUP") == "support"
    await scene.hang_up("caller1")
    await scene.booked(Alice=1, Carol=1)


@pytest.mark.thorough
async def test_the_host_is_not_looked_at(scene: Scene) -> None:
    """Asterisk does not report the host: 1002 is our 1002, whatever follows it."""
    await scene.call("caller1", "1001")
    await press(scene, "1001", "sip:1002@192.0.2.1")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_a_call_by_no_queue(scene: Scene) -> None:
    await scene.direct_call("caller1", "1001")
    transfer = await press(scene, "1001", "1002")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_a_call_that_the_agent_made(scene: Scene) -> None:
    await scene.phone("1001").dial("2025550100")
    await scene.phone("pstn").answer()
    await scene.talking("pstn", "1001")
    transfer = await press(scene, "1001", "1002")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("pstn", "1002")


@pytest.mark.thorough
async def test_a_call_on_hold(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("1001").hold()
    await scene.on_music("caller1")
    transfer = await press(scene, "1001", "1002")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")


async def test_the_caller_hangs_up_meanwhile(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await press(scene, "1001", "1002")
    await scene.phone("1002").ringing()
    await scene.hang_up("caller1")
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.gone("1001", "1002")


@pytest.mark.thorough
async def test_the_phone_dies_having_pressed(scene: Scene) -> None:
    """No NOTIFY and no BYE is answered any more."""
    await scene.call("caller1", "1001")
    before = known(scene)
    phone = scene.phone("1001")
    await phone.transfer("1002")
    assert phone.process is not None
    phone.process.signal(signal.SIGKILL)  # it does not send a BYE
    async with scene.without_phone("1001", registered=True):
        transfer = str((await pressed(scene, before, "1001", "allow", "ok"))["transfer"])
        await scene.phone("1002").answer()
        await scene.ends(transfer, "completed", "completed")
        await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_pressed_twice(scene: Scene) -> None:
    """The second one is refused and disturbs nothing; one answer covers both."""
    await scene.call("caller1", "1001")
    phone = scene.phone("1001")
    first, second = await asyncio.gather(
        phone.transfer("1002"), phone.transfer("1005"), return_exceptions=True
    )
    assert first is None
    # On a busy machine the phone's call may be over before it reads the second one.
    assert second is None or isinstance(second, PhoneError)
    await scene.phone("1002").answer()
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")

    async def told() -> str | None:
        return transfer_button.told(scene.phone("1001"), scene.since) or None

    assert await scene.ami.until(told, 3.0) == "done"
    await scene.hang_up("caller1")
    await scene.booked(Alice=1, Bob=1)


# --- refused ------------------------------------------------------------------------------------

TARGETS = {
    # the dialled text: the reason, and its interpretation
    "self": ("self_transfer", "agent"),
    "1003": ("not_in_group", "agent"),
    "91": ("unsupervised_external", "preset"),
    "2025550100": ("unsupervised_external", "number"),
    "sip:+442079460000@192.0.2.1": ("unsupervised_external", "number"),
    "sip:1002;x=1@127.0.0.1": ("unsupervised_external", "number"),
    "sip:127.0.0.1": ("unsupervised_external", "number"),
    "sip:" + 300 * "1" + "@127.0.0.1": ("unsupervised_external", "number"),
}


@pytest.mark.thorough
async def test_not_a_target(scene: Scene) -> None:
    """In turn: the agent with the call presses, and the next agent of the group answers it."""
    agents = {"1001", "1002", "1005"}
    await scene.call("caller1", "1001")
    agent = "1001"
    for dialled, (reason, kind) in TARGETS.items():
        before, asked = known(scene), await scene.ami.mark()
        await scene.phone(agent).transfer(agent if dialled == "self" else dialled)
        record = await pressed(scene, before, agent, "deny", reason)
        assert record["kind"] == kind
        await scene.gone(agent)
        assert transfer_button.told(scene.phone(agent), asked) == "refused"
        rung = await first_to_ring(scene, agents - {agent})
        # Only app_queue called agents, one of whom the dialplan skips. The channel that watches the
        # daemon after a hang-up calls nobody.
        made = {party(e["Channel"]) for e in scene.ami.seen(match("Newchannel"), asked)}
        assert {name for name in made if not name.endswith("@avp-orphans")} <= agents
        await back_to_the_group(scene, by=rung)
        await fails(scene, reason)
        agent = rung


async def first_to_ring(scene: Scene, agents: set[str]) -> str:
    async def look() -> str | None:
        for agent in agents:
            if any(call.state == "incoming" for call in scene.phone(agent).live):
                return agent
        return None

    found = await scene.ami.until(look, 5.0)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "reason",
    [
        *(
            pytest.param(x, marks=pytest.mark.thorough)
            for x in ("target_not_ready", "target_offline")
        ),
        "target_queue_full",
    ],
)
@pytest.mark.thorough
async def test_a_target_who_cannot(scene: Scene, reason: str) -> None:
    await scene.call("caller1", "1001")
    before = known(scene)
    match reason:
        case "target_not_ready":
            await scene.pause("1005")
            await scene.agent_is("1005", "not_ready")
            await scene.phone("1001").transfer("1005")
        case "target_offline":
            async with scene.without_phone("1005"):
                await scene.phone("1001").transfer("1005")
                await pressed(scene, before, "1001", "deny", reason)
        case _:
            await scene.call("caller2", "1002")
            await scene.phone("caller3").dial("1005")
            await scene.phone("1005").answer()
            await scene.transfer("1002", "unsupervised", "1005")
            await scene.gone("1002")
            before = known(scene)
            await scene.phone("1001").transfer("1005")
    await pressed(scene, before, "1001", "deny", reason)
    await scene.gone("1001")
    await back_to_the_group(scene)
    await fails(scene, reason)


OFF = {
    # the disabled feature: the target of the button, and the reason
    "enterprise session_transfer": ("1002", "transfer_disabled"),
    "groups.sales internal_transfer": ("1002", "internal_disabled"),
    "groups.sales unsupervised_transfer": ("801", "unsupervised_disabled"),
    "accounts.acme contracted": ("1002", "not_contracted"),
}


@pytest.mark.parametrize(
    "off",
    [
        pytest.param(one, marks=() if one.startswith("groups") else pytest.mark.thorough)
        for one in OFF
    ],
)
async def test_switched_off(scene: Scene, off: str) -> None:
    target, reason = OFF[off]
    level, name = off.split()
    await scene.call("caller1", "1001")
    async with guard.settings(scene.bed, f"[{level}]\n{name} = false\n"):
        before = known(scene)
        await scene.phone("1001").transfer(target)
        await pressed(scene, before, "1001", "deny", reason)
        await scene.gone("1001")
        assert transfer_button.told(scene.phone("1001"), scene.since) == "refused"
        await back_to_the_group(scene)
    await fails(scene, reason)


@pytest.mark.thorough
async def test_refused_in_a_call_by_no_queue(scene: Scene) -> None:
    """The only group to which it can return is the agent's."""
    await scene.direct_call("caller1", "1001")
    before = known(scene)
    await scene.phone("1001").transfer("2025550100")
    await pressed(scene, before, "1001", "deny", "unsupervised_external")
    await scene.gone("1001")
    await back_to_the_group(scene)


@pytest.mark.thorough
async def test_at_the_head_of_the_group(scene: Scene) -> None:
    """Before those who have waited longer."""
    await scene.call("caller1", "1001")
    for caller, agent in (("caller2", "1002"), ("caller3", "1005")):
        await scene.phone(caller).dial("800")
        await scene.phone(agent).answer()
    await scene.phone("caller4").dial("800")
    await scene.waits("sales", "caller4")
    await scene.phone("1001").transfer("911")
    await scene.gone("1001")
    await scene.waits("sales", "caller1", "caller4")
    await scene.hang_up("caller2")
    await back_to_the_group(scene)


# --- while something else goes on -----------------------------------------------------------------


async def test_pressed_in_a_consultation(scene: Scene) -> None:
    """Refused; the phone hangs up, which completes the transfer like any hang-up."""
    transfer = await scene.consult("caller1", "1001", "1002")
    before = known(scene)
    await scene.phone("1001").transfer("1005")
    await pressed(scene, before, "1001", "deny", "already_transferring")
    await scene.gone("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")


@pytest.mark.thorough
async def test_pressed_while_the_target_rings(scene: Scene) -> None:
    """Refused; the phone hangs up, and the transfer continues without it."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    before = known(scene)
    await scene.phone("1001").transfer("1005")
    await pressed(scene, before, "1001", "deny", "already_transferring")
    await scene.gone("1001")
    await scene.rung_again("1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_pressed_by_the_one_who_is_consulted(scene: Scene) -> None:
    """Refused; the phone hangs up, and the transferor is back with the caller."""
    transfer = await scene.consult("caller1", "1001", "1002")
    before = known(scene)
    await scene.phone("1002").transfer("1005")
    await pressed(scene, before, "1002", "deny", "already_transferring")
    await scene.gone("1002")
    assert transfer_button.told(scene.phone("1002"), scene.since) == "refused"
    await scene.ends(transfer, "failed", "target_hangup")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")


async def test_pressed_by_a_caller_in_a_consultation(scene: Scene) -> None:
    """An agent who called another group, and now hears music: refused."""
    await scene.phone("1004").dial("1001")
    await scene.phone("1001").answer()
    await scene.talking("1004", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "1004", "1001", "1002")
    before = known(scene)
    await scene.phone("1004").transfer("1003")
    record = await transfer_button.decision(scene, before)
    assert (record["agent"], record["decision"]) == ("1004", "deny")
    await scene.gone("1004")  # it hangs up on the refusal
    await scene.ends(transfer, "abandoned", "caller_hangup")


# --- members Local/…/n --------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def behind_local() -> AsyncIterator[Bed]:
    world = replace(transfer_button.world(), local_members=True)
    async with Bed(world, backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        yield bed


async def test_members_behind_local_channels(behind_local: Bed) -> None:
    async with open_scene(behind_local) as scene:
        await scene.call("caller1", "1001")
        transfer = await press(scene, "1001", "1002")
        await scene.phone("1002").answer()
        await scene.ends(transfer, "completed", "completed")
        await scene.gone("1001")
        await scene.talking("caller1", "1002")
        assert transfer_button.told(scene.phone("1001"), scene.since) == "done"
        before = known(scene)
        await scene.pause("1001")
        await scene.phone("1002").transfer("999999")
        await pressed(scene, before, "1002", "deny", "unsupervised_external")
        await scene.gone("1002")
        assert transfer_button.told(scene.phone("1002"), scene.since) == "refused"
        await scene.phone("1005").answer()
        await scene.talking("caller1", "1005")
        await scene.hang_up("caller1")
        await scene.booked(Alice=1, Bob=1, Erin=1)


@pytest.mark.thorough
async def test_attended_with_members_behind_local_channels(behind_local: Bed) -> None:
    async with open_scene(behind_local) as scene:
        await scene.call("caller1", "1001")
        phone = scene.phone("1001")
        first = phone.call
        await phone.hold(first)
        second = await phone.dial("1002")
        await scene.phone("1002").answer()
        await phone.established(second)
        await scene.hear_one_another("1001", "1002")
        before = known(scene)
        await behind_local.attended_transfer(phone, first, second)
        record = await pressed(scene, before, "1001", "allow", "ok", "supervised")
        await scene.ends(str(record["transfer"]), "completed", "completed")
        await scene.gone("1001")
        await scene.talking("caller1", "1002")
        assert transfer_button.told(phone, scene.since) == "done"
        await scene.hang_up("caller1")
        await scene.gone("1002", within=2)
        await scene.booked(Alice=1)
