"""The agent's own work on real calls: what the page does and shows is what app_queue does.

Breaks, after-call work, groups, who waits, alerts, and leaving the page during a call.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest
import pytest_asyncio
from bed import Bed, Event, Group, backend_named
from playwright.async_api import Dialog, Locator, expect

from asterisk_avp.core.pbx.agent import ACW_REASON
from tests.asterisk import transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.panel.agent_page import AgentPage

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OpenPanel = Callable[..., Awaitable[AgentPage]]
ALICE, BOB, ERIN = "1001", "1002", "1005"
SAME_SECONDS = 2
"""Callers who have joined within this time may be told as one (`core.engine.groups`)."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    """Sales has Alice, Bob and Erin; support has Carol and Dave, and Alice if she wants.

    Calls of the desk ring at Alice and Bob at once.
    """
    world = transfer_button.world()
    desk = Group("desk", (ALICE, BOB), number="802", strategy="ringall")
    world = replace(
        world,
        groups=(*world.groups, desk),
        members="dynamic",
        max_hold_seconds=60,
        settings={
            "AVP_SESSION__RING_SECONDS": "15",
            "AVP_AGENTS__1001__GROUPS": "sales,support,desk",
            "AVP_PANEL__PAUSE_REASONS": "Coaching,Lunch",
        },
    )
    async with Bed(world, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def only_alice(scene: Scene, **more: str) -> None:
    """No other agent of sales is logged in. ``more``: of Alice's membership."""
    for other in (BOB, ERIN):
        await scene.log_out(other)
        await scene.agent_is(other, "offline")
    await scene.log_out(ALICE)
    await scene.log_in(ALICE, "sales", **more)
    await scene.agent_is(ALICE, "available")


async def members(scene: Scene, queue: str) -> dict[str, Event]:
    """Asterisk's own records of the members, by interface."""
    return {one["Location"]: one for one in (await scene.ami.members(queue)).values()}


async def member(scene: Scene, queue: str) -> Event:
    return (await members(scene, queue))[scene.bed.world.interface(ALICE)]


async def dials(scene: Scene, caller: str, queue: str, number: str, *ahead: str) -> None:
    """The caller waits in the queue, after these."""
    await scene.phone(caller).dial(number)
    await scene.waits(queue, *ahead, caller)


async def apart(scene: Scene, first: float) -> float:
    """Wait until two callers have not joined at the same time, as the daemon sees it; the time."""

    async def look() -> float | None:
        now = time.time()
        return now if now > first + SAME_SECONDS + 1.5 else None

    found = await scene.ami.until(look, 10.0)
    assert found
    return found


def since(shown: str | None) -> float:
    assert shown
    return datetime.fromisoformat(shown).timestamp()


# --- breaks and who waits ------------------------------------------------------------------------


async def test_a_break_after_this_call_and_who_waits(scene: Scene, open_panel: OpenPanel) -> None:
    """For a reason of the administrator's. Callers wait meanwhile: how many, and for how long."""
    await only_alice(scene)
    await scene.call("caller1", ALICE)
    first = time.time()
    await dials(scene, "caller2", "sales", "800")
    alice = await open_panel(scene.bed.url, ALICE)
    await alice.page.locator("details[data-key=pause] summary").click()
    await alice.button("Coaching").click()
    await expect(alice.page.locator("#break-next")).to_have_text("Break after this call Coaching")
    await expect(alice.state).to_contain_text("Talking")
    waiting = alice.page.locator("#waiting")
    longest = waiting.locator("time")
    await expect(waiting).to_contain_text("1 caller waits")
    second = await apart(scene, first)
    await dials(scene, "caller3", "sales", "800", "caller2")
    await expect(waiting).to_contain_text("2 callers wait")
    shown = await longest.get_attribute("datetime")
    assert first - 1 <= since(shown) <= second  # Asterisk counts in whole seconds
    await scene.hang_up("caller2")
    await expect(waiting).to_contain_text("1 caller waits")
    await expect(longest).not_to_have_attribute("datetime", shown or "")
    assert second - 1 <= since(await longest.get_attribute("datetime")) <= time.time()
    await scene.hang_up("caller1")
    await expect(alice.state).to_contain_text("On a break: Coaching")
    found = await member(scene, "sales")
    assert (found["Paused"], found["PausedReason"]) == ("1", "Coaching")
    assert scene.offers(ALICE) == ["caller1"]
    await scene.waits("sales", "caller3")
    await alice.button("Ready").click()
    await scene.phone(ALICE).answer()
    await scene.talking("caller3", ALICE)
    await expect(waiting).to_contain_text("0 callers wait")
    await expect(longest).to_have_count(0)
    assert alice.console_errors == []


