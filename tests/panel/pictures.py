"""Make the documentation's pictures of the panel: the real page with a simulated office."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from playwright.async_api import Page, expect

from asterisk_avp.core.model.world import AgentState, PartyView, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.browser import chromium
from tests.panel.office import CALLER, ME, OpenOffice, open_office

FOLDER = Path(__file__).with_name("pictures")
NOTE = "Her delivery is two days late; she has the tracking number."


async def take(page: Page, name: str) -> None:
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.blur()")
    await page.screenshot(path=FOLDER / f"{name}.png")


async def pictures(office: OpenOffice, panel: AgentPage) -> None:
    office.office.past("p2", "1004", 4000, TransferState.FAILED, "no_answer", caller="+12125550119")
    office.office.past("p1", "1002", 1200, TransferState.COMPLETED, "completed",
                       caller="+12025550188")  # fmt: skip
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    await panel.choose("agent", "1002")
    await panel.page.get_by_label("Note to the target").fill(NOTE)
    await take(panel.page, "call")
    await panel.button("Consult").click()
    office.office.agent_changed("1002", state=AgentState.TALKING, since=time.time() - 14)
    office.office.becomes(
        TransferState.CONSULTING,
        parties=(
            PartyView(ME, "transferor", "Alice Morgan", "talking"),
            PartyView("caller", "caller", CALLER, "holding"),
            PartyView("1002", "target", "1002", "talking"),
        ),
    )
    call = office.office.views[ME].call
    assert call is not None
    moved = replace(call, on_hold=True, transfer=office.office.known["t1"])
    office.office.agent_changed(ME, call=moved, calls=(moved,), since=time.time() - 71)
    await panel.party("You", "hear Bob Hartley")
    await expect(panel.call).to_contain_text("Being transferred")
    await take(panel.page, "consult")


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with chromium() as browser, open_office() as office:
        view = {"width": 1280, "height": 820}
        context = await browser.new_context(viewport=view, color_scheme="light", locale="en-GB")
        panel = AgentPage(await context.new_page(), office.url)
        await panel.open()
        await panel.sign_in(ME)
        await pictures(office, panel)


if __name__ == "__main__":
    asyncio.run(main())
