"""The counts of the agent's own groups, and a call of which the agent is the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from asterisk_avp.api.broadcast import transfer_event
from asterisk_avp.core.model.transferred import TransferredView
from asterisk_avp.core.model.work import MembershipView
from asterisk_avp.core.model.world import AgentState, CallView, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, ME, PEOPLE, OpenOffice, consult

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]


def in_sales(
    *, logged_in: bool = True, ready: bool = True, available: bool = False
) -> dict[str, Any]:
    ready = logged_in and ready
    counted = MembershipView(
        "sales", member=logged_in, dynamic=True, actions=(), logged_in=logged_in, ready=ready,
        available=ready and available,
    )  # fmt: skip
    return {"memberships": (counted,)}


async def test_the_own_groups_counts_are_the_servers_less_the_agent(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """Who is not logged in to the group, or on a break in it only, is not there."""
    board = office.office
    for agent, _, state, groups, _ in PEOPLE:
        if "sales" in groups:
            board.agent_changed(agent, **in_sales(available=state is AgentState.AVAILABLE))
    panel = await open_panel(office.url)
    row = panel.row("group", "sales")
    await expect(row).to_contain_text("1 free")  # Bob; Alice is no target of her own
    board.call_arrives()
    board.agent_changed(ME, **in_sales())
    await expect(panel.call).to_contain_text("Connected")
    await expect(row).to_contain_text("1 free")
    # Bob's own state stays: he is on a break in this group, or logged out of it, only.
    board.agent_changed("1002", **in_sales(ready=False))
    await expect(row).to_contain_text("all busy")
    for agent in ("1002", "1003", "1004", "1005", "1006"):
        board.agent_changed(agent, **in_sales(ready=False))
    await expect(row).to_contain_text("on a break")
    await expect(panel.target("group", "sales")).to_be_disabled()
    for agent in ("1002", "1003", "1004", "1005", "1006"):
        board.agent_changed(agent, **in_sales(logged_in=False))
    # Only Alice is there: she would be offered the call again, and the server permits it.
    await expect(panel.target("group", "sales")).to_be_enabled()
    await expect(panel.row("agent", "1002")).to_contain_text("Available")
    board.agent_changed(ME, **in_sales(logged_in=False))
    await expect(row).to_contain_text("nobody logged in")
    await expect(panel.target("group", "sales")).to_be_disabled()
    board.agent_changed("1002", **in_sales(available=True))
    await expect(row).to_contain_text("1 free")
    assert panel.console_errors == []


async def test_an_agent_who_is_the_caller_sees_the_call_and_who_transfers_it(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    board = office.office
    for hears, words in ((("music",), "hear music"), (("transferor", "target"), "its caller")):
        call = CallView(
            "chan-7", "1002", "support", on_hold=hears == ("music",),
            transferred=TransferredView("1002", "Bob Hartley", hears),
        )  # fmt: skip
        board.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call,))
        await expect(panel.call).to_contain_text("Bob Hartley is transferring your call")
        await expect(panel.call).to_contain_text(words)
        await expect(panel.page.locator("#bar")).to_contain_text("Bob Hartley is transferring")
        for what in ("consult", "transfer", "command"):
            await expect(panel.page.locator(f"button[data-do={what}]:enabled")).to_have_count(0)
        assert await panel.inaccessible() == []
    board.call_arrives()
    await expect(panel.call).not_to_contain_text("is transferring")
    await expect(panel.button("Consult Bob Hartley")).to_be_enabled()
    assert panel.console_errors == []


async def test_a_menu_that_is_open_keeps_the_focus_when_the_answer_comes(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """A menu or the list of shortcuts, opened while the consultation is being requested."""
    panel = await open_panel(office.url)
    page = panel.page
    ways = {
        "details[data-key=pause]": "Alt+Shift+P",
        "details[data-key=account]": "Alt+Shift+Q",
        "dialog[open]": "?",
    }
    for n, (opened, key) in enumerate(ways.items(), 1):
        office.office.call_arrives()
        await expect(panel.button("Consult Bob Hartley")).to_be_enabled()
        release, held = await hold_back(page, "**/v1/agents/1001/transfers")
        await panel.button("Consult Bob Hartley").click()
        await held()
        await page.keyboard.press(key)
        inside = page.locator(f"{opened} :focus, {opened}:focus")
        await expect(inside).to_have_count(1)
        await release()
        await expect(panel.running).to_be_visible()
        await expect(page.locator("#bar [data-do=command]:enabled").first).to_be_visible()
        await expect(inside).to_have_count(1)
        await page.keyboard.press("Escape")
        office.office.becomes(TransferState.CANCELLED, f"t{n}", ended_reason="cancelled")
        await expect(panel.running).to_have_count(0)
        await page.keyboard.press("Escape")
    # Nothing done meanwhile: the focus goes on to the controls.
    await panel.button("Consult Bob Hartley").click()
    await expect(panel.running.locator(":focus")).to_have_count(1)
    assert panel.console_errors == []


async def hold_back(
    page: Page, path: str
) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[bool]]]:
    """Hold back the next request: a function that lets it go, and one that waits for it."""
    came, go = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        came.set()
        await go.wait()
        await route.continue_()

    await page.route(path, late, times=1)

    async def release() -> None:
        go.set()

    return release, came.wait


async def test_the_two_ways_to_the_caller_say_what_they_do(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.button("Consult Bob Hartley").click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING)
    for name, says in (
        ("To the caller", "Talk to the caller meanwhile; Bob Hartley waits (Alt+Shift+S)"),
        ("Back to the caller", "End the transfer, and have the caller again (Alt+Shift+X)"),
    ):
        button = panel.button(name)
        await expect(button).to_have_attribute("title", says)
        await expect(button).to_have_accessible_description(says)
    consult(office, TransferState.SWAPPED)
    await expect(panel.button("To Bob Hartley")).to_have_attribute(
        "title", "Talk to Bob Hartley again; the caller waits (Alt+Shift+S)"
    )


async def test_since_when_the_caller_hears_music_is_not_guessed(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.button("Consult Bob Hartley").click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONSULTING)
    caller = panel.running.get_by_role("listitem").filter(has_text="hears music")
    await expect(caller.locator("time")).to_have_count(1)
    view = replace(office.office.known["t1"], music_since=None, caller=CALLER)
    office.office.known["t1"] = view
    office.office.publish(transfer_event(view))
    await expect(caller.locator("time")).to_have_count(0)
    await expect(caller).to_be_visible()
