"""What can be pressed can be reached by keyboard, in every state, and is seen to have the focus.

Every control has a place in the order of Tab, or a shortcut, or is in the row of a target that the
arrow keys choose. Every shortcut of the list is for a control of some state.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from bed.deadlines import deadline
from playwright.async_api import Page, Request, expect

from asterisk_avp.core.model.work import GroupView, MembershipView
from asterisk_avp.core.model.world import AgentState, CallView, PartyView, TransferState
from tests.panel.agent_page import AgentPage
from tests.panel.office import CALLER, ME, OpenOffice
from tests.panel.walk import walk

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

CONTROLS = """() => {
    window.nameOf = (e) => [e.tagName.toLowerCase(), e.type || "",
        e.dataset.do || e.name || e.id || "", e.dataset.value || e.value || "",
        e.closest("[data-key]")?.dataset.key || "",
        e.number ||= window.numbered = (window.numbered || 0) + 1].join(" ");
    return [...document.querySelectorAll("button,summary,a[href],input,select,textarea")]
        .filter(e => !e.disabled && !e.closest("[hidden], [inert]") && e.checkVisibility());
}"""
"""The controls that a mouse could use now."""

NAMED = f"() => ({CONTROLS})().map(e => [nameOf(e), e.ariaKeyShortcuts || '', e.tabIndex,"
NAMED += """ e.closest(".row")?.dataset.key || "", e.type === "radio" ? e.name : ""])"""

RECORD = """() => {
    window.passed = [];
    window.recorder ||= document.addEventListener("focusin", ({ target }) => {
        if (window.passed.at(-1) !== target) window.passed.push(target);
    }) || true;
}"""
"""Note from now on what gets the focus, by one listener. A page that is drawn again gives the focus
back to the same control."""

AROUND = """() => window.passed.length > 1
    && window.passed.indexOf(window.passed[0], 1) > 0"""

PASSED = """() => [...new Set(window.passed)].map((e) => {
    const styles = (of) => [of.outlineStyle, of.outlineWidth, of.boxShadow, of.borderColor,
        of.backgroundColor].join(" ");
    const around = () => [e, e.parentElement, e.closest("label"), e.nextElementSibling]
        .filter(Boolean).map(one => styles(getComputedStyle(one))).join("|");
    e.focus({ focusVisible: true });
    const on = around();
    e.blur();
    return [nameOf(e), on !== around(), e.type === "radio" ? e.name : ""];
})"""

AT_ONCE = 10
"""Presses of Tab before the page is asked whether they went round."""


async def by_tab(page: Page, most: int) -> tuple[set[str], set[str], set[str]]:
    """What Tab reaches, the groups of radio buttons among it, and what has no visible focus."""
    await page.evaluate(RECORD)
    for number in range(most):
        await page.keyboard.press("Tab")
        if number % AT_ONCE == AT_ONCE - 1 and await page.evaluate(AROUND):
            break
    passed: list[tuple[str, bool, str]] = await page.evaluate(PASSED)
    reached = {name for name, _, _ in passed}
    groups = {group for _, _, group in passed if group}
    return reached, groups, {name for name, seen, _ in passed if not seen}


async def faults_of(page: Page) -> tuple[list[str], set[str]]:
    """The controls that no key reaches or whose focus is not seen, and the shortcuts shown."""
    controls: list[list[Any]] = await page.evaluate(NAMED)
    reached, groups, unseen = await by_tab(page, 3 * len(controls) + 20)
    rows = {row for _, _, _, row, group in controls if group in groups and row}
    faults = [f"focus not seen: {name}" for name in unseen]
    for name, shortcut, stop, row, group in controls:
        by_arrow = bool(group) and group in groups
        in_row = row in rows and stop < 0
        if not (name in reached or shortcut or by_arrow or in_row):
            faults.append(f"not reached: {name}")
    return faults, {shortcut for _, shortcut, *_ in controls if shortcut}


@pytest.mark.thorough
async def test_every_control_in_every_state(office: OpenOffice, open_panel: OpenPanel) -> None:
    everything_at_work(office)
    panel = await open_panel(office.url, None)
    page = panel.page
    faults: dict[str, list[str]] = {}
    shown: set[str] = set()
    async for state in walk(office, panel):
        if state.startswith(("number +", "shortcuts")):
            continue  # the search field keeps what was typed; the list has a test of its own
        found, keys = await faults_of(page)
        shown |= keys
        if found:
            faults[state] = found
    assert faults == {}, json.dumps(faults, indent=1)
    await office.start_again()


def everything_at_work(office: OpenOffice) -> None:
    """Two groups, of which Alice may leave one and join the other."""
    office.office.group_views = {
        group: GroupView(group, group.capitalize(), 3, 2, 1, 1, time.time() - 5)
        for group in ("sales", "support")
    }
    office.office.views[ME] = replace(
        office.office.views[ME],
        groups=("sales", "support"),
        memberships=(
            MembershipView("sales", member=True, dynamic=True, actions=("logout",)),
            MembershipView("support", member=False, dynamic=True, actions=("login",)),
        ),
    )


# --- the list ------------------------------------------------------------------------------------


async def listed(page: Page) -> dict[str, str]:
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    entries: dict[str, str] = await page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("dialog dl > div")]
            .map(e => [e.querySelector("dt").innerText, e.querySelector("dd").innerText]))"""
    )
    await page.keyboard.press("Escape")
    return {k: v for k, v in entries.items() if k not in {"Enter", "Alt+Enter", "Esc"}}


