"""`asterisk-avp watch`: the live view, which never shows stale data as live."""

from __future__ import annotations

import asyncio
import io
import json
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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fcntl import ioctl
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from scripted_transfer_service import INTEGRATION, PINS, ScriptedTransferService, transfer_view

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.server import ApiServer, serve
from asterisk_avp.cli.client import CommandFailed, TokenRefused
from asterisk_avp.cli.keyboard import _KEYS, Decoder, Key
from asterisk_avp.cli.watch import reconnecting
from asterisk_avp.cli.watch_view import View

SINCE = "2026-01-31T09:05:07.250Z"
NOW = 1_769_850_307.25 + 127


def agent(identifier: str, name: str, state: str, **more: Any) -> dict[str, Any]:
    given = {"id": identifier, "name": name, "state": state, "since": SINCE, "groups": ["sales"]}
    return {**given, "waiting_transfer": None, "call": None, **more}


def transfer(identifier: str, state: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    target = {"kind": "agent", "id": "1002"}
    known = {"id": identifier, "agent": "1001", "mode": "supervised", "target": target}
    known |= {"group": "sales", "state": state, "ended_reason": reason, "parties": []}
    return {**known, "caller": "Zoë", "since": SINCE, "hold_until": None, **more}


def call(identifier: str, caller: str, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "caller": caller, "on_hold": False, **more}


def with_calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"call": calls[0], "calls": list(calls)}