# --- after-call work -----------------------------------------------------------------------------


@pytest.mark.thorough
async def test_after_call_work_holds_the_next_call(scene: Scene, open_panel: OpenPanel) -> None:
    """Until Ready now; with +30 s, by a pause that Asterisk itself keeps."""
    await only_alice(scene, Wrapuptime="60")
    alice = await open_panel(scene.bed.url, ALICE)
    left = alice.page.locator("#acw-left")
    await scene.call("caller1", ALICE)
    await scene.hang_up("caller1")
    await expect(alice.state).to_contain_text("After-call work")
    before = since(await left.get_attribute("datetime"))
    await dials(scene, "caller2", "sales", "800")
    await alice.button("+30 s").click()

    async def extended() -> bool | None:
        # Asterisk may correct the end of the call by a second, if the daemon heard of it first.
        more = since(await left.get_attribute("datetime")) - before
        return more in (30, 31) or None

    assert await scene.ami.until(extended, 5.0), await left.get_attribute("datetime")
    found = await member(scene, "sales")
    assert (found["Paused"], found["PausedReason"]) == ("1", ACW_REASON)
    assert scene.offers(ALICE) == ["caller1"]
    await scene.waits("sales", "caller2")
    await alice.button("Ready now").click()
    await scene.phone(ALICE).answer()
    await scene.talking("caller2", ALICE)
    await expect(left).to_have_count(0)
    # Without an extension, it is app_queue's own wrap-up that holds the next call.
    await scene.hang_up("caller2")
    await expect(left).to_be_visible()
    await dials(scene, "caller3", "sales", "800")
    assert scene.offers(ALICE) == ["caller1", "caller2"]
    await alice.button("Ready now").click()
    await scene.phone(ALICE).answer()
    await scene.talking("caller3", ALICE)
    assert alice.console_errors == []


# --- groups --------------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_log_in_to_a_group_and_out_again(scene: Scene, open_panel: OpenPanel) -> None:
    for other in ("1003", "1004"):
        await scene.log_out(other)
        await scene.agent_is(other, "offline")
    alice = await open_panel(scene.bed.url, ALICE)
    await dials(scene, "caller1", "support", "801")
    await alice.page.locator("#waiting").click()
    own = alice.page.locator("[data-key=own-support]")
    await expect(own).to_contain_text("1 caller waits")
    await expect(own).to_contain_text("0 of 0 free")
    await alice.button("Log in to support").click()
    await scene.phone(ALICE).answer()
    await scene.talking("caller1", ALICE)
    found = await member(scene, "support")
    assert (found["Name"], found["Membership"]) == ("Alice", "dynamic")
    await expect(own).to_contain_text("0 callers wait")
    await alice.button("Log out of support").click()
    await expect(alice.button("Log in to support")).to_be_visible()
    assert await members(scene, "support") == {}
    await scene.talking("caller1", ALICE)
    await scene.hang_up("caller1")
    await scene.agent_is(ALICE, "available")
    await dials(scene, "caller2", "support", "801")
    await expect(own).to_contain_text("1 caller waits")
    assert scene.offers(ALICE) == ["caller1"]
    # Of sales she still gets calls, while the caller of support waits.
    await scene.phone("caller3").dial("800")
    await scene.phone(ALICE).answer()
    await scene.talking("caller3", ALICE)
    await scene.waits("support", "caller2")
    assert alice.console_errors == []


