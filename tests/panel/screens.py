"""Take pictures of the panel in every state, at several widths, light and dark.

``python -m tests.panel.screens FOLDER [--only TEXT] [--sets states,languages,…]``
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.panel import surroundings
from tests.panel.agent_page import AgentPage
from tests.panel.browser import chromium
from tests.panel.crowd import crowded_office
from tests.panel.office import ME, OpenOffice, open_office
from tests.panel.walk import SETTLED, walk

States = Callable[[OpenOffice, AgentPage], AsyncIterator[str]]
Look = Literal["light", "dark"]

LAPTOP: ViewportSize = {"width": 1366, "height": 768}
PHONE: ViewportSize = {"width": 360, "height": 740}
SIZES: Sequence[ViewportSize] = (
    LAPTOP,
    {"width": 768, "height": 1024},
    {"width": 390, "height": 844},
    PHONE,
)
ENLARGED: ViewportSize = {"width": 683, "height": 384}
"""A laptop's page at 200 %."""
MAIN = re.compile(
    r"^(not signed in|menu 0|menu 1|call|target chosen|refused at the row|consult rings"
    r"|consult talks|consult with a fourth party|conference|four together|two calls, the other one"
    r"|two transfers wait|caller \w+|pause after the call|on a break|consulted|the groups' menu"
    r"|a transferred call is coming|shortcuts|no server)$"
)
"""The states whose words matter most, for the other languages."""

# A field that is typed in is what there is to be seen; otherwise the page's beginning.
SHOW = """() => {
    const field = document.activeElement;
    if (field && field.matches("input, textarea")) field.scrollIntoView({ block: "nearest" });
    else window.scrollTo(0, 0);
}"""


@dataclass
class Camera:
    """How pictures are taken, and how many there are."""

    folder: Path
    only: str = ""
    sizes: Sequence[ViewportSize] = SIZES
    looks: Sequence[Look] = ("light", "dark")
    prefix: str = ""
    taken: list[str] = field(default_factory=list)
    pictures: int = 0

    def wants(self, name: str) -> bool:
        return self.only in name

    async def take(self, page: Page, name: str) -> None:
        label = f"{self.prefix}{len(self.taken):02} {name}"
        plain = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        self.taken.append(name)
        await page.mouse.move(0, 0)
        for look in self.looks:
            await page.emulate_media(color_scheme=look)
            for size in self.sizes:
                await page.set_viewport_size(size)
                for frame in page.frames:
                    await frame.evaluate(SETTLED)
                    await frame.evaluate(SHOW)
                path = self.folder / f"{plain}-{size['width']}-{look}.png"
                await page.screenshot(path=path, animations="disabled")
                self.pictures += 1
        await page.set_viewport_size(self.sizes[0])


async def crowd(office: OpenOffice, panel: AgentPage) -> AsyncIterator[str]:
    """300 agents and 60 groups."""
    await panel.sign_in(ME)
    office.office.call_arrives()
    await expect(panel.page.locator("#search")).to_be_visible()
    yield "300 agents and 60 groups"
    for typed in ("jurgen", "group 1", "+1 202 555 0100"):
        await panel.page.locator("#search").fill(typed)
        await panel.page.locator("#search-verdict").wait_for()
        yield f"300 agents, search {typed}"


async def photograph(
    browser: Browser, office: OpenOffice, camera: Camera, states: States, **options: Any
) -> None:
    """Take a new page through the states. ``main`` in the options: only those of `MAIN`."""
    main = options.pop("main", False)
    wanted = {"viewport": camera.sizes[0], "locale": "en-GB", "reduced_motion": "reduce"} | options
    context = await browser.new_context(**wanted)
    panel = AgentPage(await context.new_page(), office.url)
    await panel.open()
    async for name in states(office, panel):
        if camera.wants(name) and (not main or MAIN.match(name)):
            await camera.take(panel.page, name)
    await context.close()


# --- sets of pictures ----------------------------------------------------------------------------


async def in_states(browser: Browser, camera: Camera) -> None:
    """Every state."""
    async with open_office() as office:
        await photograph(browser, office, camera, walk)


async def in_a_crowd(browser: Browser, camera: Camera) -> None:
    """300 agents and 60 groups."""
    async with crowded_office() as office:
        await photograph(browser, office, camera, crowd)


async def in_languages(browser: Browser, camera: Camera) -> None:
    """The main states in the other languages."""
    camera.sizes, camera.looks = (LAPTOP, PHONE), ("light",)
    for language in ("de", "fr", "es"):
        camera.prefix = f"{language} "
        async with open_office() as office:
            await photograph(browser, office, camera, walk, locale=language, main=True)


async def enlarged(browser: Browser, camera: Camera) -> None:
    """Every state at 200 %."""
    camera.sizes, camera.looks = (ENLARGED,), ("light",)
    async with open_office() as office:
        await photograph(browser, office, camera, walk, device_scale_factor=2)


async def with_forced_colors(browser: Browser, camera: Camera) -> None:
    """The main states in the colours of the operating system, for who needs high contrast."""
    camera.sizes, camera.looks = (LAPTOP, SIZES[2]), ("dark",)
    async with open_office() as office:
        await photograph(browser, office, camera, walk, main=True, forced_colors="active")


async def with_other_names(browser: Browser, camera: Camera) -> None:
    """The main states with names and notes that are written from right to left."""
    camera.sizes, camera.looks = (LAPTOP, PHONE), ("light",)
    async with open_office() as office:
        surroundings.rename(office.office)
        await photograph(browser, office, camera, surroundings.with_names, main=True)


async def in_a_frame(browser: Browser, camera: Camera) -> None:
    """The panel in a CRM's page, in a narrow frame and in a low one."""
    camera.looks = ("light", "dark")
    for width, height in ((360, 740), (400, 600)):
        camera.prefix = f"frame {width} "
        camera.sizes = ({"width": width + 40, "height": height + 130},)
        async for page, name in surroundings.framed(browser, width, height):
            if camera.wants(name):
                await camera.take(page, name)


async def signed_on(browser: Browser, camera: Camera) -> None:
    """Single sign-on: who is no agent, and who has signed out of the panel."""
    camera.sizes = (LAPTOP, PHONE)
    async for page, name in surroundings.signed_on(browser):
        if camera.wants(name):
            await camera.take(page, name)


SETS: dict[str, Callable[[Browser, Camera], Awaitable[None]]] = {
    "states": in_states,
    "crowd": in_a_crowd,
    "languages": in_languages,
    "enlarged": enlarged,
    "forced": with_forced_colors,
    "names": with_other_names,
    "frame": in_a_frame,
    "single-sign-on": signed_on,
}


async def take(folder: Path, sets: Sequence[str], only: str) -> int:
    """Take the pictures of these sets, each in a folder of its own; return how many."""
    pictures = 0
    async with chromium() as browser:
        for name in sets:
            (folder / name).mkdir(parents=True, exist_ok=True)
            camera = Camera(folder / name, only)
            await SETS[name](browser, camera)
            print(f"{name}: {len(camera.taken)} states, {camera.pictures} pictures", flush=True)
            pictures += camera.pictures
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="states whose name contains this")
    parser.add_argument("--sets", default=",".join(SETS), help="some of these, with commas")
    given = parser.parse_args()
    pictures = asyncio.run(take(given.folder, given.sets.split(","), given.only))
    print(f"{pictures} pictures in {given.folder}")


if __name__ == "__main__":
    main()
