"""An embedded panel under attack: pages in between, forged requests, hostile numbers, sign-on."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, expect

from tests.documentation import page
from tests.panel.office import CALLER, ME
from tests.panel.test_embedding import (
    FIELD,
    Embedded,
    embedding,
    framed,
    live,
    say,
    told,
    until_told,
)
from tests.panel.test_embedding import tls as tls  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEVERAL_WAYS = """async ([panel, agent]) => {
  const post = { method: "POST", credentials: "include", body: "{}" };
  const sent = (path, more) => fetch(panel + path, more)
    .then(async (answer) => [answer.type, answer.status, await answer.text()])
    .catch((error) => [error.name]);
  const results = {};
  results.simple = await sent(`/v1/agents/${agent}/pause`, { ...post, mode: "no-cors" });
  results.header = await sent(`/v1/agents/${agent}/pause`,
    { ...post, headers: { "X-AVP-Panel": "1", "Content-Type": "application/json" } });
  results.read = await sent(`/v1/agents/${agent}`, { credentials: "include" });
  results.page = await sent("/", { credentials: "include" });
  results.opaque = await sent("/", { credentials: "include", mode: "no-cors" });
  results.form = await new Promise((done) => {
    const target = document.createElement("iframe");
    target.name = "target";
    const form = document.createElement("form");
    Object.assign(form, { method: "post", target: "target", enctype: "text/plain" });
    form.action = `${panel}/v1/agents/${agent}/pause`;
    document.body.append(target, form);
    target.addEventListener("load", () => done("answered"), { once: true });
    form.submit();
  });
  results.socket = await new Promise((done) => {
    const heard = [];
    const socket = new WebSocket(panel.replace("https:", "wss:") + "/v1/events");
    socket.addEventListener("message", ({ data }) => heard.push(data));
    socket.addEventListener("open", () => heard.push("open"));
    socket.addEventListener("close", () => done(heard));
  });
  return results;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def embedded(browser: Browser, tls: ssl.SSLContext) -> AsyncIterator[Embedded]:
    async with embedding(browser, tls) as opened:
        yield opened


async def in_a_call(embedded: Embedded) -> Page:
    crm = await embedded.signed_in()
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    return crm


# --- requests ------------------------------------------------------------------------------------


async def test_the_page_around_cannot_act_or_read_as_the_agent(embedded: Embedded) -> None:
    """It is in the cookie's partition, so the browser sends the cookie with its requests."""
    crm = await in_a_call(embedded)
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    crm.on("request", note)
    results = await crm.evaluate(SEVERAL_WAYS, [embedded.panel, ME])
    cookies = [(await each.all_headers()).get("cookie", "") for each in sent]
    assert any("avp_session" in each for each in cookies), "else nothing has been tried"
    assert results["header"] == results["read"] == results["page"] == ["TypeError"]
    assert results["socket"] == []
    for blind in ("simple", "opaque"):
        assert results[blind] in (["TypeError"], ["opaque", 0, ""]), blind
    assert not embedded.office.office.agent(ME).paused
    assert embedded.office.office.requests == []
    await live(crm)


async def test_a_page_of_another_site_has_not_even_the_cookie(embedded: Embedded) -> None:
    await in_a_call(embedded)
    thief = await embedded.open(embedded.evil)
    results = await thief.evaluate(SEVERAL_WAYS, [embedded.panel, ME])
    assert results["header"] == results["read"] == results["page"] == ["TypeError"]
    assert results["socket"] == []
    assert not embedded.office.office.agent(ME).paused


# --- frames --------------------------------------------------------------------------------------


async def test_a_page_in_between_or_above_must_be_listed_too(embedded: Embedded) -> None:
    # The listed page, which frames a page that is not, which frames the panel.
    between = await embedded.open(f"{embedded.crm}/?beside={quote(embedded.evil, safe='')}")
    inner = between.frame_locator("#beside").frame_locator("#panel")
    await expect(framed(between).locator("#app")).to_have_count(1)
    # A page that is not listed, which frames the listed one, which frames the panel.
    above = await embedded.open(f"{embedded.evil}/?inside={quote(embedded.crm, safe='')}")
    await expect(framed(above).locator("#caller")).to_have_count(1)
    await embedded.refused(2)
    assert await inner.locator("#app").count() == 0
    assert await framed(above).frame_locator("#panel").locator("#app").count() == 0


async def test_an_opaque_origin_is_none_that_is_listed(embedded: Embedded) -> None:
    """The listed page in a sandbox: its origin is "null", as is that of anybody's sandbox."""
    sandbox = await embedded.open(f"{embedded.crm}/?policy={quote('sandbox allow-scripts')}")
    assert await sandbox.evaluate("self.origin") == "null"
    await embedded.refused()
    assert await framed(sandbox).locator("#app").count() == 0
    await say(sandbox, {"avp": 1, "type": "hello"})
    assert await sandbox.evaluate("window.told") == []


async def test_in_a_sandbox_with_what_the_documentation_asks_for(embedded: Embedded) -> None:
    prose = " ".join(page("docs/embedding.md").split())
    (needed,) = re.findall(r"attribute `sandbox`, it needs `([a-z -]+)`", prose)
    crm = await embedded.signed_in(f"{embedded.crm}/?sandbox={quote(needed)}")
    embedded.office.office.call_arrives()
    await expect(crm.locator("#caller")).to_have_text(CALLER)
    await crm.get_by_role("button", name="Call +1 202 555 0100").click()
    await until_told(crm, "number", result="shown")
    assert embedded.errors == []


# --- numbers -------------------------------------------------------------------------------------


HOSTILE = {
    "tel:+1-202-555-0100;ext=7": "+1-202-555-0100;ext=7",
    "TEL: 911": "911",
    "sip:+12025550100@evil.example": "sip:+12025550100@evil.example",
    "javascript:alert(1)": "javascript:alert(1)",
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    "*8": "*8",
    "+12025550100,,*7#1002#": "+12025550100,,*7#1002#",
    "1002": "1002",
}
"""What a page sends -> what the panel shows."""


async def test_a_hostile_number_is_text_in_a_field(embedded: Embedded) -> None:
    """Whatever it is: judged by the server, never dialled, never markup."""
    crm = await in_a_call(embedded)
    for sent, shown in HOSTILE.items():
        await say(crm, {"avp": 1, "type": "number", "number": sent})
        await until_told(crm, "number", number=shown, result="shown")
        await expect(framed(crm).locator(FIELD)).to_have_value(shown)
        # Enter that the agent meant for something else presses nothing of the panel.
        await crm.keyboard.press("Enter")
        assert await framed(crm).locator("#app img[src=x]").count() == 0
        assert embedded.office.office.requests == []
    await live(crm)
    assert embedded.errors == []


# --- single sign-on ------------------------------------------------------------------------------

ACCESS = {"user_header": "X-Forwarded-User", "sign_out_url": "/oauth2/sign_out"}
OF_ONE_SITE = ("crm.office.localhost", "panel.office.localhost")


async def sign_in(around: Embedded, user: str) -> None:
    """At the proxy, in a tab of its own: such pages let nobody frame them."""
    tab = await around.open(f"{around.panel}/oauth2/sign_in?user={user}")
    await tab.close()


async def proxys_page(opened: Page) -> None:
    heading = framed(opened).get_by_role("heading", name="The proxy's page")
    await expect(heading).to_be_visible()
    assert await told(opened, "session") == []


async def test_who_signed_in_at_the_proxy_is_in_the_frame(
    browser: Browser, tls: ssl.SSLContext
) -> None:
    async with embedding(browser, tls, OF_ONE_SITE, **ACCESS) as around:
        await proxys_page(await around.open())
        await sign_in(around, "alice")
        crm = await around.open()
        await live(crm)
        await until_told(crm, "session", agent={"id": ME, "name": "Alice Morgan"})
        around.office.office.call_arrives()
        await expect(crm.locator("#caller")).to_have_text(CALLER)
        # Another user at the proxy: the frame leaves, and the page around is told so.
        await sign_in(around, "carol")
        await framed(crm).locator("body").evaluate("window.dispatchEvent(new Event('focus'))")
        await until_told(crm, "session", agent=None)
        await expect(framed(crm).locator("#own-state")).to_have_count(0)
        assert "Joan" not in await framed(crm).locator("html").inner_html()
        await framed(crm).get_by_role("button", name="Sign in").click()
        await until_told(crm, "session", agent={"id": "1003", "name": "Carol Nwosu"})


async def test_a_browser_may_keep_the_proxys_cookie_from_another_sites_frame(
    browser: Browser, tls: ssl.SSLContext
) -> None:
    """As this one does, in a window without third-party cookies: nobody is signed in there."""
    async with embedding(browser, tls, **ACCESS) as around:
        await sign_in(around, "alice")
        await proxys_page(await around.open())