# --- alerts --------------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_alerts_end_when_the_call_is_taken_elsewhere(
    scene: Scene, open_panel: OpenPanel
) -> None:
    alice = await open_panel(scene.bed.url, ALICE)
    await alice.alert_by("Title", "Icon")
    await alice.alerts("")
    await scene.phone("caller1").dial("800")
    await alice.alerts("rings")
    await scene.phone(ALICE).answer()  # by the phone
    await alice.alerts("")
    await expect(alice.call).to_contain_text("caller1")
    await scene.hang_up("caller1")
    await scene.agent_is(ALICE, "available")
    await scene.phone("caller1").dial("800")
    await alice.alerts("rings")
    await scene.hang_up("caller1")  # the caller gives up
    await alice.alerts("")
    await scene.gone(ALICE)
    await scene.agent_is(ALICE, "available")
    await scene.phone("caller1").dial("802")
    await alice.alerts("rings")
    await scene.phone(BOB).answer()  # another agent of the group takes it
    await alice.alerts("")
    await scene.talking("caller1", BOB)
    await expect(alice.call).to_contain_text("No call")
    assert alice.console_errors == []


async def test_an_alert_of_a_transferred_call_that_waits(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """While Alice talks, until it rings; and until whoever waited has hung up."""
    alice = await open_panel(scene.bed.url, ALICE)
    await alice.alert_by("Title", "Icon")
    await scene.call("caller2", ALICE)
    await scene.call("caller1", BOB)
    await scene.transfer(BOB, "unsupervised", ALICE)
    await alice.alerts("waits")
    await expect(alice.coming).to_contain_text("Transferred call")
    await expect(alice.coming).to_contain_text("From Bob")
    await expect(alice.coming).not_to_contain_text(re.compile("caller1|Unknown"))
    await scene.hang_up("caller2")
    await alice.alerts("rings")
    await scene.phone(ALICE).answer()
    await alice.alerts("")
    await scene.talking("caller1", ALICE)
    await scene.agent_is(BOB, "available")
    await scene.call("caller3", BOB)
    await scene.transfer(BOB, "unsupervised", ALICE)
    await alice.alerts("waits")
    await scene.hang_up("caller3")
    await alice.alerts("")
    await expect(alice.coming).to_have_count(0)
    assert alice.console_errors == []


# --- leaving -------------------------------------------------------------------------------------


def account(panel: AgentPage) -> Locator:
    return panel.page.locator("details[data-key=account]")


@pytest.mark.thorough
async def test_leaving_during_a_call(scene: Scene, open_panel: OpenPanel) -> None:
    """It warns, in vain or not; signed out, nothing is left in the page, and the phone goes on."""
    alice = await open_panel(scene.bed.url, ALICE)
    await scene.call("caller1", ALICE)
    await expect(alice.call).to_contain_text("caller1")
    await account(alice).locator("summary").click()
    await expect(account(alice).locator(".leaving")).to_contain_text("Your call goes on")
    await expect(account(alice).locator(".leaving")).to_contain_text("still gets calls")
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def stay(dialog: Dialog) -> None:
        await dialog.dismiss()
        asked.put_nowait(dialog.type)

    alice.page.on("dialog", stay)
    await alice.page.close(run_before_unload=True)
    assert await asyncio.wait_for(asked.get(), 10) == "beforeunload"
    await alice.live()
    await expect(alice.call).to_contain_text("caller1")
    await account(alice).locator("button[data-do=sign-out]").click()
    await expect(alice.page.get_by_text("You are signed out.")).to_be_visible()
    assert await alice.page.evaluate("fetch('/v1/session').then(one => one.status)") == 401
    page = await alice.page.content() + await alice.page.title()
    for word in ("caller1", "Ms Sample", "4711"):
        assert word not in page
    await scene.talking("caller1", ALICE)
    await scene.hang_up("caller1")
    await scene.agent_is(ALICE, "available")
    await scene.call("caller2", ALICE)
    # Whoever has signed out leaves without a question.
    async with alice.page.expect_event("close"):
        await alice.page.close(run_before_unload=True)
    assert asked.empty()
    assert alice.console_errors == []
