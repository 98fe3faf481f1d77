"""What the transferor is told of a caller whom they have transferred, however it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Agent, Bed, Group, Wire, Wires, World

from tests.asterisk.conftest import open_scene
from tests.asterisk.listening import Listener, listening
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

INBOUND = """
[callers](+)
exten => _2X.,1,Set(AVP_MAX_HOLD=2)
 same => n,Goto(${EXTEN:1},1)
"""


def world() -> World:
    """A group for each max-hold action; the queue of desk lets nobody in who is not served."""
    names = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank")
    return World(
        agents=tuple(Agent(str(1001 + i), name) for i, name in enumerate(names)),
        groups=(
            Group("sales", ("1001", "1002"), number="800", strategy="linear"),
            Group("support", ("1003", "1004"), number="801", strategy="linear"),
            Group(
                "desk",
                ("1005", "1006"),
                number="802",
                strategy="linear",
                options={"joinempty": "paused,unavailable,invalid"},
            ),
        ),
        extensions=INBOUND,
        settings={
            "AVP_SESSION__RING_SECONDS": "4",
            "AVP_GROUPS__SUPPORT__MAX_HOLD_ACTION": "return",
            "AVP_GROUPS__DESK__MAX_HOLD_ACTION": "group",
            "AVP_SESSION__KEEP_ENDED_SECONDS": "6",
        },
        wrapuptime=1,
    )


WIRES: list[Wires] = []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world()) as started:
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


async def told(
    scene: Scene, transfer: str, agent: str, *outcomes: str, within: float = 8.0
) -> None:
    """The transferor's panel has been told so, in this order, with whom to call back.

    Their ended transfers say the same, also after the transfer itself is no longer listed.
    """

    async def look() -> bool | None:
        past = (await scene.api("GET", f"/v1/agents/{agent}/transfers")).body
        found = [one for one in past if one["id"] == transfer]
        return bool(found and found[0]["caller_outcome"] == outcomes[-1]) or None

    assert await scene.ami.until(look, within), (
        await scene.api("GET", f"/v1/agents/{agent}/transfers")
    ).body
    (past,) = [
        one
        for one in (await scene.api("GET", f"/v1/agents/{agent}/transfers")).body
        if one["id"] == transfer
    ]
    assert (past["caller"], past["caller_name"]) == ("caller1", "caller1")


def outcomes_of(transfers: list[dict[str, object]]) -> list[object]:
    """Without repetitions; the first is that of the running transfer."""
    found = [one["caller_outcome"] for one in transfers]
    return [one for number, one in enumerate(found) if number == 0 or found[number - 1] != one]


async def streamed(scene: Scene, panel: Listener, transfer: str, *outcomes: str | None) -> None:
    """The event stream has told these, one after the other; the last may arrive after a query's."""

    async def look() -> bool | None:
        return outcomes_of(panel.transfers(transfer)) == [*outcomes] or None

    assert await scene.ami.until(look, 3.0), panel.transfers(transfer)


async def test_connected(scene: Scene) -> None:
    async with listening(scene.bed, "1001") as panel:
        transfer = await scene.consult("caller1", "1001", "1002")
        assert {one["caller_outcome"] for one in panel.transfers(transfer)} == {None}
        await scene.complete(transfer)
        await scene.ends(transfer, "completed", "completed")
        await told(scene, transfer, "1001", "connected")
        await streamed(scene, panel, transfer, None, "connected")
    await scene.talking("caller1", "1002")

    async def forgotten() -> bool | None:
        return (await scene.api("GET", f"/v1/transfers/{transfer}")).status == 404 or None

    assert await scene.ami.until(forgotten, 10.0)
    await told(scene, transfer, "1001", "connected")


