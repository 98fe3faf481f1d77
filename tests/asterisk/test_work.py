"""Agents' own work on a real app_queue: after-call work, Ready now, extensions, groups.

Wrap-up is far longer than a test waits, so that a call that is offered is offered because of what
the agent did. Queues are left when they are empty in app_queue's strictest sense.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, Event, World, backend_named, match

from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.core.pbx.extended_acw import MAX_RUNG_PENALTY
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Answer, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

LONG = 120
STRICT = {"joinempty": "strict", "leavewhenempty": "strict"}
ALICE, BOB, CAROL = "1001", "1002", "1003"
WORLD: World = replace(
    world()
    .with_group("sales", wrapuptime=LONG, options=STRICT)
    .with_group("support", wrapuptime=LONG, options=STRICT, agents=(CAROL, "1004", BOB)),
    members="dynamic",
    max_hold_seconds=60,
    settings={"AVP_AGENTS__1001__GROUPS": "sales,support"},
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(WORLD, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened
        # The next test need not wait for a wrap-up.
        for phone in opened.bed.phones.values():
            await phone.idle()
        await opened.bed.idle()
        for agent in WORLD.agents:
            for group in WORLD.groups:
                if WORLD.interface(agent.id) in await members(opened, group.queue):
                    await opened.log_out(agent.id, group.queue)


async def members(scene: Scene, queue: str) -> dict[str, Event]:
    """The members of a queue by interface."""
    return {event["Location"]: event for event in (await scene.ami.members(queue)).values()}


async def work(scene: Scene, agent: str, what: str, body: object = None) -> Answer:
    return await scene.api("POST", f"/v1/agents/{agent}/{what}", body)


async def done(scene: Scene, agent: str, what: str, body: object = None) -> dict[str, Any]:
    answer = await work(scene, agent, what, body)
    assert answer.status == 200, answer
    return answer.body  # type: ignore[no-any-return]


async def alone(scene: Scene, agent: str) -> None:
    """No other agent is logged in."""
    for other in scene.bed.world.agents:
        if other.id != agent:
            await scene.log_out(other.id)
            await scene.agent_is(other.id, "offline")


async def in_acw(scene: Scene, agent: str, caller: str = "caller1") -> dict[str, Any]:
    """The agent has had a call, and is in after-call work."""
    await scene.call(caller, agent)
    await scene.hang_up(caller)
    await scene.gone(agent)
    return await scene.agent_is(agent, "acw")


async def penalty(scene: Scene, queue: str, agent: str) -> int:
    return int((await members(scene, queue))[scene.bed.world.interface(agent)]["Penalty"])


async def test_ready_now_delivers_the_caller_who_waits(scene: Scene) -> None:
    await alone(scene, ALICE)
    await scene.log_out(ALICE)
    await scene.log_in(ALICE, Penalty="3", Wrapuptime=str(LONG + 1))
    shown = await in_acw(scene, ALICE)
    assert {"end_acw", "extend_acw"} <= set(shown["work_actions"])
    await scene.phone("caller2").dial("800")
    await scene.waits("sales", "caller2")
    before = (await members(scene, "sales"))["PJSIP/1001"]
    after = await done(scene, ALICE, "ready")
    # The caller may have been offered to her already.
    assert after["state"] in ("available", "ringing")
    assert (after["acw_until"], after["paused"]) == (None, False)
    await scene.phone(ALICE).answer(within=5)
    await scene.talking("caller2", ALICE)
    member = (await members(scene, "sales"))["PJSIP/1001"]
    kept = ("Name", "StateInterface", "Membership", "Penalty", "Paused", "Wrapuptime")
    assert [member[name] for name in kept] == [before[name] for name in kept]
    assert member["Penalty"] == "3"
    assert set(await members(scene, "sales")) == {"PJSIP/1001"}, "no placeholder is left"
    rows = scene.bed.queue_log.rows(scene.books_mark)
    assert not [row for row in rows if row.event in ("EXITEMPTY", "ABANDON")]


async def test_the_caller_who_waits_hardly_notices_a_queue_that_was_empty(scene: Scene) -> None:
    """Whoever is the only member keeps the queue open while the membership is renewed."""
    await alone(scene, ALICE)
    for _ in range(3):
        await in_acw(scene, ALICE)
        callers = ["caller2", "caller3", "caller4"]
        for place, caller in enumerate(callers, 1):
            await scene.phone(caller).dial("800")
            await scene.waits("sales", *callers[:place])
        await done(scene, ALICE, "ready")
        await scene.phone(ALICE).answer(within=5)
        # Who hangs up before app_queue has connected them has had no call.
        await scene.ami.bridged("caller2", ALICE)
        await scene.hang_up(ALICE)
        await scene.agent_is(ALICE, "acw")
        for caller in callers:
            await scene.phone(caller).idle()
        await scene.waits("sales")  # nobody, who would be offered to her
        await done(scene, ALICE, "ready")
    rows = scene.bed.queue_log.rows(scene.books_mark)
    assert not [row for row in rows if row.event == "EXITEMPTY"]


async def test_ready_now_delivers_the_transferred_call(scene: Scene) -> None:
    """It is the next call, before a caller who waits in the group."""
    await in_acw(scene, ALICE)
    await scene.call("caller2", BOB)
    transfer = await scene.transfer(BOB, "unsupervised", ALICE)
    await scene.waits("avp-agent-1001", "caller2")
    await scene.phone("caller3").dial("800")
    await scene.waits("sales", "caller3")
    await done(scene, ALICE, "ready")
    await scene.phone(ALICE).answer(within=5)
    await scene.talking("caller2", ALICE)
    await scene.ends(transfer, "completed", "completed")
    assert set(await members(scene, "avp-agent-1001")) == {"PJSIP/1001"}


@pytest.mark.parametrize(
    "kill", [pytest.param(False, marks=pytest.mark.thorough), True], ids=["daemon", "killed"]
)
async def test_a_transferred_call_waits_for_the_end_of_acw(scene: Scene, *, kill: bool) -> None:
    """The member is added then, and has no last call. A caller of the group comes after it."""
    await alone(scene, ALICE)
    await scene.log_out(ALICE)
    await scene.log_in(ALICE, Wrapuptime="10")
    end = seconds(await in_acw(scene, ALICE))
    await scene.log_in(BOB, "sales")
    await scene.call("caller2", BOB)
    await scene.transfer(BOB, "unsupervised", ALICE)
    await scene.waits("avp-agent-1001", "caller2")
    if kill:
        await scene.bed.stop_daemon(kill=True)
    await scene.phone("caller3").dial("800")
    await scene.waits("sales", "caller3")
    rung = await scene.phone(ALICE).ringing(within=14)
    assert end <= rung.began < end + 4, (end, rung.began)
    await scene.phone(ALICE).answer()
    await scene.talking("caller2", ALICE)
    if kill:
        await scene.bed.start_daemon()
        await scene.agent_is(ALICE, "talking")
    # The next one waits for the end of the after-call work that follows, as ever.
    await scene.hang_up("caller2")
    await scene.agent_is(ALICE, "acw")


async def test_ready_ends_a_pause_and_acw_at_once(scene: Scene) -> None:
    await scene.call("caller1", ALICE)
    paused = await done(scene, ALICE, "pause", {"reason": "Lunch"})
    assert (paused["state"], paused["paused"], paused["pause_reason"]) == ("talking", True, "Lunch")
    changed = await done(scene, ALICE, "pause", {"reason": "Meeting"})
    assert (changed["state"], changed["pause_reason"]) == ("talking", "Meeting")
    await scene.hang_up("caller1")
    acw = await scene.agent_is(ALICE, "acw")
    assert acw["paused"], "the break comes after it"
    kept = await done(scene, ALICE, "ready", {"keep_acw": True})
    assert (kept["state"], kept["paused"]) == ("acw", False)
    await done(scene, ALICE, "pause", {"reason": "Lunch"})
    ready = await done(scene, ALICE, "ready")
    assert (ready["state"], ready["paused"]) == ("available", False)
    member = (await members(scene, "sales"))["PJSIP/1001"]
    assert (member["Paused"], member["PausedReason"]) == ("0", "")


async def test_extended_acw_holds_callers_and_transferred_calls(scene: Scene) -> None:
    """Long after app_queue's own wrap-up, which is short here."""
    await alone(scene, ALICE)
    await scene.log_out(ALICE)
    await scene.log_in(ALICE, Wrapuptime="4")
    before = await in_acw(scene, ALICE)
    extended = await done(scene, ALICE, "acw", {"extend_seconds": 60})
    # Asterisk may correct the end of the call by a second, if the daemon heard of it first.
    assert 60 <= seconds(extended) - seconds(before) <= 61
    assert not extended["paused"]
    await scene.log_in(BOB, "sales")
    await scene.call("caller2", BOB)
    transfer = await scene.transfer(BOB, "unsupervised", ALICE)
    await scene.waits("avp-agent-1001", "caller2")
    await scene.reaches(transfer, "waiting")
    await scene.log_out(BOB, "sales")
    await scene.phone("caller3").dial("800")
    mark = await scene.ami.mark()

    async def wrapped_up() -> bool | None:
        return time.time() > seconds(before) + 3 or None

    assert await scene.ami.until(wrapped_up, 5.0)
    assert not scene.ami.seen(match("AgentCalled"), mark)
    assert (await scene.agent(ALICE))["state"] == "acw"
    await done(scene, ALICE, "ready")
    await scene.phone(ALICE).answer(within=5)
    await scene.talking("caller2", ALICE)
    await scene.ends(transfer, "completed", "completed")


