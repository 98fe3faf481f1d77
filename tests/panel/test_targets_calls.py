"""The list of targets with a real Asterisk and real phones: rows, keys, numbers, a fourth party."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named
from playwright.async_api import Locator, expect

from tests.asterisk import transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.panel.agent_page import AgentPage

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OpenPanel = Callable[..., Awaitable[AgentPage]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    """Sales has Alice, Bob and Erin (1005); support has Carol and Dave."""
    world = replace(transfer_button.world(), max_hold_seconds=25)
    async with Bed(world, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def alice_with_a_call(scene: Scene, open_panel: OpenPanel) -> AgentPage:
    alice = await open_panel(scene.bed.url, "1001")
    await scene.call("caller1", "1001")
    await expect(alice.row("agent", "1002").locator("[data-do=consult]")).to_be_enabled()
    return alice


def search(panel: AgentPage) -> Locator:
    return panel.page.get_by_role("searchbox")


async def test_consult_from_the_row_and_a_colleague_as_the_fourth_party(
    scene: Scene, open_panel: OpenPanel
) -> None:
    alice = await alice_with_a_call(scene, open_panel)
    await alice.page.get_by_role("button", name="Consult Bob", exact=True).click()
    await scene.phone("1002").ringing()
    await scene.phone("1002").answer()
    await alice.party("You", "hear Bob")
    await alice.button("Add somebody").click()
    await expect(alice.button("Add Bob")).to_have_count(0)
    await alice.button("Add Erin").click()
    await scene.phone("1005").ringing()
    await scene.phone("1005").answer()
    await scene.hear_one_another("1001", "1002", "1005")
    await scene.on_music("caller1")
    await alice.party("You", "hear Bob and Erin")
    await expect(alice.button("Add somebody")).to_have_count(0)
    await alice.button("All together").click()
    await scene.hear_one_another("caller1", "1001", "1002", "1005")
    await scene.hang_up("1005")
    await alice.button("Add somebody").wait_for()
    assert alice.console_errors == []
    await scene.hang_up("caller1")


@pytest.mark.thorough
async def test_alt_enter_transfers_to_the_first_hit(scene: Scene, open_panel: OpenPanel) -> None:
    alice = await alice_with_a_call(scene, open_panel)
    await alice.page.get_by_label("Note to the target").fill("Order 88")
    bob = await open_panel(scene.bed.url, "1002")
    await search(alice).fill("bob")
    await alice.page.keyboard.press("Alt+Enter")
    await scene.phone("1002").ringing()
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await expect(bob.call).to_contain_text("Order 88")
    await expect(alice.page.locator("[data-key=quick]").get_by_text("Bob")).to_be_visible()
    assert alice.console_errors == bob.console_errors == []
    await scene.hang_up("caller1")


@pytest.mark.thorough
async def test_a_number_typed_into_the_search_is_consulted(
    scene: Scene, open_panel: OpenPanel
) -> None:
    alice = await alice_with_a_call(scene, open_panel)
    await search(alice).fill("020 7946 0000")
    await alice.page.keyboard.press("Enter")
    await expect(alice.page.locator("#search-verdict.bad")).to_be_visible()
    await scene.talking("caller1", "1001")
    await search(alice).fill("(202) 555-0100")
    await alice.page.keyboard.press("Enter")
    await scene.phone("pstn").answer()
    await scene.phone("1001").hears({"pstn"})
    await alice.button("Complete").click()
    await scene.talking("caller1", "pstn")
    assert alice.console_errors == []
    await scene.hang_up("caller1")


DEAF = """() => {
    const parse = JSON.parse;
    JSON.parse = (text) => {
        const said = parse(text);
        return said && said.type === "lists" ? {...said, agents: []} : said;
    };
}"""


async def test_a_refusal_of_the_core_is_at_the_row(scene: Scene, open_panel: OpenPanel) -> None:
    """Bob has gone on a break, and the page has not heard of it."""
    alice = await alice_with_a_call(scene, open_panel)
    row = alice.row("agent", "1002")
    await alice.page.evaluate(DEAF)
    await scene.pause("1002")
    await scene.agent_is("1002", "not_ready")
    await row.locator("[data-do=transfer]").click()
    await expect(row.get_by_role("alert")).to_be_visible()
    await scene.talking("caller1", "1001")
    await scene.pause("1002", paused=False)
    await scene.hang_up("caller1")
