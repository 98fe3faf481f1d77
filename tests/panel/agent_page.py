"""A panel in a browser, as an agent sees and uses it."""

from __future__ import annotations

import re
import time
from typing import Any

from axe_playwright_python.async_playwright import Axe
from bed.deadlines import deadline
from playwright.async_api import ConsoleMessage, Locator, Page, expect

expect.set_options(timeout=10_000)

NOT_OURS = re.compile(
    r"the server responded with a status of (401|403|409|429)"  # refusals that tests cause
    r"|WebSocket connection to .* failed|ERR_CONNECTION_REFUSED"  # a stopped server
    r"|ERR_NETWORK_CHANGED"  # another call centre of these tests has begun or ended
)
OF_AN_OUTAGE = re.compile(r"responded with a status of 503|ERR_CONNECTION_RESET")
"""Of tests in which Asterisk is away, or an answer gets lost."""

ALERTS = {
    "rings": "Your phone rings",
    "waits": "A transferred call waits for you",
    "lost": "A caller was lost",
}
"""What the title says, by the kind of the alert."""


NEVER_CAME = """async () => {
    const options = { method: "DELETE", headers: { "X-AVP-Panel": "1" } };
    const answer = await fetch(`/v1/requests/never-sent-${performance.now()}`.replace(".", "-")
        + "-at-all?age=1", options);
    return (await answer.json()).received;
}"""


class AgentPage:
    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.console_errors: list[str] = []
        """Errors and warnings in the console: failed scripts, violations of the CSP."""
        self.outage = False
        """Whether the test causes errors of `OF_AN_OUTAGE`."""
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("console", self._on_console)

    def _on_console(self, message: ConsoleMessage) -> None:
        if self.outage and OF_AN_OUTAGE.search(message.text):
            return
        if message.type in ("error", "warning") and not NOT_OURS.search(message.text):
            self.console_errors.append(message.text)

    async def open(self) -> None:
        await self.page.goto(self.url)
        await self.page.locator("#extension, #own-state").first.wait_for()

    async def sign_in(self, agent: str, pin: str | None = None) -> None:
        fields = {"#extension": agent, "#pin": pin or f"pin-{agent}"}
        # Once, a moment after a sign-out, the page puts the focus into the form; fill() types into
        # whatever has the focus.
        for _ in range(2):
            for field, text in fields.items():
                await self.page.locator(field).fill(text)
            if fields == {field: await self.page.locator(field).input_value() for field in fields}:
                break
        await self.page.locator("#pin").press("Enter")
        if pin is None:
            await self.live()

    async def knows_requests(self) -> None:
        """Wait until the server has been up for a second.

        Before, it does not say of a request that was sent up to a second ago that it never came.
        """
        over = deadline(5.0)
        while await self.page.evaluate(NEVER_CAME) is not False:
            assert time.monotonic() < over, "the server knows of no request"

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
    def strips(self) -> Locator:
        """The agent's other transfers, one line each."""
        return self.page.get_by_role("region", name="Another transfer of yours")

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

    # --- alerts -------------------------------------------------------------------------------

    async def alert_by(self, *ways: str) -> None:
        """Switch on these ways of alerting, in the account's menu."""
        await self.page.locator("details[data-key=account] summary").click()
        for way in ways:
            box = self.page.get_by_label(way)
            if not await box.is_checked():
                await box.click()
            await expect(box).to_be_checked()  # the browser may have to be asked first
        await self.page.keyboard.press("Escape")

    async def alerts(self, kind: str) -> None:
        """Wait until page, title and icon alert to this (see alerts.js); empty: to nothing.

        Title and icon must be switched on.
        """
        await expect(self.page.locator("body")).to_have_attribute("data-alert", kind)
        icon = "/panel/icon-alert.svg" if kind else "/panel/icon.svg"
        await expect(self.page.locator("link[rel=icon]")).to_have_attribute("href", icon)
        begins = f"^{ALERTS[kind]} · " if kind else f"^(?!{'|'.join(ALERTS.values())})"
        await expect(self.page).to_have_title(re.compile(begins))

    # --- accessibility ------------------------------------------------------------------------

    async def inaccessible(self) -> list[dict[str, Any]]:
        """The violations that axe-core finds, in short."""
        found = await Axe().run(self.page)
        return [
            {"rule": rule["id"], "nodes": [node["html"][:200] for node in rule["nodes"]]}
            for rule in found.response["violations"]
        ]
