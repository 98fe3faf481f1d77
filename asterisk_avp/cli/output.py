"""Output of the commands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asterisk_avp.config.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, as the API returns it.")]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def load_settings(*, connect: bool = True) -> Settings:
    """The settings of this process. Warns about ignored files on standard error."""
    # Imported here because most commands do not need the settings.
    from asterisk_avp.config.settings import Settings  # noqa: PLC0415

    settings = Settings.load(connect=connect)
    warn(settings.ignored)
    return settings


def warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        typer.echo(f"asterisk-avp: {sentence}", err=True)
