"""The list of targets in a large office: order, search, rows, refusals, a fourth party."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from asterisk_avp.core.model.world import AgentState, Mode, TargetKind, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.crowd import EMPTY, PAUSED, crowded_office
from tests.panel.office import CALLER, EVERYTHING, OpenOffice, consult

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

LAPTOP = {"viewport": {"width": 1366, "height": 768}}


@pytest_asyncio.fixture(loop_scope="session")
async def crowd() -> AsyncIterator[OpenOffice]:
    async with crowded_office() as opened:
        yield opened


def search(panel: AgentPage) -> Locator:
    return panel.page.get_by_role("searchbox")


def hits(panel: AgentPage) -> Locator:
    return panel.page.locator(".row .name")


async def states(panel: AgentPage) -> list[str]:
    return await panel.page.locator("#list-my_agent_groups .row .word").all_inner_texts()


# --- the list ------------------------------------------------------------------------------------


async def test_ten_free_colleagues_are_in_sight_with_300_agents_and_60_groups(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    await expect(panel.page.locator(".row [data-do=consult]").first).to_be_enabled()
    seen = await panel.page.evaluate(
        """() => [...document.querySelectorAll(".row")].filter(row => {
            const box = row.querySelector(".does").getBoundingClientRect();
            const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return row.querySelector(".available") && at && row.contains(at);
        }).length"""
    )
    assert seen >= 10, "free colleagues whose buttons can be clicked without scrolling"
    note = panel.page.get_by_label("Note to the target")
    await expect(note).to_be_in_viewport(ratio=1)
    await expect(panel.button("Transfer")).to_be_in_viewport(ratio=1)


async def test_order_and_those_who_cannot_be_reached(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    """Available, after-call work, talking, slot taken; breaks and absentees are folded."""
    panel = await open_panel(crowd.url, **LAPTOP)
    away = panel.page.get_by_role("button", name="not reachable")
    gone = {AgentState.NOT_READY, AgentState.OFFLINE}
    count = sum(
        view.state in gone and "group-1" in view.groups for view in crowd.office.views.values()
    )
    await expect(away).to_have_text(f"{count} not reachable")
    more = panel.page.locator("[data-key=my_agent_groups] .rows > .more")
    places = {"Available": 0, "After-call work": 1, "Talking": 2}
    rows = panel.page.locator("#list-my_agent_groups > .row")
    while await more.count():
        shown = await rows.count()
        await more.click()
        await expect(rows).not_to_have_count(shown)  # drawn: the button may be gone with it
    await expect(rows).to_have_count(300 - count)
    slots = await rows.evaluate_all(
        "rows => rows.map(row => [row.querySelector('.tag') !== null,"
        " row.querySelector('.word').textContent])"
    )
    order = [3 if taken else places[word] for taken, word in slots]
    assert order == sorted(order)
    assert set(order) == {0, 1, 2, 3}
    await away.click()
    await expect(panel.page.locator("#list-away .row").first).to_be_visible()
    await expect(panel.page.locator("#list-away input:enabled")).to_have_count(0)


@pytest.mark.thorough
async def test_nobody_moves_while_the_agent_points_at_the_list(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    await panel.page.clock.install()
    crowd.office.call_arrives()
    await expect(panel.page.locator(".row [data-do=consult]").first).to_be_enabled()
    before = await hits(panel).all_inner_texts()
    first = panel.page.locator(".row").first
    key = await first.get_attribute("data-key")
    assert key is not None
    await first.hover()
    crowd.office.agent_changed(
        key.removeprefix("agent:"), state=AgentState.OFFLINE, since=time.time()
    )
    await expect(first).to_contain_text("Signed off")
    await expect(first.locator("[data-do=consult]")).to_be_disabled()
    assert await hits(panel).all_inner_texts() == before
    await panel.page.clock.run_for(3000)
    await expect(panel.page.locator(f".row[data-key='{key}']")).to_have_count(0)


@pytest.mark.thorough
async def test_who_joins_a_group_of_the_agent_is_listed_and_found(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    await search(panel).fill("zoe")
    await expect(panel.page.locator("#search-verdict")).to_have_text(
        "Nobody and nothing by that name."
    )
    crowd.office.agent_changed("1900", state=AgentState.AVAILABLE, groups=("group-1",))
    await expect(hits(panel)).to_have_text(["Zoë Last 0"])


async def test_an_empty_group_is_told_from_a_busy_one_and_cannot_be_chosen(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    office = crowd.office
    panel = await open_panel(crowd.url, **LAPTOP)
    office.call_arrives()
    await search(panel).fill("group 0")
    for group, words, off in (
        (EMPTY, "nobody logged in", True),
        (PAUSED, "all on a break", True),
        ("group-4", "free", False),
    ):
        row = panel.row("group", group)
        await expect(row).to_contain_text(words)
        await expect(row.locator("[data-do=consult]")).to_have_count(0)
        expected = expect(row.locator("[data-do=transfer]"))
        await (expected.to_be_disabled() if off else expected.to_be_enabled())
        expected = expect(panel.target("group", group))
        await (expected.to_be_disabled() if off else expected.to_be_enabled())
    for view in list(office.views.values()):
        if "group-4" in view.groups and view.state is AgentState.AVAILABLE:
            office.agent_changed(view.id, state=AgentState.TALKING)
    office.agent_changed("1900", state=AgentState.TALKING, groups=("group-4",))
    await expect(panel.row("group", "group-4")).to_contain_text("all busy")
    await expect(panel.target("group", "group-4")).to_be_enabled()


async def test_starred_and_recent_come_first_and_are_remembered_for_this_agent_only(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    quick = panel.page.locator("[data-key=quick]")
    await search(panel).fill("2241")
    await panel.row("agent", "2241").hover()
    await panel.page.get_by_role("button", name="Keep Björn Müller at the top").click()
    await search(panel).fill("2081")
    await panel.page.keyboard.press("Enter")
    await panel.running.wait_for()
    crowd.office.becomes(TransferState.CANCELLED, ended_reason="cancelled")
    await expect(quick.locator(".name")).to_have_text(["Björn Müller", "Björn Eriksen"])
    await expect(panel.target("agent", "2241")).to_have_count(1)
    stored = await panel.page.evaluate("JSON.stringify(localStorage)")
    assert CALLER not in stored
    assert "Joan" not in stored
    assert "2241" in stored
    await panel.page.reload()
    await panel.live()
    await expect(quick.locator(".name")).to_have_text(["Björn Müller", "Björn Eriksen"])
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.button("Sign out").click()
    await expect(panel.page.locator("#extension")).to_be_visible()
    await expect(panel.page.locator("#app").get_by_text("Björn")).to_have_count(0)


# --- search --------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("jurgen kruger", "Jürgen Krüger"),
        pytest.param(*("JÜRGEN KRÜG", "Jürgen Krüger"), marks=pytest.mark.thorough),
        pytest.param(*("krug jur", "Jürgen Krüger"), marks=pytest.mark.thorough),
        ("oyvind", "Øyvind Andersson"),
        pytest.param(*("lukasz b", "Łukasz Bąk"), marks=pytest.mark.thorough),
        pytest.param(*("2085", "François Eriksen"), marks=pytest.mark.thorough),
        ("group 07", "Group 07"),
        pytest.param(*("warehouse", "Warehouse, Newark"), marks=pytest.mark.thorough),
    ],
)
async def test_search_folds_accents(
    crowd: OpenOffice, open_panel: OpenPanel, typed: str, first: str
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    await search(panel).fill(typed)
    await expect(hits(panel).first).to_have_text(first)


@pytest.mark.thorough
async def test_search_finds_states_and_groups(crowd: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    await search(panel).fill("after-call")
    await expect(panel.page.locator(".row").first).to_contain_text("After-call work")
    assert set(await states(panel)) == {"After-call work"}
    await search(panel).fill("break")
    await expect(panel.page.locator(".row").first).to_contain_text("On a break")
    await search(panel).fill("nobody logged in")
    await expect(hits(panel)).to_have_text(["Group 02"])
    await search(panel).fill("group-10")
    await expect(hits(panel).first).to_have_text("Group 10")
    members = [view for view in crowd.office.views.values() if "group-10" in view.groups]
    await expect(hits(panel)).to_have_count(1 + len(members))


async def test_enter_consults_the_first_hit_and_alt_enter_transfers_to_it(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    await expect(panel.button("Consult")).to_be_visible()
    await panel.page.get_by_label("Note to the target").fill("Two days late")
    await search(panel).fill("2081")
    await expect(panel.page.locator("#search-verdict")).to_contain_text(
        "Enter consults Björn Eriksen"
    )
    await panel.page.keyboard.press("Enter")
    await panel.running.wait_for()
    request = crowd.office.requests[-1]
    assert (request.mode, request.target.kind, request.target.value, request.notes) == (
        Mode.SUPERVISED, TargetKind.AGENT, "2081", "Two days late",
    )  # fmt: skip
    crowd.office.becomes(TransferState.CANCELLED, ended_reason="cancelled")
    await expect(panel.running).to_have_count(0)
    await search(panel).fill("group 05")
    await panel.page.keyboard.press("Enter")
    await expect(panel.row("group", "group-5").get_by_role("alert")).to_contain_text(
        "first free agent"
    )
    assert len(crowd.office.requests) == 1, "a group is not consulted"
    await panel.page.keyboard.press("Alt+Enter")
    await expect(panel.page.locator(".strip")).not_to_have_count(0)
    request = crowd.office.requests[-1]
    assert (request.mode, request.target.value) == (Mode.UNSUPERVISED, "group-5")


async def test_enter_says_at_the_row_why_the_first_hit_cannot_be_reached(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    await expect(panel.button("Consult")).to_be_visible()
    away = next(v for v in crowd.office.views.values() if v.paused and "group-1" in v.groups)
    await search(panel).fill(away.id)
    await panel.page.keyboard.press("Enter")
    await expect(panel.row("agent", away.id).get_by_role("alert")).to_have_text(
        "The target is on a break."
    )


async def test_a_number_in_the_search_is_judged_and_consulted_by_enter(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    """Also by Enter right after the last digit, before the answer about the number."""
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    await expect(panel.button("Consult")).to_be_visible()
    await search(panel).fill("+442079460000")
    await panel.page.keyboard.press("Enter")
    verdict = panel.page.locator("#search-verdict")
    await expect(verdict).to_have_text("This number is in another country.")
    assert crowd.office.requests == []
    await search(panel).fill("(202) 555-0100")
    await panel.page.keyboard.press("Enter")
    await panel.running.wait_for()
    assert crowd.office.requests[-1].target.value == "+12025550100"
    assert crowd.office.requests[-1].mode is Mode.SUPERVISED
    stored = await panel.page.evaluate("JSON.stringify(localStorage)")
    assert "2025550100" not in stored, "a number may be a caller's"


@pytest.mark.parametrize(
    "text",
    [
        "\u202d(202) 555-0100\u202c",
        pytest.param("\u2068+1 202-555-0100\u2069", marks=pytest.mark.thorough),
        pytest.param("+1\ufe0d-202-555-0100", marks=pytest.mark.thorough),
        "\uff08202\uff09\uff15\uff15\uff150100",
    ],
)
async def test_a_pasted_number_is_judged(
    crowd: OpenOffice, open_panel: OpenPanel, text: str
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    await expect(panel.button("Consult")).to_be_visible()
    await search(panel).fill(text)
    await expect(panel.page.locator("#search-verdict")).to_contain_text("555-0100")


@pytest.mark.thorough
async def test_without_manual_dial_a_number_is_only_searched(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    crowd.office.permissions = tuple(name for name in EVERYTHING if name != "manual_dial")
    panel = await open_panel(crowd.url, **LAPTOP)
    checks: list[str] = []
    panel.page.on("request", lambda request: checks.append(request.url))
    crowd.office.call_arrives()
    await search(panel).fill("2025550100")
    await panel.page.keyboard.press("Enter")
    await expect(panel.page.locator("#search-verdict")).to_have_text(
        "Nobody and nothing by that name."
    )
    assert not [url for url in checks if "numbers" in url]
    assert crowd.office.requests == []


# --- refusals, and what is chosen ----------------------------------------------------------------


async def test_a_refusal_is_shown_at_the_row_that_was_clicked(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    row = panel.row("agent", "2081")
    await expect(row.locator("[data-do=transfer]")).to_be_enabled()
    # The page has not heard of it yet.
    crowd.office.views["2081"] = replace(crowd.office.views["2081"], waiting_transfer=True)
    await panel.page.get_by_role("button", name="Transfer to Björn Eriksen").click()
    await expect(row.get_by_role("alert")).to_contain_text("already waiting")
    await expect(panel.page.get_by_role("alert")).to_have_count(1)
    await search(panel).fill("b")
    await expect(panel.page.get_by_role("alert")).to_have_count(0)


async def test_what_the_search_hides_is_not_what_the_buttons_act_on(
    crowd: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(crowd.url, **LAPTOP)
    crowd.office.call_arrives()
    await panel.choose("agent", "2081")
    await expect(panel.button("Consult")).to_be_enabled()
    await search(panel).fill("group 05")
    await expect(panel.row("group", "group-5")).to_be_visible()
    await expect(panel.button("Consult")).to_be_disabled()
    await expect(panel.button("Transfer")).to_be_disabled()


# --- a fourth party ------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_the_list_folds_during_a_transfer_and_adds_a_colleague(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.page.get_by_role("button", name="Consult Bob Hartley").click()
    await panel.running.wait_for()
    await expect(panel.page.locator(".row")).to_have_count(0)
    await expect(panel.button("Add somebody")).to_have_count(0)
    consult(office, TransferState.CONSULTING)
    await panel.button("Add somebody").click()
    await expect(panel.button("Add Bob Hartley")).to_have_count(0)
    await expect(panel.button("Add Carol Nwosu")).to_be_disabled()
    async with panel.page.expect_request("**/parties") as asked:
        await panel.button("Add Dave Lindqvist").click()
    assert (await asked.value).post_data_json == {"agent": "1004"}
