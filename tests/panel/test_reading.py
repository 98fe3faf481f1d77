"""What must hold in every state of the page: accessible, readable, in words of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from playwright.async_api import expect

from asterisk_avp.api import languages
from asterisk_avp.api import panel as panel_files
from tests.panel.agent_page import AgentPage
from tests.panel.layout import FAULTS
from tests.panel.office import GROUPS, PEOPLE, POP, OpenOffice, open_office
from tests.panel.scenes import WRITTEN
from tests.panel.walk import SETTLED, walk

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

LAPTOP = {"width": 1366, "height": 768}
ENLARGED = {"width": 683, "height": 384}
"""A laptop's page at 200 %."""
PHONE = {"width": 360, "height": 740}


# --- accessibility --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "size"),
    [
        ("light", ENLARGED),
        pytest.param("light", LAPTOP, marks=pytest.mark.thorough),
        pytest.param("dark", LAPTOP, marks=pytest.mark.thorough),
    ],
)
async def test_accessible_in_every_state_and_at_200_per_cent(
    office: OpenOffice, open_panel: OpenPanel, look: str, size: dict[str, int]
) -> None:
    """Dark differs in colours alone, which are the same at 200 %. `test_page_for_all` has more."""
    panel = await open_panel(
        office.url, None, color_scheme=look, viewport=size, reduced_motion="reduce"
    )
    found: dict[str, list[dict[str, Any]]] = {}
    async for name in walk(office, panel):
        if violations := await panel.inaccessible():
            found[name] = violations
    assert found == {}
    assert panel.console_errors == []


MOVING = """() => [...document.querySelectorAll("*")].flatMap((element) =>
    [null, "::before", "::after"].flatMap((pseudo) => {
        const style = getComputedStyle(element, pseudo);
        const lasts = (text) => text.split(",").some((one) => parseFloat(one) > 0);
        const moves = (lasts(style.transitionDuration) && style.transitionProperty !== "none")
            || (style.animationName !== "none" && lasts(style.animationDuration))
            || style.scrollBehavior === "smooth";
        return moves ? [`${element.tagName}.${element.className} ${pseudo || ""}`] : [];
    }))"""