async def test_an_extension_is_answered_once_asterisk_has_made_it(scene: Scene) -> None:
    """So is its end: by Ready now, and by a pause."""

    async def in_asterisk() -> tuple[str, str, bool]:
        member = (await members(scene, "sales"))["PJSIP/1001"]
        held = await penalty(scene, "avp-agent-1001", ALICE) > MAX_RUNG_PENALTY
        return member["Paused"], member["PausedReason"], held

    await in_acw(scene, ALICE)
    for _ in range(3):
        await done(scene, ALICE, "acw", {"extend_seconds": 5})
        assert await in_asterisk() == ("1", ACW_REASON, True)
    await done(scene, ALICE, "pause", {"reason": "Lunch"})
    assert await in_asterisk() == ("1", "Lunch", False)
    await done(scene, ALICE, "ready", {"keep_acw": True})
    await done(scene, ALICE, "acw", {"extend_seconds": 5})
    assert await in_asterisk() == ("1", ACW_REASON, True)
    mark = await scene.ami.mark()
    await done(scene, ALICE, "ready")
    assert await in_asterisk() == ("0", "", False)
    await never_back(scene, mark)


async def never_back(scene: Scene, mark: float) -> None:
    """The end of the extension has not been taken back meanwhile, however briefly."""
    await scene.ami.mark()  # all events until now have been read
    set_to = [event["Penalty"] for event in scene.ami.seen(match("QueueMemberPenalty"), mark)]
    assert not [penalty for penalty in set_to if penalty != "0"]


