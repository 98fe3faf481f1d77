"""Every shortcut at every moment between a step and the state that follows it.

The agent gets what the key is for, or reads a sentence. Nothing else.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
from bed.deadlines import deadline
from playwright.async_api import Page, Request, Route, WebSocketRoute, expect

from asterisk_avp.core.model.work import GroupView, MembershipView
from asterisk_avp.core.model.world import (
    Mode,
    Target,
    TargetKind,
    TransferRequest,
    TransferState,
)
from tests.panel.agent_page import AgentPage
from tests.panel.office import ME, OpenOffice, consult

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

Holding = Callable[[Page], Awaitable["Held"]]

PRESS = """key => {
    const letter = key.split("+").pop();
    const alt = key.includes("Alt");
    (document.activeElement || document.body).dispatchEvent(new KeyboardEvent("keydown", {
        key: letter, code: alt ? (letter >= "A" ? "Key" : "Digit") + letter : "",
        altKey: alt, shiftKey: alt, bubbles: true, cancelable: true }));
}"""
SEEN = """() => JSON.stringify([
    document.activeElement.outerHTML.split(">")[0].replace(/ (disabled|title|class)="[^"]*"/g, ""),
    [...document.querySelectorAll("details[open]")].map(e => e.dataset.key),
    Boolean(document.querySelector("dialog[open]")),
    document.querySelector("[data-do=adding]")?.ariaExpanded,
])"""


@dataclass
class Held:
    """What passes between page and server, and can be held on its way."""

    page: Page
    requests: list[str] = field(default_factory=list)
    arrive: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    at_server: asyncio.Event = field(default_factory=asyncio.Event)

    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    async def end(self) -> None:
        self.let_go()
        # An answer that is still on its way to a page that is closed is nobody's.
        await self.page.unroute_all(behavior="ignoreErrors")
        for pump in self.pumps:
            pump.cancel()
        await asyncio.gather(*self.pumps, return_exceptions=True)

    def hold(self) -> None:
        """From now on no answer and no event arrives."""
        for gate in (self.answered, self.told, self.at_server):
            gate.clear()

    def let_go(self) -> None:
        for gate in (self.arrive, self.answered, self.told):
            gate.set()

    async def begin(self) -> None:
        self.let_go()
        self.page.on("request", self._sent)
        await self.page.route(re.compile(r"/v1/(agents/\w+/)?transfers\b"), self._request)
        await self.page.route_web_socket("**/v1/events**", self._events)
        await self.page.reload()

    def _sent(self, request: Request) -> None:
        if request.method != "GET" and "/check" not in request.url:
            self.requests.append(f"{request.method} {request.url.partition('/v1')[2]}")

    async def _request(self, route: Route) -> None:
        await self.arrive.wait()
        answer = await route.fetch()
        if route.request.method != "GET":  # which is not what somebody waits for
            self.at_server.set()
        await self.answered.wait()
        await route.fulfill(response=answer)

    async def reached(self) -> None:
        """Wait until a request has been answered by the server."""
        async with asyncio.timeout(deadline(10.0) - time.monotonic()):
            await self.at_server.wait()

    def _events(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        queue: asyncio.Queue[str | bytes] = asyncio.Queue()

        async def pump() -> None:
            while True:
                message = await queue.get()
                await self.told.wait()
                socket.send(message)

        self.pumps.append(asyncio.ensure_future(pump()))
        server.on_message(queue.put_nowait)


@pytest_asyncio.fixture(loop_scope="session")
async def holding() -> AsyncIterator[Holding]:
    """Makes a page whose messages can be held."""
    begun = []

    async def begin(page: Page) -> Held:
        begun.append(Held(page))
        await begun[-1].begin()
        return begun[-1]

    yield begin
    for held in begun:
        await held.end()


async def listed(panel: AgentPage) -> dict[str, str]:
    """The keys in the list, and what they are for."""
    await panel.page.keyboard.press("?")
    await expect(panel.page.get_by_role("dialog")).to_be_visible()
    entries: dict[str, str] = await panel.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("dialog dl > div")]
            .map(e => [e.querySelector("dt").innerText, e.querySelector("dd").innerText]))"""
    )
    await panel.page.keyboard.press("Escape")
    await expect(panel.page.get_by_role("dialog")).to_have_count(0)
    return {k: v for k, v in entries.items() if k not in {"Enter", "Alt+Enter", "Esc"}}


MOMENTS = ("not drawn", "on its way", "done, nothing heard", "heard, no answer", "answered first")


