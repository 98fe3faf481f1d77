"""Texts for a terminal."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text


def printable(text: str) -> str:
    """Replace control characters, so that a caller's name cannot control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shown(text: object) -> Text:
    """As `Text`, because rich would interpret markup in a string."""
    return Text(printable(str(text or "")))


def line(text: str, style: str) -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def counted(number: int, name: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def unix_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def age(now: float, since: str | None) -> str:
    """Since when something is so; ``?`` where Asterisk never said."""
    return duration(now - unix_time(since)) if since else "?"


def duration(seconds: float) -> str:
    """``7 s``, ``2:07`` or ``1:02:07``."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"
