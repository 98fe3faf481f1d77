"""The values of the screen pop, and what the bar and the targets say of who waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from playwright.async_api import expect

from asterisk_avp.core.model.work import GroupView
from asterisk_avp.core.model.world import Mode, PartyView, TransferState
from asterisk_avp.core.transfer.states import State
from tests.panel.agent_page import AgentPage
from tests.panel.office import POP, OpenOffice, consult
from tests.panel.transfers import Case, in_hand, tell, view_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

NAMES = [f"value_{letter}" for letter in "jihgfedcba"]


async def test_eight_values_first_in_the_servers_order_and_the_rest_folded(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """The server puts the administrator's first; the page keeps its order."""
    panel = await open_panel(office.url)
    office.office.call_arrives(POP | {"data": {name: name[-1] for name in NAMES}})
    shown = panel.page.locator(".pop dt")
    labels = [name.replace("_", " ").capitalize() for name in NAMES]
    await expect(shown).to_have_text(labels[:8])
    more = panel.button("Show 2 more")
    await expect(more).to_have_attribute("aria-expanded", "false")
    await more.click()
    await expect(shown).to_have_text(labels)
    await panel.button("Show fewer").click()
    await expect(shown).to_have_text(labels[:8])


async def test_values_are_links_and_can_be_copied(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, permissions=["clipboard-read", "clipboard-write"])
    values = {
        "order": "https://crm.example/orders/1?a=b",
        "script": "javascript:alert(1)",
        "name": "Northwind Traders  Ltd.",
        "empty": "",
    }
    office.office.call_arrives(POP | {"data": values})
    links = panel.page.locator(".pop a")
    await expect(links).to_have_count(1)
    assert await links.get_attribute("href") == values["order"]
    assert await links.get_attribute("rel") == "noopener noreferrer"
    assert await links.get_attribute("target") == "_blank"
    for label, name in (("Order", "order"), ("Script", "script"), ("Name", "name")):
        await panel.button(f"Copy {label}").click()
        await panel.page.wait_for_function(
            "async (text) => (await navigator.clipboard.readText()) === text", arg=values[name]
        )
        await expect(panel.page.locator("#say")).to_have_class("toast")
        await expect(panel.page.locator("#say")).to_have_text("Copied")
    await expect(panel.page.locator(".pop .copy")).to_have_count(3)
    assert panel.console_errors == []


async def test_who_leaves_a_conference_reads_who_goes_on(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.page.locator('button[data-do=consult][data-value="agent:1002"]').click()
    await expect(panel.running).to_be_visible()
    consult(office, TransferState.CONFERENCE)
    await expect(panel.button("Leave; Ms. Joan Sample and Bob Hartley go on")).to_be_visible()
    consult(
        office, TransferState.CONFERENCE, PartyView("party-4", "fourth", "+12025550177", "talking")
    )
    await expect(panel.button("Leave; the others go on")).to_be_visible()
    await panel.party("Bob Hartley", "hears everybody")


async def test_music_turns_amber_after_a_minute_and_a_reload_keeps_since_when(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    made = view_of(Case(State.CONSULTING, Mode.SUPERVISED, None, ()), "consult")
    music = panel.page.locator(".parties time")
    for seconds, late in ((50, False), (75, True)):
        now = time.time()
        view = replace(made, since=now, started=now - 90, music_since=now - seconds)
        tell(office, view)
        in_hand(office, view)
        await expect(music).to_have_attribute("data-late", "60")
        if late:
            await expect(music).to_have_class("timer late")
        else:
            await expect(music).to_have_class("timer")
    began = await music.get_attribute("data-since")
    await panel.page.reload()
    await panel.live()
    await expect(music).to_have_attribute("data-since", str(began))
    await expect(music).to_have_class("timer late")


async def test_the_targets_say_how_many_callers_wait_in_a_group(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    office.office.group_views = {"sales": GroupView("sales", "Sales", 3, 2, 1, 2, time.time() - 75)}
    panel = await open_panel(office.url)
    row = panel.row("group", "sales")
    await expect(row).to_contain_text("2 waiting")
    await expect(row.locator("time")).to_be_visible()
    office.office.group_changed(GroupView("sales", "Sales", 3, 2, 1, 0, None))
    await expect(row).not_to_contain_text("waiting")