async def test_nothing_moves_for_who_wants_less_motion(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    calm = await open_panel(office.url, "1001", reduced_motion="reduce")
    office.office.call_arrives()
    await expect(calm.call).to_contain_text("Connected")
    assert await calm.page.evaluate(MOVING) == []
    other = await open_panel(office.url, None)
    assert await other.page.evaluate(MOVING) != [], "what the rule is for"


@pytest.mark.thorough
async def test_nothing_moves_in_any_state(office: OpenOffice, open_panel: OpenPanel) -> None:
    calm = await open_panel(office.url, None, reduced_motion="reduce")
    assert await calm.page.evaluate(MOVING) == []
    async for name in walk(office, calm):
        assert await calm.page.evaluate(MOVING) == [], name
        assert await calm.page.evaluate("document.getAnimations().length") == 0, name


# --- text that does not fit -----------------------------------------------------------------------

CLIPPED = """() => {
    const shown = (element) => element.checkVisibility({ visibilityProperty: true })
        && element.getBoundingClientRect().width > 1 && element.getBoundingClientRect().height > 1
        && !element.closest(".unseen") && getComputedStyle(element).clipPath === "none";
    const says = (element) => [...element.childNodes].some(
        (node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    // Words that go on in the next line, because they are longer than a line.
    const broken = (element) => {
        const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        const parts = [];
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            for (const { 0: word, index } of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
                const range = document.createRange();
                range.setStart(node, index);
                range.setEnd(node, index + word.length);
                const tops = [...range.getClientRects()].map((box) => Math.round(box.top));
                if (new Set(tops).size > 1) parts.push(`broken: ${word}`);
            }
        }
        return parts;
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        if (!shown(element)) continue;
        const control = element.matches("button, summary, label, a, select");
        // A name of somebody's may be cut with an ellipsis; the page's own words may not.
        const cut = getComputedStyle(element).overflowX !== "visible"
            && !element.matches(".whole, input, textarea");
        if ((control || (says(element) && cut)) && element.scrollWidth > element.clientWidth + 1
            && element.clientWidth > 0) {
            found.push(`${element.tagName}.${element.className}: ${element.textContent}`);
        }
        // An address in the screen pop is as long as it is.
        const address = element.matches(".pop a");
        if (control && !address && !element.querySelector("input")) found.push(...broken(element));
    }
    for (const field of document.querySelectorAll("input[placeholder], textarea[placeholder]")) {
        if (!shown(field) || field.value) continue;
        const style = getComputedStyle(field);
        const pen = document.createElement("canvas").getContext("2d");
        pen.font = style.font;
        const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
        const room = field.clientWidth - padding;
        const oneLine = field.tagName === "INPUT" || field.clientHeight < 60;
        if (oneLine && pen.measureText(field.placeholder).width > room + 1) {
            found.push(`placeholder: ${field.placeholder}`);
        }
    }
    for (const name of document.querySelectorAll(".name")) {
        // The name of a target may be shortened, but has to tell who it is.
        if (shown(name) && name.clientWidth < Math.min(name.scrollWidth, 64)) {
            found.push(`squeezed: ${name.textContent}`);
        }
    }
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) found.push("the page scrolls sideways");
    return [...new Set(found)];
}"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    "language",
    [  # German has the longest words
        pytest.param(one, marks=() if one == "de" else pytest.mark.thorough)
        for one in languages.catalogues()
    ],
)
async def test_no_text_is_cut_in_any_language(
    office: OpenOffice, open_panel: OpenPanel, language: str
) -> None:
    panel = await open_panel(office.url, None, locale=language, viewport=LAPTOP)
    assert await panel.page.evaluate("document.documentElement.lang") == language
    found: dict[str, list[str]] = {}
    async for name in walk(office, panel):
        for size in (LAPTOP, PHONE):
            await panel.page.set_viewport_size(size)
            await panel.page.evaluate(SETTLED)
            cut = await panel.page.evaluate(CLIPPED)
            if faults := [*cut, *await panel.page.evaluate(FAULTS)]:
                found[f"{name} {size['width']}"] = faults
    assert found == {}
    assert panel.console_errors == []


async def test_cut_text_is_found(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None, viewport=PHONE)
    assert await panel.page.evaluate(CLIPPED) == []
    await panel.page.evaluate(
        """() => {
            const button = document.querySelector("button");
            button.textContent = "Unbreakable".repeat(9);
            button.style.overflowWrap = "anywhere";
            const label = document.querySelector("label");
            label.textContent = "Unbreakable".repeat(9);
            label.style.width = "90px";
            label.style.display = "block";
            document.getElementById("extension").placeholder = "Far too long a hint ".repeat(9);
        }"""
    )
    cut = await panel.page.evaluate(CLIPPED)
    assert any("broken: Unbreakable" in one for one in cut)
    assert any("LABEL" in one for one in cut)
    assert any("placeholder" in one for one in cut)


# --- words of the catalogue -----------------------------------------------------------------------

SHOWN = """() => {
    const found = new Set();
    const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!node.parentElement.closest("script, style, noscript, .avatar")) found.add(node.data);
    }
    const names = ["title", "alt", "placeholder", "aria-label", "aria-description",
        "aria-roledescription", "aria-valuetext"];
    for (const element of document.querySelectorAll("*")) {
        for (const name of names) {
            if (element.hasAttribute(name)) found.add(element.getAttribute(name));
        }
    }
    return [...found];
}"""
CIRCLED = {ord("A") + n: chr(0x24B6 + n) for n in range(26)} | {
    ord("a") + n: chr(0x24D0 + n) for n in range(26)
}
OF_INTL = ("et",)
ON_KEYS = ("Alt", "Shift")
"""What Intl joins names with."""


def circled(text: str) -> str:
    """The text with other letters, so that it is recognised; placeholders stay as they are."""
    pieces = re.split(r"(\{\w+\})", text)
    return "".join(piece if n % 2 else piece.translate(CIRCLED) for n, piece in enumerate(pieces))


def data() -> Iterator[str]:
    """Everything in the office that people wrote, the longest first."""
    found = [name for _, name, _, _, _ in PEOPLE] + [*GROUPS.values(), *GROUPS]
    found += [str(value) for value in POP["data"].values()]
    found += [key.replace("_", " ").capitalize() for key in POP["data"]]
    found += [POP["caller"]["name"], "Warehouse, Newark", "Courier hotline", "Two days late"]
    found += [*WRITTEN, *OF_INTL, *ON_KEYS]
    # The page keeps the last word of a value together with its button.
    found += [
        word for value in (*WRITTEN, *POP["data"].values()) for word in re.findall(r"\w+", value)
    ]
    yield from sorted(found, key=len, reverse=True)


async def test_every_word_on_the_page_is_of_the_catalogue(
    open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that no reader of the source can follow to where they are shown."""
    known = dict(languages.catalogues())
    known["fr"] = {key: circled(text) for key, text in known["en"].items()}
    for module in (languages, panel_files):
        monkeypatch.setattr(module, "catalogues", lambda: known)
    without_caches(panel_files)
    try:
        own = await words_of_its_own(open_panel)
    finally:
        without_caches(panel_files)
    assert own == {}


def without_caches(module: object) -> None:
    """Forget what a module has made of the catalogues."""
    for value in vars(module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


async def words_of_its_own(open_panel: OpenPanel) -> dict[str, set[str]]:
    own: dict[str, set[str]] = {}
    async with open_office() as office:
        panel = await open_panel(office.url, None, locale="fr-FR")
        async for name in walk(office, panel):
            for text in await panel.page.evaluate(SHOWN):
                rest = text
                for written in data():
                    rest = re.sub(rf"\b{re.escape(written)}\b", "", rest)
                if re.search("[A-Za-zÀ-ÿ]{2}", rest):
                    own.setdefault(text, set()).add(name)
    return own
