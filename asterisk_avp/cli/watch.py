"""`asterisk-avp watch`: a live view on a terminal, one line per change elsewhere.

It reconnects until it succeeds. While disconnected, it shows states as unknown instead of stale.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.live import Live

from asterisk_avp.cli.calls import Token, Url, caller_text, transfer_line
from asterisk_avp.cli.client import OWN_URL, Client, CommandFailed, TokenRefused
from asterisk_avp.cli.keyboard import Key, Keyboard
from asterisk_avp.cli.output import Json
from asterisk_avp.cli.terminal import printable
from asterisk_avp.cli.watch_groups import group_line
from asterisk_avp.cli.watch_view import View
from asterisk_avp.cli.watched import GroupFilter

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 5.0
_FRAME_SECONDS: Final = 0.25

Groups = Annotated[
    list[str] | None,
    typer.Option("--group", help="Only this group, its agents and its transfers (repeatable)."),
]


def watch(
    url: Url = OWN_URL, token: Token = "", group: Groups = None, as_json: Json = False
) -> None:
    """Show groups, agents, calls and transfers as they change, until interrupted.

    On a terminal: the groups whose callers wait longest, transfers, then agents who do something;
    the arrow keys scroll, q ends it.
    Elsewhere one line per change. Reconnects by itself.
    """
    client = Client(url, token)
    groups = group or []
    try:
        if sys.stdout.isatty() and not as_json:
            _live(client, url, groups)
        else:
            _lines(client, GroupFilter(groups), as_json=as_json)
    except KeyboardInterrupt:
        pass


# --- on a terminal -------------------------------------------------------------------------------


def _live(client: Client, url: str, groups: list[str]) -> None:
    """Draw until a key or a signal ends it. Raises `TokenRefused`."""
    failures: SimpleQueue[Exception] = SimpleQueue()
    # The terminal is restored for kill(1) too.
    signal.signal(signal.SIGTERM, _terminate)
    with Keyboard.opened() as keyboard:
        view = View(url, groups=groups, keys=keyboard.present)

        def listen() -> None:
            try:
                for event in reconnecting(client.events, view.lost):
                    view.handle(event)
            except Exception as error:  # noqa: BLE001 - raised by the thread that draws
                failures.put(error)

        with Live(view, console=Console(), screen=True, auto_refresh=False) as screen:
            Thread(target=listen, name="events", daemon=True).start()
            while True:
                screen.refresh()
                for key in keyboard.wait(_FRAME_SECONDS):
                    if key is Key.QUIT:
                        return
                    view.scroll(key)
                try:
                    raise failures.get_nowait()
                except Empty:
                    pass


def _terminate(signum: int, _: object) -> NoReturn:
    raise SystemExit(128 + signum)


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


def _lines(client: Client, only: GroupFilter, *, as_json: bool) -> None:
    def lost(why: str) -> None:
        typer.echo(
            json.dumps({"type": "connection_lost", "message": why})
            if as_json
            else f"connection lost, states are unknown until it is back: {why}"
        )

    for event in reconnecting(client.events, lost, first=False):
        wanted = only.event(event)
        if wanted is None:
            continue
        for line in [json.dumps(wanted, ensure_ascii=False)] if as_json else _event_lines(wanted):
            # click's echo flushes, so that the reader of a pipe sees each line immediately.
            typer.echo(line if as_json else printable(line))


def _event_lines(event: Mapping[str, Any]) -> list[str]:
    match event:
        case {"type": "alive"}:
            return []
        case {"type": "snapshot"}:
            return [
                _readiness_line(event["readiness"]),
                *(_agent_line(agent) for agent in event["agents"]),
                *(transfer_line(transfer) for transfer in event["transfers"]),
                *(group_line(group) for group in event.get("groups", ())),
            ]
        case {"type": "group", "group": group}:
            return [group_line(group)]
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
    with_caller = ""
    if call:
        asked = call.get("consult")
        with_caller = f", call with {caller_text(call)}"
        if asked:
            with_caller = f", asked by {asked['agent']}"
    waiting = ", a transfer waits" if agent["waiting_transfer"] else ""
    return (
        f"{agent['since'] or 'since unknown'} agent {agent['id']} {agent['name']}:"
        f" {agent['state']}{with_caller}{waiting}"
    )


def _readiness_line(readiness: dict[str, Any]) -> str:
    if readiness["ready"]:
        ready = "ready, with a standby" if readiness.get("standby") else "ready"
        return "; ".join((ready, *(f"warning: {x}" for x in readiness.get("warnings", ()))))
    missing = ", ".join(readiness["missing"]) or readiness["detail"]
    return f"not ready: {missing}"
