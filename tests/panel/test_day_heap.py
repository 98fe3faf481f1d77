"""The judge of the page's memory: it finds what a page keeps, and takes nothing else for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.panel.day.heap import DATA_BYTES, Growth, Kept, at_rest, verdict

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS = 10
# Much at once: the browser itself may give back some thousands of bytes meanwhile.
LEAK = """() => (window.kept ||= []).push(Array(50).fill().map(() =>
    ({ id: `${Math.random()}`, parties: [{}, {}, {}] })))"""
NODES = """() => (window.kept ||= []).push(Array(50).fill().map(() =>
    document.createElement("div")))"""
CODE = """() => {
    const made = new Function("a", "b", `return a + b + ${Math.random()};`.repeat(40));
    (window.compiled ||= []).push(made);
    for (let n = 0; n < 3; n += 1) made(n, 1);
    window.compiled.shift();
}"""
PASSED = "() => [...Array(500).keys()].map((n) => ({ n, text: `${n}` })).length"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


Step = Callable[[Page], Awaitable[object]]


async def judged(page: Page, step: Step) -> tuple[float, list[str]]:
    """Bytes of data for each call that does this, and the kinds of what grew."""
    cdp = await page.context.new_cdp_session(page)
    measured = []
    for number in range(3 * CALLS):
        await step(page)
        if (number + 1) % CALLS == 0:
            measured.append(await at_rest(cdp, number + 1))
    told = verdict(measured, CALLS)
    return told.data, [kind for kind, each in told.kinds if each > 10]


@pytest.mark.parametrize(("leak", "kind"), [(LEAK, "object Object"), (NODES, "native")])
async def test_what_the_page_keeps_is_found(page: Page, leak: str, kind: str) -> None:
    grown, kinds = await judged(page, lambda page: page.evaluate(leak))
    assert grown > 10 * DATA_BYTES, kinds
    assert any(one.startswith(kind) for one in kinds), kinds


@pytest.mark.parametrize("work", [CODE, PASSED])
async def test_code_and_what_is_gone_are_no_growth(page: Page, work: str) -> None:
    grown, kinds = await judged(page, lambda page: page.evaluate(work))
    assert grown < DATA_BYTES, kinds


async def test_what_only_the_driver_holds_is_no_growth(page: Page) -> None:
    async def held(page: Page) -> None:
        await page.evaluate_handle("() => Array(400).fill().map((_, n) => ({ n }))")
        await page.evaluate("() => console.log({ text: Array(400).fill().map((_, n) => `${n}`) })")

    grown, kinds = await judged(page, held)
    assert grown < DATA_BYTES, kinds


def growth(calls: int, data: int, nodes: int) -> Growth:
    return Growth(calls, data, nodes, 30, Kept(data, 10**6 + 900 * calls, Counter(object=data)))


@pytest.mark.parametrize(
    ("each", "nodes", "flat"),
    [(0, 0, True), (DATA_BYTES - 1, 0, True), (DATA_BYTES + 1, 0, False), (0, 2, False)],
)
async def test_the_bounds_are_for_each_call_after_the_warm_up(
    each: int, nodes: int, flat: bool
) -> None:
    filling = [growth(10 * n, 2000 * 10 * n, 90 * n) for n in range(12)]
    after = [
        growth(10 * n, 240_000 + each * 10 * (n - 12), 1080 + 10 * nodes * (n - 12))
        for n in range(12, 21)
    ]
    told = verdict([*filling, *after], 120)
    assert told.flat == flat, str(told)
    assert told.code == pytest.approx(900)
