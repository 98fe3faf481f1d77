"""The panel on real calls: agents who call queues, reloads, two tabs, a daemon that is killed."""

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
ALICE, BOB, CAROL = "1001", "1002", "1003"

INBOUND = """
[avp-internal](+)
exten => 700,1,Answer()
 same => n,Queue(sales,i)
[callers](+)
exten => 7800,1,Set(AVP_POP={"zeta":"one","Order":"two","order":"three","case":"four"})
 same => n,Set(AVP_POP_ADDED=five)
 same => n,Queue(sales,i)
 same => n,Hangup()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    world = replace(
        World(),
        settings={"AVP_SESSION__RING_SECONDS": "30", "AVP_POP__KEYS": "order,nothing,ADDED"},
        max_hold_seconds=120,
        wrapuptime=1,
        extensions=INBOUND,
    ).with_group("sales", strategy="linear")
    async with Bed(world, backend=backend_named(None)) as started:
        await guard.start_daemon(started)
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


@pytest.mark.thorough
async def test_the_administrators_order_of_values_is_the_pages(
    scene: Scene, open_panel: OpenPanel
) -> None:
    alice = await open_panel(scene.bed.url, ALICE)
    await scene.phone("caller1").dial("7800")
    await scene.phone(ALICE).ringing()
    values = alice.page.locator("#pop dd")
    expected = ["three", "five", "one", "two", "four"]
    await expect(values).to_have_text(expected)
    await scene.phone(ALICE).answer()
    await scene.talking("caller1", ALICE)
    await expect(alice.call).to_contain_text("Connected")
    await expect(values).to_have_text(expected)
    await scene.hang_up("caller1")
    assert alice.console_errors == []


@pytest.mark.thorough
async def test_an_agent_who_calls_a_queue_sees_their_call_being_transferred(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """Carol of support calls sales. Alice consults Bob, goes back and forth, and completes."""
    carol = await open_panel(scene.bed.url, CAROL)
    await scene.phone(CAROL).dial("700")
    await scene.phone(ALICE).answer()
    await scene.talking(CAROL, ALICE)
    await expect(carol.page.locator("#bar")).to_be_visible()
    transfer = await scene.transfer(ALICE, "supervised", BOB)
    await expect(carol.call).to_contain_text("Alice is transferring your call")
    await expect(carol.call).to_contain_text("hear music")
    await nothing_to_press(carol)
    await carol.page.reload()
    await carol.live()
    await expect(carol.call).to_contain_text("Alice is transferring your call")
    await scene.phone(BOB).answer()
    await scene.reaches(transfer, "consulting")
    await scene.act(transfer, "swap")
    await scene.talking(CAROL, ALICE)
    await expect(carol.call).to_contain_text("You are its caller.")
    await nothing_to_press(carol)
    await scene.act(transfer, "swap")
    await expect(carol.call).to_contain_text("hear music")
    await scene.complete(transfer)
    await scene.talking(CAROL, BOB)
    await expect(carol.call).not_to_contain_text("is transferring your call")
    await expect(carol.call).to_contain_text("Connected")
    assert await scene.refused(ALICE, "supervised", "agent", BOB) == "no_active_call"
    assert carol.console_errors == []
    await scene.hang_up(CAROL)


async def nothing_to_press(panel: AgentPage) -> None:
    for what in ("consult", "transfer", "command", "add"):
        await expect(panel.page.locator(f"button[data-do={what}]")).to_have_count(0)


@pytest.mark.thorough
async def test_times_survive_the_daemon(scene: Scene, open_panel: OpenPanel) -> None:
    """Since when the consultation runs and the caller hears music, and until when one waits."""
    await scene.call("caller1", ALICE)
    await scene.direct_call("caller2", BOB)
    transfer = await scene.transfer(ALICE, "supervised", BOB)
    await scene.reaches(transfer, "waiting")

    async def leg_waits() -> bool | None:
        return bool(await scene.ami.waiting(f"avp-agent-{BOB}")) or None

    assert await scene.ami.until(leg_waits, 5.0), "what the daemon did before it is written"
    names = ("started", "since", "music_since", "hold_until")

    async def told() -> list[str | None]:
        found = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
        return [found[name] for name in names]

    before = await told()
    assert None not in before
    await scene.bed.stop_daemon(kill=True)
    await guard.start_daemon(scene.bed)
    await scene.reaches(transfer, "waiting")
    assert await told() == before
    agents = (await scene.api("GET", "/v1/agents")).body
    assert {agent["since"] for agent in agents if agent["id"] in (ALICE, CAROL)} == {None}
    panel = await open_panel(scene.bed.url, ALICE)
    caller = panel.running.get_by_role("listitem").filter(has_text="hears music")
    await expect(caller.locator("time")).to_have_attribute("data-since", str(before[2]))
    await expect(panel.state.locator("time")).to_have_count(0)
    await scene.cancel(transfer)
    await scene.talking("caller1", ALICE)
    await scene.hang_up("caller1", "caller2")


@pytest.mark.thorough
async def test_a_consult_that_waits_in_two_tabs_reloaded_and_without_network(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """Each time the same controls, and no other; one tab cancels."""
    alice = await open_panel(scene.bed.url, ALICE)
    await scene.call("caller1", ALICE)
    await scene.direct_call("caller2", BOB)
    await alice.choose("agent", BOB)
    await alice.button("Consult").click()
    await expect(alice.running.locator(".countdown")).to_contain_text(re.compile(r"\d:\d\d"))
    second = AgentPage(await alice.page.context.new_page(), scene.bed.url)
    await second.open()
    (transfer,) = [
        one["id"] for one in (await scene.api("GET", "/v1/transfers")).body
        if one["ended_reason"] is None
    ]  # fmt: skip

    async def same(panel: AgentPage) -> None:
        await panel.live()
        actions = (await scene.api("GET", f"/v1/transfers/{transfer}")).body["actions"]
        for what in ("complete", "cancel", "swap", "conference"):
            button = panel.page.locator(f"#running button[data-value={what}]")
            await expect(button).to_have_count(int(what in actions))
        await expect(panel.running.locator(".countdown")).to_be_visible()
        await expect(panel.page.locator(".strip")).to_have_count(0)

    for panel in (alice, second):
        await same(panel)
        await panel.page.reload()
        await same(panel)
    await alice.page.context.set_offline(True)
    await alice.not_live()
    await alice.page.context.set_offline(False)
    await same(alice)
    await same(second)
    await second.button("Back to the caller").click()
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", ALICE)
    for panel in (alice, second):
        await expect(panel.running).to_have_count(0)
        await expect(panel.call).to_contain_text("Connected")
    await scene.hang_up("caller1", "caller2")
