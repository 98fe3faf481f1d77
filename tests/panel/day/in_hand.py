"""A consult in Alice's hands: what she, the target and the caller may do until it is over."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from bed import PhoneError
from playwright.async_api import expect

from tests.panel.day.desk import COLLEAGUES, SUPPORT, Desk, marks
from tests.panel.day.judge import ME, PLAIN, present

FOURTH: Final = "+12125550199"
OTHERS: Final = (*COLLEAGUES, *SUPPORT, "pstn")


@dataclass
class InHand:
    desk: Desk

    async def until_over(self, *, reloads: bool) -> None:
        """``reloads``: whether the page may be reloaded meanwhile."""
        for _ in range(7):
            own = await self.desk.settled()
            if own is None:
                return
            step = self.desk.dice.choice(self.steps_in(own, reloads))
            await self.desk.do(step, STEPS[step].__get__(self))
        own = await self.desk.own()
        if own is not None and "cancel" in own["actions"]:
            await self.desk.do("cancel", self.cancel)
        elif own is not None:
            await self.desk.do("the agent hangs up", self.agent_hangs_up)

    def steps_in(self, transfer: dict[str, Any], reloads: bool) -> list[str]:
        """What may come next, from the API's actions and who is where."""
        actions = {action.partition(":")[0] for action in transfer["actions"]}
        target = next((p for p in transfer["parties"] if p["role"] == "target"), None)
        steps = [what for what in PLAIN if what in actions]
        steps += ["the agent hangs up"]
        if self.desk.scene.phone("caller1").live:
            # After a conference that the caller has left, Alice's caller may be somebody else.
            steps += ["the caller hangs up"]
        if reloads:
            steps.append("reload")
        if target and target["state"] == "ringing":
            steps += ["answer"] * 6 + ["reject", "no answer"]
        if target and target["state"] == "talking":
            steps += ["the target hangs up"]
        if "add_party" in actions:
            steps += ["add a number", "add a colleague"]
        if "drop_party" in actions and present(transfer, "fourth"):
            steps += ["drop the fourth"] * 2
        return steps

    async def complete(self) -> None:
        await self.desk.changed("Alt+Shift+C")

    async def cancel(self) -> None:
        await self.desk.changed("Alt+Shift+X")

    async def swap(self) -> None:
        await self.desk.changed("Alt+Shift+S")

    async def conference(self) -> None:
        await self.desk.changed("Alt+Shift+G")

    async def ringing_target(self) -> str:
        return await self.desk.rings(*OTHERS)

    async def answer(self) -> None:
        with suppress(PhoneError, AssertionError):  # it may have given up
            await self.desk.scene.phone(await self.ringing_target()).answer()

    async def reject(self) -> None:
        with suppress(PhoneError, AssertionError):
            await self.desk.scene.phone(await self.ringing_target()).reject()

    async def no_answer(self) -> None:
        own = await self.desk.own()
        assert own is not None
        await self._another_than(own, 15.0)

    async def caller_hangs_up(self) -> None:
        """The other three of a conference go on."""
        own = await self.desk.own()
        await self.desk.scene.phone("caller1").idle()
        await self._another_than(own, 8.0)

    async def agent_hangs_up(self) -> None:
        await self.desk.scene.phone(ME).idle()

        async def look() -> bool | None:
            return (await self.desk.own()) is None or None

        assert await self.desk.scene.ami.until(look, 8.0), "still in hand"

    async def _another_than(self, before: dict[str, Any] | None, within: float) -> None:
        """Wait until something of the transfer has changed, or it is over."""

        async def look() -> bool | None:
            now = await self.desk.own()
            return now is None or before is None or marks(now) != marks(before) or None

        assert await self.desk.scene.ami.until(look, within), f"nothing changes of {before}"

    async def target_hangs_up(self) -> None:
        """Or the fourth party, whose phone may be the first that is found."""
        own = await self.desk.own()
        for name in OTHERS:
            if any(c.state == "established" for c in self.desk.scene.phone(name).live):
                await self.desk.scene.phone(name).idle()
                if name == "pstn" or (own and name in {p["id"] for p in own["parties"]}):
                    await self._another_than(own, 8.0)
                return

    async def add_number(self) -> None:
        await self._add(FOURTH)

    async def add_colleague(self) -> None:
        own = await self.desk.own()
        there = {p["id"] for p in own["parties"]} if own else set()
        rest = [name for agent, name in COLLEAGUES.items() if agent not in there]
        if rest:
            await self._add(rest[0])

    async def _add(self, typed: str) -> None:
        await self.desk.key("Alt+Shift+N")
        await expect(self.desk.page.page.locator("#search")).to_be_focused()
        await self.desk.page.page.keyboard.type(typed)
        with suppress(PhoneError, AssertionError):
            await expect(
                self.desk.page.page.locator("[data-first=true] [data-do=add]:enabled")
            ).to_have_count(1, timeout=4000)
            await self.desk.key("Enter")
            who = await self.desk.rings("pstn", *COLLEAGUES)
            if self.desk.dice.random() < 0.8:
                await self.desk.scene.phone(who).answer()
            else:
                await self.desk.scene.phone(who).reject()

    async def drop(self) -> None:
        await self.desk.changed("Alt+Shift+O")

    async def reload(self) -> None:
        await self.desk.reload()


STEPS: Final[dict[str, Any]] = {
    "complete": InHand.complete,
    "cancel": InHand.cancel,
    "swap": InHand.swap,
    "conference": InHand.conference,
    "answer": InHand.answer,
    "reject": InHand.reject,
    "no answer": InHand.no_answer,
    "the caller hangs up": InHand.caller_hangs_up,
    "the agent hangs up": InHand.agent_hangs_up,
    "the target hangs up": InHand.target_hangs_up,
    "add a number": InHand.add_number,
    "add a colleague": InHand.add_colleague,
    "drop the fourth": InHand.drop,
    "reload": InHand.reload,
}
