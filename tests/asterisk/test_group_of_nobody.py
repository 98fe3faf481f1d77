"""A transfer to a group that nobody could take the call for is refused before the call moves.

By every way in: API, feature code, Transfer button. If the last member leaves after the decision,
the call takes the max-hold action.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Agent, Bed, Group, Wire, Wires, World

from tests.asterisk import guard
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import back_to_the_group, known, pressed

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

WIRES: list[Wires] = []


def world() -> World:
    names = ("Alice", "Bob", "Carol")
    return replace(
        World(),
        agents=tuple(Agent(str(1001 + i), name) for i, name in enumerate(names)),
        groups=(
            Group("sales", ("1001", "1002"), number="800", strategy="linear"),
            Group("support", ("1003",), number="801", strategy="linear"),
            Group("desk", (), number="802"),
        ),
        callers=("caller1", "caller2"),
        members="dynamic",
        settings={
            "AVP_SESSION__RING_SECONDS": "4",
            "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "return",
            "AVP_GROUPS__SALES__EMPTY_GROUP_SECONDS": "1",
        },
        wrapuptime=1,
        max_hold_seconds=60,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world()) as started:
        wires = Wires(Wire(started.ports.ami), Wire(started.ports.http))
        await wires.start()
        WIRES.append(wires)
        await started.start_daemon({"AVP_LOG__FORMAT": "json", **wires.daemon_env()})
        yield started
        WIRES.remove(wires)
        await wires.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened
        await no_longer_in_acw(opened)


async def no_longer_in_acw(scene: Scene) -> None:
    """The next test need not wait for the end of the long after-call work of `waits_for_1003`."""
    members = (await scene.ami.members("support")).values()
    if "Carol" not in {member["Name"] for member in members}:
        await scene.log_in("1003")

    async def look() -> bool | None:
        agent = await scene.agent("1003")
        if "end_acw" in agent["work_actions"] or agent["paused"]:
            await scene.api("POST", "/v1/agents/1003/ready")
        return agent["state"] == "available" or None

    assert await scene.ami.until(look, 10.0)


# --- nobody is there -------------------------------------------------------------------------


async def nobody_ever(scene: Scene) -> None:
    pass


async def logged_out(scene: Scene) -> None:
    await scene.log_out("1003")
    await scene.agent_is("1003", "offline")


async def on_a_break(scene: Scene) -> None:
    await scene.pause("1003")
    await scene.agent_is("1003", "not_ready")


Prepare = Callable[[Scene], Awaitable[None]]

NOBODY = [
    pytest.param("desk", nobody_ever, "target_offline", id="never"),
    pytest.param("support", logged_out, "target_offline", id="logged-out"),
    pytest.param("support", on_a_break, "target_not_ready", id="break"),
]
# The decision is the API's; these are other ways to ask for it.
OTHER_WAYS = [
    pytest.param("desk", nobody_ever, "target_offline", id="never", marks=pytest.mark.thorough),
    pytest.param("support", logged_out, "target_offline", id="logged-out"),
    pytest.param("support", on_a_break, "target_not_ready", id="break", marks=pytest.mark.thorough),
]


@pytest.mark.parametrize(("group", "prepare", "reason"), NOBODY)
async def test_refused_by_the_api(scene: Scene, group: str, prepare: Prepare, reason: str) -> None:
    await scene.call("caller1", "1001")
    await prepare(scene)
    assert await scene.refused("1001", "unsupervised", "group", group) == reason
    await scene.talking("caller1", "1001")
    assert (await scene.agent("1001"))["call"]["transfer"] is None
    assert await scene.variable("caller1", "AVP_STATE") == ""
    targets = (await scene.api("GET", "/v1/agents/1001/targets")).body
    (told,) = [one for one in targets["agent_groups"] if one["id"] == group]
    assert (told["logged_in"], told["ready"]) == (int(reason == "target_not_ready"), 0)


async def test_refused_while_their_phones_are_off(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    async with scene.without_phone("1003"):
        assert await scene.refused("1001", "unsupervised", "group", "support") == "target_offline"
        await scene.talking("caller1", "1001")


@pytest.mark.parametrize(("group", "prepare", "reason"), OTHER_WAYS)
@pytest.mark.thorough
async def test_refused_on_the_keypad(
    scene: Scene, group: str, prepare: Prepare, reason: str
) -> None:
    """The transferor is asked again, and the caller is still theirs."""
    await scene.call("caller1", "1001")
    await prepare(scene)
    before, mark = known(scene), await scene.ami.mark()
    await scene.press("1001", "*7")
    await scene.on_music("caller1")
    await scene.prompted("1001", mark)
    await scene.press("1001", "801#" if group == "support" else "802#")

    async def decided() -> str | None:
        records = guard.records(scene.bed, "decision")[before:]
        return next((str(r["reason"]) for r in records if r["kind"] == "group"), None)

    assert await scene.ami.until(decided, 4.0) == reason
    await scene.on_music("caller1")
    await scene.press("1001", "*")
    await scene.talking("caller1", "1001")


@pytest.mark.parametrize(("group", "prepare", "reason"), OTHER_WAYS)
@pytest.mark.thorough
async def test_refused_on_the_button(
    scene: Scene, group: str, prepare: Prepare, reason: str
) -> None:
    """This phone hangs up on the refusal, so a colleague gets the caller."""
    await scene.call("caller1", "1001")
    await prepare(scene)
    before = known(scene)
    await scene.phone("1001").transfer("801" if group == "support" else "802")
    await pressed(scene, before, "1001", "deny", reason)
    await scene.gone("1001")
    await back_to_the_group(scene)


# --- the last one leaves ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(logged_out, id="log-out"),
        pytest.param(on_a_break, id="break", marks=pytest.mark.thorough),
    ],
)
async def test_the_last_member_leaves_meanwhile(scene: Scene, leave: Prepare) -> None:
    """After the decision, before Asterisk moves the call: the max-hold action, here return."""
    await scene.call("caller1", "1001")
    (wires,) = WIRES
    hold = wires.ami.hold("action: redirect", "avp-group-queue")
    asked = asyncio.create_task(scene.ask("1001", "unsupervised", "group", "support"))
    await hold.caught.wait()
    await leave(scene)
    hold.release()
    created = await asked
    wires.mend()
    assert created.status == 201, created
    reason = "target_offline" if leave is logged_out else "target_not_ready"
    await scene.ends(created.body["id"], "failed", reason)
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")


async def test_nobody_but_the_transferor_is_not_on_a_break(scene: Scene) -> None:
    """The dialplan would not let the transferor's call wait there for the transferor."""
    await scene.call("caller1", "1001")
    await scene.pause("1002")
    await scene.agent_is("1002", "not_ready")
    assert await scene.refused("1001", "unsupervised", "group", "sales") == "target_not_ready"
    await scene.talking("caller1", "1001")