@asynccontextmanager
async def swapping(held: Held, moment: str) -> AsyncIterator[None]:
    """The agent has swapped, and this is the moment. Afterwards all goes on."""
    page = held.page
    held.at_server.clear()
    for gate, open_at in (
        (held.arrive, MOMENTS[2:]),
        (held.answered, ("answered first",)),
        (held.told, ("heard, no answer",)),
    ):
        gate.set() if moment in open_at else gate.clear()
    swap = page.locator("[data-value=swap]")
    if moment == "not drawn":
        yield  # `press` clicks as well
    else:
        label = await swap.inner_text()
        await swap.click()
        if moment in MOMENTS[2:]:
            await held.reached()
        if moment == "heard, no answer":
            await expect(swap).not_to_have_text(label)
        elif moment == "answered first":
            await expect(swap).to_be_enabled()
        yield
    held.let_go()


async def press(page: Page, key: str, moment: str) -> str:
    """Press it; what was to be seen before."""
    if moment == "not drawn":
        await page.locator("[data-value=swap]").focus()
        before = await page.evaluate(SEEN)
        # Click and key in one task: nothing is drawn between them.
        await page.evaluate(
            f"key => {{ document.querySelector('[data-value=swap]').click(); ({PRESS})(key); }}",
            key,
        )
    else:
        before = await page.evaluate(SEEN)
        await page.evaluate(PRESS, key)
    return str(before)


@pytest.mark.parametrize(
    "moment",
    [pytest.param(one, marks=() if one == MOMENTS[2] else pytest.mark.thorough) for one in MOMENTS],
)
async def test_a_shortcut_does_what_it_is_for_or_says_why_not(
    office: OpenOffice, open_panel: OpenPanel, holding: Holding, moment: str
) -> None:
    panel = await open_panel(office.url)
    page = panel.page
    held = await holding(page)
    await panel.live()
    office.office.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    keys = await listed(panel)
    silent = []
    for key, what in keys.items():
        await in_a_consultation(office, panel)
        held.requests.clear()
        async with swapping(held, moment):
            before = await press(page, key, moment)
        if not await answered(held, before, what):
            silent.append(key)
    assert silent == []
    assert panel.console_errors == []


async def answered(held: Held, before: str, what: str) -> bool:
    """Whether the key was followed by a request of its own, by a change, or by a sentence."""
    seen = f"""([before, what]) => new Promise(done => requestAnimationFrame(() => done(
        (document.querySelector(".told")?.innerText || "").includes(what) || ({SEEN})() !== before
    )))"""
    until = deadline(6.0)
    while time.monotonic() < until:
        if len(held.requests) > 1 or await held.page.evaluate(seen, [before, what]):
            return True
    return False


async def in_a_consultation(office: OpenOffice, panel: AgentPage) -> None:
    """Alice talks to Bob, in her latest transfer; nothing is open."""
    keys, board = panel.page.keyboard, office.office
    await keys.press("Escape")
    await keys.press("Escape")
    await panel.page.evaluate("document.activeElement.blur()")
    if board.known and not list(board.known.values())[-1].state.final:
        board.becomes(TransferState.CANCELLED, list(board.known)[-1], ended_reason="cancelled")
    board.known.clear()
    target = Target(TargetKind.AGENT, "1002")
    made = await board.request(TransferRequest(ME, Mode.SUPERVISED, target, "", None))
    consult(office, TransferState.CONSULTING, transfer_id=made.id)
    await panel.page.wait_for_function(
        """id => document.querySelector(`#running [data-transfer="${id}"] [data-value=swap]:enabled,
            #running[data-transfer="${id}"] [data-value=swap]:enabled`)""",
        arg=made.id,
    )
    await panel.party("You", "hear Bob Hartley")


async def test_keys_pressed_one_after_the_other_are_done_in_turn(
    office: OpenOffice, open_panel: OpenPanel, holding: Holding
) -> None:
    """To the caller, and at once "All together"; the answer to the first one comes late."""
    panel = await open_panel(office.url)
    held = await holding(panel.page)
    await panel.live()
    office.office.call_arrives()
    await in_a_consultation(office, panel)
    held.hold()
    keys = panel.page.keyboard
    await keys.press("Alt+Shift+S")
    await held.reached()
    await keys.press("Alt+Shift+G")
    held.let_go()
    await expect(panel.page.locator("[data-value=conference]")).to_have_count(0)
    assert office.office.known["t1"].state is TransferState.CONFERENCE
    await expect(panel.page.locator(".told")).to_have_count(0)


