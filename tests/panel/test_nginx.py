"""The page in a browser, through a real nginx with the files of docs/install.md."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from asterisk_avp.api.panel_access import PanelAccess
from tests import nginx
from tests.panel.agent_page import AgentPage
from tests.panel.office import ME, OpenOffice, open_office
from tests.panel.tls import certificate_files
from tests.single_sign_on import OAuth2Proxy, served

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "0123456789abcdef"


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context(ignore_https_errors=True, locale="en-GB")
    yield opened
    await opened.close()


@asynccontextmanager
async def through(
    office: OpenOffice, files: dict[str, str], folder: Path, oauth2: str = ""
) -> AsyncIterator[str]:
    key, cert = certificate_files(folder)
    values = {
        "127.0.0.1:8766": office.url.removeprefix("http://"),
        "127.0.0.1:4180": oauth2.removeprefix("http://"),
        "the-long-secret": SECRET,
    }
    async with nginx.running(files, folder / "nginx", values, key, cert) as url:
        yield url


async def transferred(panel: AgentPage) -> dict[str, int]:
    """Bytes of scripts and styles that came over the network; 0: from the browser's cache.

    Other files the browser keeps on disk only, and not with a certificate that it does not trust.
    """
    entries: list[list[str | int]] = await panel.page.evaluate(
        "performance.getEntriesByType('resource').map((each) => [each.name, each.transferSize])"
    )
    found = {str(name): int(size) for name, size in entries}
    files = {
        name: size
        for name, size in found.items()
        if re.search(r"/panel/\w{16}/.*\.(js|css)$", name)
    }
    assert {Path(name).suffix for name in files} == {".js", ".css"}
    return files


async def test_an_agents_work_through_it(context: BrowserContext, tmp_path: Path) -> None:
    """Sign in, hear of a call, consult; a reload fetches no file again."""
    shown = nginx.documented("## Publish the panel")
    files = {name: texts[0] for name, texts in shown.items() if "sso" not in name}
    async with open_office() as office, through(office, files, tmp_path) as url:
        panel = AgentPage(await context.new_page(), url)
        await panel.open()
        await panel.sign_in(ME)
        office.office.call_arrives()
        await expect(panel.call).to_contain_text("Ms. Joan Sample")
        await panel.choose("agent", "1002")
        await panel.button("Consult").click()
        await expect(panel.running).to_be_visible()
        assert len(office.office.requests) == 1
        assert all(size > 0 for size in (await transferred(panel)).values())
        await panel.page.reload()
        await panel.live()
        await expect(panel.call).to_contain_text("Ms. Joan Sample")
        assert not any((await transferred(panel)).values()), "all from the browser's own cache"
        assert panel.console_errors == []


async def test_single_sign_on_through_it(context: BrowserContext, tmp_path: Path) -> None:
    shown = nginx.documented("## Publish the panel")
    files = {name: texts[-1] for name, texts in shown.items()}
    access = PanelAccess(
        user_header="X-Forwarded-Preferred-Username",
        sign_out_url="/oauth2/sign_out",
        secret=SECRET,
    )
    async with (
        served(OAuth2Proxy()) as oauth2,
        open_office(access=access, users={ME: "alice"}) as office,
        through(office, files, tmp_path, oauth2) as url,
    ):
        panel = AgentPage(await context.new_page(), url)
        await panel.page.goto(url)
        proxys_page = panel.page.get_by_role("heading", name="The proxy's page")
        await expect(proxys_page).to_be_visible()
        await panel.page.goto(f"{url}/oauth2/sign_in?user=alice")
        await panel.page.goto(url)
        await panel.live()
        office.office.call_arrives()
        await expect(panel.call).to_contain_text("Ms. Joan Sample")
        await panel.page.locator("details[data-key=account] summary").click()
        await panel.button("Sign out").click()
        await panel.page.locator("#proxy-sign-out").click()
        await expect(proxys_page).to_be_visible()
        await panel.page.goto(url)
        await expect(proxys_page).to_be_visible()
        assert panel.console_errors == []
