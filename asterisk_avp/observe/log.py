"""Logging: structlog for our own lines, and the same format for the libraries' lines.

Each event has a short fixed name and its details as fields, e.g. ``log.info("ari_connected",
url=...)``, so that lines can be searched. Fields named like a secret are always masked, and
telephone numbers keep only their last three digits unless the settings say otherwise. Warnings of
the event loop and the HTTP server are limited to one line per second of each kind, with a count.
Whatever a value contains, a record is one line. In the text format a traceback follows in indented
lines, which cannot be mistaken for a record.
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
from functools import lru_cache
from typing import Any, Final, Literal, TextIO

import structlog

_SECRET_WORDS = ("password", "secret", "token", "pin", "authorization")

# These libraries log every request at "info", which our own log covers.
_QUIET = ("aiohttp.access", "asyncio", "uvicorn.error", "websockets", "panoramisk")


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["text", "json"] = "text",  # noqa: A002 - the name of the setting
    stream: TextIO | None = None,
    *,
    numbers: bool = False,
) -> None:
    """Send all logging of this process to ``stream`` (default: standard error).

    ``numbers``: whether telephone numbers are logged in full.
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
        # The default formatter shows local variables, which may hold secrets.
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
    logging.getLogger("uvicorn.error").addFilter(downgrade_client_errors)
    # Our own lines do without `logging`, which takes half the time of a line.
    structlog.configure(
        processors=[*shared, *renderer],
        logger_factory=lambda *name: _Lines(str(name[0]) if name else "", handler),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # A cached logger keeps its stream: only the process's own is never replaced.
        cache_logger_on_first_use=stream is None,
    )


class _Lines:
    """A logger of structlog's that writes lines as the handler does, and never raises either."""

    def __init__(self, name: str, handler: logging.StreamHandler[TextIO]) -> None:
        self.name = name
        self._handler = handler

    def msg(self, line: str) -> None:
        handler = self._handler
        # A full disk or a closed pipe is no reason to drop a call.
        with handler.lock or contextlib.nullcontext(), contextlib.suppress(OSError, ValueError):
            handler.stream.write(line + "\n")
            handler.stream.flush()

    debug = info = warning = error = critical = msg


_LIMITED: Final = ("asyncio", "uvicorn", "websockets", "aiohttp")
"""Loggers, with their children, whose lines any client can cause."""
_VARIES: Final = re.compile(r"<.*|0x[0-9a-fA-F]+|\d+|'.*", re.DOTALL)
_KINDS_REMEMBERED: Final = 200


class RateLimit(logging.Filter):
    """Limits lines to one per second of each kind. The next line has the number suppressed.

    A kind is a logger and the constant part of the first line. If no further line follows, a
    separate line reports the number a little later. ``clock`` returns monotonic seconds.
    """

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}
        """For each kind: when the next line may be written, and how many were suppressed."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _LIMITED or record.levelno < logging.WARNING:
            return True
        kind = _kind(record)
        now = self._clock()
        until, suppressed = self._kinds.get(kind, (0.0, 0))
        if now < until:
            self._kinds[kind] = (until, suppressed + 1)
            if not suppressed:
                self._schedule_report(record.name, record.levelno, kind)
            return False
        self._kinds.pop(kind, None)
        if len(self._kinds) >= _KINDS_REMEMBERED:
            self._kinds.pop(next(iter(self._kinds)))
        self._kinds[kind] = (now + self._seconds, 0)
        if suppressed:
            record.msg = f"{record.getMessage()} ({suppressed} similar lines suppressed)"
            record.args = ()
        return True

    def _schedule_report(self, name: str, level: int, kind: str) -> None:
        with contextlib.suppress(RuntimeError):  # without an event loop, the next line reports it
            loop = asyncio.get_running_loop()
            # Later than the next line may be written, because that line reports it too.
            loop.call_later(1.5 * self._seconds, self._report, name, level, kind)

    def _report(self, name: str, level: int, kind: str) -> None:
        until, suppressed = self._kinds.get(kind, (0.0, 0))
        if suppressed and self._clock() >= until:
            logging.getLogger(name).log(level, "%s", kind.partition(": ")[2])
        elif suppressed:
            self._schedule_report(name, level, kind)


def _kind(record: logging.LogRecord) -> str:
    first = record.getMessage().partition("\n")[0]
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    text = _VARIES.sub("…", first[:200])
    return f"{record.name}: {text}{f' {error.__name__}' if error is not None else ''}"


def downgrade_client_errors(record: logging.LogRecord) -> bool:
    """A client's bytes that are not UTF-8 are not our error, and need no traceback."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def masked(typed: str) -> str:
    """The last three digits of a dialled number, with the rest masked."""
    return "***" + "".join(re.findall(r"\d", typed)[-3:])


# Not part of a word, nor of the id of a channel or bridge, such as 1769850307.25.
_NUMBER = re.compile(r"(?<![\w.-])\+?\d{4,12}(\d{3})(?![\w.-])")
_DIGITS = re.compile(r"\d{7}")
"""What every match of `_NUMBER` contains; faster, and most values have none."""
_NO_NUMBERS_IN = frozenset(
    {"agent", "call", "channel", "interface", "queue", "target", "timestamp", "transfer", "url"}
)


def mask_numbers(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask all but the last three digits of telephone numbers in errors and effects."""
    for key, value in event.items():
        if isinstance(value, str) and key not in _NO_NUMBERS_IN and _DIGITS.search(value):
            event[key] = _NUMBER.sub(r"***\1", value)
    return event


def escape_controls(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Escape line breaks and terminal controls in values with backslashes.

    A traceback keeps its line feeds, but its lines are escaped and indented: the message of an
    error may repeat a client's input.
    """
    for key, value in event.items():
        traceback = key in {"exception", "stack"}
        if isinstance(value, str) and (traceback or not value.isprintable()):
            lines = value.split("\n") if traceback else [value]
            plain = [_printable(line, _escaped) for line in lines]
            event[key] = "\n".join("  " + line for line in plain) if traceback else plain[0]
    return event


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class _JsonLine:
    """Like JSONRenderer, but also escapes characters that some readers treat as line breaks."""

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
    """Mask the values of fields that are named like a secret."""
    for key in event:
        if _names_secret(key):
            event[key] = "***"
    return event


@lru_cache(maxsize=1024)  # the fields' names are in our code
def _names_secret(key: str) -> bool:
    return any(word in _SECRET_WORDS for word in key.lower().split("_"))
