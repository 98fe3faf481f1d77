"""How the page is laid out: nothing is out of sight or covered, and controls keep their place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.panel import surroundings
from tests.panel.agent_page import AgentPage
from tests.panel.crowd import crowded_office
from tests.panel.layout import FAULTS
from tests.panel.office import OpenOffice
from tests.panel.test_bar import COVERED
from tests.panel.walk import walk

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

SIZES = {
    "laptop": (1366, 768),
    "laptop at 200 %": (683, 384),
    "tablet": (768, 1024),
    "phone": (360, 740),
    "small frame": (400, 600),
}

# The last words of the page are not behind the bar at the bottom, when it is scrolled to its end.
BEHIND = """() => {
    const bar = document.querySelector("#bar");
    if (!bar || getComputedStyle(bar).position !== "fixed") return [];
    const before = window.scrollY;
    window.scrollTo(0, document.documentElement.scrollHeight);
    const cards = [...document.querySelectorAll("main .card, main .strip")];
    const end = Math.max(...cards.map((card) => card.getBoundingClientRect().bottom));
    const top = bar.getBoundingClientRect().top;
    window.scrollTo(0, before);
    return end > top + 1 ? [`the last card ends ${Math.round(end - top)} px behind the bar`] : [];
}"""

# How much of the height is left for the page between what stays in sight, in parts of 100.
ROOM = """() => {
    let taken = 0;
    for (const one of document.querySelectorAll(".top, #bar")) {
        if (["sticky", "fixed"].includes(getComputedStyle(one).position)) taken += one.offsetHeight;
    }
    return Math.round(100 - (100 * taken) / window.innerHeight);
}"""

# Where the controls of the running transfer are.
PLACES = """() => [...document.querySelectorAll("#bar [data-do=command]")].map((one) => {
    const { left, top, width, height } = one.getBoundingClientRect();
    return [one.dataset.value, [left, top, width, height].map(Math.round).join(" ")];
})"""


async def resize(page: Page, size: str) -> None:
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})
    await page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


@pytest.mark.thorough
async def test_nothing_is_out_of_sight_cut_or_covered_in_any_state(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """And the controls of a transfer are at the same place in each of its states."""
    panel = await open_panel(office.url, None, reduced_motion="reduce")
    found: dict[str, list[str]] = {}
    places: dict[tuple[str, str], dict[str, list[str]]] = {}
    async for name in walk(office, panel):
        for size in SIZES:
            await resize(panel.page, size)
            await panel.page.evaluate("window.scrollTo(0, 0)")
            faults = [*await panel.page.evaluate(FAULTS), *await panel.page.evaluate(BEHIND)]
            room = await panel.page.evaluate(ROOM)
            if room < 30:
                faults.append(f"the bars leave {room} % of the height")
            for fault in faults:
                found.setdefault(f"{size}: {fault}", []).append(name)
            for control, place in await panel.page.evaluate(PLACES):
                places.setdefault((size, control), {}).setdefault(place, []).append(name)
    assert found == {}
    assert {at: where for at, where in places.items() if len(where) > 1} == {}
    assert {control for _, control in places} == {"complete", "swap", "conference", "cancel"}
    assert panel.console_errors == []


@pytest.mark.thorough
async def test_with_names_of_other_scripts(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)
    surroundings.rename(office.office)
    found: dict[str, list[str]] = {}
    async for name in surroundings.with_names(office, panel):
        for size in SIZES:
            await resize(panel.page, size)
            if faults := await panel.page.evaluate(FAULTS):
                found[f"{name}, {size}"] = faults
    assert found == {}


async def test_such_faults_are_found(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    await expect(panel.page.locator(".row .does").first).to_be_attached()
    await resize(panel.page, "phone")
    assert await panel.page.evaluate(FAULTS) == []
    # In one task: the page may draw itself again.
    faults, behind = await panel.page.evaluate(
        f"""() => {{
            document.querySelector(".facts").style.cssText = "width: 900px";
            const word = document.querySelector(".pill .word");
            word.textContent = "Unbreakable".repeat(9);
            const row = document.querySelector(".row .does");
            row.style.cssText = "position: relative; left: -150px";
            const lead = document.querySelector(".caller");
            lead.style.cssText = "white-space: nowrap; overflow: hidden; width: 90px";
            document.querySelector("#app").style.paddingBottom = "0";
            return [({FAULTS})(), ({BEHIND})()];
        }}"""
    )
    for kind in ("beside the page", "beside its row", "on each other", "no ellipsis"):
        assert any(kind in one for one in faults), kind
    assert behind != []


@pytest.mark.parametrize(
    "size", ["laptop at 200 %", pytest.param("small frame", marks=pytest.mark.thorough)]
)
async def test_what_has_the_focus_is_in_sight_where_there_is_little_height(
    office: OpenOffice, open_panel: OpenPanel, size: str
) -> None:
    width, height = SIZES[size]
    panel = await open_panel(office.url, None, viewport={"width": width, "height": height})
    async for name in surroundings.with_names(office, panel):
        if name == "call":  # a page that draws its targets meanwhile moves what has the focus
            await expect(panel.page.locator(".row .does").first).to_be_attached()
        for _ in range(25):
            await panel.page.keyboard.press("Tab")
            assert await panel.page.evaluate(COVERED) is None, name


@pytest.mark.thorough
async def test_a_large_office(open_panel: OpenPanel) -> None:
    """300 agents and 60 groups, with names of all lengths."""
    async with crowded_office() as office:
        panel = await open_panel(office.url)
        office.office.call_arrives()
        await expect(panel.call).to_contain_text("Connected")
        for size in SIZES:
            await resize(panel.page, size)
            assert await panel.page.evaluate(FAULTS) == [], size


SENTENCES = """() => {
    // Where the words of a sentence stand: of the first and of the last one.
    const places = (element) => {
        const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        const found = [];
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const all = /[A-Za-z]{2,}|[\u0590-\u08ff]{2,}/g;
            for (const { 0: word, index } of node.data.matchAll(all)) {
                const range = document.createRange();
                range.setStart(node, index);
                range.setEnd(node, index + word.length);
                const { left, top, bottom } = range.getBoundingClientRect();
                found.push([word, left, Math.round(top), Math.round(bottom)]);
            }
        }
        return found;
    };
    const sentences = "#running-title, .parties li, .path li, .strip-what strong, .log .muted";
    return Object.fromEntries([...document.querySelectorAll(sentences)]
        .filter((one) => /[A-Za-z]/.test(one.textContent))
        .map((one) => [one.textContent, places(one)]));
}"""


async def test_sentences_with_names_from_right_to_left_keep_their_order(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """The page's own words stand as in the page's language, before and after such a name."""
    panel = await open_panel(office.url, None, viewport={"width": 1366, "height": 768})
    surroundings.rename(office.office)
    read = 0
    async for name in surroundings.with_names(office, panel):
        for sentence, words in (await panel.page.evaluate(SENTENCES)).items():
            latin = [each for each in words if each[0].isascii()]
            in_order = [(top, left) for _, left, top, _ in latin]
            assert in_order == sorted(in_order), (name, sentence)
            before = words[0]
            if not before[0].isascii() and before[3] > latin[0][2] + 5:  # a name in the same line
                read += 1
                assert before[1] < latin[0][1], (name, sentence)
    assert read > 5