async def test_returned_by_a_target_who_does_not_answer(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    async with listening(scene.bed, "1001") as panel:
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").reject()
        await scene.ends(transfer, "failed", "rejected")
        await told(scene, transfer, "1001", "returned")
        await streamed(scene, panel, transfer, None, "returned")
    await scene.talking("caller1", "1001")


async def busy(scene: Scene, agent: str, target: str, number: str, other: str) -> str:
    """``agent``'s caller waits for ``target``, who talks to caller2; ``agent``'s call is over."""
    await scene.call("caller1", agent, number=f"2{number}")
    await scene.call("caller2", target, number=other)
    transfer = await scene.transfer(agent, "unsupervised", target)
    await scene.reaches(transfer, "waiting")
    await scene.gone(agent)
    return transfer


async def test_disconnected(scene: Scene) -> None:
    """The transferor's own call has been over since the transfer."""
    async with listening(scene.bed, "1001") as panel:
        transfer = await busy(scene, "1001", "1002", "800", "800")
        await scene.ends(transfer, "failed", "max_hold")
        await told(scene, transfer, "1001", "disconnected")
        await scene.phone("caller1").hears({"speech"}, steady=0.2)
        await scene.gone("caller1", within=8)
        await streamed(scene, panel, transfer, None, "disconnected")
        (one, *_) = panel.transfers(transfer)[::-1]
        assert (one["caller"], one["caller_name"]) == ("caller1", "caller1")


@pytest.mark.thorough
async def test_returned_after_max_hold(scene: Scene) -> None:
    async with listening(scene.bed, "1003") as panel:
        transfer = await busy(scene, "1003", "1004", "801", "801")
        await scene.ends(transfer, "failed", "max_hold")
        await scene.phone("1003").answer()
        await scene.talking("caller1", "1003")
        await told(scene, transfer, "1003", "returned")
        await streamed(scene, panel, transfer, None, "returned")
        await scene.hang_up("caller1")
        await scene.gone("1003")
        await told(scene, transfer, "1003", "returned")


@pytest.mark.thorough
async def test_a_caller_who_hangs_up_on_the_way_back(scene: Scene) -> None:
    async with listening(scene.bed, "1003") as panel:
        transfer = await busy(scene, "1003", "1004", "801", "801")
        await scene.ends(transfer, "failed", "max_hold")
        await scene.phone("1003").ringing()
        await scene.hang_up("caller1")
        await told(scene, transfer, "1003", "hung_up")
        await streamed(scene, panel, transfer, None, "returned", "hung_up")


@pytest.mark.thorough
async def test_group_because_the_transferor_has_left(scene: Scene) -> None:
    async with listening(scene.bed, "1003") as panel:
        transfer = await busy(scene, "1003", "1004", "801", "801")
        await scene.pause("1003")
        await scene.ends(transfer, "failed", "max_hold")
        await told(scene, transfer, "1003", "group")
        await streamed(scene, panel, transfer, None, "returned", "group")
        await scene.waits("support", "caller1")
        await scene.pause("1003", paused=False)
        await scene.phone("1003").answer(within=8)
        await scene.talking("caller1", "1003")
        await told(scene, transfer, "1003", "group")


@pytest.mark.thorough
async def test_disconnected_because_nobody_may_wait_in_the_group(scene: Scene) -> None:
    """The whole way: max hold, the group's queue, which lets nobody in, and the announcement."""
    async with listening(scene.bed, "1005") as panel:
        transfer = await busy(scene, "1005", "1006", "802", "802")
        await scene.pause("1005")
        await scene.pause("1006")
        await told(scene, transfer, "1005", "disconnected")
        await streamed(scene, panel, transfer, None, "group", "disconnected")
        await scene.gone("caller1", within=8)


@pytest.mark.thorough
async def test_group_because_the_transferor_hung_up(scene: Scene) -> None:
    """While they were asked where to: nobody knows for whom the caller was."""
    await scene.call("caller1", "1001")
    async with listening(scene.bed, "1001") as panel:
        await scene.press("1001", "*7")
        await scene.on_music("caller1")
        begun = await panel.wait(lambda one: one["type"] == "transfer")
        transfer = begun["transfer"]["id"]
        await scene.hang_up("1001")
        await scene.ends(transfer, "failed", "transferor_hangup")
        await told(scene, transfer, "1001", "group")
        await scene.phone("1002").answer(within=8)
        await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_hung_up(scene: Scene) -> None:
    async with listening(scene.bed, "1001") as panel:
        transfer = await scene.consult("caller1", "1001", "1002")
        await scene.hang_up("caller1")
        await scene.ends(transfer, "abandoned", "caller_hangup")
        await told(scene, transfer, "1001", "hung_up")
        await streamed(scene, panel, transfer, None, "hung_up")


async def test_lost(scene: Scene) -> None:
    """The caller's call ends while the daemon is cut off from Asterisk."""
    transfer = await scene.consult("caller1", "1001", "1002")
    (wires,) = WIRES
    for wire in wires.named("both"):
        wire.break_off()
    channel = (await scene.ami.channel_of("caller1"))["Channel"]
    await scene.hang_up("caller1")

    async def gone() -> bool | None:  # in Asterisk, or the daemon would still see it end
        return channel not in [row["Channel"] for row in await scene.ami.channels()] or None

    assert await scene.ami.until(gone, 5.0)
    wires.mend()
    await scene.reaches(transfer, "abandoned", within=15)
    await told(scene, transfer, "1001", "lost")


@pytest.mark.thorough
async def test_the_target_is_not_told_whom_they_have_not_reached(scene: Scene) -> None:
    async with listening(scene.bed, "1002") as panel:
        transfer = await scene.consult("caller1", "1001", "1002")
        await scene.cancel(transfer)
        await scene.reaches(transfer, "cancelled")
        last = await panel.wait(
            lambda one: one["type"] == "transfer" and one["transfer"]["state"] == "cancelled"
        )
        assert last["transfer"]["caller_outcome"] == "returned"
        assert {(one["caller"], one["caller_name"]) for one in panel.transfers(transfer)} == {
            ("", "")
        }
    await scene.talking("caller1", "1001")
