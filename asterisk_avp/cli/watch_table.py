"""Tables of the live view, which fit a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and the width of the terminal from which on it is shown."""

    name: str
    from_width: int = 0
    whole: bool = False
    """Never shortened, while the terminal is wide enough at all."""


def table(
    columns: Sequence[Column], width: int, rows: Sequence[Mapping[str, Text]]
) -> Iterable[Table]:
    """One line for each row at any width; without rows, only the header."""
    made = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="bold")
    drawn = [column for column in columns if width >= column.from_width]
    for column in drawn:
        longest = max((len(row.get(column.name, "")) for row in rows), default=0)
        made.add_column(
            column.name,
            no_wrap=True,
            overflow="ellipsis",
            min_width=min(max(longest, len(column.name)), width // 2) if column.whole else None,
            ratio=None if column.whole else 1,
        )
    for row in rows:
        made.add_row(*(row.get(column.name, Text()) for column in drawn))
    yield made
