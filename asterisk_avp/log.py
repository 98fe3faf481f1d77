"""Logging: structlog for our own lines, and the same format for the libraries' lines.

Each event has a short fixed name and its facts as fields, e.g. ``log.info("ari_connected",
url=...)``, so that lines can be searched. Fields named like a secret are blanked in any case, and
telephone numbers keep only their last three digits unless the settings say otherwise. Whatever a
value contains, a record is one line. In the text format a traceback follows, in lines that are
indented: none of them can be taken for a record.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

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
