"""A colleague as fourth party, on real phones: who hears whom, and the ways out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk import transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.listening import listening
from tests.asterisk.scene import Answer, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    """Sales has Alice, Bob and Erin (1005); support has Carol and Dave.

    A phone rings for longer than a busy machine needs to start another daemon.
    """
    patient = replace(
        transfer_button.world(), max_hold_seconds=90, settings={"AVP_SESSION__RING_SECONDS": "60"}
    )
    async with Bed(patient, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def add(scene: Scene, transfer: str, agent: str = "1005") -> Answer:
    return await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"agent": agent})


async def fourth_is(scene: Scene, transfer: str, state: str) -> None:
    async def look() -> bool | None:
        parties = (await scene.api("GET", f"/v1/transfers/{transfer}")).body["parties"]
        found = [(one["id"], one["state"]) for one in parties if one["role"] == "fourth"]
        return found == [("1005", state)] or None

    assert await scene.ami.until(look, 5.0), await scene.api("GET", f"/v1/transfers/{transfer}")


async def three(scene: Scene) -> str:
    """Alice consults Bob, and Erin has been called into it."""
    transfer = await scene.consult("caller1", "1001", "1002")
    answer = await add(scene, transfer)
    assert answer.status == 201, answer
    await scene.phone("1005").ringing()
    await fourth_is(scene, transfer, "ringing")
    await scene.phone("1005").answer()
    await scene.hear_one_another("1001", "1002", "1005")
    await scene.on_music("caller1")
    await fourth_is(scene, transfer, "talking")
    return transfer


async def test_who_hears_whom(scene: Scene) -> None:
    """In the consult, swapped, all together, and after the transferor has left."""
    transfer = await three(scene)
    await scene.act(transfer, "swap")
    await scene.hear_one_another("caller1", "1001")
    await scene.hear_one_another("1002", "1005")
    await scene.act(transfer, "swap")
    await scene.hear_one_another("1001", "1002", "1005")
    await scene.act(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002", "1005")
    await scene.complete(transfer)
    await scene.gone("1001")
    await scene.hear_one_another("caller1", "1002", "1005")
    for agent in ("1002", "1005"):
        call = (await scene.agent(agent))["call"]
        assert (call["caller"], call["consult"]) == ("caller1", None)
    await scene.hang_up("1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1005")
    await scene.plain("caller1", "1005")
    await scene.hang_up("caller1")
    await scene.gone("1005")
    await scene.booked(Alice=1, Bob=1, Erin=1)


@pytest.mark.thorough
async def test_what_the_colleague_is_told(scene: Scene) -> None:
    """As the target of a consult: who asks, and nothing of the caller before the completion."""
    transfer = await scene.consult("caller1", "1001", "1002")
    async with listening(scene.bed, "1005") as panel:
        await add(scene, transfer)
        await scene.phone("1005").ringing()
        asked = await panel.wait(lambda one: one["type"] == "transfer")
        names = {one["role"]: one["name"] for one in asked["transfer"]["parties"]}
        assert (names["transferor"], names["caller"]) == ("Alice", "")
        await scene.phone("1005").answer()
        await scene.hear_one_another("1001", "1002", "1005")
        shown = await scene.agent("1005")
        assert shown["call"]["consult"] == {"agent": "1001", "name": "Alice"}
        assert not any((await scene.api("GET", "/v1/agents/1005/targets")).body.values())
        assert await scene.refused("1005", "supervised", "agent", "1001") == "already_transferring"
        assert "caller1" not in str(panel.messages[1:])
        assert {one["type"] for one in panel.messages} & {"pop"} == set()
        await scene.complete(transfer)
        await scene.hear_one_another("caller1", "1002", "1005")
        pop = await panel.wait(lambda one: one["type"] == "pop")
        assert (pop["state"], pop["pop"]["data"]["case"]) == ("delivered", "4711")


@pytest.mark.thorough
async def test_the_target_leaves_and_the_colleague_takes_the_call(scene: Scene) -> None:
    transfer = await three(scene)
    await scene.hang_up("1002")
    await scene.hear_one_another("1001", "1005")
    await scene.parties(transfer, "1001", "caller", "1005")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1005")
    await scene.plain("caller1", "1005")
    await scene.hang_up("1005")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1, Erin=1)


async def test_dropped(scene: Scene) -> None:
    transfer = await three(scene)
    answer = await scene.api("DELETE", f"/v1/transfers/{transfer}/parties/1005")
    assert answer.status == 200, answer
    await scene.gone("1005")
    await scene.hear_one_another("1001", "1002")
    await scene.parties(transfer, "1001", "caller", "1002")
    async with listening(scene.bed, "1005") as panel:
        await scene.act(transfer, "cancel")
        last = await panel.wait(
            lambda one: one["type"] == "transfer" and one["transfer"]["state"] == "cancelled"
        )
        assert last["transfer"]["caller"] == ""
    await scene.talking("caller1", "1001")


async def beside_a_busy_colleague(scene: Scene) -> str:
    """Alice consults Bob while Erin talks to caller2. Returns the transfer."""
    for agent in ("1001", "1002"):
        await scene.pause(agent)
    await scene.call("caller2", "1005")
    for agent in ("1001", "1002"):
        await scene.pause(agent, paused=False)
        await scene.agent_is(agent, "available")
    return await scene.consult("caller1", "1001", "1002")


@pytest.mark.thorough
async def test_a_busy_colleague_is_waited_for(scene: Scene) -> None:
    """Their next call, ahead of the group's, and the only one that may wait for them."""
    transfer = await beside_a_busy_colleague(scene)
    await scene.phone("caller3").dial("800")
    await scene.waits("sales", "caller3")
    assert (await add(scene, transfer)).status == 201
    await fourth_is(scene, transfer, "waiting")
    await scene.hear_one_another("1001", "1002")
    assert (await scene.agent("1005"))["waiting_transfer"]
    await scene.hang_up("caller2")
    await scene.gone("1005")
    await scene.phone("1005").answer(within=8)
    await scene.hear_one_another("1001", "1002", "1005")
    await scene.waits("sales", "caller3")


