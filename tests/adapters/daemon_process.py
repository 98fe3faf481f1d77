"""A real daemon in a process of its own, without an Asterisk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.ports import free_port

GOOD = """
AVP_ARI__URL=http://127.0.0.1:9
AVP_ARI__USERNAME=avp
AVP_ARI__PASSWORD=ari-hush
AVP_AMI__PORT=9
AVP_AMI__USERNAME=avp
AVP_AMI__SECRET=ami-hush
AVP_LOG__FORMAT=json
AVP_API__TOKENS=first-token
AVP_GROUPS__SALES__ACCOUNT=acme
AVP_ACCOUNTS__ACME__COUNTRY=US
AVP_AGENTS__1001__NAME=Alice
AVP_AGENTS__1001__PIN=1111
AVP_AGENTS__1001__GROUPS=sales
AVP_AGENTS__1002__PIN=2222
AVP_AGENTS__1002__GROUPS=sales
"""


class Running:
    """A daemon's process. ``text``: its settings, in `.env` of its directory ``place``."""

    def __init__(self, place: Path, text: str = GOOD) -> None:
        self.place = place
        self.ports = f"AVP_API__PORT={free_port()}\nAVP_AGI__PORT={free_port()}\n"
        self.url = "http://127.0.0.1:" + self.ports.split("\n")[0].partition("=")[2]
        self.write(text)
        self.log_file = place / "log"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AVP_")}
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "asterisk_avp", "run"], cwd=place, env=environ, stderr=log
            )

    def write(self, text: str) -> None:
        (self.place / ".env").write_text(text + self.ports)

    def log(self) -> list[dict[str, Any]]:
        text = self.log_file.read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """The ``times``-th record of that name."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log() if line["event"] == event]

        wait_until(lambda: len(found()) >= times)
        return found()[times - 1]

    def reload(self, text: str) -> None:
        self.write(text)
        self.process.send_signal(signal.SIGHUP)

    def ask(self, method: str, path: str, token: str = "", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, self.url + path, headers=headers, json=body, timeout=10)

    def login(self, agent: str, pin: str) -> str:
        answer = self.ask("POST", "/v1/login", agent=agent, pin=pin)
        return str(answer.json()["token"]) if answer.ok else ""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60  # a daemon takes long to start on a busy machine
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def running(place: Path, text: str = GOOD) -> Iterator[Running]:
    """Until it has ended, without an error and without a word of its secrets in its log."""
    started = Running(place, text)
    try:
        started.wait_for("api_listening")
        yield started
    finally:
        started.process.terminate()
        assert started.process.wait(20) == 0
    assert "hush" not in started.log_file.read_text()