def seconds(agent: dict[str, Any]) -> float:
    return datetime.fromisoformat(agent["acw_until"]).timestamp()


# --- a member's own ringinuse ------------------------------------------------------------------


async def rings_in_use(scene: Scene, queue: str, agent: str) -> str:
    interface = scene.bed.world.interface(agent)
    function = f"QUEUE_MEMBER({queue},ringinuse,{interface})"
    return (await scene.ami.action("Getvar", Variable=function))["Value"]


@pytest.mark.parametrize("own", ["0", pytest.param("1", marks=pytest.mark.thorough)])
async def test_ready_now_keeps_the_members_own_ringinuse(scene: Scene, own: str) -> None:
    """Asterisk gives a new member the queue's."""
    await scene.ami.action(
        "QueueMemberRingInUse", Queue="sales", Interface="PJSIP/1001", RingInUse=own
    )
    await in_acw(scene, ALICE)
    ready = await done(scene, ALICE, "ready")
    assert ready["state"] == "available"
    assert await rings_in_use(scene, "sales", ALICE) == own


@pytest.mark.parametrize("own", [pytest.param("0", marks=pytest.mark.thorough), "1"])
async def test_log_out_and_in_again_keeps_it(scene: Scene, own: str) -> None:
    await done(scene, ALICE, "groups/support/login")
    await scene.ami.action(
        "QueueMemberRingInUse", Queue="support", Interface="PJSIP/1001", RingInUse=own
    )
    await done(scene, ALICE, "groups/support/logout")
    await done(scene, ALICE, "groups/support/login")
    assert await rings_in_use(scene, "support", ALICE) == own
    await done(scene, ALICE, "groups/support/logout")


