"""The panel in every state, one after the other, for what must hold in all of them.

The states come from the server (`office`), so that the walk needs little of the page's own layout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from playwright.async_api import Locator, Page, expect

from asterisk_avp.core.model.world import (
    AgentState,
    Mode,
    PartyView,
    Target,
    TargetKind,
    TransferRequest,
    TransferState,
    TransferView,
)
from tests.panel import scenes
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, ME, POP, OpenOffice, consult

SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Stream:
    """What the page has received, so that the walk can wait for it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[str] = []
        self._more = asyncio.Event()
        page.on("websocket", lambda socket: socket.on("framereceived", self._received))

    def _received(self, frame: str | bytes) -> None:
        self._frames.append(frame if isinstance(frame, str) else frame.decode())
        self._more.set()

    async def has(self, *pieces: str) -> None:
        """Wait for a message with all these pieces, and until the page has drawn it."""
        async with asyncio.timeout(30):
            while not any(all(x in frame for x in pieces) for frame in self._frames):
                self._more.clear()
                await self._more.wait()
        self._frames.clear()
        await self._page.evaluate(SETTLED)


async def walk(office: OpenOffice, panel: AgentPage) -> AsyncIterator[str]:
    """Take a panel that is not signed in through all states; yield the name of each."""
    page, board = panel.page, office.office
    panel.outage = True
    stream = Stream(page)

    async def is_now(state: AgentState) -> None:
        await page.locator(f"#own-state .pill.{state.value}").wait_for()

    async for name in _sign_in(panel):
        yield name
    board.past("past-1", "1002", 300, TransferState.COMPLETED, "completed")
    board.past("past-2", "1003", 240, TransferState.FAILED, "max_hold")
    board.past("past-3", "1004", 180, TransferState.ABANDONED, "caller_hangup")
    board.past("past-4", "1001", 120, TransferState.FAILED, "target_unreachable", agent="1002")
    await expect(page.locator(".log li")).to_have_count(4)
    yield "history"
    async for name in _menus(panel):
        yield name
    board.agent_changed(ME, state=AgentState.RINGING)
    board.publish({"type": "pop", "agent": ME, "state": "offered", "pop": POP})
    await is_now(AgentState.RINGING)
    yield "ringing"
    step = {"from": "1002", "from_name": "Bob Hartley", "at": "2026-01-31T09:05:07.250Z"}
    way = [step | {"mode": "supervised", "note": "Two days late"},
           step | {"mode": "unsupervised", "note": ""}]  # fmt: skip
    board.call_arrives(POP | {"note": "Two days late", "transfers": way})
    await is_now(AgentState.TALKING)
    yield "call"
    async for name in _menus(panel):
        yield name
    await page.keyboard.press("?")
    await page.get_by_role("dialog").wait_for()
    yield "shortcuts"
    await page.keyboard.press("Escape")
    await page.get_by_role("dialog").wait_for(state="hidden")
    own_field = await page.locator("#number").count()
    field = page.locator("#number" if own_field else "#search")
    for number in ("+4420", "2025550100"):
        async with page.expect_response("**/v1/numbers/check"):
            await field.fill(number)
        await page.evaluate(SETTLED)
        yield f"number {number}"
    await field.fill("")
    async for name in _transfers(office, stream):
        yield name
    for part in (scenes.calls, scenes.consults, scenes.strips):
        async for name in part(office, panel, stream):
            yield name
    async for name in _afterwards(office, panel, stream):
        yield name


async def _afterwards(office: OpenOffice, panel: AgentPage, stream: Stream) -> AsyncIterator[str]:
    page, board = panel.page, office.office

    async def is_now(state: AgentState) -> None:
        await page.locator(f"#own-state .pill.{state.value}").wait_for()

    board.agent_changed("1003", state=AgentState.TALKING, paused=True)
    board.agent_changed(ME, state=AgentState.TALKING, paused=True, pause_reason="Lunch")
    await stream.has(ME, "Lunch")
    yield "pause after the call"
    board.agent_changed(ME, state=AgentState.NOT_READY, paused=True, call=None, calls=())
    await is_now(AgentState.NOT_READY)
    yield "on a break"
    board.agent_changed(ME, state=AgentState.ACW, paused=False)
    await is_now(AgentState.ACW)
    yield "after-call work"
    async for name in scenes.consulted(office, panel, stream):
        yield name
    async for name in scenes.work(office, page):
        yield name
    await office.server.stop()
    await page.locator("body[data-live=false]").wait_for()
    yield "no server"
    await page.locator("details[data-key=account] summary").click()
    await page.locator("button[data-do=sign-out]").click()
    await page.locator("#not-signed-out").wait_for()
    yield "not signed out yet"


async def _sign_in(panel: AgentPage) -> AsyncIterator[str]:
    await expect(panel.page.locator("#extension")).to_be_focused()
    yield "signing in"
    await panel.page.locator("#extension").fill(ME)
    await panel.page.locator("#pin").fill("wrong")
    await panel.page.locator("#pin").press("Enter")
    await expect(panel.page.get_by_role("alert")).to_be_visible()
    yield "not signed in"
    await panel.page.locator("#pin").fill(f"pin-{ME}")
    await panel.page.locator("#pin").press("Enter")
    await panel.live()
    yield "no call, no history"


async def _menus(panel: AgentPage) -> AsyncIterator[str]:
    menus = panel.page.locator("details.menu > summary:visible")
    for index in range(await menus.count()):
        menu: Locator = menus.nth(index)
        await menu.click()
        yield f"menu {index}"
        await panel.page.keyboard.press("Escape")


async def _transfers(office: OpenOffice, stream: Stream) -> AsyncIterator[str]:
    board = office.office
    for number, kind in enumerate((TargetKind.AGENT, TargetKind.GROUP), 1):
        value = "1002" if kind is TargetKind.AGENT else "support"
        mode = Mode.SUPERVISED if kind is TargetKind.AGENT else Mode.UNSUPERVISED
        made = await board.request(
            TransferRequest(ME, mode, Target(kind, value), "Two days late", None)
        )
        await stream.has(made.id, made.state.value)
        yield f"transfer to {kind}"
        if number == 1:
            fourth = PartyView("party-4", "fourth", "+12025550177", "ringing")
            for state, more in (
                (TransferState.CONSULTING, ()),
                (TransferState.SWAPPED, ()),
                (TransferState.CONSULTING, (fourth,)),
                (TransferState.CONFERENCE, ()),
            ):
                consult(office, state, *more)
                await stream.has(made.id, state.value)
                yield f"{state} {len(more)}"
        board.becomes(TransferState.FAILED, made.id, ended_reason="max_hold")
        await stream.has(made.id, "max_hold")
        yield "transfer failed"
    coming = TransferView(
        id="coming", agent="1002", group="sales", mode=Mode.UNSUPERVISED, caller=CALLER,
        target=Target(TargetKind.AGENT, ME), ended_reason=None, state=TransferState.RINGING,
        since=board.views[ME].since, started=board.views[ME].since, notes="Two days late",
        hold_until=board.views[ME].since + 900,
        parties=(PartyView(ME, "target", ME, "waiting"),),
    )  # fmt: skip
    board.changed(coming)
    await stream.has("coming", "ringing")
    yield "a transferred call is coming"
    board.becomes(TransferState.CANCELLED, "coming", ended_reason="cancelled")
    await stream.has("coming", "cancelled")