EFFECT = """() => JSON.stringify([
    document.activeElement.outerHTML.replace(/ (disabled|title|class)="[^"]*"/g, ""),
    [...document.querySelectorAll("details[open]")].map(e => e.dataset.key),
    Boolean(document.querySelector("dialog[open]")),
    [...document.querySelectorAll("[data-key=star]")].map(e => e.ariaPressed),
    document.querySelectorAll(".strip.bad").length,
    document.querySelector("input[name=call]:checked")?.value,
    document.querySelector("#say").innerText,
])"""


class Presses:
    """Presses shortcuts of the list, each of which must do something."""

    def __init__(self, panel: AgentPage, rest: dict[str, str]) -> None:
        self.page = panel.page
        self.rest = rest
        self.sent: list[str] = []
        self._open: set[Request] = set()
        """Requests without an answer."""
        self._answered = asyncio.Event()
        self.page.on("request", self._asked)
        for end in ("requestfinished", "requestfailed"):
            self.page.on(end, self._ended)

    def _asked(self, request: Request) -> None:
        if request.method != "GET":
            self.sent.append(request.url)
            self._open.add(request)

    def _ended(self, request: Request) -> None:
        self._open.discard(request)
        self._answered.set()

    async def _answers(self) -> None:
        """Wait until the server has done what it was asked: what follows is told by it as well."""
        async with asyncio.timeout(deadline(10.0) - time.monotonic()):
            while self._open:
                self._answered.clear()
                await self._answered.wait()

    async def work(self, *letters: str) -> None:
        page = self.page
        for letter in letters:
            key = letter if letter in "?/" else f"Alt+Shift+{letter}"
            before, asked = await page.evaluate(EFFECT), len(self.sent)
            pressed = key.replace(letter, f"Digit{letter}") if letter.isdigit() else key
            await page.keyboard.press(pressed)
            over = deadline(5.0)
            while True:
                if len(self.sent) > asked or await page.evaluate(EFFECT) != before:
                    break
                assert time.monotonic() < over, f"{key} does nothing"
                await page.evaluate("new Promise(done => requestAnimationFrame(done))")
            await self._answers()
            await expect(page.locator(".told")).to_have_count(0)
            self.rest.pop(key)
            await page.keyboard.press("Escape")
            await page.keyboard.press("Escape")
            # A dialog that is still there would take the next key.
            await expect(page.get_by_role("dialog")).to_have_count(0)

    async def chosen(self) -> None:
        # The answer to the last request takes away the choice that it was for.
        await expect(self.page.locator(".row.chosen")).to_have_count(0)
        await self.page.locator("input[name=target][value='agent:1002']").check()
        await expect(self.page.locator(".row.chosen")).to_have_count(1)


