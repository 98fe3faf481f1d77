"""Single sign-on in a browser: through a real reverse proxy, as oauth2-proxy would be one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from asterisk_avp.api.panel_access import PanelAccess
from tests.panel.agent_page import AgentPage
from tests.panel.office import OpenOffice, open_office
from tests.panel.tls import Proxy, certificate, site

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADER = "X-Forwarded-Preferred-Username"
USERS = {"1001": "alice", "1003": "carol@example.org"}


@dataclass
class Organisation:
    """An office behind a proxy that signs people in."""

    office: OpenOffice
    url: str
    browser: Browser
    contexts: list[BrowserContext]

    async def open(self, user: str | None, **headers: str) -> AgentPage:
        """The panel in a new browser, whose user the proxy knows as ``user``."""
        context = await self.browser.new_context(
            ignore_https_errors=True, locale="en-GB", extra_http_headers=headers
        )
        self.contexts.append(context)
        panel = AgentPage(await context.new_page(), self.url)
        if user is not None:
            await self.sign_in(panel, user)
        await panel.page.goto(self.url)
        return panel

    async def sign_in(self, panel: AgentPage, user: str) -> None:
        """Sign in at the proxy, in a tab of its own."""
        tab = await panel.page.context.new_page()
        await tab.goto(f"{self.url}/oauth2/sign_in?user={user}")
        await tab.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture(loop_scope="session")
async def organisation(browser: Browser, tls: ssl.SSLContext) -> AsyncIterator[Organisation]:
    access = PanelAccess(user_header=HEADER, sign_out_url="/oauth2/sign_out")
    async with (
        open_office(access=access, users=USERS) as office,
        site(Proxy(office.url, HEADER), tls, "127.0.0.1") as url,
    ):
        opened = Organisation(office, url, browser, [])
        yield opened
        for context in opened.contexts:
            await context.close()


async def no_pin_form(panel: AgentPage) -> None:
    await expect(panel.page.get_by_label("PIN")).to_have_count(0)
    await expect(panel.page.locator("#own-state")).to_have_count(0)


async def test_who_is_signed_in_at_the_proxy_is_in_the_panel(organisation: Organisation) -> None:
    panel = await organisation.open("alice")
    await panel.live()
    await expect(panel.page.get_by_text("Alice Morgan").first).to_be_visible()
    names = {each.get("name") for each in await panel.page.context.cookies()}
    assert names == {"proxy_user", "__Host-avp_session"}
    organisation.office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    await panel.page.reload()
    await panel.live()
    assert panel.console_errors == []


async def test_the_browser_cannot_say_who_it_is(organisation: Organisation) -> None:
    """The proxy replaces the header; without the proxy, nobody is anybody."""
    panel = await organisation.open("carol@example.org", **{HEADER: "alice"})
    await panel.live()
    await expect(panel.page.get_by_text("Carol Nwosu").first).to_be_visible()
    nobody = await organisation.open(None, **{HEADER: "alice"})
    await expect(nobody.page.get_by_role("heading", name="The proxy's page")).to_be_visible()


async def test_who_is_no_agent_reads_a_sentence(organisation: Organisation) -> None:
    panel = await organisation.open("mallory")
    await expect(panel.page.get_by_role("alert")).to_have_text(
        "You are signed in as mallory, who is no agent here."
    )
    await no_pin_form(panel)
    assert await panel.inaccessible() == []
    # As somebody whom the organisation knows by another name, they are no agent either.
    other = await organisation.open("1001")
    await expect(other.page.get_by_role("alert")).to_contain_text("signed in as 1001")
    # Who signs in anew at the proxy comes in with the button.
    await organisation.sign_in(panel, "alice")
    await panel.button("Sign in").click()
    await panel.live()


async def test_out_of_the_panel_and_out_of_the_organisation(organisation: Organisation) -> None:
    panel = await organisation.open("alice")
    await panel.live()
    organisation.office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.button("Sign out").click()
    said = panel.page.get_by_role("status").first
    await expect(said).to_contain_text("signed out of the panel, but not of your organisation")
    assert "Joan" not in await panel.page.content()
    await no_pin_form(panel)
    assert await panel.inaccessible() == []
    await panel.button("Sign in").click()
    await panel.live()
    await panel.page.locator("details[data-key=account] summary").click()
    await panel.button("Sign out").click()
    await panel.page.locator("#proxy-sign-out").click()
    await expect(panel.page.get_by_role("heading", name="The proxy's page")).to_be_visible()
    await panel.page.goto(organisation.url)
    await expect(panel.page.get_by_role("heading", name="The proxy's page")).to_be_visible()


async def test_another_user_at_the_proxy_gets_nothing_of_the_last_one(
    organisation: Organisation,
) -> None:
    panel = await organisation.open("alice")
    await panel.live()
    organisation.office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    await organisation.sign_in(panel, "carol@example.org")
    # The older tab's next request shows it: here, because they come back to it.
    await panel.page.evaluate("window.dispatchEvent(new Event('focus'))")
    await no_pin_form(panel)
    assert "Joan" not in await panel.page.content()
    await panel.button("Sign in").click()
    await panel.live()
    await expect(panel.page.get_by_text("Carol Nwosu").first).to_be_visible()
    assert "Joan" not in await panel.page.content()


async def test_the_older_tab_leaves_by_itself_when_another_user_opens_one(
    organisation: Organisation,
) -> None:
    older = await organisation.open("alice")
    await older.live()
    organisation.office.office.call_arrives()
    await expect(older.call).to_contain_text("Ms. Joan Sample")
    await organisation.sign_in(older, "carol@example.org")
    newer = AgentPage(await older.page.context.new_page(), organisation.url)
    await newer.page.goto(organisation.url)
    await newer.live()
    await expect(newer.page.get_by_text("Carol Nwosu").first).to_be_visible()
    # Nobody touches the older one: its stream ends with its session.
    await no_pin_form(older)
    assert "Joan" not in await older.page.content()
    await expect(older.button("Sign in")).to_be_visible()
    await newer.live()
    assert newer.console_errors == []


@pytest.mark.parametrize("how", ["asks", "stream"])
async def test_a_sign_in_that_is_over_at_the_proxy_ends_the_page(
    organisation: Organisation, how: str
) -> None:
    panel = await organisation.open("alice")
    await panel.live()
    organisation.office.office.call_arrives()
    await expect(panel.call).to_contain_text("Ms. Joan Sample")
    # Somewhere else, where this browser's tabs do not notice it.
    await panel.page.context.clear_cookies(name="proxy_user")
    if how == "asks":
        await panel.page.evaluate("window.dispatchEvent(new Event('focus'))")
    else:  # the stream's next handshake, which the proxy refuses by itself
        await organisation.office.restart()
    await no_pin_form(panel)
    assert "Joan" not in await panel.page.content()
    await panel.button("Sign in").click()
    await expect(panel.page.get_by_role("heading", name="The proxy's page")).to_be_visible()
