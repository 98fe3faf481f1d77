"""The calls of the day, from the ringing to the after-call work."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from bed import Bed
from playwright.async_api import Browser, CDPSession, expect

from tests.asterisk.conftest import open_scene
from tests.panel.agent_page import AgentPage
from tests.panel.day import heap
from tests.panel.day.desk import Desk
from tests.panel.day.in_hand import InHand
from tests.panel.day.judge import FINAL, ME, Judge
from tests.panel.day.ways import Ways

RELOADS: Final = 0.25
"""The page is reloaded only in this part of the day: later, a reload would hide growth."""
WARM_UP: Final = 0.6
"""The memory is judged after this part of the day, and after `FULL` calls."""
LEAST: Final = 3
"""Measurements for a verdict."""
FULL: Final = 100
"""Until then the page fills what is bounded: the latest hundred transfers, recent targets."""


class OverAlready(Exception):
    """The call has ended, or gone to somebody else: nothing more to do with it."""


@dataclass
class Day:
    desk: Desk
    cdp: CDPSession
    calls: int
    growth: list[heap.Growth] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ways = Ways(self.desk)
        self.in_hand = InHand(self.desk)

    async def work(self, every: int) -> None:
        """All calls; measure the memory after ``every`` few of them."""
        print(heap.HEAD)
        for number in range(self.calls):
            await self.call(number)
            if (number + 1) % every == 0:
                self.growth.append(await heap.at_rest(self.cdp, number + 1))
                print(self.growth[-1].row(), flush=True)
        assert self.desk.page.console_errors == [], self.desk.page.console_errors

    def verdict(self) -> heap.Verdict | None:
        """None: the day was too short to tell."""
        warm_up = max(self.calls * WARM_UP, FULL)
        if sum(one.calls >= warm_up for one in self.growth) < LEAST:
            return None
        return heap.verdict(self.growth, warm_up)

    def reloads(self, number: int) -> bool:
        return number < self.calls * RELOADS

    async def call(self, number: int) -> None:
        desk = self.desk
        desk.steps.clear()
        await desk.scene.everybody_free()
        await desk.judge.agree()
        if desk.dice.random() < 0.15:
            await self.a_break()
        if desk.dice.random() < 0.1:
            await self.log_out_and_in()
        if desk.dice.random() < 0.1 and self.reloads(number):
            await desk.do("reload", desk.reload)
        with suppress(OverAlready):
            await self.arrives()
            for _ in range(3):
                await self.one_transfer(number)
        await self.end()

    async def one_transfer(self, number: int) -> None:
        """Alice has the caller; one transfer, however it ends. Raises `OverAlready`."""
        desk = self.desk
        if self.reloads(number) and desk.dice.random() < 0.1:
            await desk.do("reload in a call", desk.reload)
        await desk.do(*self.ways.any())
        if await desk.settled() is None:
            await self.handed_over()
            raise OverAlready
        await self.in_hand.until_over(reloads=self.reloads(number))
        if (await desk.me())["call"] is None:
            raise OverAlready

    async def arrives(self) -> None:
        scene = self.desk.scene
        await scene.phone("caller1").dial("800")
        await scene.phone(ME).ringing()
        await self.desk.judge.agree()
        if self.desk.dice.random() < 0.1:
            await self.desk.do("decline", lambda: scene.phone(ME).hangup())
            await scene.phone(await self.desk.rings("1002", "1005", ME)).answer()
            await self.desk.judge.agree()
            raise OverAlready
        await scene.phone(ME).answer()
        await scene.talking("caller1", ME)
        await self.desk.judge.agree()

    async def a_break(self) -> None:
        async def pause() -> None:
            await self.desk.key("Alt+Shift+P")
            await self.desk.focused("details[data-key=pause] button")
            await self.desk.key("Enter")  # the first reason
            await self.desk.scene.agent_is(ME, "not_ready")

        async def ready() -> None:
            await self.desk.key("Alt+Shift+R")
            await self.desk.scene.agent_is(ME, "available")

        await self.desk.do("pause", pause)
        await self.desk.do("ready", ready)

    async def log_out_and_in(self) -> None:
        """Of the one group, by the menu of groups."""
        for name, state in (("log out", "offline"), ("log in", "available")):

            async def toggle(state: str = state) -> None:
                # A change of the membership that is under way disables the button.
                button = self.desk.page.page.locator("details[data-key=groups] button:enabled")
                await expect(button).to_have_count(1)
                await self.desk.key("Alt+Shift+U")
                await self.desk.focused("details[data-key=groups] button")
                await self.desk.key("Enter")
                await self.desk.scene.agent_is(ME, state)
                await self.desk.key("Escape")

            await self.desk.do(name, toggle)
        await self.desk.scene.everybody_free()  # in the order in which the queue offers calls

    async def handed_over(self) -> None:
        """The call is somebody else's now: it waits, rings, or was taken."""
        choice = self.desk.dice.choice(["answer"] * 4 + ["reject", "caller", "wait", "cancel"])
        if choice == "caller":
            await self.desk.do(
                "the waiting caller hangs up", lambda: self.desk.scene.phone("caller1").idle()
            )
        elif choice == "wait":
            await self.desk.do("nobody takes it", self.wait_over)
        elif (
            choice == "cancel"
            and await self.desk.page.page.locator(".strip [data-value=cancel]").count()
        ):
            await self.desk.do("cancel the handed over", lambda: self.desk.key("Alt+Shift+X"))
        elif choice == "reject":
            await self.desk.do("reject the handed over", self.in_hand.reject)
        else:
            await self.desk.do("take the handed over", self.in_hand.answer)

    async def wait_over(self) -> None:
        """Until the longest hold time has passed, and the caller is somewhere else."""

        async def look() -> bool | None:
            transfers = (await self.desk.scene.api("GET", f"/v1/transfers?agent={ME}")).body
            return not [t for t in transfers if t["state"] not in FINAL] or None

        assert await self.desk.scene.ami.until(look, 40.0), "waits without end"

    async def end(self) -> None:
        """All hang up; after-call work; notices of lost callers are dismissed."""
        for phone in self.desk.scene.bed.phones.values():
            await phone.idle()

        async def look() -> bool | None:
            transfers = (await self.desk.scene.api("GET", "/v1/transfers")).body
            return not [t for t in transfers if t["state"] not in FINAL] or None

        assert await self.desk.scene.ami.until(look, 30.0), "a transfer is left"
        await self.desk.judge.agree()
        if (await self.desk.me())["state"] == "acw" and self.desk.dice.random() < 0.3:
            await self.desk.do("extend", lambda: self.desk.key("Alt+Shift+E"))
            await self.desk.do("ready now", self.ready_now)
        notices = self.desk.page.page.locator("[data-do=dismiss]")
        while left := await notices.count():
            self.desk.did["dismiss"] += 1
            await self.desk.key("Alt+Shift+Z")
            await expect(notices).to_have_count(left - 1)
        await self.desk.judge.agree()

    async def ready_now(self) -> None:
        await self.desk.key("Alt+Shift+R")
        await self.desk.scene.agent_is(ME, "available")


