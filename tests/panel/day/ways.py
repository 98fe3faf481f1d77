"""The ways to begin a transfer: by the page's keyboard, the phone's keypad and its button."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from playwright.async_api import expect

from tests.panel.day.desk import COLLEAGUES, Desk
from tests.panel.day.judge import ME

NUMBER: Final = "2025550100"

Way = Callable[[], Awaitable[None]]


@dataclass
class Ways:
    desk: Desk

    def any(self) -> tuple[str, Way]:
        """One of them, and its name."""
        ways: list[tuple[int, str, Way]] = [
            (5, "consult a colleague", self.consult_colleague),
            (2, "consult from the row", self.consult_row),
            (2, "consult a number", self.consult_number),
            (2, "consult a preset", self.consult_preset),
            (3, "transfer to a colleague", self.transfer_colleague),
            (2, "transfer to a group", self.transfer_group),
            (1, "*7", self.feature_code),
            (1, "the phone's button", self.button),
        ]
        _, name, way = self.desk.dice.choices(ways, [weight for weight, *_ in ways])[0]
        return name, way

    async def _find_colleague(self) -> None:
        await self.desk.find(COLLEAGUES[self.desk.colleague()])

    async def consult_colleague(self) -> None:
        await self._find_colleague()
        await self.desk.key("Enter")
        await self.begun()

    async def consult_row(self) -> None:
        """By the arrow keys, a note, and the shortcut."""
        await self._find_colleague()
        await self.desk.key("ArrowDown")
        await self.desk.key("Space")
        await self.desk.key("Alt+Shift+W")  # its star
        await self.desk.key("Alt+Shift+J")
        await self.desk.focused("#note")
        await self.desk.page.page.keyboard.type("Order 88")
        await self.desk.key("Escape")
        await self.desk.key("Alt+Shift+L")
        await self.begun()

    async def consult_number(self) -> None:
        await self.desk.find(NUMBER)
        await self.desk.key("Enter")
        await self.begun()

    async def consult_preset(self) -> None:
        await self.desk.find("billing")
        await self.desk.key("Enter")
        await self.begun()

    async def begun(self) -> None:
        await expect(self.desk.page.running).to_be_visible()

    async def transfer_colleague(self) -> None:
        await self._find_colleague()
        await self.desk.key("Alt+Enter")
        await expect(self.desk.page.page.locator("#search:placeholder-shown")).to_have_count(1)

    async def transfer_group(self) -> None:
        await self.desk.find("support")
        await self.desk.key("Alt+Enter")
        await expect(self.desk.page.page.locator("#search:placeholder-shown")).to_have_count(1)

    async def feature_code(self) -> None:
        for _ in range(2):  # on a busy machine a key may come too late
            await self.desk.scene.press(ME, "*7")
            with suppress(AssertionError):
                await expect(self.desk.page.running).to_be_visible()
                break
        await self.desk.judge.agree()
        await self.desk.scene.phone(ME).hears({"speech"}, within=10, steady=0.1)
        await self.desk.scene.press(ME, f"{self.desk.colleague()}#")

    async def button(self) -> None:
        await self.desk.scene.phone(ME).transfer(self.desk.colleague())