@pytest.mark.thorough
async def test_a_busy_colleague_goes_on_a_break(scene: Scene) -> None:
    """They are not waited for any longer, and the consult goes on."""
    transfer = await beside_a_busy_colleague(scene)
    assert (await add(scene, transfer)).status == 201
    await fourth_is(scene, transfer, "waiting")
    await scene.pause("1005")
    await scene.parties(transfer, "1001", "caller", "1002")
    await scene.hear_one_another("1001", "1002")
    await scene.talking("caller2", "1005")
    await scene.slot_is_free("1005")
    await scene.hang_up("caller2")
    await scene.agent_is("1005", "not_ready")
    await scene.pause("1005", paused=False)
    assert scene.offers("1005") == ["caller2"]


@pytest.mark.parametrize(
    "talks",
    [pytest.param(False, id="rings", marks=pytest.mark.thorough), pytest.param(True, id="talks")],
)
@pytest.mark.thorough
async def test_the_colleagues_phone_goes_off_line(scene: Scene, talks: bool) -> None:
    """It ends its call, or refuses it, and unregisters; the consult goes on."""
    if talks:
        transfer = await three(scene)
    else:
        transfer = await scene.consult("caller1", "1001", "1002")
        await add(scene, transfer)
        await scene.phone("1005").ringing()
    async with scene.without_phone("1005"):
        await scene.parties(transfer, "1001", "caller", "1002")
        await scene.hear_one_another("1001", "1002")
        await scene.on_music("caller1")
        await scene.slot_is_free("1005")
        answer = await add(scene, transfer)
        assert (answer.status, answer.body["reason"]) == (403, "target_offline")


@pytest.mark.thorough
async def test_nobody_answers(scene: Scene) -> None:
    """Their phone rings once, and the consult goes on."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await add(scene, transfer)
    await scene.phone("1005").reject()
    await scene.parties(transfer, "1001", "caller", "1002")
    await scene.hear_one_another("1001", "1002")
    assert scene.offers("1005") == ["consult"]
    await scene.slot_is_free("1005")
    assert (await add(scene, transfer)).status == 201
    await scene.phone("1005").answer()
    await scene.hear_one_another("1001", "1002", "1005")


async def test_refused(scene: Scene) -> None:
    """As for the target of a consult; nothing rings, and the consult goes on."""
    transfer = await scene.consult("caller1", "1001", "1002")

    async def reason(agent: str) -> str:
        answer = await add(scene, transfer, agent)
        assert answer.status == 403, answer
        return str(answer.body["reason"])

    assert await reason("1003") == "not_in_group"
    assert await reason("4711") == "unknown_target"
    assert await reason("1001") == "self_transfer"
    assert await reason("1002") == "already_transferring"
    await scene.pause("1005")
    await scene.agent_is("1005", "not_ready")
    assert await reason("1005") == "target_not_ready"
    await scene.pause("1005", paused=False)
    await scene.agent_is("1005", "available")
    async with scene.without_phone("1005"):
        assert await reason("1005") == "target_offline"
    for body in ({"agent": "1005", "number": "911"}, {}, {"id": "1005"}):
        malformed = await scene.api("POST", f"/v1/transfers/{transfer}/parties", body)
        assert malformed.status == 422, malformed
    assert scene.offers("1005") == []
    await scene.hear_one_another("1001", "1002")


@pytest.mark.thorough
async def test_by_keys(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.press("1001", "*5")
    await scene.press("1001", "1005#")
    await scene.phone("1005").answer()
    await scene.hear_one_another("1001", "1002", "1005")
    await scene.press("1001", "*4")
    await scene.hear_one_another("caller1", "1001", "1002", "1005")
    await scene.press("1001", "*1")
    await scene.gone("1001")
    await scene.hear_one_another("caller1", "1002", "1005")
    await scene.reaches(transfer, "conference")


@pytest.mark.thorough
async def test_another_daemon_goes_on(scene: Scene) -> None:
    """It is killed while the colleague's phone rings, and again in the conference."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await add(scene, transfer)
    await scene.phone("1005").ringing()
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await scene.phone("1005").answer()
    await scene.hear_one_another("1001", "1002", "1005")
    await scene.act(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002", "1005")
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await scene.parties(transfer, "1001", "caller", "1002", "1005")
    await scene.complete(transfer)
    await scene.hear_one_another("caller1", "1002", "1005")
