"""`asterisk-avp watch`: a live view on a terminal, one line per change elsewhere.

It reconnects until it succeeds. While disconnected, it shows states as unknown instead of stale.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Lock
from typing import Any, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asterisk_avp.cli.calls import Token, Url, target_text, transfer_line
from asterisk_avp.cli.client import DEFAULT_URL, Client, CommandFailed, TokenRefused
from asterisk_avp.cli.output import Json

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 5.0
_FRAMES_A_SECOND: Final = 4
_MOST_ENDED: Final = 12
"""How many ended transfers are shown."""

_STATE_STYLES: Final = {
    "available": "green",
    "ringing": "yellow",
    "talking": "cyan",
    "acw": "magenta",
    "not_ready": "red",
    "offline": "dim",
}
"""Of agents."""


def watch(url: Url = DEFAULT_URL, token: Token = "", as_json: Json = False) -> None:
    """Show agents, calls and transfers as they change, until interrupted.

    Shows a table on a terminal, and otherwise one line per change. Reconnects by itself.
    """
    client = Client(url, token)
    try:
        if sys.stdout.isatty() and not as_json:
            console = Console()
            view = View(url)
            with Live(
                get_renderable=view.render,
                console=console,
                screen=True,
                refresh_per_second=_FRAMES_A_SECOND,
            ):
                for event in reconnecting(client.events, view.lost):
                    view.handle(event)
        else:
            _lines(client, as_json=as_json)
    except KeyboardInterrupt:
        pass


def reconnecting(
    connect: Callable[[], Iterator[dict[str, Any]]],
    lost: Callable[[str], None],
    *,
    first: bool = True,
) -> Iterator[dict[str, Any]]:
    """The events of successive connections. Calls ``lost`` with the reason of each failure.

    Raises `TokenRefused`. With ``first`` False, also raises the error of a failed first attempt.
    """
    pause, ever = _FIRST_PAUSE_SECONDS, first
    while True:
        try:
            for event in connect():
                pause, ever = _FIRST_PAUSE_SECONDS, True
                yield event
        except TokenRefused:
            raise
        except CommandFailed as error:
            if not ever:
                raise
            lost(error.message)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


# --- line by line --------------------------------------------------------------------------------


def _lines(client: Client, *, as_json: bool) -> None:
    def lost(why: str) -> None:
        typer.echo(
            json.dumps({"type": "connection_lost", "message": why})
            if as_json
            else f"connection lost, states are unknown until it is back: {why}"
        )

    for event in reconnecting(client.events, lost, first=False):
        for line in [json.dumps(event, ensure_ascii=False)] if as_json else _event_lines(event):
            # click's echo flushes, so that the reader of a pipe sees each line immediately.
            typer.echo(line if as_json else printable(line))


def _event_lines(event: dict[str, Any]) -> list[str]:
    match event:
        case {"type": "alive"}:
            return []
        case {"type": "snapshot"}:
            return [
                _readiness_line(event["readiness"]),
                *(_agent_line(agent) for agent in event["agents"]),
                *(transfer_line(transfer) for transfer in event["transfers"]),
            ]
        case {"type": "agent", "agent": agent}:
            return [_agent_line(agent)]
        case {"type": "transfer", "transfer": transfer}:
            return [transfer_line(transfer)]
        case {"type": "readiness", "readiness": readiness}:
            return [_readiness_line(readiness)]
        case _:
            return [json.dumps(event, ensure_ascii=False)]


def _agent_line(agent: dict[str, Any]) -> str:
    call = agent.get("call")
    with_caller = f", call with {call['caller']}" if call else ""
    waiting = ", a transfer waits" if agent["waiting_transfer"] else ""
    return (
        f"{agent['since']} agent {agent['id']} {agent['name']}:"
        f" {agent['state']}{with_caller}{waiting}"
    )


def _readiness_line(readiness: dict[str, Any]) -> str:
    if readiness["ready"]:
        return "ready"
    missing = ", ".join(readiness["missing"]) or readiness["detail"]
    return f"not ready: {missing}"


# --- the live view -------------------------------------------------------------------------------


class View:
    """The state of the call centre, rendered as tables. One thread updates it, another draws it."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._clock = clock
        self._lock = Lock()
        self._trouble = "connecting"
        """Why the states are unknown; empty while connected."""
        self._since = clock()
        self._readiness: dict[str, Any] = {"ready": False, "detail": ""}
        self._agents: dict[str, dict[str, Any]] = {}
        self._transfers: dict[str, dict[str, Any]] = {}

    def handle(self, event: dict[str, Any]) -> None:
        with self._lock:
            match event:
                case {"type": "snapshot"}:
                    self._trouble = ""
                    self._since = self._clock()
                    self._readiness = event["readiness"]
                    self._agents = {agent["id"]: agent for agent in event["agents"]}
                    self._transfers = {x["id"]: x for x in event["transfers"]}
                case {"type": "agent", "agent": agent}:
                    self._agents[agent["id"]] = agent
                case {"type": "transfer", "transfer": transfer}:
                    # Keep the latest at the end.
                    self._transfers.pop(transfer["id"], None)
                    self._transfers[transfer["id"]] = transfer
                    self._forget()
                case {"type": "readiness", "readiness": readiness}:
                    self._readiness = readiness
                case _:
                    pass

    def lost(self, why: str) -> None:
        with self._lock:
            if not self._trouble:
                self._since = self._clock()
            self._trouble = why

    def _forget(self) -> None:
        ended = [x["id"] for x in self._transfers.values() if _ended(x)]
        for identifier in ended[:-_MOST_ENDED]:
            del self._transfers[identifier]

    def render(self) -> RenderableType:
        with self._lock:
            now = self._clock()
            live = not self._trouble and self._readiness["ready"]
            return Group(
                self._head(now), self._agent_table(now, live), self._transfer_table(now, live)
            )

    def _head(self, now: float) -> Text:
        if self._trouble:
            for_long = _duration(now - self._since)
            return Text(f"NOT CONNECTED for {for_long}: {self._trouble}\n", style="bold red")
        if not self._readiness["ready"]:
            reason = self._readiness.get("detail") or "no reason given"
            return Text(f"{self._url}  NOT READY: {reason}\n", style="bold red")
        talking = sum(1 for agent in self._agents.values() if agent.get("call"))
        running = sum(1 for x in self._transfers.values() if not _ended(x))
        return Text(
            f"{self._url}  ready  {talking} calls, {running} transfers in progress\n", style="bold"
        )

    def _agent_table(self, now: float, live: bool) -> Table:  # noqa: FBT001 - drawn by `render`
        table = Table(title="Agents", title_justify="left", expand=True)
        for name in ("ID", "Name", "State", "For", "Call", "Groups", "Waiting"):
            table.add_column(name, no_wrap=name in {"ID", "State", "For"})
        for _, agent in sorted(self._agents.items()):
            if not live:
                shown: list[str | Text] = [_shown(agent["id"]), _shown(agent["name"]), "unknown"]
                table.add_row(*shown, "", "", "", "", style="dim")
                continue
            call = agent.get("call") or {}
            table.add_row(
                _shown(agent["id"]),
                _shown(agent["name"]),
                Text(agent["state"], style=_STATE_STYLES.get(agent["state"], "")),
                _duration(now - _unix_time(agent["since"])),
                _shown(call.get("caller")),
                _shown(", ".join(agent["groups"])),
                "a transfer" if agent["waiting_transfer"] else "",
            )
        return table

    def _transfer_table(self, now: float, live: bool) -> Table:  # noqa: FBT001 - the same
        table = Table(title="Transfers", title_justify="left", expand=True)
        for name in ("ID", "By", "Mode", "To", "Caller", "State", "For"):
            table.add_column(name, no_wrap=name in {"ID", "Mode", "For"})
        for transfer in reversed(self._transfers.values()):
            ended = _ended(transfer)
            if not (live or ended):
                # Ended transfers do not change; the state of the others is unknown.
                state, age = Text("unknown", style="dim"), ""
            else:
                reason = transfer["ended_reason"]
                suffix = f" ({reason})" if reason and reason != transfer["state"] else ""
                state = Text(transfer["state"] + suffix, style=_transfer_style(transfer))
                age = _duration(now - _unix_time(transfer["since"]))
            table.add_row(
                _shown(transfer["id"]),
                _shown(transfer["agent"]),
                _shown(transfer["mode"]),
                _shown(target_text(transfer["target"])),
                _shown(transfer["caller"]),
                state,
                age,
            )
        return table


def _ended(transfer: dict[str, Any]) -> bool:
    return transfer["ended_reason"] is not None


def _transfer_style(transfer: dict[str, Any]) -> str:
    if not _ended(transfer):
        return "yellow"
    if transfer["state"] == "completed":
        return "green"
    # The agent intended a cancelled transfer.
    return "" if transfer["state"] == transfer["ended_reason"] else "red"


def printable(text: str) -> str:
    """Replace control characters, so that a caller's name cannot control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _shown(text: object) -> Text:
    """As `Text`, because rich would interpret markup in a string."""
    return Text(printable(str(text or "")))


def _unix_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _duration(seconds: float) -> str:
    """``7 s``, ``2:07`` or ``1:02:07``."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"