async def test_a_break_of_all_others_does_not_keep_the_caller_from_the_transferor(
    scene: Scene,
) -> None:
    """Nor those who wait behind them. The phone of the transferor hangs up on a refusal."""
    await scene.pause("1002")
    await scene.agent_is("1002", "not_ready")
    await scene.call("caller1", "1001")
    before = known(scene)
    await scene.phone("1001").transfer("1003")
    await pressed(scene, before, "1001", "deny", "not_in_group")
    await scene.gone("1001")
    await back_to_the_group(scene, by="1001")
    await scene.talking("caller1", "1001")


# --- the last one leaves while the caller waits ----------------------------------------------


async def paused(scene: Scene, agent: str) -> None:
    async def look() -> bool | None:
        return (await scene.agent(agent))["paused"] or None

    assert await scene.ami.until(look, 4.0)


async def on_a_break_in_acw(scene: Scene) -> None:
    await scene.pause("1003")
    await paused(scene, "1003")


async def waits_for_1003(scene: Scene, *, extend: bool = False) -> str:
    """1001's caller waits in support for 1003, who is in after-call work, perhaps extended."""
    await scene.log_out("1003")
    await scene.log_in("1003", "support", Wrapuptime="60")
    await scene.call("caller2", "1003", "support")
    await scene.hang_up("caller2")
    await scene.gone("1003")
    await scene.agent_is("1003", "acw")
    if extend:
        extended = await scene.api("POST", "/v1/agents/1003/acw", {"extend_seconds": 60})
        assert extended.status == 200, extended
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.waits("support", "caller1")
    await scene.gone("1001")
    return transfer


