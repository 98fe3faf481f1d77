"""The panel in a CRM's page, behind a proxy that signs agents in, with names of other scripts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, FrameLocator, Page, expect

from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.core.model.world import (
    AgentState,
    CallerOutcome,
    Target,
    TargetKind,
    TransferState,
)
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.states import State
from tests.documentation import blocks
from tests.documentation import page as document
from tests.panel import scenes
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, FORMATTED, ME, POP, Office, OpenOffice, open_office
from tests.panel.tls import Proxy, certificate, site
from tests.panel.transfers import tell

CONTEXT: dict[str, Any] = {
    "ignore_https_errors": True, "locale": "en-GB", "reduced_motion": "reduce",
}  # fmt: skip
HEADER = "X-Forwarded-Preferred-Username"

NAMES = {
    "1001": "דנה לוי",
    "1002": "محمد عبد الرحمن الخطيب",
    "1003": "יעל כהן-אברהמי",
    "1004": "فاطمة الزهراء بن علي",
    "1007": "Ahmed أحمد Salem",
}
RIGHT_TO_LEFT: dict[str, Any] = POP | {
    "data": {
        "customer": "شركة النور للتجارة (فرع 2)",
        "account_number": "NW-20417",
        "delivery_address": "רחוב הרצל 12, תל אביב",
        "note": "ABC שלום 123",
    },
    "caller": {"number": CALLER, "number_formatted": FORMATTED, "name": "السيدة ليلى حداد"},
    "note": "الشحنة متأخرة يومين (NW-20417)",
    "transfers": [
        {
            "from": "1002", "from_name": NAMES["1002"], "at": "2026-01-31T09:05:07.250Z",
            "mode": "supervised", "note": "الشحنة متأخرة يومين (NW-20417)",
        }
    ],
}  # fmt: skip


def rename(office: Office) -> None:
    """Give the agents names that are written from right to left."""
    for agent, name in NAMES.items():
        office.views[agent] = replace(office.views[agent], name=name)


async def with_names(office: OpenOffice, panel: AgentPage) -> AsyncIterator[str]:
    """A call, a consultation, a conference and a lost caller, with such names."""
    await panel.sign_in(ME)
    office.office.call_arrives(RIGHT_TO_LEFT)
    await panel.page.locator("#pop").wait_for()
    yield "call"
    async for name in _transfers(office, panel.page, RIGHT_TO_LEFT["caller"]["name"]):
        yield name


async def _transfers(
    office: OpenOffice, where: Page | FrameLocator, caller: str
) -> AsyncIterator[str]:
    call = office.office.views[ME].call
    assert call is not None
    for name, state, fourth, title, parties in (
        ("consult talks", State.CONSULTING, None, "Consulting", 3),
        ("conference", State.CONFERENCE, None, "Conference", 3),
        ("four together", State.CONFERENCE, Presence.PRESENT, "Conference", 4),
    ):
        view = scenes.shown_transfer(state, fourth, caller_name=caller)
        tell(office, view)
        held = replace(call, on_hold=True, transfer=view)
        office.office.agent_changed(ME, state=AgentState.TALKING, call=held, calls=(held,))
        await expect(where.locator("#running-title")).to_contain_text(title)
        await expect(where.locator("#running .parties li")).to_have_count(parties)
        yield name
    lost = replace(
        view, id="lost", state=TransferState.FAILED, ended_reason="max_hold", actions=(),
        caller_outcome=CallerOutcome.DISCONNECTED, target=Target(TargetKind.AGENT, "1002"),
    )  # fmt: skip
    tell(office, replace(view, state=TransferState.CANCELLED, ended_reason="cancelled", actions=()))
    tell(office, lost)
    office.office.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call,))
    await where.locator("[data-key^=lost-]").wait_for()
    await where.locator("#running").wait_for(state="detached")
    yield "caller disconnected"


# --- in a CRM's page -----------------------------------------------------------------------------


async def framed(browser: Browser, width: int, height: int) -> AsyncIterator[tuple[Page, str]]:
    """The example of docs/embedding.md with a frame of that size; the names of its states."""
    found: dict[str, str] = {}
    example = blocks(document("docs/embedding.md"), "html")[0].text

    async def crm(_request: web.Request) -> web.StreamResponse:
        text = example.replace("https://panel.example", found["panel"])
        look = f"<style>#panel {{ width: {width}px; height: {height}px; }}</style>"
        return web.Response(text=f"<!doctype html>{look}{text}", content_type="text/html")

    with TemporaryDirectory() as folder:
        tls = certificate(Path(folder))
        async with site(crm, tls, "localhost") as crms:
            access = PanelAccess(frame_ancestors=(crms,))
            async with (
                open_office(access=access) as office,
                site(Proxy(office.url), tls, "127.0.0.1") as panel,
            ):
                found["panel"] = panel
                context = await browser.new_context(**CONTEXT)
                page = await context.new_page()
                await page.goto(crms)
                async for name in _in_frame(office, page.frame_locator("#panel")):
                    yield page, name
                await context.close()


async def _in_frame(office: OpenOffice, frame: FrameLocator) -> AsyncIterator[str]:
    await expect(frame.locator("#extension")).to_be_visible()
    yield "signing in"
    await frame.locator("#extension").fill(ME)
    await frame.locator("#pin").fill(f"pin-{ME}")
    await frame.locator("#pin").press("Enter")
    await expect(frame.locator("body")).to_have_attribute("data-live", "true")
    yield "no call"
    office.office.call_arrives()
    await frame.locator("#pop").wait_for()
    yield "call"
    await frame.locator("input[name=target][value='agent:1002']").check()
    await expect(frame.locator("#consult")).to_be_enabled()
    yield "target chosen"
    async for name in _transfers(office, frame, "Joan Sample"):
        yield name
    office.office.agent_changed(
        ME, state=AgentState.ACW, call=None, calls=(), acw_until=time.time() + 48,
        work_actions=("pause", "extend_acw", "end_acw"),
    )  # fmt: skip
    await frame.locator("#acw-left").wait_for()
    yield "after-call work"
    await frame.locator("details[data-key=account] summary").click()
    yield "menu"


# --- single sign-on ------------------------------------------------------------------------------


async def signed_on(browser: Browser) -> AsyncIterator[tuple[Page, str]]:
    """Behind a proxy that signs agents in."""
    access = PanelAccess(user_header=HEADER, sign_out_url="/oauth2/sign_out")
    with TemporaryDirectory() as folder:
        async with (
            open_office(access=access, users={ME: "alice"}) as office,
            site(Proxy(office.url, HEADER), certificate(Path(folder)), "127.0.0.1") as url,
        ):
            context = await browser.new_context(**CONTEXT)
            page = await context.new_page()
            await page.goto(f"{url}/oauth2/sign_in?user=mallory")
            await page.goto(url)
            await page.get_by_role("alert").wait_for()
            yield page, "no agent"
            await page.goto(f"{url}/oauth2/sign_in?user=alice")
            await page.goto(url)
            await expect(page.locator("body")).to_have_attribute("data-live", "true")
            await page.locator("details[data-key=account] summary").click()
            await page.locator("button[data-do=sign-out]").click()
            await page.locator("#proxy-sign-out").wait_for()
            yield page, "signed out of the panel"
            await context.close()
