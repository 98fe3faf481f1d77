"""On a phone's width, a finger hits every control: at least 44 by 44 pixels (WCAG 2.5.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from asterisk_avp.api import languages
from tests.panel.agent_page import AgentPage
from tests.panel.office import EVERYTHING, OpenOffice, open_office
from tests.panel.test_reading import CLIPPED
from tests.panel.walk import walk

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

SMALL = """() => {
    const MIN = 44;
    const shown = (element) => element.checkVisibility({ visibilityProperty: true })
        && element.getClientRects().length > 0 && !element.closest(".unseen");
    const size = (element) => {
        const box = element.getBoundingClientRect();
        return [box.width, box.height];
    };
    const found = [];
    for (const element of document.querySelectorAll(
        "button, summary, a[href], input, select, textarea, [role=button]")) {
        if (!shown(element)) continue;
        // A link inside a sentence is as high as its line (2.5.5, exception Inline).
        if (element.matches(".pop a, p > a:not(.button)")) continue;
        // The label is hit with its box or circle; the row with the target's.
        const label = element.matches("[type=radio], [type=checkbox]") && element.closest("label");
        const row = element.matches(".row input") && element.closest(".row");
        const [width, height] = size(row || label || element);
        if (width < MIN - 0.5 || height < MIN - 0.5) {
            const name = element.getAttribute("aria-label") || element.textContent || element.value;
            found.push(`${element.tagName}.${element.className} ${name.trim().slice(0, 30)}: `
                + `${Math.round(width)} x ${Math.round(height)}`);
        }
    }
    return [...new Set(found)];
}"""


@pytest.mark.parametrize("width", [360, pytest.param(560, marks=pytest.mark.thorough)])
async def test_every_control_is_large_enough_for_a_finger(
    office: OpenOffice, open_panel: OpenPanel, width: int
) -> None:
    panel = await open_panel(
        office.url, None, viewport={"width": width, "height": 740}, has_touch=True
    )
    found: dict[str, list[str]] = {}
    async for name in walk(office, panel):
        if small := await panel.page.evaluate(SMALL):
            found[name] = small
    assert found == {}


async def test_a_small_control_is_found(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None, viewport={"width": 360, "height": 740})
    assert await panel.page.evaluate(SMALL) == []
    await panel.page.evaluate(
        """() => {
            const button = document.querySelector("button");
            button.style.minHeight = button.style.height = "30px";
            button.style.padding = "0";
        }"""
    )
    (small,) = await panel.page.evaluate(SMALL)
    assert small.endswith("x 30")


@pytest.mark.parametrize("without", ["manual_dial", "presets", "unsupervised_transfer"])
@pytest.mark.parametrize(
    "language",
    [  # German has the longest words
        pytest.param(one, marks=() if one == "de" else pytest.mark.thorough)
        for one in languages.catalogues()
    ],
)
@pytest.mark.thorough
async def test_hints_fit_into_their_fields_whatever_is_switched_off(
    open_panel: OpenPanel, language: str, without: str
) -> None:
    """The search asks for other things then, in other words."""
    permissions = [name for name in EVERYTHING if name != without]
    async with open_office(permissions) as office:
        panel = await open_panel(
            office.url, "1001", locale=language, viewport={"width": 360, "height": 740}
        )
        office.office.call_arrives()
        await expect(panel.page.locator("#note")).to_be_visible()
        assert await panel.page.evaluate(CLIPPED) == []
        field = panel.page.locator("#search")
        assert await field.evaluate("field => field.scrollWidth <= field.clientWidth")
