"""The panel in a frame of another page: the example of docs/embedding.md, and hostile pages."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from bed.deadlines import deadline
from playwright.async_api import Browser, BrowserContext, FrameLocator, Page, expect

from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.core.model.world import TransferState
from tests.documentation import blocks, page
from tests.panel.agent_page import NOT_OURS
from tests.panel.office import CALLER, ME, POP, OpenOffice, open_office
from tests.panel.tls import Proxy, certificate, site

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = blocks(page("docs/embedding.md"), "html")[0].text

# Where the agent types numbers.
FIELD = "#number, body:not(:has(#number)) #search"

# What each window is told, by whom. It runs before the pages' own scripts.
RECORDER = """
window.told = [];
addEventListener("message", ({ origin, data }) => window.told.push({ origin, data }));
"""


@dataclass
class Embedded:
    """A CRM's page with the panel in a frame, each with an origin of its own."""

    office: OpenOffice
    panel: str
    crm: str
    evil: str
    """A page of a third origin, which is not listed."""
    context: BrowserContext
    errors: list[str]
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, url: str | None = None) -> Page:
        opened = await self.context.new_page()
        opened.on("pageerror", lambda error: self._note(str(error)))
        opened.on(
            "console",
            lambda said: (
                self._note(said.text)
                if said.type in ("error", "warning") and not NOT_OURS.search(said.text)
                else None
            ),
        )
        await opened.goto(url or self.crm)
        return opened

    def _note(self, error: str) -> None:
        self.errors.append(error)
        self._more.set()

    async def refused(self, count: int = 1) -> None:
        """Wait until the browser has refused so many frames. It says so at any time."""
        async with asyncio.timeout(deadline(10.0) - time.monotonic()):
            while sum("frame-ancestors" in text for text in self.errors) < count:
                self._more.clear()
                await self._more.wait()

    async def signed_in(self, url: str | None = None) -> Page:
        opened = await self.open(url)
        frame = framed(opened)
        await frame.get_by_label("Extension").fill(ME)
        await frame.get_by_label("PIN").fill(f"pin-{ME}")
        await frame.get_by_role("button", name="Sign in").click()
        await live(opened)
        return opened


def framed(opened: Page) -> FrameLocator:
    return opened.frame_locator("#panel")


async def live(opened: Page) -> None:
    await expect(framed(opened).locator("body")).to_have_attribute("data-live", "true")


async def told(opened: Page, kind: str) -> list[dict[str, Any]]:
    """The messages of that type that this window got."""
    found: list[dict[str, Any]] = await opened.evaluate("window.told")
    return [each["data"] for each in found if each["data"].get("type") == kind]


async def until_told(opened: Page, kind: str, **fields: Any) -> dict[str, Any]:
    """Wait for a message of that type with these fields, and return the last one with them."""
    found = await opened.wait_for_function(
        """([kind, fields]) => window.told.map(({ data }) => data).findLast((data) =>
            data.type === kind && Object.entries(fields).every(([name, value]) =>
              JSON.stringify(data[name]) === JSON.stringify(value)))""",
        arg=[kind, fields],
    )
    message: dict[str, Any] = await found.json_value()
    return message


