"""Daemons with `run --standby` in processes of their own, beside a simulated Asterisk (`pbx`)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from servers.killable import GROUPS
from servers.pbx import Pbx
from tests.ports import free_port

TOKEN = "integration-token"
_POLL_SECONDS = 0.01


class Standby:
    """A process. ``port``: its API's, which may be another one's as well."""

    def __init__(self, place: Path, pbx: Pbx, port: int, agi: int, **more: str) -> None:
        place.mkdir(exist_ok=True)
        self.url = f"http://127.0.0.1:{port}"
        groups = {f"AVP_GROUPS__GROUP{number}__ACCOUNT": "acme" for number in range(GROUPS)}
        self.settings = {
            "AVP_ARI__URL": pbx.ari.url,
            "AVP_ARI__USERNAME": "avp",
            "AVP_ARI__PASSWORD": "s3cret",
            "AVP_AMI__PORT": str(pbx.ami.port),
            "AVP_AMI__USERNAME": "avp",
            "AVP_AMI__SECRET": "s3cret",
            "AVP_API__PORT": str(port),
            "AVP_API__TOKENS": TOKEN,
            "AVP_AGI__PORT": str(agi),
            "AVP_ACCOUNTS__ACME__COUNTRY": "US",
            "AVP_AGENTS__1000__PIN": "1111",
            "AVP_LOG__FORMAT": "json",
            **groups,
            **more,
        }
        self.place = place
        self.write()
        self.log_file = place / "log"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AVP_")}
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "asterisk_avp", "run", "--standby"],
                cwd=place,
                env=environ,
                stderr=log,
                stdout=log,
            )

    def write(self, **more: str) -> None:
        self.settings |= more
        lines = [f"{name}={value}\n" for name, value in self.settings.items()]
        (self.place / ".env").write_text("".join(lines))

    def log(self) -> list[dict[str, Any]]:
        text = self.log_file.read_text()
        return [json.loads(x) for x in text.splitlines() if x.startswith("{") and x.endswith("}")]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == event]

    async def says(self, event: str, times: int = 1) -> dict[str, Any]:
        await until(lambda: len(self.said(event)) >= times, f"{event} of {self.log_file}")
        return self.said(event)[times - 1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def left(self) -> int:
        await until(lambda: self.process.poll() is not None, "its end")
        return self.process.returncode

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    async def ask(self, method: str, path: str, token: str = TOKEN, **body: Any) -> Any:
        """Status and JSON; (0, None): no answer."""
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
                http.request(method, self.url + path, headers=headers, json=body or None) as answer,
            ):
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, None

    async def ready(self) -> None:
        async def is_ready() -> bool:
            return bool((await self.ask("GET", "/readyz"))[0] == 200)

        await until(is_ready, f"readiness of {self.log_file}")

    async def has_standby(self) -> bool:
        _, answer = await self.ask("GET", "/readyz")
        return bool(answer and answer["standby"])

    async def transfers(self) -> dict[str, str]:
        _, found = await self.ask("GET", "/v1/transfers")
        return {each["id"]: each["state"] for each in found or ()}


async def until(
    true: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, seconds: float = 90
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = true()
        if found if isinstance(found, bool) else await found:
            return
        assert loop.time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(_POLL_SECONDS)


class Pair:
    """Two of them on one machine, with one address; or each with an address of its own."""

    def __init__(self, place: Path, pbx: Pbx) -> None:
        self._place = place
        self.pbx = pbx
        self.port, self.agi = free_port(), free_port()
        self.all: list[Standby] = []

    def start(self, name: str, *, port: int = 0, **more: str) -> Standby:
        agi = self.agi if not port else free_port()
        made = Standby(self._place / name, self.pbx, port or self.port, agi, **more)
        self.all.append(made)
        return made

    async def both(self, *, reconnect: str = "5", **more: str) -> tuple[Standby, Standby]:
        """One that serves, and its standby. ``reconnect``: the first one's longest pause."""
        first = self.start("first", AVP_ARI__RECONNECT_MAX_SECONDS=reconnect, **more)
        await first.ready()
        second = self.start("second", **more)
        await second.says("standby_ready")

        # The standby knows then where the API of the other is.
        await until(first.has_standby, "a standby")
        return first, second


@asynccontextmanager
async def pair(place: Path, pbx: Pbx) -> AsyncIterator[Pair]:
    made = Pair(place, pbx)
    try:
        yield made
    finally:
        for one in made.all:
            if one.alive:
                one.signal(signal.SIGCONT)
                one.process.kill()
            one.process.wait(20)
