"""What the page keeps in memory does not grow with the agent's calls.

The sizes are those of everything that can hold things: all maps, sets and arrays of the page that
are still alive after a collection of garbage, whichever module they belong to.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from bed.deadlines import deadline
from playwright.async_api import CDPSession, expect

from asterisk_avp.core.model.world import AgentState, CallerOutcome, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import ME, OpenOffice

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

KINDS = {"Map": "size", "Set": "size", "Array": "length"}


async def kept(cdp: CDPSession) -> dict[str, int]:
    """How many entries all maps, sets and arrays of the page have together."""
    found = {}
    for kind, size in KINDS.items():
        prototype = await cdp.send("Runtime.evaluate", {"expression": f"{kind}.prototype"})
        objects = await cdp.send(
            "Runtime.queryObjects", {"prototypeObjectId": prototype["result"]["objectId"]}
        )
        total = await cdp.send(
            "Runtime.callFunctionOn",
            {
                "objectId": objects["objects"]["objectId"],
                "functionDeclaration": "function () { return this.reduce("
                f"(sum, one) => sum + (Object.hasOwn(one, 'constructor') ? 0 : one.{size}), 0); }}",
                "returnByValue": True,
            },
        )
        found[kind] = total["result"]["value"]
        for one in (objects["objects"], prototype["result"]):
            await cdp.send("Runtime.releaseObject", {"objectId": one["objectId"]})
    return found


async def a_call(office: OpenOffice, panel: AgentPage) -> None:
    """Alice consults Bob and completes; one caller whom she transferred before is lost.

    The server has the last three transfers.
    """
    board, page = office.office, panel.page
    for old in list(board.known)[:-3]:
        del board.known[old]
    board.call_arrives()
    await page.locator("button[data-do=consult][data-value='agent:1002']").click()
    await expect(panel.running).to_be_visible()
    now = list(board.known)[-1]
    board.becomes(TransferState.COMPLETED, now, ended_reason="completed")
    board.call_ends()
    await expect(page.locator("#bar")).to_have_count(0)
    number = len(board.requests)
    board.past(f"lost-{number}", f"90{number}", 1, TransferState.FAILED, "max_hold")
    board.changed(replace(board.known[f"lost-{number}"], caller_outcome=CallerOutcome.DISCONNECTED))
    await page.locator("[data-do=dismiss]").click()
    await expect(page.locator("[data-do=dismiss]")).to_have_count(0)
    board.agent_changed(ME, state=AgentState.AVAILABLE)
    await expect(panel.state).to_contain_text("Available")


def grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """The kinds of which there are more."""
    return [kind for kind, count in after.items() if count > before[kind]]


async def still_grown(cdp: CDPSession, before: dict[str, int]) -> list[str]:
    """The same at the end. What the page or the browser is only about to let go does not count."""
    over = deadline(3.0)
    while (found := grown(before, await kept(cdp))) and time.monotonic() < over:
        pass
    return found


async def test_nothing_is_kept_for_each_call(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url)
    cdp = await panel.page.context.new_cdp_session(panel.page)
    sizes = []
    for _ in range(3):
        for _ in range(4):
            await a_call(office, panel)
        sizes.append(await kept(cdp))
    assert not await still_grown(cdp, sizes[1]), sizes


async def test_nothing_is_kept_of_what_ended_while_the_stream_was_down(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """Transfers begin to wait, and are over before the page hears again."""
    panel = await open_panel(office.url)
    board = office.office
    cdp = await panel.page.context.new_cdp_session(panel.page)
    sizes = []
    for number in range(4):
        board.call_arrives()
        await panel.page.locator("button[data-do=transfer][data-value='agent:1002']").click()
        await expect(panel.strips).to_have_count(1)
        await office.server.stop()
        await panel.not_live()
        board.known.clear()
        board.agent_changed(ME, state=AgentState.AVAILABLE, call=None, calls=())
        await office.start_again()
        await panel.live()
        await expect(panel.strips).to_have_count(0)
        if number:
            sizes.append(await kept(cdp))
    assert not await still_grown(cdp, sizes[0]), sizes
