"""A panel in a browser, as an agent sees and uses it."""

from __future__ import annotations

import re
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Locator, Page, expect

expect.set_options(timeout=10_000)

NOT_OURS = re.compile(
    r"the server responded with a status of (401|403|409|429)"  # refusals that tests cause
    r"|WebSocket connection to .* failed|ERR_CONNECTION_REFUSED"  # a stopped server
)


class AgentPage:
    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.console_errors: list[str] = []
        """Errors and warnings in the console: failed scripts, violations of the CSP."""
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("console", self._on_console)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not NOT_OURS.search(message.text):
            self.console_errors.append(message.text)

    async def open(self) -> None:
        await self.page.goto(self.url)
        await self.page.locator("#extension, #own-state").first.wait_for()

    async def sign_in(self, agent: str, pin: str | None = None) -> None:
        await self.page.get_by_label("Extension").fill(agent)
        await self.page.get_by_label("PIN").fill(pin or f"pin-{agent}")
        await self.page.get_by_role("button", name="Sign in").click()
        if pin is None:
            await self.live()

    async def live(self) -> None:
        await expect(self.page.locator("body")).to_have_attribute("data-live", "true")

    async def not_live(self) -> None:
        """Wait until the page shows nothing as current."""
        await expect(self.page.locator("body")).to_have_attribute("data-live", "false")
        for word in await self.page.locator(".pill .word").all_inner_texts():
            assert word == "Unknown"
        for word in await self.page.locator(".free").all_inner_texts():
            assert word == "not known"
        assert await self.page.locator(".pill time, .countdown").count() == 0

    # --- parts of the page ------------------------------------------------------------------

    @property
    def state(self) -> Locator:
        return self.page.locator("#own-state")

    @property
    def call(self) -> Locator:
        return self.page.get_by_role("region", name=re.compile("^Call"))

    @property
    def running(self) -> Locator:
        return self.page.locator("#running")

    @property
    def coming(self) -> Locator:
        return self.page.get_by_role("region", name="Transferred call")

    @property
    def history(self) -> Locator:
        return self.page.get_by_role("region", name="Today's transfers")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def target(self, kind: str, identifier: str) -> Locator:
        return self.page.locator(f"input[name=target][value='{kind}:{identifier}']")

    def row(self, kind: str, identifier: str) -> Locator:
        return self.page.locator(".row").filter(has=self.target(kind, identifier))

    async def party(self, name: str, hears: str) -> None:
        """Wait until the page shows that a party of the transfer hears this."""
        called = self.page.get_by_text(name, exact=True)
        item = self.running.get_by_role("listitem").filter(has=called)
        await expect(item).to_contain_text(hears)

    async def choose(self, kind: str, identifier: str) -> None:
        await self.target(kind, identifier).check()

    # --- accessibility ------------------------------------------------------------------------

    async def inaccessible(self) -> list[dict[str, Any]]:
        """The violations that axe-core finds, in short."""
        found = await Axe().run(self.page)
        return [
            {"rule": rule["id"], "nodes": [node["html"][:200] for node in rule["nodes"]]}
            for rule in found.response["violations"]
        ]
