"""`asterisk-avp watch`: the live view, which never shows stale data as live."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from fcntl import ioctl
from typing import Any

import pytest
from rich.console import Console
from scripted_transfer_service import INTEGRATION, PINS, ScriptedTransferService, transfer_view

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.server import ApiServer, serve
from asterisk_avp.cli.client import CommandFailed, TokenRefused
from asterisk_avp.cli.watch import View, reconnecting

SINCE = "2026-01-31T09:05:07.250Z"
NOW = 1_769_850_307.25 + 127


def agent(identifier: str, name: str, state: str, **more: Any) -> dict[str, Any]:
    given = {"id": identifier, "name": name, "state": state, "since": SINCE, "groups": ["sales"]}
    return {**given, "waiting_transfer": None, "call": None, **more}


def transfer(identifier: str, state: str, reason: str | None = None) -> dict[str, Any]:
    target = {"kind": "agent", "id": "1002"}
    known = {"id": identifier, "agent": "1001", "mode": "supervised", "target": target}
    return {**known, "state": state, "ended_reason": reason, "caller": "Zoë", "since": SINCE}


READY = {"ready": True, "missing": [], "detail": ""}
SNAPSHOT = {
    "type": "snapshot",
    "readiness": READY,
    "agents": [
        agent("1001", "Alice", "talking", call={"caller": "[red]Zoë\x1b]0;x\x07"}),
        agent("1002", "Bob [bold]", "available", waiting_transfer="t1"),
    ],
    "transfers": [transfer("t1", "consulting"), transfer("t2", "failed", "no_answer")],
}


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def view(clock: Clock) -> View:
    return View("http://here", clock)


def drawn(view: View) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(view.render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    return text


def row(text: str, begin: str) -> str:
    (found,) = (line for line in text.splitlines() if line.strip("│ ┃").startswith(begin))
    return found


def test_what_is_known_is_shown(view: View) -> None:
    view.handle(SNAPSHOT)
    text = drawn(view)
    assert "http://here  ready  1 calls, 1 transfers in progress" in text
    assert re.search(r"Alice.*talking.*2:07.*\[red\]Zoë\?\]0;x\?.*sales", row(text, "1001"))
    assert "Bob [bold]" in row(text, "1002")  # names are not markup
    assert "a transfer" in row(text, "1002")
    assert re.search(r"1001.*supervised.*agent 1002.*Zoë.*consulting.*2:07", row(text, "t1"))
    assert "failed (no_answer)" in row(text, "t2")
    view.handle({"type": "agent", "agent": agent("1001", "Alice", "acw")})
    view.handle({"type": "transfer", "transfer": transfer("t1", "completed", "completed")})
    text = drawn(view)
    assert "0 calls, 0 transfers in progress" in text
    assert "acw" in row(text, "1001")
    assert "completed" in row(text, "t1")
    assert "(completed)" not in text


def test_nothing_old_is_shown_as_live(view: View, clock: Clock) -> None:
    assert "NOT CONNECTED" in drawn(view)  # before the first event
    view.handle(SNAPSHOT)
    view.lost("the daemon closed the connection")
    clock.now += 65
    view.lost("cannot reach the daemon")
    text = drawn(view)
    assert "NOT CONNECTED for 1:05: cannot reach the daemon" in text
    for identifier in ("1001", "1002", "t1"):
        assert "unknown" in row(text, identifier)
    for word in ("talking", "available", "consulting", "a transfer", "ready"):
        assert word not in text
    assert "failed (no_answer)" in row(text, "t2")  # it is over
    # A reconnection brings everything: nothing from before remains.
    view.handle({**SNAPSHOT, "agents": SNAPSHOT["agents"][:1], "transfers": []})
    text = drawn(view)
    assert "talking" in row(text, "1001")
    assert "1002" not in text


def test_a_daemon_that_has_lost_asterisk(view: View) -> None:
    view.handle(SNAPSHOT)
    detail = "Not connected to Asterisk: AMI."
    view.handle({"type": "readiness", "readiness": {**READY, "ready": False, "detail": detail}})
    text = drawn(view)
    assert f"NOT READY: {detail}" in text
    assert "unknown" in row(text, "1001")
    assert "talking" not in text
    view.handle({"type": "readiness", "readiness": READY})
    assert "talking" in drawn(view)


def test_only_the_last_of_the_ended_are_kept(view: View) -> None:
    view.handle({**SNAPSHOT, "transfers": []})
    view.handle({"type": "transfer", "transfer": transfer("under-way", "ringing")})
    for number in range(50):
        view.handle(
            {"type": "transfer", "transfer": transfer(f"e{number}", "completed", "completed")}
        )
    shown = re.findall(r"\b(e\d+|under-way)\b", drawn(view))
    assert shown == [*(f"e{number}" for number in range(49, 37, -1)), "under-way"]


# --- connections -----------------------------------------------------------------------------


def test_it_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    attempts = iter(["down", "up", "down", "down", "down", "down", "down", "up", "refused"])

    def connect() -> Iterator[dict[str, Any]]:
        match next(attempts):
            case "up":
                yield {"type": "snapshot"}
                raise CommandFailed("closed")
            case "refused":
                raise TokenRefused("no")
            case _:
                raise CommandFailed("unreachable")

    lost: list[str] = []
    events: list[str] = []

    def listen() -> None:
        for event in reconnecting(connect, lost.append):
            events.append(event["type"])  # noqa: PERF401 - they are to be kept when it ends

    with pytest.raises(TokenRefused):
        listen()
    assert events == ["snapshot", "snapshot"]
    assert lost == ["unreachable", "closed", *["unreachable"] * 5, "closed"]
    assert pauses == [0.5, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 0.5]


def test_where_nobody_has_ever_answered_there_is_no_second_attempt() -> None:
    def connect() -> Iterator[dict[str, Any]]:
        raise CommandFailed("unreachable")
        yield {}

    with pytest.raises(CommandFailed, match="unreachable"):
        next(reconnecting(connect, print, first=False))


# --- on a terminal -----------------------------------------------------------------------------


class Api:
    """The real API, which can stop and come back at the same address."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.board = ScriptedTransferService()
        self.port = 0
        self.server: ApiServer | None = None

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def start(self) -> None:
        auth = Authenticator(tokens=[INTEGRATION], pins=PINS)
        self.server = self.run(serve(create_app(self.board, auth), "127.0.0.1", self.port))
        self.port = int(self.server.url.rpartition(":")[2])

    def stop(self) -> None:
        if self.server is not None:
            self.run(self.server.stop())
            self.server = None

    def changed(self, identifier: str) -> None:
        async def act() -> None:
            self.board.changed(transfer_view(identifier, "1001", "1002"))

        self.run(act())

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    api.start()
    yield api
    api.close()