@asynccontextmanager
async def a_day(browser: Browser, bed: Bed, calls: int, seed: int) -> AsyncIterator[Day]:
    """Alice signed in by keyboard. A failure says how to repeat it."""
    async with open_scene(bed) as scene:
        context = await browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-GB")
        page = AgentPage(await context.new_page(), bed.url)
        page.page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        judge = Judge(scene, page.page)
        day = None
        try:
            await page.open()
            await expect(page.page.locator("#extension")).to_be_focused()
            await page.page.keyboard.type(ME)
            await page.page.keyboard.press("Tab")
            await page.page.keyboard.type(f"pin-{ME}")
            await page.page.keyboard.press("Enter")
            await page.live()
            cdp = await context.new_cdp_session(page.page)
            desk = Desk(scene, page, judge, random.Random(seed))
            day = Day(desk, cdp, calls)
            yield day
        except BaseException as error:
            print(f"day: --seed {seed}: {error}", file=sys.stderr)
            if day is not None:
                print(f"day: the steps of this call: {day.desk.steps}", file=sys.stderr)
                print(f"day: console: {page.console_errors}", file=sys.stderr)
                with suppress(Exception):
                    print(await page.page.locator("body").inner_text(), file=sys.stderr)
            raise
        finally:
            await context.close()
