"""The live view of `asterisk-avp watch`: the state of the call centre, drawn to fit the terminal.

The order is that of urgency: in a few lines the groups whose callers wait longest, transfers, then
agents who do something, then everybody else. Who does not fit, and at first everybody who does
nothing, is only counted ("+271 more agents"); scrolling down shows them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from threading import Lock
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from asterisk_avp.cli.calls import caller_text, target_text
from asterisk_avp.cli.keyboard import Key
from asterisk_avp.cli.terminal import (
    age,
    counted,
    duration,
    line,
    printable,
    shown,
    unix_time,
)
from asterisk_avp.cli.watch_groups import Groups
from asterisk_avp.cli.watch_table import Column, table
from asterisk_avp.cli.watched import (
    GroupFilter,
    calls_in_progress,
    consults_by_agent,
    does_something,
    ended,
    is_consult,
)

_MOST_ENDED: Final = 12
"""How many ended transfers are kept."""
_SHARE_OF_ENDED: Final = 4
"""Ended transfers take at most one in so many of the rows."""
_FRAME_LINES: Final = 7
"""Lines that are no rows: the head, two column headers, the counts, the keys, two empty lines."""

_STATE_STYLES: Final = {
    "ringing": "yellow",
    "talking": "cyan",
    "acw": "magenta",
    "available": "green",
    "not_ready": "red",
    "offline": "dim",
}
"""Of agents, in the order in which they are shown."""


_TRANSFER_COLUMNS: Final = (
    Column("Transfer", 90, whole=True),
    Column("By", whole=True),
    Column("Mode", 100, whole=True),
    Column("To"),
    Column("Caller", 60),
    Column("State", whole=True),
    Column("For", 48, whole=True),
)
_AGENT_COLUMNS: Final = (
    Column("Agent", whole=True),
    Column("Name", 60),
    Column("State", whole=True),
    Column("For", 40, whole=True),
    Column("Call", 30),
    Column("Groups", 90),
    Column("Waiting", 76, whole=True),
)


class View:
    """One thread updates it, another draws it. ``groups``: show only these; empty: all."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.time,
        groups: Sequence[str] = (),
        *,
        keys: bool = False,
    ) -> None:
        self._url = url
        self._clock = clock
        self._filter = GroupFilter(groups)
        self._keys = keys
        """Whether there is a keyboard, so that the keys are explained."""
        self._lock = Lock()
        self._trouble = "connecting"
        """Why the states are unknown; empty while connected."""
        self._since = clock()
        self._readiness: dict[str, Any] = {"ready": False, "detail": ""}
        self._agents: dict[str, dict[str, Any]] = {}
        self._transfers: dict[str, dict[str, Any]] = {}
        self._groups = Groups(self._filter)
        self._offset = 0
        """How many rows have been scrolled away."""
        # As of the last drawing:
        self._fitting = self._drawn_rows = 1
        """How many rows fit, and how many of these were drawn."""
        self._last_offset = 0
        """The offset that shows the last row."""

    def handle(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            self._groups.handle(event)
            match event:
                case {"type": "snapshot"}:
                    self._trouble = ""
                    self._since = self._clock()
                    self._readiness = event["readiness"]
                    self._agents = {agent["id"]: agent for agent in event["agents"]}
                    self._transfers = {x["id"]: x for x in event["transfers"]}
                    self._forget()
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

    def scroll(self, key: Key) -> None:
        """Move by one row or page, or to an end."""
        with self._lock:
            steps = {
                Key.UP: -1,
                Key.DOWN: 1,
                Key.PAGE_UP: -self._fitting,
                Key.PAGE_DOWN: self._drawn_rows,
                Key.TOP: -self._last_offset,
                Key.BOTTOM: self._last_offset,
            }
            self._offset = max(0, min(self._offset + steps.get(key, 0), self._last_offset))

    def _forget(self) -> None:
        over = [x["id"] for x in self._transfers.values() if ended(x)]
        for identifier in over[:-_MOST_ENDED]:
            del self._transfers[identifier]

    # --- drawing -----------------------------------------------------------------------------

    def render(self) -> RenderableType:
        return self

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        height = options.height or options.max_height
        with self._lock:
            fitting = max(1, height - _FRAME_LINES)
            groups = self._groups.fitting(fitting)
            yield from self._drawn(options.max_width, fitting - groups.lines, groups.rows)

    def _drawn(self, width: int, fitting: int, groups: int) -> RenderResult:
        now = self._clock()
        live = not self._trouble and bool(self._readiness["ready"])
        transfers = self._shown_transfers(fitting)
        busy, idle = self._shown_agents(live)
        agents = busy + idle
        everything = len(transfers) + len(agents)
        self._last_offset = max(0, everything - fitting)
        self._offset = min(self._offset, self._last_offset)
        begin, end = self._offset, self._offset + fitting
        if begin == 0 and everything > fitting:
            # Idle agents would fill the rest of the first screen in the order of their ids.
            end = min(end, len(transfers) + (len(busy) if live else len(agents)))
        self._fitting, self._drawn_rows = fitting, min(end, everything) - begin
        some_agents = agents[max(0, begin - len(transfers)) : max(0, end - len(transfers))]
        yield self._head(now, busy)
        yield from self._groups.drawn(width, groups, now, live=live)
        yield from table(
            _TRANSFER_COLUMNS, width, [_transfer_row(x, now, live) for x in transfers[begin:end]]
        )
        yield Text()
        consults = consults_by_agent(self._transfers.values())
        yield from table(
            _AGENT_COLUMNS, width, [_agent_row(x, now, live, consults) for x in some_agents]
        )
        yield _more(transfers[end:], agents[max(0, end - len(transfers)) :], live)
        if self._keys:
            position = f"{begin + 1}-{min(end, everything)} of {everything}" if everything else ""
            yield line(f"{position}  q: quit  ↑ ↓ PgUp PgDn Home End: scroll", "dim")

    def _shown_transfers(self, fitting: int) -> list[dict[str, Any]]:
        """Running ones first, both from the newest."""
        newest = [x for x in reversed(self._transfers.values()) if self._filter.transfer(x)]
        over = [x for x in newest if ended(x)]
        return [x for x in newest if not ended(x)] + over[: max(2, fitting // _SHARE_OF_ENDED)]

    def _shown_agents(self, live: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # noqa: FBT001 - drawn by `_drawn`
        """Who does something, and the others; all are the others while states are unknown."""
        order = list(_STATE_STYLES)

        def rank(agent: Mapping[str, Any]) -> tuple[int, str]:
            known = live and agent["state"] in order
            return order.index(agent["state"]) if known else len(order), agent["id"]

        shown = sorted((x for x in self._agents.values() if self._filter.agent(x)), key=rank)
        busy = [x for x in shown if live and does_something(x)]
        return busy, [x for x in shown if not (live and does_something(x))]

    def _head(self, now: float, busy: Sequence[Mapping[str, Any]]) -> Text:
        if self._trouble:
            for_long = duration(now - self._since)
            return line(f"NOT CONNECTED for {for_long}: {self._trouble}", "bold red")
        if not self._readiness["ready"]:
            reason = self._readiness.get("detail") or "no reason given"
            return line(f"NOT READY: {reason}  {self._url}", "bold red")
        shown = [x for x in self._transfers.values() if self._filter.transfer(x)]
        calls = calls_in_progress(busy, shown)
        running = sum(not ended(x) for x in shown)
        only = f"  groups: {', '.join(self._filter.groups)}" if self._filter.groups else ""
        warnings = "".join(f"  WARNING: {x}" for x in self._readiness.get("warnings", ()))
        ready = "ready, with a standby" if self._readiness.get("standby") else "ready"
        return line(
            f"{ready}  {counted(calls, 'call')}, {counted(running, 'transfer')} in progress{only}"
            f"{warnings}  {self._url}",
            "bold yellow" if warnings else "bold",
        )


def _agent_row(
    agent: Mapping[str, Any],
    now: float,
    live: bool,  # noqa: FBT001 - drawn by `View`
    consults: Mapping[str, Mapping[str, Any]],
) -> dict[str, Text]:
    row = {"Agent": shown(agent["id"]), "Name": shown(agent["name"])}
    if not live:
        return {**row, "State": Text("unknown", style="dim")}
    return {
        **row,
        "State": Text(printable(agent["state"]), style=_STATE_STYLES.get(agent["state"], "")),
        "For": shown(age(now, agent["since"])),
        "Call": shown(_call_text(agent, consults)),
        "Groups": shown(", ".join(agent["groups"])),
        "Waiting": shown("a transfer" if agent["waiting_transfer"] else ""),
    }


def _call_text(agent: Mapping[str, Any], consults: Mapping[str, Mapping[str, Any]]) -> str:
    call = agent.get("call")
    if not call:
        return ""
    asked_by = (call.get("consult") or {}).get("agent")
    if not asked_by and is_consult(agent, call, consults):
        asked_by = consults[agent["id"]]["agent"]
    if asked_by:
        return f"asked by {asked_by}"
    others = len(agent.get("calls") or ()) - 1
    caller = caller_text(call)
    return f"{caller} (+{others})" if others > 0 else caller


def _transfer_row(
    transfer: Mapping[str, Any],
    now: float,
    live: bool,  # noqa: FBT001 - drawn by `View`
) -> dict[str, Text]:
    row = {
        "Transfer": shown(transfer["id"]),
        "By": shown(transfer["agent"]),
        "Mode": shown(transfer["mode"]),
        "To": shown(target_text(transfer["target"])),
        "Caller": shown(caller_text(transfer)),
    }
    if not (live or ended(transfer)):
        # Ended transfers do not change; the state of the others is unknown.
        return {**row, "State": Text("unknown", style="dim")}
    reason, until = transfer["ended_reason"], transfer.get("hold_until")
    suffix = f" ({reason})" if reason and reason != transfer["state"] else ""
    if until and not ended(transfer):
        suffix = f" ({duration(unix_time(until) - now)} left)"
    state = Text(printable(transfer["state"] + suffix), style=_transfer_style(transfer))
    return {**row, "State": state, "For": shown(age(now, transfer["since"]))}


def _more(
    transfers: Sequence[Mapping[str, Any]],
    agents: Sequence[Mapping[str, Any]],
    live: bool,  # noqa: FBT001 - drawn by `View`
) -> Text:
    """What is below the last row. Agents by state, unless states are unknown."""
    parts = [f"+{counted(len(transfers), 'more transfer')}"] if transfers else []
    if agents:
        states = Counter(agent["state"] for agent in agents) if live else Counter[str]()
        known = [f"{states[x]} {x}" for x in chain(_STATE_STYLES, sorted(states)) if states[x]]
        parts.append(f"+{counted(len(agents), 'more agent')}" + _listed(dict.fromkeys(known)))
    return line(", ".join(parts), "dim")


def _listed(words: Iterable[str]) -> str:
    text = ", ".join(words)
    return f": {text}" if text else ""


def _transfer_style(transfer: Mapping[str, Any]) -> str:
    if not ended(transfer):
        return "yellow"
    if transfer["state"] == "completed":
        return "green"
    # The agent intended a cancelled transfer.
    return "" if transfer["state"] == transfer["ended_reason"] else "red"
