"""The panel on a slow line: time until an agent can sign in, and what is transferred for it.

    python -m tests.benchmarks.slow_line [--output FILE]

Chromium emulates the line (Network.emulateNetworkConditions). The files as they are served stand
beside the same files one by one and not compressed, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, Page
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asterisk_avp.api import panel
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.languages import catalogues
from asterisk_avp.api.server import serve
from tests.adapters.scripted_transfer_service import INTEGRATION
from tests.benchmarks.figures import conditions, ratio, spread, table
from tests.panel.agent_page import AgentPage
from tests.panel.browser import chromium
from tests.panel.office import ME, Office

COMMAND = "python -m tests.benchmarks.slow_line"
LATENCY_MS = 400
KBIT_PER_SECOND = 400
TIMES = 5
_FORM = re.compile("<!--sign-in:.*<!--/sign-in-->", re.DOTALL)
_WORD = re.compile(r"\{\{([\w.]+)\}\}")


class OneByOne:
    """The panel's files as they are in the package."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        html = _FORM.sub("", panel.files()["index.html"].decode())
        self._page = _WORD.sub(lambda found: catalogues()["en"][found[1]], html)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            scope = {**scope, "headers": kept}
            if scope["path"] == "/":
                headers = {"Cache-Control": "no-cache"}
                response = Response(self._page, media_type="text/html", headers=headers)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


@dataclass
class Visit:
    """What opening the page took, until an agent can sign in."""

    shown: list[float] = field(default_factory=list)
    """Until the form is there, to be filled in."""
    seconds: list[float] = field(default_factory=list)
    kib: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)


@dataclass
class Figures:
    first: Visit = field(default_factory=Visit)
    again: Visit = field(default_factory=Visit)
    """With what the browser has kept."""
    usable: list[float] = field(default_factory=list)
    """From Sign in to a page that shows the agent's state and targets."""
    reload: list[float] = field(default_factory=list)
    """The same from a reload of the page of who is signed in."""


async def measure(browser: Browser, url: str, figures: Figures) -> None:
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    cdp = await context.new_cdp_session(page)
    loaded: list[float] = []
    cdp.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    await cdp.send("Network.enable")
    rate = KBIT_PER_SECOND * 1000 / 8
    line = {"downloadThroughput": rate, "uploadThroughput": rate, "latency": LATENCY_MS}
    await cdp.send("Network.emulateNetworkConditions", {"offline": False, **line})
    for visit in (figures.first, figures.again):
        loaded.clear()
        began = time.monotonic()
        await page.goto(url, wait_until="commit")
        await page.locator("#extension").wait_for()
        visit.shown.append(time.monotonic() - began)
        await page.locator("button[type=submit]:enabled").wait_for()
        visit.seconds.append(time.monotonic() - began)
        visit.kib.append(sum(loaded) / 1024)
        visit.requests.append(len(loaded))
    panel = AgentPage(page, url)
    began = time.monotonic()
    await panel.sign_in(ME)
    await usable(page)
    figures.usable.append(time.monotonic() - began)
    began = time.monotonic()
    await page.reload(wait_until="commit")
    await usable(page)
    figures.reload.append(time.monotonic() - began)
    await context.close()


async def usable(page: Page) -> None:
    await page.locator("body[data-live=true]").wait_for()
    await page.locator("#transfer .row").first.wait_for()


async def run() -> str:
    load = os.getloadavg()[0]
    office = Office()
    app = create_app(office, Authenticator(tokens=[INTEGRATION], pins=office.pins))
    found = {"one by one": Figures(), "as served": Figures()}
    async with chromium() as browser:
        servers = [await serve(one, "127.0.0.1", 0) for one in (OneByOne(app), app)]
        for _ in range(TIMES):
            for server, figures in zip(servers, found.values(), strict=True):
                await measure(browser, server.url, figures)
        for server in servers:
            await server.stop()
    one, served = found.values()

    def row(name: str, of: Callable[[Figures], list[float]], digits: int = 1) -> list[str]:
        return [
            name,
            spread(of(one), digits),
            spread(of(served), digits),
            ratio(of(one), of(served)),
        ]

    rows = [
        row("first visit: to the sign-in form, s", lambda x: x.first.shown),
        row("- until it can be sent, s", lambda x: x.first.seconds),
        row("- received until then, KiB", lambda x: x.first.kib, 0),
        row("- requests", lambda x: x.first.requests, 0),
        row("second visit: to the sign-in form, s", lambda x: x.again.shown),
        row("- until it can be sent, s", lambda x: x.again.seconds),
        row("- received until then, KiB", lambda x: x.again.kib, 1),
        row("- requests", lambda x: x.again.requests, 0),
        row("Sign in to a usable page, s", lambda x: x.usable),
        row("reload to a usable page, s", lambda x: x.reload),
    ]
    line = f"A line of {KBIT_PER_SECOND} kbit/s and {LATENCY_MS} ms. Median (minimum-maximum)."
    more = conditions("Chromium with an emulated line", "the API on this machine", load)
    return "\n".join((line, "", table(["", "one by one", "as served", "ratio"], rows), "", *more))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    text = asyncio.run(run())
    print(text)
    if options.output:
        again = f"{COMMAND} --output {options.output}"
        options.output.write_text(
            f"# The panel on a slow line\n\nMade by\n\n    {again}\n\n{text}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
