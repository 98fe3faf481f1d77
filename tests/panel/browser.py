"""The browser for the panel's tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
AT_NORMAL_PRIORITY = Path(__file__).with_name("chromium.sh")
PACKAGES = ("chromium", "fonts-dejavu-core", "openssl")


class NoBrowser(Exception):
    """Chromium is missing and could not be installed. The message says what to do."""


def find() -> Path | None:
    found = os.environ.get("AVP_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def provide() -> Path:
    """Chromium's program, installed if possible: as root on Debian. Raises `NoBrowser`."""
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("tests: installing chromium", file=sys.stderr)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES],
        ):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NoBrowser(f"apt-get could not install chromium: {done.stderr[-500:]}")
        found = find()
    if found is None:
        raise NoBrowser(
            "no Chromium for the panel's tests: install Debian's chromium, or set AVP_CHROMIUM"
            " to another one"
        )
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = provide()
    as_root = os.geteuid() == 0 and shutil.which("setpriv")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=AT_NORMAL_PRIORITY if as_root else program,
            env={**os.environ, "CHROMIUM": str(program), "PYTHON": sys.executable},
            # As root and in containers there is no sandbox and little shared memory.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            await browser.close()


def main() -> int:
    """Install the browser, or say what is missing. A step of ``tests/run``."""
    try:
        print(f"tests: browser for the panel: {provide()}")
    except NoBrowser as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
