"""Agents' calls at the end of a transfer, and in a consult that they are asked into.

AMI's answer and ARI's events come by two connections: the tests hold ARI's until after the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from bed import Bed, Wire, Wires, World

from tests.asterisk.conftest import open_scene
from tests.asterisk.listening import Listener, Message, listening
from tests.asterisk.scene import FOURTH, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

# A short hold, for who waits while ARI is not heard: the daemon notices that after some seconds.
INBOUND = """
[callers](+)
exten => 3800,1,Set(AVP_MAX_HOLD=3)
 same => n,Goto(800,1)
"""
WIRES: list[Wires] = []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    world = World(wrapuptime=1, extensions=INBOUND, settings={"AVP_SESSION__RING_SECONDS": "20"})
    async with Bed(world.with_group("sales", strategy="linear")) as started:
        wires = Wires(Wire(started.ports.ami), Wire(started.ports.http))
        await wires.start()
        WIRES.append(wires)
        await started.start_daemon(wires.daemon_env())
        yield started
        WIRES.remove(wires)
        await wires.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened
    WIRES[0].mend()


def ended(transfer: str, state: str) -> Callable[[Message], bool]:
    return lambda one: (
        one["type"] == "transfer"
        and (one["transfer"]["id"], one["transfer"]["state"]) == (transfer, state)
    )


async def still_has(scene: Scene, panel: Listener, agent: str, mark: int) -> None:
    """The agent has caller1, as told now and in each event since then."""
    shown = await scene.agent(agent)
    assert shown["call"]["caller"] == "caller1"
    assert shown["call"]["consult"] is None
    assert [call["caller"] for call in shown["calls"]] == ["caller1"]
    WIRES[0].ari.hear()
    await scene.talking("caller1", agent)
    await scene.plain("caller1", agent)
    # An event after all of those that were held.
    await scene.pause(agent)
    await panel.wait(
        lambda one: (
            one["type"] == "agent" and one["agent"]["id"] == agent and one["agent"]["paused"]
        ),
        since=mark,
    )
    assert set(panel.calls(agent, mark)) == {"caller1"}
    await scene.pause(agent, paused=False)


async def test_cancelled(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    async with listening(scene.bed, "1001") as panel:
        mark = len(panel.messages)
        WIRES[0].ari.deafen()
        await scene.cancel(transfer)
        await panel.wait(ended(transfer, "cancelled"))
        await still_has(scene, panel, "1001", mark)


@pytest.mark.thorough
async def test_nobody_answers_in_time(scene: Scene) -> None:
    await scene.call("caller1", "1001", number="3800")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    async with listening(scene.bed, "1001") as panel:
        mark = len(panel.messages)
        WIRES[0].ari.deafen()
        await panel.wait(ended(transfer, "failed"), within=8)
        await still_has(scene, panel, "1001", mark)


@pytest.mark.thorough
async def test_completed(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    async with listening(scene.bed, "1002") as panel:
        mark = len(panel.messages)
        WIRES[0].ari.deafen()
        await scene.complete(transfer)
        await panel.wait(ended(transfer, "completed"))
        answer = await scene.ask("1002", "supervised", "agent", "1001")
        assert answer.body["reason"] == "already_transferring"
        # The call with the transferor came before the end.
        mark += next(
            number
            for number, one in enumerate(panel.messages[mark:])
            if one["type"] == "transfer" and one["transfer"]["state"] == "completed"
        )
        await still_has(scene, panel, "1002", mark)


@pytest.mark.thorough
async def test_completed_and_transferred_at_once(scene: Scene) -> None:
    """A request that comes before Asterisk has optimised the Local channel away waits for that."""
    transfer = await scene.consult("caller1", "1001", "1002")
    async with listening(scene.bed, "1002") as panel:
        mark = len(panel.messages)
        await scene.complete(transfer)
        await panel.wait(ended(transfer, "completed"), since=mark)
        answer = await scene.ask("1002", "unsupervised", "group", "support")
    assert answer.status == 201, answer
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    await scene.hang_up("caller1")


@pytest.mark.thorough
async def test_the_last_two_of_four(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert answer.status == 201, answer
    await scene.phone("pstn").answer()
    await scene.hear_one_another("1001", "1002", "pstn")
    async with listening(scene.bed, "1002") as panel:
        await scene.complete(transfer)
        await scene.hear_one_another("caller1", "1002", "pstn")
        shown = await scene.agent("1002")
        assert (shown["call"]["caller"], shown["call"]["consult"]) == ("caller1", None)
        mark = len(panel.messages)
        await scene.hang_up("pstn")
        await scene.ends(transfer, "completed", "completed")
        await still_has(scene, panel, "1002", mark)


async def test_what_the_target_of_a_consult_is_told(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002", notes="about the invoice")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    async with listening(scene.bed, "1002") as panel:
        (rings,) = [one for one in panel.snapshot["transfers"] if one["id"] == transfer]
        (transferor,) = [one for one in rings["parties"] if one["role"] == "transferor"]
        assert (transferor["id"], transferor["name"]) == ("1001", "Alice")
        assert "caller1" not in str(rings)
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        shown = await scene.agent("1002")
        assert shown["call"]["consult"] == {"agent": "1001", "name": "Alice"}
        targets = (await scene.api("GET", "/v1/agents/1002/targets")).body
        assert not any(targets.values())
        for mode in ("supervised", "unsupervised"):
            assert await scene.refused("1002", mode, "agent", "1001") == "already_transferring"
        await scene.press("1002", "*7")
        assert await scene.state(transfer) == "consulting"
        listed = (await scene.api("GET", "/v1/transfers")).body
        assert [one["id"] for one in listed if one["ended_reason"] is None] == [transfer]
        for message in panel.messages[1:]:
            assert "caller1" not in str(message)
            assert "invoice" not in str(message)
        mark = len(panel.messages)
        await scene.complete(transfer)
        await panel.wait(ended(transfer, "completed"), since=mark)
        shown = await scene.agent("1002")
        assert (shown["call"]["caller"], shown["call"]["consult"]) == ("caller1", None)
        await scene.talking("caller1", "1002")
        assert (await scene.api("GET", "/v1/agents/1002/targets")).body["permissions"]
