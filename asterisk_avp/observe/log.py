"""Logging: structlog for our own lines, and the same format for the libraries' lines.

Each event has a short fixed name and its facts as fields, e.g. ``log.info("ari_connected",
url=...)``, so that lines can be searched. Fields named like a secret are blanked in any case, and
telephone numbers keep only their last three digits unless the settings say otherwise. What the
event loop and the HTTP server complain of, whoever causes it, is a line a second of each kind at
most, and a number. Whatever a value contains, a record is one line. In the text format a traceback
follows, in lines that are indented: none of them can be taken for a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

_SECRET_WORDS = ("password", "secret", "token", "pin", "authorization")

# What the libraries say at "info" about every request is our own log's business.
_QUIET = ("aiohttp.access", "asyncio", "uvicorn.error", "websockets", "panoramisk")


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["text", "json"] = "text",  # noqa: A002 - named as the setting is
    stream: TextIO | None = None,
    *,
    numbers: bool = False,
) -> None:
    """Send all logging of this process to ``stream`` (default: standard error).

    ``numbers``: whether telephone numbers are shown in full.
    """
    out = sys.stderr if stream is None else stream
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        blank_secrets,
    ]
    renderer: list[structlog.typing.Processor] = [structlog.processors.format_exc_info]
    if not numbers:
        renderer.append(mask_numbers)
    if format == "json":
        renderer.append(_JsonLine())
    else:
        # Not the formatter that shows local variables, which may hold secrets.
        plain = structlog.dev.plain_traceback
        renderer.append(escape_controls)
        renderer.append(
            structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)
        )

    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    handler.addFilter(RateLimit())
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(peers_fault)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


_LIMITED: Final = ("asyncio", "uvicorn", "websockets", "aiohttp")
"""Loggers (and those below them) whose lines anybody who sends us something may cause."""
_VARIES: Final = re.compile(r"<.*|0x[0-9a-fA-F]+|\d+|'.*", re.DOTALL)
_KINDS_REMEMBERED: Final = 200


class RateLimit(logging.Filter):
    """A line a second of each kind; the next one of it says how many were left out.

    A kind is a logger and what is always the same in its first line. Where no next one comes, a
    line of its own says it a second later. ``clock`` gives monotonic seconds.
    """

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}
        """Of each, from when on the next may be written, and how many have been left out."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _LIMITED or record.levelno < logging.WARNING:
            return True
        kind = _kind(record)
        now = self._clock()
        until, left_out = self._kinds.get(kind, (0.0, 0))
        if now < until:
            self._kinds[kind] = (until, left_out + 1)
            if not left_out:
                self._tell_later(record.name, record.levelno, kind)
            return False
        self._kinds.pop(kind, None)
        if len(self._kinds) >= _KINDS_REMEMBERED:
            self._kinds.pop(next(iter(self._kinds)))
        self._kinds[kind] = (now + self._seconds, 0)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more like it were left out)"
            record.args = ()
        return True

    def _tell_later(self, name: str, level: int, kind: str) -> None:
        with contextlib.suppress(RuntimeError):  # no event loop here: the next line says it
            loop = asyncio.get_running_loop()
            # A little later than the next one may be written, which says it as well.
            loop.call_later(1.5 * self._seconds, self._tell, name, level, kind)

    def _tell(self, name: str, level: int, kind: str) -> None:
        until, left_out = self._kinds.get(kind, (0.0, 0))
        if left_out and self._clock() >= until:
            logging.getLogger(name).log(level, "%s", kind.partition(": ")[2])
        elif left_out:
            self._tell_later(name, level, kind)


def _kind(record: logging.LogRecord) -> str:
    first = record.getMessage().partition("\n")[0]
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    text = _VARIES.sub("…", first[:200])
    return f"{record.name}: {text}{f' {error.__name__}' if error is not None else ''}"


def peers_fault(record: logging.LogRecord) -> bool:
    """Bytes of a client that are no UTF-8 are not our error, and worth no traceback."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def masked(typed: str) -> str:
    """What was typed as a number, without all but its last three digits."""
    return "***" + "".join(re.findall(r"\d", typed)[-3:])


# Not a part of a channel's or a bridge's id, such as 1769850307.25, nor of a word.
_NUMBER = re.compile(r"(?<![\w.-])\+?\d{4,12}(\d{3})(?![\w.-])")
_NO_NUMBERS_IN = frozenset(
    {"agent", "call", "channel", "interface", "queue", "target", "timestamp", "transfer", "url"}
)


def mask_numbers(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Leave the last three digits of what looks like a telephone number, in errors and effects."""
    for key, value in event.items():
        if isinstance(value, str) and key not in _NO_NUMBERS_IN:
            event[key] = _NUMBER.sub(r"***\1", value)
    return event


def escape_controls(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Line ends and terminal commands inside of values become backslash escapes.

    A traceback keeps its line feeds, as many as there are: the message of an error may repeat what
    somebody sent.
    """
    for key, value in event.items():
        if isinstance(value, str):
            traceback = key in {"exception", "stack"}
            lines = value.split("\n") if traceback else [value]
            plain = [_printable(line, _escaped) for line in lines]
            event[key] = "\n".join("  " + line for line in plain) if traceback else plain[0]
    return event


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class _JsonLine:
    """As JSONRenderer, and what only some readers take for a line end is escaped as well."""

    def __init__(self) -> None:
        self._render = structlog.processors.JSONRenderer(ensure_ascii=False)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        line = self._render(logger, method, event)
        text = line if isinstance(line, str) else line.decode("utf-8")
        return _printable(text, lambda c: json.dumps(c)[1:-1])


def _printable(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escape(c) for c in text)


def blank_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace the values of fields that are named like a secret."""
    for key in event:
        words = key.lower().split("_")
        if any(word in _SECRET_WORDS for word in words):
            event[key] = "***"
    return event