async def test_what_was_heard_of_a_target_last_refuses_nothing(
    office: OpenOffice, open_panel: OpenPanel, holding: Holding
) -> None:
    """Bob's waiting call has just gone, and Enter is pressed before the page hears of it."""
    panel = await open_panel(office.url)
    held = await holding(panel.page)
    await panel.live()
    office.office.call_arrives()
    office.office.agent_changed("1002", waiting_transfer=True)
    await expect(panel.row("agent", "1002")).to_contain_text("slot taken")
    held.told.clear()
    held.at_server.clear()
    office.office.agent_changed("1002", waiting_transfer=False)
    keys = panel.page.keyboard
    await keys.press("/")
    await expect(panel.page.locator("#search")).to_be_focused()
    await keys.type("bob")
    await keys.press("Enter")
    await held.reached()
    held.let_go()
    await expect(panel.running).to_be_visible()


async def test_a_key_waits_for_the_drawing_of_the_step_before(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """It is still drawn as possible while a swap has begun: neither refused nor forgotten."""
    panel = await open_panel(office.url)
    await panel.live()
    office.office.call_arrives()
    await in_a_consultation(office, panel)
    # In one task: nothing is drawn between them.
    await panel.page.evaluate(f"keys => keys.forEach({PRESS})", ["Alt+Shift+S", "Alt+Shift+G"])
    await expect(panel.page.locator("[data-value=conference]")).to_have_count(0)
    assert office.office.known["t1"].state is TransferState.CONFERENCE
    await expect(panel.page.locator(".told")).to_have_count(0)


@pytest.mark.parametrize(
    "key", ["U", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("Q", "P", "V", "0"))]
)
async def test_a_menu_opened_during_a_step_has_the_focus_on_a_control(
    office: OpenOffice, open_panel: OpenPanel, holding: Holding, key: str
) -> None:
    """Never on its own summary, where Enter would close it: its buttons may be disabled."""
    in_one_of_two_groups(office)
    panel = await open_panel(office.url)
    held = await holding(panel.page)
    await panel.live()
    office.office.call_arrives()
    await in_a_consultation(office, panel)
    held.hold()
    keys = panel.page.keyboard
    await keys.press("Alt+Shift+S")
    await held.reached()
    await keys.press(f"Alt+Shift+{key}")
    await expect(panel.page.locator("summary:focus")).to_have_count(0)
    held.let_go()
    inside = panel.page.locator("details.menu[open] .drop :is(button, input):focus")
    await expect(inside).to_have_count(1)
    await expect(inside).to_be_enabled()
    # Playwright may tell of a request after it has been answered.
    assert held.requests == ["POST /transfers/t1/swap"]
    assert panel.console_errors == []


async def test_a_menu_waits_for_the_drawing_of_the_step_before(
    office: OpenOffice, open_panel: OpenPanel, holding: Holding
) -> None:
    """Its buttons are still drawn as possible: Enter would come when they no longer are."""
    in_one_of_two_groups(office)
    panel = await open_panel(office.url)
    held = await holding(panel.page)
    await panel.live()
    office.office.call_arrives()
    await in_a_consultation(office, panel)
    held.hold()
    # In one task: nothing is drawn between them.
    await panel.page.evaluate(f"keys => keys.forEach({PRESS})", ["Alt+Shift+S", "Alt+Shift+U"])
    await held.reached()
    await expect(panel.page.locator("details.menu[open]")).to_have_count(0)
    held.let_go()
    inside = panel.page.locator("details.menu[open] .drop button:focus")
    await expect(inside).to_have_count(1)
    await expect(inside).to_be_enabled()
    assert panel.console_errors == []


def in_one_of_two_groups(office: OpenOffice) -> None:
    """Alice may leave the one and join the other."""
    board = office.office
    for name in ("sales", "support"):
        board.group_views[name] = GroupView(name, name.capitalize(), 3, 2, 0, 0, None)
    memberships = (
        MembershipView("sales", member=True, dynamic=True, actions=("logout",)),
        MembershipView("support", member=False, dynamic=True, actions=("login",)),
    )
    board.views[ME] = replace(board.views[ME], memberships=memberships)


async def test_a_key_is_not_carried_over_to_another_transfer(
    office: OpenOffice, open_panel: OpenPanel, holding: Holding
) -> None:
    """Complete was pressed for a transfer that ends meanwhile."""
    panel = await open_panel(office.url)
    held = await holding(panel.page)
    await panel.live()
    office.office.call_arrives()
    await in_a_consultation(office, panel)
    held.hold()
    keys = panel.page.keyboard
    await keys.press("Alt+Shift+S")
    await held.reached()
    await keys.press("Alt+Shift+C")
    office.office.becomes(TransferState.CANCELLED, "t1", ended_reason="target_hangup")
    held.told.set()
    await expect(panel.running).to_have_count(0)
    held.let_go()
    told = panel.page.locator(".told")
    await expect(told).to_have_text("Not possible now: Complete the transfer")
    assert await panel.inaccessible() == []
    assert not any("complete" in one for one in held.requests)
    await keys.press("Tab")
    await expect(told).to_have_count(0)
