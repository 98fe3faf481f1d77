"""Alice's desk: her page and keyboard, everybody's phones, and what has been done at it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bed import World
from playwright.async_api import expect

from tests.asterisk import transfer_button
from tests.asterisk.scene import Scene
from tests.panel.agent_page import AgentPage
from tests.panel.day.judge import ME, Judge, present
from tests.panel.walk import SETTLED

COLLEAGUES: Final = {"1002": "bob", "1005": "erin"}
SUPPORT: Final = ("1003", "1004")


def world() -> World:
    """Sales has Alice, Bob and Erin; support has Carol and Dave. Members may log in and out."""
    return replace(
        transfer_button.world(),
        members="dynamic",
        max_hold_seconds=9,
        wrapuptime=3,
        settings={"AVP_SESSION__RING_SECONDS": "6"},
        call_seconds=600,
    )


def marks(transfer: dict[str, Any]) -> tuple[object, ...]:
    """What a step changes of a transfer."""
    parties = tuple((p["id"], p["state"], tuple(p["hears"])) for p in transfer["parties"])
    return transfer["id"], transfer["state"], parties


@dataclass
class Desk:
    scene: Scene
    page: AgentPage
    judge: Judge
    dice: random.Random
    did: Counter[str] = field(default_factory=Counter)
    steps: list[str] = field(default_factory=list)
    """Of the current call, for the report of a failure."""

    async def key(self, key: str) -> None:
        await self.page.page.keyboard.press(key)

    async def focused(self, selector: str) -> None:
        await expect(self.page.page.locator(f"{selector}:focus")).to_have_count(1)

    async def do(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.did[name] += 1
        self.steps.append(name)
        await work()
        await self.judge.agree()

    async def find(self, typed: str) -> None:
        await self.key("/")
        await expect(self.page.page.locator("#search")).to_be_focused()
        await self.page.page.keyboard.type(typed)
        await expect(self.page.page.locator("[data-first=true]:has(:enabled)")).to_have_count(1)
        await self.page.page.evaluate(SETTLED)  # the hits of all that was typed

    async def me(self) -> dict[str, Any]:
        return await self.scene.agent(ME)

    async def own(self) -> dict[str, Any] | None:
        """The transfer of Alice's call."""
        call = (await self.me())["call"]
        found: dict[str, Any] | None = call["transfer"] if call else None
        return found

    async def rings(self, *names: str) -> str:
        """Which of these phones rings now."""

        async def look() -> str | None:
            for name in names:
                if any(c.incoming and c.state == "incoming" for c in self.scene.phone(name).calls):
                    return name
            return None

        found = await self.scene.ami.until(look, 6.0)
        assert found is not None, f"none of {names} rings"
        return found

    async def settled(self) -> dict[str, Any] | None:
        """The transfer of the call once it is in a state of its own: not being connected.

        Of a conference that the caller has left, only hanging up is left.
        """

        async def look() -> list[dict[str, Any] | None] | None:
            own = await self.own()
            still = own is None or own["actions"] or not present(own, "caller")
            return [own] if still else None

        found = await self.scene.ami.until(look, 8.0)
        assert found, f"no action for a long time: {await self.own()}"
        return found[0]

    async def changed(self, key: str) -> None:
        """A shortcut; wait until the transfer is another one than before."""
        before = await self.own()
        await self.key(key)

        async def look() -> bool | None:
            now = await self.own()
            return now is None or before is None or marks(now) != marks(before) or None

        assert await self.scene.ami.until(look, 8.0), f"{key} changes nothing of {before}"

    async def reload(self) -> None:
        page = self.page.page
        await page.reload()
        await self.page.live()
        await expect(page.locator("#own-state .pill")).to_be_visible()

    def colleague(self) -> str:
        return self.dice.choice(list(COLLEAGUES))
