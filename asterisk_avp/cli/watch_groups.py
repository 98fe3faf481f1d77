"""The groups in the live view: a few lines, those first whose callers wait longest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from asterisk_avp.cli.terminal import age, counted, line, shown
from asterisk_avp.cli.watch_table import Column, table
from asterisk_avp.cli.watched import GroupFilter

_SHARE: Final = 5
"""Groups take at most one in so many of the rows."""
_AROUND: Final = 2
"""Lines around the rows: the column headers, and an empty line."""
_COLUMNS: Final = (
    Column("Group"),
    Column("Logged in", 64, whole=True),
    Column("Available", 48, whole=True),
    Column("Waiting", whole=True),
    Column("Longest", whole=True),
)


@dataclass(frozen=True, slots=True)
class Fitting:
    rows: int = 0
    lines: int = 0
    """With what is around the rows."""


class Groups:
    def __init__(self, only: GroupFilter) -> None:
        self._filter = only
        self._groups: dict[str, Mapping[str, Any]] = {}

    def handle(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "snapshot"}:
                # A daemon of an earlier version has none.
                found = event.get("groups", ())
                self._groups = {x["id"]: x for x in found if self._filter.group(x)}
            case {"type": "group", "group": group} if self._filter.group(group):
                self._groups[group["id"]] = group

    def fitting(self, rows: int) -> Fitting:
        """How many groups are drawn where there is space for so many rows."""
        drawn = min(len(self._groups), rows // _SHARE)
        more = len(self._groups) > drawn
        return Fitting(drawn, drawn + _AROUND + more) if drawn else Fitting()

    def drawn(self, width: int, count: int, now: float, *, live: bool) -> Iterator[RenderableType]:
        if not count:
            return
        order = sorted(self._groups.values(), key=_urgency if live else _name)
        yield from table(_COLUMNS, width, [_row(x, now, live=live) for x in order[:count]])
        rest = order[count:]
        if rest:
            waiting = sum(x["waiting"] for x in rest) if live else 0
            verb = "waits" if waiting == 1 else "wait"
            callers = f", {counted(waiting, 'caller')} {verb} in them" if waiting else ""
            yield line(f"+{counted(len(rest), 'more group')}{callers}", "dim")
        yield Text()


def group_line(group: Mapping[str, Any]) -> str:
    """A group on one line, where there is no screen."""
    since = group["longest_wait_since"]
    first = f", the first since {since}" if since else ""
    return (
        f"group {group['id']} {group['name']}: {group['available']} available,"
        f" {group['logged_in']} logged in, {group['waiting']} waiting{first}"
    )


def _name(group: Mapping[str, Any]) -> str:
    return str(group["id"])


def _urgency(group: Mapping[str, Any]) -> tuple[bool, str, int, str]:
    """Those whose callers wait longest, then those with the fewest available."""
    since = group["longest_wait_since"]
    return not group["waiting"], since or "", group["available"], _name(group)


def _row(group: Mapping[str, Any], now: float, *, live: bool) -> dict[str, Text]:
    name = group["name"] or group["id"]
    text = group["id"] if name == group["id"] else f"{group['id']} {name}"
    if not live:
        return {"Group": shown(text), "Waiting": Text("unknown", style="dim")}
    waits = bool(group["waiting"])
    return {
        "Group": shown(text),
        "Logged in": Text(str(group["logged_in"]), style="" if group["logged_in"] else "red"),
        "Available": Text(str(group["available"]), style="green" if group["available"] else ""),
        "Waiting": Text(str(group["waiting"]), style="yellow" if waits else "dim"),
        "Longest": shown(age(now, group["longest_wait_since"]) if waits else ""),
    }