@pytest.mark.thorough
async def test_extended_after_call_work_is_no_break(scene: Scene) -> None:
    """By the API and in the dialplan; the caller waits, and is offered when it ends."""
    transfer = await waits_for_1003(scene, extend=True)
    await scene.api("POST", "/v1/agents/1003/ready")
    await scene.phone("1003").answer(within=10)
    await scene.talking("caller1", "1003")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1003")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(logged_out, id="log-out", marks=pytest.mark.thorough),
        pytest.param(on_a_break_in_acw, id="break"),
    ],
)
async def test_the_last_member_leaves_while_the_caller_waits(scene: Scene, leave: Prepare) -> None:
    """Long before the maximum hold time: the caller returns to the transferor."""
    transfer = await waits_for_1003(scene)
    await scene.on_music("caller1")
    await leave(scene)
    reason = "target_offline" if leave is logged_out else "target_not_ready"
    await scene.ends(transfer, "failed", reason)
    await scene.phone("1001").answer(within=10)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_the_last_phone_vanishes_while_the_caller_waits(scene: Scene) -> None:
    transfer = await waits_for_1003(scene)
    async with scene.without_phone("1003"):
        await scene.ends(transfer, "failed", "target_offline")
        await scene.phone("1001").answer(within=10)
        await scene.talking("caller1", "1001")


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(False, id="stopped", marks=pytest.mark.thorough),
        pytest.param(True, id="killed"),
    ],
)
async def test_the_last_member_leaves_without_the_daemon(scene: Scene, kill: bool) -> None:
    """The next daemon sends the caller on."""
    transfer = await waits_for_1003(scene)
    (wires,) = WIRES
    await scene.bed.stop_daemon(kill=kill)
    await scene.log_out("1003")
    await scene.waits("support", "caller1")
    await scene.bed.start_daemon({"AVP_LOG__FORMAT": "json", **wires.daemon_env()})
    await scene.ends(transfer, "failed", "target_offline")
    await scene.phone("1001").answer(within=10)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_somebody_comes_back_in_time(scene: Scene) -> None:
    """Calls of support may wait for 20 s."""
    await scene.log_out("1002")
    await scene.call("caller2", "1001")
    await scene.call("caller1", "1003", "support")
    transfer = await scene.transfer("1003", "unsupervised", "sales", kind="group")
    await scene.waits("sales", "caller1")
    await scene.pause("1001")
    await paused(scene, "1001")
    await scene.on_music("caller1")
    await scene.pause("1001", paused=False)
    await scene.hang_up("caller2")
    await scene.phone("1001").answer(within=10)
    await scene.talking("caller1", "1001")
    await scene.ends(transfer, "completed", "completed")


# --- a consult that goes on without the transferor -------------------------------------------


async def busy(scene: Scene) -> str:
    """1001 consults 1002, who does not answer."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    return transfer


@pytest.mark.thorough
async def test_complete_before_the_answer_of_somebody_on_a_break(scene: Scene) -> None:
    """Their phone still rings, but they would not be offered the caller afterwards."""
    transfer = await busy(scene)
    await scene.pause("1002")

    async def paused() -> bool | None:
        return (await scene.agent("1002"))["paused"] or None

    assert await scene.ami.until(paused, 3.0)
    answer = await scene.act(transfer, "complete", 403)
    assert answer.body["reason"] == "target_not_ready"
    shown = await scene.reaches(transfer, "ringing")
    assert "complete" not in shown["actions"]
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_hanging_up_on_the_ringing_of_somebody_on_a_break(scene: Scene) -> None:
    """The caller goes to the head of the group, not to a queue that nobody serves."""
    transfer = await busy(scene)
    await scene.pause("1002")

    async def paused() -> bool | None:
        return (await scene.agent("1002"))["paused"] or None

    assert await scene.ami.until(paused, 3.0)
    await scene.hang_up("1001")
    await scene.ends(transfer, "failed", "transferor_hangup")
    await scene.waits("sales", "caller1")
    await scene.pause("1002", paused=False)
    await scene.phone("1002").answer(within=8)
    await scene.talking("caller1", "1002")
