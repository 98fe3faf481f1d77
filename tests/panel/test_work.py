"""The agent's own work in the page: breaks, after-call work, groups, alerts, leaving."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Dialog, expect

from asterisk_avp.api.schemas import iso_time
from asterisk_avp.core.model.work import GroupView, MembershipView, WorkRules
from asterisk_avp.core.model.world import AgentState
from tests.panel.agent_page import AgentPage
from tests.panel.office import ME, OpenOffice

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]


def becomes(office: OpenOffice, **changes: Any) -> None:
    office.office.agent_changed(ME, **changes)


def title_with(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text))


def in_acw(office: OpenOffice, seconds: float = 90, *more: str) -> None:
    becomes(
        office,
        state=AgentState.ACW,
        call=None,
        calls=(),
        acw_until=time.time() + seconds,
        work_actions=("pause", "extend_acw", *more),
    )


# --- breaks --------------------------------------------------------------------------------------


async def test_reasons_are_the_administrators(office: OpenOffice, open_panel: OpenPanel) -> None:
    office.office.rules = WorkRules(("Lunch", "Büro <b>"), other_pause_reasons=False)
    panel = await open_panel(office.url)
    menu = panel.page.locator("details[data-key=pause]")
    await menu.locator("summary").click()
    await expect(menu.locator("button[data-do=pause-for]")).to_have_text(["Lunch", "Büro <b>"])
    await expect(panel.page.get_by_label("Another reason")).to_have_count(0)
    await panel.button("Büro <b>").click()
    await expect(panel.state).to_contain_text("On a break: Büro <b>")
    await menu.locator("summary").click()
    await panel.button("Lunch").click()
    await expect(panel.state).to_contain_text("On a break: Lunch")
    assert panel.console_errors == []


async def test_a_break_after_the_call_is_shown_and_taken_back(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await panel.page.locator("details[data-key=pause] summary").click()
    await panel.button("Lunch").click()
    await expect(panel.page.locator("#break-next")).to_have_text("Break after this call Lunch")
    await panel.button("No break").click()
    await expect(panel.page.locator("#break-next")).to_have_count(0)
    await expect(panel.state).to_contain_text("Talking")
    assert office.office.views[ME].paused is False


# --- after-call work -----------------------------------------------------------------------------


async def test_after_call_work(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    in_acw(office, 600, "end_acw")
    await expect(panel.state).to_contain_text("After-call work")
    left = panel.page.locator("#acw-left")
    await expect(left).to_have_text(re.compile(r"\d:\d\d"))
    until = office.office.views[ME].acw_until or 0
    await panel.button("+30 s").click()
    await expect(left).to_have_attribute("datetime", iso_time(until + 30))
    await panel.button("Ready now").click()
    await expect(panel.state).to_contain_text("Available")
    await expect(left).to_have_count(0)
    assert panel.console_errors == []


async def test_what_cannot_be_is_not_offered(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    in_acw(office)
    await expect(panel.page.locator("#acw-left")).to_be_visible()
    await expect(panel.button("Ready now")).to_have_count(0)
    becomes(office, work_actions=("pause",))
    await expect(panel.button("+30 s")).to_have_count(0)


async def test_a_refusal_is_beside_the_button(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    in_acw(office, 90, "end_acw")
    button = panel.button("Ready now")
    await expect(button).to_be_visible()
    # The rights change before the page hears of it.
    office.office.views[ME] = replace(office.office.views[ME], work_actions=())
    await button.click()
    await expect(panel.page.locator(".own").get_by_role("alert")).to_contain_text("configuration")


# --- groups --------------------------------------------------------------------------------------


async def test_who_waits_and_log_in(office: OpenOffice, open_panel: OpenPanel) -> None:
    office.office.group_views = {
        "sales": GroupView("sales", "Sales", 3, 2, 1, 2, time.time() - 75),
        "support": GroupView("support", "Support", 1, 1, 0, 4, time.time() - 5),
    }
    office.office.views[ME] = replace(
        office.office.views[ME],
        groups=("sales", "support"),
        memberships=(
            MembershipView(
                "sales", member=True, dynamic=False, actions=(), logged_in=True, ready=True,
                available=True,
            ),
            MembershipView("support", member=False, dynamic=True, actions=("login",)),
        ),
    )  # fmt: skip
    panel = await open_panel(office.url)
    summary = panel.page.locator("#waiting")
    await expect(summary).to_contain_text("2 callers wait")
    await expect(summary.locator("time")).to_have_text(re.compile(r"\d:\d\d"))
    await summary.click()
    own = panel.page.locator("[data-key=own-sales]")
    await expect(own).to_contain_text("2 of 5 free")
    await expect(own.get_by_role("button")).to_have_count(0)
    await panel.button("Log in to Support").click()
    await expect(panel.button("Log out of Support")).to_be_visible()
    await expect(summary).to_contain_text("6 callers wait")
    office.office.group_changed(GroupView("support", "Support", 1, 1, 0, 0, None))
    await expect(summary).to_contain_text("2 callers wait")
    await panel.button("Log out of Support").click()
    await expect(panel.button("Log in to Support")).to_be_visible()
    assert panel.console_errors == []


# --- alerts --------------------------------------------------------------------------------------


async def test_alerts_are_off_until_switched_on(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    becomes(office, state=AgentState.RINGING)
    await expect(panel.page.locator("body")).to_have_attribute("data-alert", "rings")
    assert "rings" not in await panel.page.title()
    icon = panel.page.locator("link[rel=icon]")
    await expect(icon).to_have_attribute("href", "/panel/icon.svg")
    assert await panel.page.evaluate("document.body.dataset.played || ''") == ""


async def test_an_alert_begins_and_ends_with_its_cause(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await panel.alert_by("Title", "Icon", "Sound")
    becomes(office, state=AgentState.RINGING)
    icon, body = panel.page.locator("link[rel=icon]"), panel.page.locator("body")
    await expect(icon).to_have_attribute("href", "/panel/icon-alert.svg")
    await expect(panel.page).to_have_title(title_with("Your phone rings"))
    await expect(body).to_have_attribute("data-played", re.compile("^rings"))
    becomes(office, state=AgentState.AVAILABLE)  # a colleague took it
    await expect(icon).to_have_attribute("href", "/panel/icon.svg")
    await expect(body).to_have_attribute("data-alert", "")
    assert "rings" not in await panel.page.title()
    becomes(office, waiting_transfer=True)
    await expect(panel.page).to_have_title(title_with("transferred call waits"))
    becomes(office, waiting_transfer=False)
    await expect(body).to_have_attribute("data-alert", "")
    assert panel.console_errors == []


async def test_the_choice_is_remembered_for_each_agent(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    await panel.alert_by("Title")
    await panel.page.reload()
    await panel.live()
    becomes(office, state=AgentState.RINGING)
    await expect(panel.page).to_have_title(title_with("Your phone rings"))
    becomes(office, state=AgentState.AVAILABLE)
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.page.locator("button[data-do=sign-out]").click()
    await expect(panel.page.get_by_label("PIN")).to_be_visible()
    await expect(panel.page.get_by_text("signed out")).to_be_visible()
    await panel.sign_in("1002")
    await panel.page.locator("details[data-key=account] summary").click()
    await expect(panel.page.get_by_label("Title")).not_to_be_checked()


async def test_a_notification_while_the_page_is_hidden(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, permissions=["notifications"])
    # A browser that is driven is never hidden: say so, and keep what is shown.
    await panel.page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", {get: () => true});
          const Real = window.Notification;
          window.notes = [];
          window.Notification = class extends Real {
            constructor(title, options) {
              super(title, options);
              window.notes.push(title);
              this.kept = title;
            }
            close() {
              window.notes = window.notes.filter((one) => one !== this.kept);
              super.close();
            }
          };
        }"""
    )
    await panel.alert_by("Notification")
    becomes(office, state=AgentState.RINGING)
    await panel.page.wait_for_function("() => window.notes.length === 1")
    assert await panel.page.evaluate("window.notes") == ["Your phone rings"]
    becomes(office, state=AgentState.AVAILABLE)
    await panel.page.wait_for_function("() => window.notes.length === 0")


# --- leaving -------------------------------------------------------------------------------------


async def test_closing_during_a_call_asks(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    office.office.call_arrives()
    await expect(panel.state).to_contain_text("Talking")
    await panel.page.locator("body").click()  # a page that nobody touched closes without asking
    asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def answer(dialog: Dialog) -> None:
        asked.set_result(dialog.type)
        await dialog.accept()

    panel.page.once("dialog", answer)
    await panel.page.close(run_before_unload=True)
    assert await asyncio.wait_for(asked, 10) == "beforeunload"


async def test_at_sign_out_it_says_that_the_phone_goes_on(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    account = panel.page.locator("details[data-key=account]")
    await account.locator("summary").click()
    await expect(account.locator(".leaving")).to_contain_text("Your phone still gets calls")
    office.office.call_arrives()
    await expect(account.locator(".leaving")).to_contain_text("Your call goes on")
    becomes(office, state=AgentState.NOT_READY, call=None, calls=(), paused=True)
    await expect(account.locator(".leaving")).to_have_count(0)
