"""The form for signing in that comes with the page, before the page's script has arrived."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from tests.panel.conftest import OpenPanel
from tests.panel.office import OpenOffice

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

FORM = """() => {
    const form = document.querySelector("main.signin").cloneNode(true);
    for (const one of form.querySelectorAll("[autofocus], [disabled]")) {
        one.removeAttribute("autofocus");
        one.removeAttribute("disabled");
    }
    const shown = (node) => node.nodeType === Node.TEXT_NODE ? node.data : [
        node.nodeName,
        Object.fromEntries([...node.attributes].map(({ name, value }) => [name, value])),
        [...node.childNodes].map(shown),
    ];
    return shown(form);
}"""


async def typed(page: Page) -> tuple[str, str]:
    return await page.locator("#extension").input_value(), await page.locator("#pin").input_value()


@pytest.mark.parametrize("sent", ["early", "late"])
async def test_it_can_be_filled_in_before_the_script_is_there(
    office: OpenOffice, open_panel: OpenPanel, sent: str
) -> None:
    panel = await open_panel(office.url, None)
    page, arrives = panel.page, asyncio.Event()

    async def late(route: Route) -> None:
        await arrives.wait()
        await route.continue_()

    await page.route("**/*.bundle.js", late)
    await page.goto(office.url, wait_until="commit")
    await expect(page.locator("#extension")).to_be_focused()
    button = page.get_by_role("button", name="Sign in")
    await expect(button).to_be_enabled()
    await page.keyboard.type("1001")
    await page.keyboard.press("Tab")
    await page.keyboard.type("pin-1001" if sent == "early" else "pin-")
    before = await page.evaluate(FORM)
    if sent == "early":
        await page.keyboard.press("Enter")
    arrives.set()
    if sent == "late":
        await expect(page.locator("body")).to_have_attribute("data-live", "false")
        assert await page.evaluate(FORM) == before, "index.html and session.js have another form"
        assert await typed(page) == ("1001", "pin-")
        await expect(page.locator("#pin")).to_be_focused()
        await page.keyboard.type("1001")
        await page.keyboard.press("Enter")
    await panel.live()
    await page.reload()
    await panel.live()
    assert panel.console_errors == []