async def say(opened: Page, *messages: object) -> None:
    """Send messages to the panel, as the page around it."""
    await opened.evaluate(
        """([messages, panel]) => {
            const frame = document.getElementById("panel");
            for (const one of messages) frame.contentWindow.postMessage(one, panel);
        }""",
        [list(messages), "*"],
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def embedding(
    browser: Browser,
    tls: ssl.SSLContext,
    hosts: tuple[str, str] = ("localhost", "127.0.0.1"),
    **given: Any,
) -> AsyncIterator[Embedded]:
    """``hosts``: the names of the page around and of the panel; these two are different sites.

    ``given``: more of the panel's access; with a ``user_header``, its proxy signs people in.
    """
    found: dict[str, str] = {}

    async def crm(request: web.Request) -> web.StreamResponse:
        beside = request.query.get("beside", "")
        text = EXAMPLE.replace("https://panel.example", found["panel"])
        text += f'<iframe id="beside" src="{beside}"></iframe>' if beside else ""
        sandbox = request.query.get("sandbox")
        if sandbox is not None:
            text = text.replace('id="panel"', f'id="panel" sandbox="{sandbox}"')
        headers = {"Content-Security-Policy": request.query.get("policy", "")}
        page = f"<!doctype html>{text}"
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def evil(request: web.Request) -> web.StreamResponse:
        inside = request.query.get("inside") or f"{found['panel']}/"
        text = f'<!doctype html><iframe id="panel" src="{inside}"></iframe>'
        return web.Response(text=text, content_type="text/html")

    users = {ME: "alice", "1003": "carol"} if given else None
    async with site(crm, tls, hosts[0]) as crms, site(evil, tls, "localhost") as evils:
        access = PanelAccess(frame_ancestors=(crms,), **given)
        async with (
            open_office(access=access, users=users) as office,
            site(Proxy(office.url, given.get("user_header")), tls, hosts[1]) as panel,
        ):
            found["panel"] = panel
            context = await browser.new_context(ignore_https_errors=True, locale="en-GB")
            await context.add_init_script(RECORDER)
            opened = Embedded(office, panel, crms, evils, context, [])
            yield opened
            await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def embedded(browser: Browser, tls: ssl.SSLContext) -> AsyncIterator[Embedded]:
    async with embedding(browser, tls) as opened:
        yield opened


# --- the example ---------------------------------------------------------------------------------


async def test_the_example_of_the_documentation(embedded: Embedded) -> None:
    crm = await embedded.signed_in()
    frame = framed(crm)
    (cookie,) = [
        each for each in await embedded.context.cookies() if "session" in each.get("name", "")
    ]
    assert cookie.get("name") == "__Host-avp_session"
    assert cookie.get("sameSite") == "None"
    assert cookie.get("partitionKey"), "a browser keeps it for frames in this site's pages only"
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    async with crm.expect_response("**/v1/numbers/check") as judged:
        await crm.get_by_role("button", name="Call +1 202 555 0100").click()
    assert (await (await judged.value).json())["e164"] == "+12025550100"
    await expect(frame.locator(FIELD)).to_have_value("+1 202 555 0100")
    assert (await until_told(crm, "number"))["result"] == "shown"
    assert embedded.office.office.requests == [], "nothing is dialled"
    # The frame keeps its session, and tells a page that has begun anew what there is.
    await crm.reload()
    await live(crm)
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    embedded.office.office.call_ends()
    await expect(crm.locator("#caller")).to_have_text("")
    assert embedded.errors == []


async def test_call_pop_and_transfer_reach_the_page_around(embedded: Embedded) -> None:
    crm = await embedded.open()
    assert (await until_told(crm, "session", agent=None))["avp"] == 1
    await framed(crm).get_by_label("Extension").fill(ME)
    await framed(crm).get_by_label("PIN").fill(f"pin-{ME}")
    await framed(crm).get_by_role("button", name="Sign in").click()
    await until_told(crm, "session", agent={"id": ME, "name": "Alice Morgan"})
    await until_told(crm, "call", call=None)
    office = embedded.office.office
    offered = {"type": "pop", "agent": ME, "state": "offered", "pop": POP}
    office.publish(offered)
    assert (await until_told(crm, "pop", state="offered"))["pop"] == POP
    office.call_arrives()
    call = {
        "id": "chan-1",
        "caller": CALLER,
        "caller_withheld": False,
        "group": "sales",
        "on_hold": False,
    }
    await until_told(crm, "call", call=call)
    assert (await until_told(crm, "pop", state="delivered"))["pop"] == POP
    office.past("t9", "1002", 5, TransferState.RINGING, None)
    shown = (await until_told(crm, "transfer"))["transfer"]
    assert (shown["id"], shown["state"], shown["agent"]) == ("t9", "ringing", ME)
    office.becomes(TransferState.COMPLETED, "t9", ended_reason="completed")
    await crm.wait_for_function(
        "window.told.some(({ data }) => data.transfer && data.transfer.state === 'completed')"
    )
    # Whoever signs out says so, and a page that asks later hears nothing of the call.
    await framed(crm).locator("details[data-key=account] summary").click()
    await framed(crm).get_by_role("button", name="Sign out", exact=True).click()
    await crm.wait_for_function("window.told.at(-1).data.agent === null")
    await crm.evaluate("window.told.length = 0")
    await say(crm, {"avp": 1, "type": "hello"})
    await until_told(crm, "session", agent=None)
    assert {each["data"]["type"] for each in await crm.evaluate("window.told")} == {"session"}
    everything = await crm.evaluate("window.told")
    assert {each["origin"] for each in everything} == {embedded.panel}
    assert {each["data"]["avp"] for each in everything} == {1}
    assert embedded.errors == []


async def test_a_transfer_that_ended_unheard_is_not_told_of_again(embedded: Embedded) -> None:
    crm = await embedded.signed_in()
    office = embedded.office
    office.office.past("t9", "1002", 5, TransferState.RINGING, None)
    await until_told(crm, "transfer")
    await office.server.stop()
    await expect(framed(crm).locator("body")).to_have_attribute("data-live", "false")
    office.office.known.clear()
    await office.start_again()
    await live(crm)
    await crm.evaluate("window.told.length = 0")
    # The answer to the number comes after all that the hello is told.
    number = {"avp": 1, "type": "number", "number": "+12025550100"}
    await say(crm, {"avp": 1, "type": "hello"}, number)
    await until_told(crm, "number")
    told = [each["data"]["type"] for each in await crm.evaluate("window.told")]
    assert "session" in told
    assert "transfer" not in told


# --- numbers -------------------------------------------------------------------------------------


async def test_a_number_comes_only_where_it_is_safe(embedded: Embedded) -> None:
    crm = await embedded.open()
    number = {"avp": 1, "type": "number", "number": "tel:+12025550100"}
    await until_told(crm, "session", agent=None)
    await say(crm, number)
    assert await until_told(crm, "number", result="signed_out")
    crm = await embedded.signed_in()
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    field = framed(crm).locator(FIELD)
    await say(crm, number)
    assert (await until_told(crm, "number", result="shown"))["number"] == "+12025550100"
    await expect(field).to_have_value("+12025550100")
    # Not under the agent's fingers, who are about to press Enter.
    await field.fill("+1 202 555 0177")
    await say(crm, number)
    await until_told(crm, "number", result="busy")
    await expect(field).to_have_value("+1 202 555 0177")
    assert embedded.office.office.requests == []
    # Nor where the agent may not call numbers.
    embedded.office.office.permissions = ("session_transfer",)
    await crm.reload()
    await live(crm)
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    await say(crm, number)
    await until_told(crm, "number", result="unavailable")
    assert embedded.errors == []


async def test_floods_and_nonsense(embedded: Embedded) -> None:
    crm = await embedded.signed_in()
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    checks: list[str] = []
    crm.on("request", lambda sent: checks.append(sent.url) if "numbers" in sent.url else None)
    nonsense = [
        None, 7, "number", [], [1], {}, {"type": "number"}, {"avp": 1}, {"avp": 2, "type": "hello"},
        {"avp": "1", "type": "number", "number": "+12025550111"},
        {"avp": 1, "type": "number"},
        {"avp": 1, "type": "number", "number": None},
        {"avp": 1, "type": "number", "number": 12025550111},
        {"avp": 1, "type": "number", "number": ["+12025550111"]},
        {"avp": 1, "type": "number", "number": {"toString": "+12025550111"}},
        {"avp": 1, "type": "number", "number": ""},
        {"avp": 1, "type": "number", "number": "   "},
        {"avp": 1, "type": "number", "number": "1" * 81},
        {"avp": 1, "type": "number", "number": "+1202\n5550111"},
        {"avp": 1, "type": "number", "number": "\u202e+12025550111"},
        {"avp": 1, "type": "number", "number": "x" * 1_000_000},
        {"avp": 1, "type": "sign-out"},
        {"avp": 1, "type": "transfer", "mode": "unsupervised"},
        {"avp": 1, "type": "__proto__", "number": "1"},
        {"avp": 1, "type": ["number"], "number": "+12025550111"},
    ]  # fmt: skip
    await say(crm, *nonsense)
    await crm.evaluate(
        """(panel) => {
            const { contentWindow } = document.getElementById("panel");
            const loop = { avp: 1, type: "number" };
            loop.number = loop;
            const odd = [loop, new Map([["avp", 1]]), new Date(), new ArrayBuffer(9), undefined];
            for (const one of odd) contentWindow.postMessage(one, panel);
            const send = (more) => contentWindow.postMessage({ avp: 1, ...more }, panel);
            for (let count = 0; count < 5000; count += 1) {
              send({ type: "hello" });
              send({ type: "number", number: `+1202555${1000 + count}` });
            }
            send({ type: "number", number: "+12025550142" });
        }""",
        embedded.panel,
    )
    await until_told(crm, "number", number="+12025550142", result="shown")
    await expect(framed(crm).locator(FIELD)).to_have_value("+12025550142")
    answers = await told(crm, "number")
    assert len(answers) < 50, "of many, the last one counts"
    assert len(checks) < 50
    assert not [each for each in answers if "0111" in each["number"]]
    assert embedded.office.office.requests == []
    await live(crm)
    assert embedded.errors == []


# --- pages that are not listed -------------------------------------------------------------------


async def test_a_page_that_is_not_listed_has_no_panel_and_hears_nothing(
    embedded: Embedded,
) -> None:
    crm = await embedded.signed_in()
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    thief = await embedded.open(embedded.evil)
    await embedded.refused()
    assert await framed(thief).locator("#app").count() == 0
    await say(thief, {"avp": 1, "type": "hello"})
    embedded.office.office.call_ends()
    await expect(crm.locator("#caller")).to_have_text("")
    assert await thief.evaluate("window.told") == []


async def test_a_frame_beside_the_panel_is_not_the_page_around_it(embedded: Embedded) -> None:
    """An advertisement in the CRM's page can find the panel's window, and says what it likes."""
    crm = await embedded.signed_in()
    await crm.goto(f"{embedded.crm}/?beside={embedded.evil}")
    await live(crm)
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    (beside,) = [frame for frame in crm.frames if frame.url.startswith(embedded.evil)]
    await beside.evaluate(
        """() => {
            const panel = window.parent.frames[0];
            panel.postMessage({ avp: 1, type: "hello" }, "*");
            panel.postMessage({ avp: 1, type: "number", number: "+12025550666" }, "*");
        }"""
    )
    # What the page itself says afterwards arrives afterwards, and is the only thing that counts.
    await say(crm, {"avp": 1, "type": "number", "number": "+12025550100"})
    await until_told(crm, "number", result="shown")
    await expect(framed(crm).locator(FIELD)).to_have_value("+12025550100")
    assert [each["number"] for each in await told(crm, "number")] == ["+12025550100"]
    assert await beside.evaluate("window.told") == []


async def test_a_panel_in_a_window_of_its_own_hears_nobody(embedded: Embedded) -> None:
    opener = await embedded.open(embedded.evil)
    async with embedded.context.expect_page() as opening:
        await opener.evaluate("(panel) => { window.opened = window.open(panel); }", embedded.panel)
    alone = await opening.value
    await alone.get_by_label("Extension").fill(ME)
    await alone.get_by_label("PIN").fill(f"pin-{ME}")
    await alone.get_by_role("button", name="Sign in").click()
    await expect(alone.locator("body")).to_have_attribute("data-live", "true")
    embedded.office.office.call_arrives()
    await expect(alone.get_by_text("Ms. Joan Sample").first).to_be_visible()
    message = {"avp": 1, "type": "number", "number": "+12025550666"}
    await opener.evaluate("(message) => window.opened.postMessage(message, '*')", message)
    await alone.evaluate("(message) => window.postMessage(message, location.origin)", message)
    # Messages and timers come in their order: a number would now be in the field.
    await alone.evaluate(
        """() => new Promise((done) => {
            addEventListener("message", () => { setTimeout(done, 250); });
            window.postMessage("last", location.origin);
        })"""
    )
    assert await alone.locator(FIELD).input_value() == ""
    assert await opener.evaluate("window.told") == []
