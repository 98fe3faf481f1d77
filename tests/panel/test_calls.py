"""The panel with a real Asterisk and real phones."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named
from playwright.async_api import expect

from tests.asterisk import guard
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.panel.agent_page import AgentPage

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OpenPanel = Callable[..., Awaitable[AgentPage]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    """A call centre with long timers, to check the page meanwhile, and changeable settings."""
    world = replace(
        World(), settings={"AVP_SESSION__RING_SECONDS": "30"}, max_hold_seconds=120, wrapuptime=1
    ).with_group("sales", strategy="linear")
    async with Bed(world, backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def test_supervised_to_another_open_panel_and_back(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """Alice consults Bob, takes the caller back, consults again and completes."""
    alice, bob = await open_panel(scene.bed.url, "1001"), await open_panel(scene.bed.url, "1002")
    await expect(alice.state).to_contain_text("Available")
    await expect(alice.button("Consult")).to_be_disabled()
    await scene.call("caller1", "1001")
    await expect(alice.state).to_contain_text("Talking")
    await expect(alice.call).to_contain_text("caller1")
    await expect(alice.call).to_contain_text("Ms Sample")
    await expect(bob.row("agent", "1001")).to_contain_text("Talking")
    await expect(alice.button("Consult")).to_be_disabled()
    for outcome in ("cancelled", "completed"):
        await alice.choose("agent", "1002")
        await alice.page.get_by_label("Note to the target").fill(f"Order 88, {outcome}")
        await alice.button("Consult").click()
        await scene.phone("1002").ringing()
        await expect(alice.running).to_contain_text("Bob")
        await alice.party("You", "hear ringing")
        await alice.party("caller1", "hears music")
        await expect(alice.running.locator(".countdown")).to_contain_text(re.compile(r"[12]:\d\d"))
        await expect(bob.call).to_contain_text("Alice asks you about a call")
        await pop_not_shown(bob)
        await scene.phone("1002").answer()
        await alice.party("You", "hear Bob")
        await scene.phone("1001").hears({"1002"})
        await scene.phone("caller1").hears({"music"})
        await only_asked(bob)
        if outcome == "cancelled":
            await alice.button("Back to the caller").click()
            await scene.talking("caller1", "1001")
            await scene.gone("1002")
            await expect(alice.running).to_have_count(0)
            await expect(alice.call).to_contain_text("Transfer to Bob: cancelled.")
            await expect(alice.call).to_contain_text("Connected")
            await scene.agent_is("1002", "available")
            await expect(alice.row("agent", "1002")).to_contain_text("Available")
    await alice.button("To the caller").click()
    await alice.party("You", "hear caller1")
    await scene.phone("1001").hears({"caller1"})
    await alice.button("All together").click()
    await alice.party("caller1", "hears you and Bob")
    await scene.hear_one_another("caller1", "1001", "1002")
    await alice.button("Leave; caller1 and Bob go on").click()
    await scene.talking("caller1", "1002")
    await expect(alice.running).to_have_count(0)
    await expect(alice.call).to_contain_text("No call")
    for shown in ("caller1", "Ms Sample", "4711", "Order 88, completed"):
        await expect(bob.call).to_contain_text(shown)
    for panel, other in ((alice, "to Bob"), (bob, "from Alice")):
        await expect(panel.history).to_contain_text(other)
        await expect(panel.history).to_contain_text("Cancelled")
        await expect(panel.history).to_contain_text("Completed")
        assert panel.console_errors == []
    await scene.hang_up("caller1")


async def only_asked(panel: AgentPage) -> None:
    """The consulted agent learns who asks, and is offered no transfer."""
    await expect(panel.call).to_contain_text("Alice asks you about a call")
    await pop_not_shown(panel)
    for what in ("consult", "transfer"):
        await expect(panel.page.locator(f"button[data-do={what}]:enabled")).to_have_count(0)


async def pop_not_shown(panel: AgentPage) -> None:
    """The page shows nothing of the screen pop: neither data nor caller nor note."""
    text = await panel.page.locator("body").inner_text()
    for word in ("caller1", "Ms Sample", "4711", "Order 88"):
        assert word not in text


async def test_unsupervised_to_a_busy_agent_and_a_second_one(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """The first call waits, with a countdown. The second is refused, on the page and in the API."""
    alice = await open_panel(scene.bed.url, "1001")
    await scene.call("caller1", "1001")
    await scene.phone("caller2").dial("800")
    await scene.phone("1002").answer()
    await scene.talking("caller2", "1002")
    await expect(alice.row("agent", "1002")).to_contain_text("Talking")
    await alice.choose("agent", "1002")
    await alice.page.get_by_label("Note to the target").fill("Please call back")
    await alice.button("Transfer").click()
    await expect(alice.strips).to_contain_text("to Bob")
    await expect(alice.strips.locator(".countdown")).to_contain_text(re.compile(r"[12]:\d\d"))
    await expect(alice.running).to_have_count(0)
    await scene.phone("caller1").hears({"music"})
    bob = await open_panel(scene.bed.url, "1002")
    await expect(bob.coming).to_contain_text("From Alice")
    await expect(bob.coming).not_to_contain_text("Please call back")
    await expect(alice.row("agent", "1002")).to_contain_text("Waiting slot taken")
    await expect(alice.target("agent", "1002")).to_be_disabled()
    await scene.agent_is("1001", "available")
    await scene.call("caller3", "1001")
    await expect(alice.call).to_contain_text("caller3")
    assert await scene.refused("1001", "unsupervised", "agent", "1002") == "target_queue_full"
    # The call that Alice has now is hers to transfer, while her other transfer waits.
    await expect(alice.strips).to_contain_text("caller1")
    await alice.choose("group", "support")
    await expect(alice.button("Transfer")).to_be_enabled()
    await scene.hang_up("caller2")
    await scene.rung_again("1002")
    await scene.talking("caller1", "1002")
    await expect(bob.call).to_contain_text("Please call back")
    await expect(alice.strips).to_have_count(0)
    await expect(alice.target("agent", "1002")).to_be_enabled()
    await expect(bob.call).to_contain_text("caller1")
    assert alice.console_errors == bob.console_errors == []


async def test_pause_and_ready_are_app_queues(scene: Scene, open_panel: OpenPanel) -> None:
    alice, bob = await open_panel(scene.bed.url, "1001"), await open_panel(scene.bed.url, "1002")
    await alice.page.locator("details[data-key=pause] summary").click()
    await alice.button("Lunch").click()
    await expect(alice.state).to_contain_text("On a break: Lunch")
    await expect(bob.row("agent", "1001")).to_have_count(0)  # folded: not reachable
    interface = scene.bed.world.interface("1001")
    for queue in ("sales", "avp-agent-1001"):

        async def paused(queue: str = queue) -> bool | None:
            members = (await scene.ami.members(queue)).values()
            return any(m["Location"] == interface and m["Paused"] == "1" for m in members) or None

        assert await scene.ami.until(paused, 3.0), queue
    reasons = [m["PausedReason"] for m in (await scene.ami.members("sales")).values()]
    assert sorted(reasons) == ["", "Lunch"]
    await alice.button("Ready").click()
    await expect(alice.state).to_contain_text("Available")
    await scene.call("caller1", "1001")
    await alice.page.locator("details[data-key=pause] summary").click()
    await alice.button("Training").click()
    await expect(alice.page.get_by_text("Break after this call")).to_be_visible()
    await scene.hang_up("caller1")
    await expect(alice.state).to_contain_text("On a break: Training")


@pytest.mark.thorough
async def test_a_number_outside(scene: Scene, open_panel: OpenPanel) -> None:
    alice = await open_panel(scene.bed.url, "1001")
    await scene.call("caller1", "1001")
    field = alice.page.get_by_role("searchbox")
    await field.fill("020 7946 0000")
    await expect(alice.page.locator("#search-verdict")).to_have_class(re.compile("bad"))
    await expect(alice.button("Consult")).to_be_disabled()
    await field.fill("(202) 555-0100")
    await expect(alice.page.locator("#search-verdict")).to_contain_text("(202) 555-0100")
    await alice.button("Consult").click()
    await scene.phone("pstn").answer()
    await alice.party("You", "hear (202) 555-0100")
    await alice.button("Complete").click()
    await scene.talking("caller1", "pstn")
    await scene.hang_up("caller1")


OFF = {
    "groups.sales.session_transfer": ["#transfer"],
    "accounts.acme.contracted": ["#transfer"],
    "groups.sales.internal_transfer": [
        "[data-key=my_agent_groups]",
        "[data-key=agent_groups]",
        "#send",
    ],
    "groups.sales.external_transfer": [
        "#search[placeholder*=number]",
        "[data-key=external_presets]",
    ],
    "groups.sales.manual_dial": ["#search[placeholder*=number]"],
    "groups.sales.presets": ["[data-key=external_presets]"],
    "groups.sales.unsupervised_transfer": ["[data-key=agent_groups]", "#send"],
}


async def test_what_is_switched_off_goes_from_the_open_page(
    scene: Scene, open_panel: OpenPanel
) -> None:
    alice = await open_panel(scene.bed.url, "1001")
    await scene.call("caller1", "1001")
    await expect(alice.call).to_contain_text("Connected")
    for setting, selectors in OFF.items():
        for selector in selectors:
            await expect(alice.page.locator(selector)).to_have_count(1)
        async with guard.settings(scene.bed, f"{setting} = false"):
            for selector in selectors:
                await expect(alice.page.locator(selector)).to_have_count(0)
    await scene.talking("caller1", "1001")


async def test_open_during_a_restart_of_the_daemon(scene: Scene, open_panel: OpenPanel) -> None:
    """The page never shows a stale state as live. The agent stays signed in."""
    alice = await open_panel(scene.bed.url, "1001")
    await scene.call("caller1", "1001")
    await expect(alice.call).to_contain_text("Connected")
    await scene.bed.stop_daemon(kill=True)
    await alice.not_live()
    await expect(alice.page.locator(".banner")).to_contain_text("as it was at")
    await expect(alice.call).to_contain_text("Not current")
    await scene.talking("caller1", "1001")
    await guard.start_daemon(scene.bed)
    await alice.live()
    await expect(alice.call).to_contain_text("caller1")
    await expect(alice.state).to_contain_text("Talking")