# --- groups --------------------------------------------------------------------------------------


async def group(scene: Scene, group_id: str) -> dict[str, Any]:
    groups = (await scene.api("GET", "/v1/groups")).body
    return next(one for one in groups if one["id"] == group_id)


async def group_is(scene: Scene, group_id: str, **wanted: object) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found = await group(scene, group_id)
        return found if all(found[k] == v for k, v in wanted.items()) else None

    found = await scene.ami.until(look, 4.0)
    assert found is not None, await group(scene, group_id)
    return found


async def test_how_many_wait(scene: Scene) -> None:
    await group_is(scene, "sales", logged_in=2, ready=2, available=2, waiting=0)
    await work(scene, BOB, "pause")
    await alone(scene, BOB)
    await group_is(scene, "sales", logged_in=1, ready=0, available=0)
    await work(scene, BOB, "ready")
    await scene.call("caller1", BOB)
    await scene.phone("caller2").dial("800")
    await scene.phone("caller3").dial("800")
    found = await group_is(scene, "sales", waiting=2, ready=1, available=0)
    assert found["longest_wait_since"]
    await scene.hang_up("caller2", "caller3")
    found = await group_is(scene, "sales", waiting=0)
    assert found["longest_wait_since"] is None


async def test_log_in_and_out_of_groups(scene: Scene) -> None:
    shown = await scene.agent(ALICE)
    there, not_there = (
        dict.fromkeys(("logged_in", "ready", "available"), counted) for counted in (True, False)
    )
    assert shown["memberships"] == [
        {"group": "sales", "member": True, "dynamic": True, "actions": ["logout"], **there},
        {"group": "support", "member": False, "dynamic": True, "actions": ["login"], **not_there},
    ]
    await done(scene, ALICE, "pause", {"reason": "Lunch"})
    after = await done(scene, ALICE, "groups/support/login")
    assert [m["member"] for m in after["memberships"]] == [True, True]
    member = (await members(scene, "support"))["PJSIP/1001"]
    assert (member["Paused"], member["PausedReason"], member["Name"]) == ("1", "Lunch", "Alice")
    assert (member["StateInterface"], member["Membership"]) == ("PJSIP/1001", "dynamic")
    await done(scene, ALICE, "ready")
    after = await done(scene, ALICE, "groups/support/logout")
    assert [m["member"] for m in after["memberships"]] == [True, False]
    assert "PJSIP/1001" not in await members(scene, "support")
    assert (await scene.agent_is(ALICE, "available"))["groups"] == ["sales", "support"]


async def is_member(scene: Scene, agent: str, group_id: str, expected: bool) -> None:
    """Wait until the daemon knows whether the agent is a member."""

    async def look() -> bool | None:
        shown = (await scene.agent(agent))["memberships"]
        return any(one["group"] == group_id and one["member"] for one in shown) is expected or None

    assert await scene.ami.until(look, 4.0), await scene.agent(agent)


