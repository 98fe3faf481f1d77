"""The main flows by keyboard alone, with a real Asterisk and real phones.

After each step the page offers what the API's `actions` say, and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named
from playwright.async_api import expect

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.panel.agent_page import AgentPage
from tests.panel.walk import SETTLED

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OpenPanel = Callable[..., Awaitable[AgentPage]]


OFFERED = """() => [
    ...[...document.querySelectorAll("#running [data-do=command]:enabled")]
        .map(one => one.dataset.value),
    ...[...document.querySelectorAll("[data-do=adding]:enabled")].map(() => "add_party"),
]"""


@pytest_asyncio.fixture(loop_scope="session")
async def scene() -> AsyncIterator[Scene]:
    world = replace(World(), settings={"AVP_SESSION__RING_SECONDS": "15"}, max_hold_seconds=25)
    async with Bed(world, backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        async with open_scene(bed) as opened:
            yield opened


async def offers_the_actions(panel: AgentPage, scene: Scene) -> None:
    """Wait until the page offers what the API says, and something."""
    seen: list[object] = []

    async def look() -> bool | None:
        call = (await scene.agent("1001"))["call"]
        actions = set(call["transfer"]["actions"]) if call and call["transfer"] else set()
        wanted = sorted(actions & {"complete", "cancel", "swap", "conference", "add_party"})
        offered = await panel.page.evaluate(OFFERED)
        seen[:] = [offered, wanted]
        return (bool(wanted) and sorted(offered) == wanted) or None

    assert await scene.ami.until(look, 5.0), f"page, API: {seen}"


async def signed_in(scene: Scene, open_panel: OpenPanel) -> AgentPage:
    """Alice signs in, goes on a break and comes back."""
    alice = await open_panel(scene.bed.url, None)
    keys = alice.page.keyboard
    await expect(alice.page.locator("#extension")).to_be_focused()
    await keys.type("1001")
    await keys.press("Tab")
    await keys.type("pin-1001")
    await keys.press("Enter")
    await alice.live()
    await keys.press("Alt+Shift+P")
    reasons = alice.page.locator("details[data-key=pause] button")
    await expect(reasons.first).to_be_focused()
    await keys.press("Enter")
    await scene.agent_is("1001", "not_ready")
    await expect(alice.button("Ready")).to_be_focused()
    await keys.press("Alt+Shift+R")
    await scene.agent_is("1001", "available")
    return alice


async def test_calls_by_keyboard(scene: Scene, open_panel: OpenPanel) -> None:
    alice = await signed_in(scene, open_panel)
    keys = alice.page.keyboard
    await scene.call("caller1", "1001")
    await expect(alice.call).to_contain_text("Connected")
    for last in ("Alt+Shift+X", "Alt+Shift+C"):
        await keys.press("/")
        await expect(alice.page.locator("#search")).to_be_focused()
        await keys.type("bob")
        await expect(alice.page.locator("[data-first=true]")).to_have_count(1)
        await keys.press("Enter")
        await scene.phone("1002").ringing()
        await alice.party("You", "hear ringing")
        await expect(alice.running.get_by_role("button").first).to_be_focused()
        await offers_the_actions(alice, scene)
        await scene.phone("1002").answer()
        await alice.party("You", "hear Bob")
        await offers_the_actions(alice, scene)
        await keys.press("Alt+Shift+S")
        await alice.party("You", "hear caller1")
        await scene.phone("1001").hears({"caller1"})
        await offers_the_actions(alice, scene)
        if last == "Alt+Shift+C":
            await keys.press("Alt+Shift+G")
            await scene.hear_one_another("caller1", "1001", "1002")
            await alice.party("caller1", "hears you and Bob")
            await offers_the_actions(alice, scene)
        await keys.press(last)
        await expect(alice.running).to_have_count(0)
        await expect(alice.page.locator("[data-key=call]:focus-within")).to_have_count(1)
        if last == "Alt+Shift+X":
            await scene.talking("caller1", "1001")
            await scene.gone("1002")
            await scene.agent_is("1002", "available")
    await scene.talking("caller1", "1002")
    await keys.press("Alt+Shift+Q")
    await expect(alice.page.locator("[data-key=account] button[data-do=sign-out]")).to_be_visible()
    for _ in range(20):
        if await alice.page.locator("button[data-do=sign-out]:focus").count():
            break
        await keys.press("Tab")
    await keys.press("Enter")
    await expect(alice.page.locator("#pin")).to_be_focused()
    assert alice.console_errors == []
    await scene.hang_up("caller1")


# --- every other flow ----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    """Sales has Alice, Bob and Erin; support has Carol and Dave."""
    world = replace(transfer_button.world(), max_hold_seconds=25, members="dynamic")
    async with Bed(world, backend=backend_named(None)) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def floor(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def with_a_call(floor: Scene, open_panel: OpenPanel) -> AgentPage:
    alice = await open_panel(floor.bed.url, "1001")
    await floor.call("caller1", "1001")
    await expect(alice.page.locator(".row.agent .mini:enabled").first).to_be_visible()
    return alice


async def find(alice: AgentPage, typed: str) -> None:
    await alice.page.keyboard.press("/")
    await expect(alice.page.locator("#search")).to_be_focused()
    await alice.page.keyboard.type(typed)
    await expect(alice.page.locator("[data-first=true]:has(:enabled)")).to_have_count(1)
    await alice.page.evaluate(SETTLED)  # the hits of all that was typed


async def consult_by_keyboard(
    floor: Scene, alice: AgentPage, typed: str, phone: str, shown: str
) -> None:
    await find(alice, typed)
    await alice.page.keyboard.press("Enter")
    await floor.phone(phone).answer()
    await alice.party("You", f"hear {shown}")


@pytest.mark.parametrize(
    ("typed", "phone", "way"),
    [
        ("bob", "1002", "Alt+Shift+H"),
        ("support", "1003", "Alt+Enter"),
        pytest.param("bob", "1002", "Alt+Enter", marks=pytest.mark.thorough),
        pytest.param("support", "1003", "Alt+Shift+H", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.thorough
async def test_unsupervised_by_keyboard(
    floor: Scene, open_panel: OpenPanel, typed: str, phone: str, way: str
) -> None:
    alice = await with_a_call(floor, open_panel)
    keys = alice.page.keyboard
    await find(alice, typed)
    if way == "Alt+Shift+H":
        for key in ("ArrowDown", "Space", "Alt+Shift+J"):
            await keys.press(key)
        await expect(alice.page.get_by_label("Note to the target")).to_be_focused()
        await keys.type("Order 88")
        await keys.press("Escape")
    await keys.press(way)
    await floor.phone(phone).answer()
    await floor.talking("caller1", phone)
    await expect(alice.call).to_contain_text("No call")
    await expect(alice.page.locator("[data-key=call]:focus-within, .own :focus")).to_have_count(1)
    if way == "Alt+Shift+H":
        assert (await floor.has_call(phone))["pop"]["note"] == "Order 88"
    assert alice.console_errors == []
    await floor.hang_up("caller1")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "typed", ["(202) 555-0100", pytest.param("billing", marks=pytest.mark.thorough)]
)
async def test_a_number_and_a_preset_by_keyboard(
    floor: Scene, open_panel: OpenPanel, typed: str
) -> None:
    alice = await with_a_call(floor, open_panel)
    shown = "billing" if typed == "billing" else typed
    await consult_by_keyboard(floor, alice, typed, "pstn", shown)
    await floor.phone("1001").hears({"pstn"})
    await offers_the_actions(alice, floor)
    await alice.page.keyboard.press("Alt+Shift+C")
    await floor.talking("caller1", "pstn")
    await expect(alice.call).to_contain_text("No call")
    assert alice.console_errors == []
    await floor.hang_up("caller1")


@pytest.mark.parametrize(
    ("typed", "phone"),
    [pytest.param("erin", "1005", marks=pytest.mark.thorough), ("+12025550100", "pstn")],
)
@pytest.mark.thorough
async def test_a_fourth_party_by_keyboard(
    floor: Scene, open_panel: OpenPanel, typed: str, phone: str
) -> None:
    """Added, all together, and hung up again; then Alice leaves the two."""
    alice = await with_a_call(floor, open_panel)
    keys = alice.page.keyboard
    await consult_by_keyboard(floor, alice, "bob", "1002", "Bob")
    await keys.press("Alt+Shift+N")
    await expect(alice.page.locator("#search")).to_be_focused()
    await keys.type(typed)
    await expect(alice.page.locator("[data-first=true] [data-do=add]:enabled")).to_have_count(1)
    await keys.press("Enter")
    await floor.phone(phone).answer()
    await floor.hear_one_another("1001", "1002", phone)
    await offers_the_actions(alice, floor)
    await keys.press("Alt+Shift+G")
    await floor.hear_one_another("caller1", "1001", "1002", phone)
    await offers_the_actions(alice, floor)
    await keys.press("Alt+Shift+O")
    await floor.gone(phone)
    await floor.hear_one_another("caller1", "1001", "1002")
    await keys.press("Alt+Shift+C")
    await floor.talking("caller1", "1002")
    assert alice.console_errors == []
    await floor.hang_up("caller1")


@pytest.mark.thorough
async def test_after_call_work_groups_and_ready_by_keyboard(
    floor: Scene, open_panel: OpenPanel
) -> None:
    # Long enough for a busy machine. All of them, so that Alice stays the first to be rung.
    for agent in floor.bed.world.agents:
        await floor.log_out(agent.id)
    for agent in floor.bed.world.agents:
        await floor.log_in(agent.id, Wrapuptime="30")
    await floor.agent_is("1001", "available")
    alice = await with_a_call(floor, open_panel)
    keys = alice.page.keyboard
    await floor.hang_up("caller1")
    await expect(alice.page.locator("#acw-left")).to_be_visible()
    until = (await floor.agent("1001"))["acw_until"]
    await keys.press("Alt+Shift+E")
    await expect(alice.page.locator("#acw-left")).not_to_have_attribute("datetime", until)
    await floor.agent_is("1001", "acw")
    await keys.press("Alt+Shift+R")
    await floor.agent_is("1001", "available")
    for state, what in (("offline", "logout"), ("available", "login")):
        await keys.press("Alt+Shift+U")
        button = alice.page.locator(f"[data-key=groups] button[data-do=group-{what}]")
        await expect(button).to_be_focused()
        await keys.press("Enter")
        await floor.agent_is("1001", state)
        await keys.press("Escape")
    assert alice.console_errors == []