class Screen:
    """A terminal of 120 columns with the command in it. Keeps its output."""

    def __init__(self, api: Api) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        env = {k: v for k, v in os.environ.items() if not k.startswith("AVP_")}
        env |= {"TERM": "xterm", "AVP_TOKEN": INTEGRATION, "COLUMNS": "120"}
        env["AVP_URL"] = f"http://127.0.0.1:{api.port}"
        # A runner in the background may have Ctrl-C ignored.
        program = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from asterisk_avp.cli.app import main; main(['watch'])"
        )
        command = [sys.executable, "-c", program]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)
        self.text = ""

    def shows(self, *words: str, within: float = 30.0) -> None:
        """Wait for a frame with all of these. Earlier output no longer counts."""
        deadline = time.monotonic() + within
        while not all(word in self.text for word in words):
            left = deadline - time.monotonic()
            assert left > 0, self.text[-4000:]
            if select.select([self._ours], [], [], left)[0]:
                self.text += os.read(self._ours, 65536).decode(errors="replace")
        self.text = ""

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self._ours)


@pytest.fixture
def screen(api: Api) -> Iterator[Screen]:
    screen = Screen(api)
    yield screen
    screen.close()


def test_on_a_terminal(api: Api, screen: Screen) -> None:
    screen.shows("Alice", "talking", "ready")
    api.changed("t7")
    screen.shows("t7", "agent 1002")
    api.stop()
    screen.shows("NOT CONNECTED", "unknown")
    api.start()
    screen.shows("ready", "talking")
    # Ctrl-C ends it, and restores the terminal (rmcup).
    screen.process.send_signal(signal.SIGINT)
    screen.shows("\x1b[?1049l")
    assert screen.process.wait(20) == 0