async def test_a_log_in_keeps_the_penalty_and_is_for_ones_own_groups(scene: Scene) -> None:
    await scene.log_out(BOB, "support")
    await is_member(scene, BOB, "support", False)
    await scene.log_in(BOB, "support", Penalty="7")
    await is_member(scene, BOB, "support", True)
    await scene.agent_is(BOB, "available")
    await done(scene, BOB, "groups/support/logout")
    await done(scene, BOB, "groups/support/login")
    assert await penalty(scene, "support", BOB) == 7
    # Taken out by somebody else: the agent cannot come back by themselves.
    await scene.log_out(BOB, "support")

    async def out() -> bool | None:
        (member,) = [
            found
            for found in (await scene.agent(BOB))["memberships"]
            if found["group"] == "support"
        ] or [{"group": "support", "member": False, "dynamic": False, "actions": []}]
        return True if member == {
            "group": "support", "member": False, "dynamic": False, "actions": []
        } else None  # fmt: skip

    assert await scene.ami.until(out, 4.0), await scene.agent(BOB)
    answer = await work(scene, BOB, "groups/support/login")
    assert (answer.status, answer.body["reason"]) == (403, "group_not_yours")
    assert (await work(scene, CAROL, "groups/sales/login")).body["reason"] == "group_not_yours"
    assert (await work(scene, CAROL, "groups/none/login")).status == 404


async def test_who_logs_in_during_acw_gets_no_call_before_it_ends(scene: Scene) -> None:
    await in_acw(scene, ALICE)
    await done(scene, ALICE, "groups/support/login")
    member = (await members(scene, "support"))["PJSIP/1001"]
    assert (member["Paused"], member["PausedReason"]) == ("1", ACW_REASON)
    ready = await done(scene, ALICE, "ready")
    assert ready["state"] == "available"
    assert (await members(scene, "support"))["PJSIP/1001"]["Paused"] == "0"
    await done(scene, ALICE, "groups/support/logout")


# --- another daemon ------------------------------------------------------------------------------


async def test_the_next_daemon_knows_the_extension(scene: Scene) -> None:
    await in_acw(scene, ALICE)
    mark = await scene.ami.mark()
    extended = await done(scene, ALICE, "acw", {"extend_seconds": 60})
    await scene.ami.wait(match("QueueMemberPause", PausedReason=ACW_REASON), 4.0, mark)
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    shown = await scene.agent_is(ALICE, "acw")
    assert abs(seconds(shown) - seconds(extended)) <= 1
    assert not shown["paused"]
    mark = await scene.ami.mark()
    ready = await done(scene, ALICE, "ready")
    assert ready["state"] == "available"
    assert (await members(scene, "sales"))["PJSIP/1001"]["Paused"] == "0"
    assert await penalty(scene, "avp-agent-1001", ALICE) == 0
    await never_back(scene, mark)


async def test_the_next_daemon_clears_up(scene: Scene) -> None:
    """A pause whose extension is over, and a placeholder: what a killed daemon may leave."""
    await scene.bed.stop_daemon(kill=True)
    await scene.ami.action(
        "QueuePause", Queue="sales", Interface="PJSIP/1001", Paused="true", Reason=ACW_REASON
    )
    await scene.ami.action("QueueAdd", Queue="sales", Interface=PLACEHOLDER)
    own = {"Queue": "avp-agent-1001", "Interface": "PJSIP/1001"}
    if "PJSIP/1001" not in await members(scene, own["Queue"]):
        await scene.ami.action("QueueAdd", **own)
    await scene.ami.action("QueuePenalty", **own, Penalty="200000000")
    await scene.bed.start_daemon()
    await scene.agent_is(ALICE, "available")

    async def clean() -> bool | None:
        found = await members(scene, "sales")
        fits = PLACEHOLDER not in found and found["PJSIP/1001"]["Paused"] == "0"
        own = await members(scene, "avp-agent-1001")
        return (fits and all(m["Penalty"] == "0" for m in own.values())) or None

    assert await scene.ami.until(clean, 4.0), await members(scene, "sales")
    agents = {agent["id"] for agent in (await scene.api("GET", "/v1/agents")).body}
    assert agents == {agent.id for agent in WORLD.agents}