@pytest.mark.thorough
async def test_every_listed_shortcut_does_something(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    """In each of these states, those that are for it; all of the list, in the end."""
    everything_at_work(office)
    panel = await open_panel(office.url)
    page, board = panel.page, office.office
    presses = Presses(panel, await listed(page))
    assert len(presses.rest) > 20
    await expect(page.locator("#search")).to_be_visible()
    await presses.work("?", "/", "Q", "V", "0", "U", "P")
    until = time.time() + 90
    may = ("pause", "extend_acw", "end_acw")
    board.agent_changed(ME, state=AgentState.ACW, acw_until=until, work_actions=may)
    await expect(page.locator("#acw-left")).to_be_visible()
    await presses.work("E", "R")
    board.past("lost", "1002", 60, TransferState.FAILED, "max_hold")
    board.changed(replace(board.known["lost"], caller_outcome="disconnected"))
    await expect(page.locator(".strip.bad")).to_be_visible()
    board.call_arrives()
    await expect(panel.call).to_contain_text("Connected")
    await presses.work("Y", "Z")
    first = board.views[ME].call
    assert first is not None
    second = CallView("chan-2", "+12025550177", "sales", on_hold=True, pop={})
    board.agent_changed(ME, calls=(first, second))
    await expect(page.locator("input[name=call]")).to_have_count(2)
    await presses.work("K")
    await page.locator("input[name=call]").first.check()
    await presses.chosen()
    await presses.work("W", "J", "L")
    await in_transfers(office, panel, presses)
    assert presses.rest == {}


async def in_transfers(office: OpenOffice, panel: AgentPage, presses: Presses) -> None:
    await consulting(office, panel)
    await presses.work("S")
    await consulting(office, panel)
    await presses.work("N")
    await consulting(office, panel, fourth=True)
    await presses.work("O", "G", "C")
    await expect(panel.running).to_have_count(0)
    await presses.chosen()
    await presses.work("H")
    board = office.office
    board.becomes(TransferState.CANCELLED, list(board.known)[-1], ended_reason="cancelled")
    await presses.chosen()
    await panel.page.keyboard.press("Alt+Shift+L")
    await expect(panel.running).to_be_visible()
    await presses.work("X")


async def consulting(office: OpenOffice, panel: AgentPage, *, fourth: bool = False) -> None:
    last = list(office.office.known)[-1]
    more = (PartyView("party-4", "fourth", "+12125550199", "talking"),) if fourth else ()
    office.office.becomes(
        TransferState.CONSULTING, last,
        parties=(
            PartyView(ME, "transferor", "Alice Morgan", "talking"),
            PartyView("caller", "caller", CALLER, "holding"),
            PartyView("1002", "target", "1002", "talking"),
            *more,
        ),
    )  # fmt: skip
    await expect(panel.page.locator("[data-value=swap]")).to_be_enabled()
    await panel.party("You", "hear Bob Hartley")


@pytest.mark.thorough
async def test_single_characters_can_be_switched_off(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url)
    page, keys = panel.page, panel.page.keyboard
    dialog = page.get_by_role("dialog")
    button = page.get_by_role("button", name="Keyboard shortcuts")
    await button.focus()
    await keys.press("Enter")
    await expect(dialog).to_be_visible()
    box = page.get_by_label("Use ? and / without other keys")
    await box.focus()
    await keys.press("Space")
    await expect(dialog.locator("dt", has_text="Alt+Shift+9")).to_have_count(1)
    assert await panel.inaccessible() == []
    await keys.press("Escape")
    await expect(button).to_be_focused()
    for key in ("?", "/"):
        await keys.press(key)
    await expect(dialog).to_have_count(0)
    await expect(button).to_be_focused()
    await keys.press("Alt+Shift+Digit1")
    await expect(page.locator("#search")).to_be_focused()
    await page.reload()  # the choice stays
    await panel.live()
    await keys.press("?")
    await keys.press("Alt+Shift+Digit9")
    await expect(dialog).to_be_visible()
    assert panel.console_errors == []