READY = {"ready": True, "missing": [], "detail": ""}
SNAPSHOT = {
    "type": "snapshot",
    "readiness": READY,
    "agents": [
        agent("1001", "Alice", "talking", **with_calls(call("c1", "[red]Zoë\x1b]0;x\x07"))),
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


def drawn(view: View, width: int = 120, height: int = 80) -> str:
    """As on a terminal of that size: nothing is wider, and nothing is below its last line."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(view.render())
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) <= height
    assert max(cell_len(line) for line in lines) <= width
    return text


def row(text: str, begin: str) -> str:
    (found,) = (line for line in text.splitlines() if line.strip("│ ┃").startswith(begin))
    return found


def test_what_is_known_is_shown(view: View) -> None:
    view.handle(SNAPSHOT)
    text = drawn(view)
    assert "ready  1 call, 1 transfer in progress  http://here" in text
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


def test_what_an_administrator_should_mend_is_in_the_first_line(view: View) -> None:
    view.handle(SNAPSHOT)
    warned = {**READY, "warnings": ["The Transfer button of 1 agent's phone is not guarded."]}
    view.handle({"type": "readiness", "readiness": warned})
    first = drawn(view, 160).splitlines()[0]
    assert "in progress  WARNING: The Transfer button of 1 agent's phone is not guarded." in first
    view.handle({"type": "readiness", "readiness": READY})
    assert "WARNING" not in drawn(view)
    assert "standby" not in drawn(view)
    view.handle({"type": "readiness", "readiness": {**READY, "standby": True}})
    assert drawn(view, 160).startswith("ready, with a standby  ")


def test_only_the_last_of_the_ended_are_kept(view: View) -> None:
    view.handle({**SNAPSHOT, "transfers": []})
    view.handle({"type": "transfer", "transfer": transfer("under-way", "ringing")})
    for number in range(50):
        view.handle(
            {"type": "transfer", "transfer": transfer(f"e{number}", "completed", "completed")}
        )
    shown = re.findall(r"\b(e\d+|under-way)\b", drawn(view))
    assert shown == ["under-way", *(f"e{number}" for number in range(49, 37, -1))]
    # On a small terminal they leave room for agents.
    shown = re.findall(r"\b(e\d+|under-way)\b", drawn(view, height=24))
    assert shown == ["under-way", "e49", "e48", "e47", "e46"]


# --- many agents, small terminals --------------------------------------------------------------


def crowd(states: Mapping[str, int]) -> list[dict[str, Any]]:
    """So many agents in each state, their ids mixed."""
    every = [state for state, count in states.items() for _ in range(count)]
    return [
        agent(str(1000 + 7 * n % 1009), f"N{n}", state, groups=["sales" if n % 2 else "support"])
        for n, state in enumerate(every)
    ]


def agents_in(text: str) -> list[tuple[str, str]]:
    """Id and state of the rows of agents."""
    return re.findall(r"^(\d{4}) .*?(\w+) +2:07", text, re.MULTILINE)


IDLE = {"available": 210, "not_ready": 40, "offline": 21}
BUSY = {"ringing": 3, "talking": 20, "acw": 6}


def test_transfers_then_who_does_something_then_how_many_more(view: View) -> None:
    people = crowd(IDLE | BUSY)
    people[5]["waiting_transfer"] = True
    view.handle({**SNAPSHOT, "agents": people})
    text = drawn(view, height=50)
    assert text.index("t1") < text.index("t2") < text.index("ringing ") < text.index("talking ")
    assert text.index("talking ") < text.index("acw ")
    rows = agents_in(text)
    assert len(rows) == 30
    assert [state for _, state in rows] == [
        *["ringing"] * 3, *["talking"] * 20, *["acw"] * 6, "available"
    ]  # fmt: skip
    assert "+270 more agents: 209 available, 40 not_ready, 21 offline" in text
    # Fewer rows than busy agents: those below count as well.
    text = drawn(view, height=24)
    assert "+285 more agents: 8 talking, 6 acw, 210 available, 40 not_ready, 21 offline" in text
    # More transfers than rows.
    for n in range(30):
        view.handle({"type": "transfer", "transfer": transfer(f"r{n}", "ringing")})
    assert "+15 more transfers, +300 more agents: 3 ringing" in drawn(view, width=80, height=24)


def test_where_everybody_fits_nobody_is_counted(view: View) -> None:
    view.handle({**SNAPSHOT, "agents": crowd({"offline": 3, "available": 2, "acw": 1})})
    text = drawn(view, height=24)
    assert len(agents_in(text)) == 6
    assert "more" not in text


@pytest.mark.parametrize("talking", [2, 30])
def test_every_agent_and_transfer_can_be_scrolled_to(view: View, talking: int) -> None:
    view.handle({**SNAPSHOT, "agents": crowd({"available": 300 - talking, "talking": talking})})
    drawn(view, height=24)
    view.scroll(Key.DOWN)
    text = drawn(view, height=24)
    assert "t1" not in text
    assert "t2" in text
    view.scroll(Key.UP)
    seen: set[str] = set()
    for _ in range(40):
        text = drawn(view, height=24)
        seen |= {identifier for identifier, _ in agents_in(text)}
        if "more" not in text:
            break
        view.scroll(Key.PAGE_DOWN)
    assert len(seen) == 300
    assert len(agents_in(text)) == 17  # the last page is full
    view.scroll(Key.TOP)
    assert "t1" in drawn(view, height=24)
    view.scroll(Key.BOTTOM)
    assert drawn(view, height=24) == text
    view.scroll(Key.DOWN)
    view.scroll(Key.UP)
    assert len(agents_in(drawn(view, height=24))) == 17  # no key press is owed for that one
    assert drawn(view, height=24) != text
    drawn(view, height=24)
    view.scroll(Key.PAGE_UP)
    view.handle({**SNAPSHOT, "agents": crowd({"talking": 2})})  # a shorter list is at its top
    assert len(agents_in(drawn(view, height=24))) == 2


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("height", [3, 10, 24])
@pytest.mark.parametrize("trouble", ["", "nobody answers at this address, which is a long one"])
def test_each_row_is_one_line_at_any_size(
    view: View, width: int, height: int, trouble: str
) -> None:
    wide = "名前" * 40
    people = [
        agent(f"{n:040}", wide, "talking", groups=[wide] * 3, **with_calls(call(f"c{n}", wide)))
        for n in range(100)
    ]
    one = transfer("x" * 12, "waiting", group=wide, hold_until=SINCE)
    view.handle({**SNAPSHOT, "agents": people, "transfers": [one]})
    if trouble:
        view.lost(trouble)
    text = drawn(view, width, max(height, 8))
    if not trouble:
        assert "waiting" in text or width < 40
        assert "more" in text


def test_narrow_terminals_keep_who_does_what(view: View) -> None:
    view.handle(SNAPSHOT)
    text = drawn(view, 50, 24)
    assert re.search(r"1001 +talking +2:07 +\[red\]Zoë", text)
    assert re.search(r"1001 +agent 1002 +consulting +2:07", text)


def test_only_these_groups(clock: Clock) -> None:
    view = View("http://here", clock, ["Support"])
    people = crowd({"talking": 4})
    to_support = transfer("t3", "waiting", target={"kind": "group", "id": "support"})
    view.handle(
        {
            **SNAPSHOT,
            "agents": [{**x, **with_calls(call(x["id"], "Zoë"))} for x in people],
            "transfers": [transfer("t1", "ringing"), to_support],
        }
    )
    text = drawn(view)
    assert "2 calls, 1 transfer in progress  groups: Support" in text
    assert len(agents_in(text)) == 2
    assert "t1" not in text
    assert "t3" in text


# --- what is counted ---------------------------------------------------------------------------


def consultation(**marked: Any) -> dict[str, Any]:
    """Alice consults Bob about Zoë's call. ``marked``: what the API says of Bob's call."""
    parties = [
        {"id": "1001", "role": "transferor", "name": "", "state": "talking"},
        {"id": "1002", "role": "target", "name": "", "state": "talking"},
    ]
    consult = transfer("t1", "consulting", parties=parties)
    about = call("c1", "Zoë", on_hold=True, transfer=consult)
    asked = call("leg-1", "1001", **marked)
    return {
        **SNAPSHOT,
        "agents": [
            agent("1001", "Alice", "talking", **with_calls(about)),
            agent("1002", "Bob", "talking", **with_calls(asked)),
        ],
        "transfers": [consult],
    }


@pytest.mark.parametrize("marked", [{}, {"consult": {"agent": "1001", "name": "Alice"}}])
def test_a_consult_is_one_call(view: View, marked: dict[str, Any]) -> None:
    view.handle(consultation(**marked))
    text = drawn(view)
    assert "ready  1 call, 1 transfer in progress" in text
    assert "Zoë" in row(text, "1001 ")
    assert "asked by 1001" in row(text, "1002 ")
    # Completed, the call is Bob's.
    done = transfer("t1", "completed", "completed")
    view.handle({"type": "transfer", "transfer": done})
    view.handle({"type": "agent", "agent": agent("1001", "Alice", "acw")})
    mine = with_calls(call("c1", "Zoë"))
    view.handle({"type": "agent", "agent": agent("1002", "Bob", "talking", **mine)})
    text = drawn(view)
    assert "ready  1 call, 0 transfers in progress" in text
    assert "Zoë" in row(text, "1002 ")


def test_a_target_who_is_still_talking_has_a_call_of_their_own(view: View) -> None:
    snapshot = consultation()
    snapshot["transfers"][0]["parties"][1]["state"] = "waiting"
    view.handle(snapshot)
    assert "ready  2 calls, 1 transfer in progress" in drawn(view)


def group(
    identifier: str, waiting: int = 0, since: str | None = None, **more: Any
) -> dict[str, Any]:
    counts = {"logged_in": 3, "ready": 2, "available": 1, "waiting": waiting}
    given = {"id": identifier, "name": f"Group {identifier}", "longest_wait_since": since}
    return {**given, **counts, **more}


LONG_AGO = "2026-01-31T09:00:07.250Z"


def test_groups_whose_callers_wait_longest_come_first(view: View) -> None:
    calm = [group(f"q{n:02d}") for n in range(40)]
    waiting = [group("sales", 2, SINCE), group("support\x1b[2J", 1, LONG_AGO, available=0)]
    view.handle({**SNAPSHOT, "groups": [*calm, *waiting]})
    text = drawn(view, 80, 24)
    lines = text.splitlines()
    first = next(n for n, text in enumerate(lines) if "Longest" in text)
    assert re.search(r"support\?\[2J.*3 +0 +1 +7:07", lines[first + 1])
    assert re.search(r"sales Group sales.*3 +1 +2 +2:07", lines[first + 2])
    assert "+39 more groups" in text
    assert "q00" in text
    # As it changes; who calls next is among those that are only counted.
    view.handle({"type": "group", "group": group("support\x1b[2J")})
    view.handle({"type": "group", "group": group("q39", 5, SINCE)})
    text = drawn(view, 80, 24)
    assert re.search(r"q39.*5 +2:07", text)
    view.handle({"type": "group", "group": group("q38", 1, LONG_AGO)})
    view.handle({"type": "group", "group": group("q37", 1, LONG_AGO)})
    view.handle({"type": "group", "group": group("q36", 1, LONG_AGO)})
    assert "+39 more groups, 7 callers wait in them" in drawn(view, 80, 24)
    view.lost("gone")
    text = drawn(view, 80, 24)
    assert "2:07" not in "".join(x for x in text.splitlines() if "Group q" in x)
    assert "callers wait" not in text
    # A small terminal is for transfers and agents.
    assert "Longest" not in drawn(view, 80, 10)
    assert "Longest" in drawn(view, 200, 50)


def test_only_the_chosen_groups_are_drawn(clock: Clock) -> None:
    view = View("http://here", clock, groups=["SALES"])
    view.handle({**SNAPSHOT, "groups": [group("sales"), group("support", 3, SINCE)]})
    view.handle({"type": "group", "group": group("other", 4, SINCE)})
    text = drawn(view)
    assert "sales Group sales" in text
    assert "support" not in text
    assert "other" not in text


def test_several_calls_of_one_agent_count(view: View) -> None:
    calls = with_calls(call("c1", "Zoë"), call("c2", "Ann", on_hold=True))
    view.handle({**SNAPSHOT, "agents": [agent("1001", "Alice", "talking", **calls)]})
    text = drawn(view)
    assert "ready  2 calls" in text
    assert "Zoë (+1)" in text


def test_a_time_that_asterisk_never_said_is_unknown(view: View) -> None:
    view.handle({**SNAPSHOT, "agents": [agent("1001", "Alice", "available", since=None)]})
    assert re.search(r"available +\?", row(drawn(view), "1001"))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_what_matters_most_fits_a_narrow_terminal(view: View, width: int) -> None:
    held = transfer("t1", "waiting", hold_until="2026-01-31T09:07:59.250Z")
    caller = with_calls(call("c1", "Zoë"))
    people = [agent("1001", "Alice", "talking", **caller)]
    view.handle({**SNAPSHOT, "agents": people, "transfers": [held]})
    text = drawn(view, width, 24)
    assert "1 transfer in progress" in text
    assert "waiting (45 s left)" in text


def test_how_long_the_caller_is_still_held(view: View) -> None:
    held = transfer("t1", "waiting", hold_until="2026-01-31T09:07:59.250Z")
    view.handle({**SNAPSHOT, "transfers": [held]})
    assert "waiting (45 s left)" in row(drawn(view), "t1")


# --- keys --------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(sorted(_KEYS))), st.data())
def test_keys_arrive_in_any_pieces(pressed: list[str], data: st.DataObject) -> None:
    sent, found, decoder = "".join(pressed).encode(), [], Decoder()
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        found += decoder.feed(sent[:size])
        sent = sent[size:]
    assert found == [_KEYS[key] for key in pressed]


@given(st.lists(st.binary(max_size=20)))
def test_other_input_is_no_key_and_no_end(pieces: list[bytes]) -> None:
    decoder = Decoder()
    for piece in pieces:
        decoder.feed(piece)
    decoder.feed(b"\x1b[0m\x1b[0m")  # whatever was begun is over
    assert decoder.feed(b"q") == [Key.QUIT]


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
        self.tokens = [INTEGRATION]
        self.server: ApiServer | None = None

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def start(self) -> None:
        auth = Authenticator(tokens=self.tokens, pins=PINS)
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
    """A terminal of 120 columns and 40 lines with the command in it. Keeps its output."""

    def __init__(self, api: Api) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(120, 40)
        self.mode = termios.tcgetattr(self._ours)
        """The terminal's mode before the command."""
        env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith("AVP_") and k not in ("COLUMNS", "LINES")
        }
        env |= {"TERM": "xterm", "AVP_TOKEN": INTEGRATION}
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

    def frame(self) -> str:
        """The next whole frame: a frame begins at the top left corner."""
        self.text = ""
        while self.text.count("\x1b[H") < 2:
            assert select.select([self._ours], [], [], 30)[0]
            self.text += os.read(self._ours, 65536).decode(errors="replace")
        return self.text.split("\x1b[H")[1]

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def ends(self) -> int:
        """The exit status, after the command has restored the terminal (rmcup and the mode)."""
        self.shows("\x1b[?1049l")
        status = self.process.wait(20)
        assert termios.tcgetattr(self._ours) == self.mode
        return status

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
    screen.process.send_signal(signal.SIGINT)  # Ctrl-C
    assert screen.ends() == 0


def test_keys_on_a_terminal(api: Api, screen: Screen) -> None:
    for n in range(300):
        api.board.views[f"9{n:03}"] = replace(api.board.views["1002"], id=f"9{n:03}")
    api.stop()
    screen.shows("NOT CONNECTED")
    api.start()
    screen.shows("1001", "talking", "+301 more agents: 301 available", "of 303", "scroll")
    screen.press("\x1b[6~")
    screen.shows("9000", "9025")
    screen.press("G")
    screen.shows("9299")
    screen.press("\x1b[A" * 2)
    screen.shows("9297", "+2 more agents: 2 available")
    screen.press("\x1b[H")
    screen.shows("1001", "+301 more")
    screen.press("xq")
    assert screen.ends() == 0


def test_another_size(screen: Screen) -> None:
    screen.shows("Groups", "Waiting")
    screen.resize(40, 10)
    screen.shows("Call", "1001")
    screen.shows("1001")
    frame = screen.frame()
    assert "Groups" not in frame
    assert "1001" in frame
    screen.resize(130, 30)
    screen.shows("Groups", "Waiting")


def test_it_leaves_a_usable_terminal_when_it_is_terminated(screen: Screen) -> None:
    screen.shows("talking")
    screen.process.terminate()
    assert screen.ends() == 128 + signal.SIGTERM


def test_a_token_that_is_refused_ends_it(api: Api, screen: Screen) -> None:
    screen.shows("talking")
    api.stop()
    api.tokens = ["another"]
    api.start()
    screen.shows("rejects this token")
    assert screen.process.wait(20) == 1
    assert termios.tcgetattr(screen._ours) == screen.mode


# --- elsewhere ---------------------------------------------------------------------------------


class Piped:
    """The command with its output in a pipe."""

    def __init__(self, api: Api, *options: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("AVP_")}
        env |= {"AVP_TOKEN": INTEGRATION, "AVP_URL": f"http://127.0.0.1:{api.port}"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asterisk_avp", "watch", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env, text=True,
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=20)


def test_lines_of_one_group(api: Api) -> None:
    with Piped(api, "--group", "support") as piped:
        assert piped.line() == "ready\n"
        assert "agent 1003 Carol: acw" in piped.line()  # and nobody of sales
        assert re.match(
            r"group support .*: \d+ available, \d+ logged in, \d+ waiting", piped.line()
        )
        api.changed("t7")  # a transfer of sales
        api.stop()
        assert piped.line().startswith("connection lost, states are unknown until it is back: ")


def test_json_is_whole_unless_groups_are_chosen(api: Api) -> None:
    with Piped(api, "--json") as whole, Piped(api, "--json", "--group", "support") as part:
        first = json.loads(whole.line())
        assert first["type"] == "snapshot"
        assert [x["id"] for x in first["agents"]] == ["1001", "1002", "1003"]
        one = json.loads(part.line())
        assert one["agents"] == first["agents"][2:]
        assert [x["id"] for x in one["groups"]] == ["support"]
        same = {"agents": (), "now": "", "groups": ()}
        assert one | same == first | same
        api.stop()
        for piped in (whole, part):
            lost = json.loads(piped.line())
            while lost["type"] == "alive":
                lost = json.loads(piped.line())
            assert lost["type"] == "connection_lost"
