"""The format of log lines, and what never appears in one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from asterisk_avp.observe import log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_of_ours_and_of_libraries() -> None:
    out = io.StringIO()
    log.configure("info", "json", out)
    structlog.get_logger("asterisk_avp.ari").info("ari_connected", name="Zoë")
    structlog.get_logger("asterisk_avp.ari").debug("not shown")
    logging.getLogger("some.library").warning("slow by %d s", 3)
    logging.getLogger("uvicorn.error").info("Started server process")
    try:
        int("boom")
    except ValueError:
        logging.getLogger("asyncio").exception("failed")
    ours, library, failure = (json.loads(line) for line in out.getvalue().splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "ari_connected",
        "name": "Zoë",
        "level": "info",
        "logger": "asterisk_avp.ari",
    }
    assert (library["event"], library["level"]) == ("slow by 3 s", "warning")
    assert "ValueError: invalid literal" in failure["exception"]


def test_a_stream_that_fails_stops_nobody() -> None:
    class Full(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise OSError(28, "No space left on device")

    log.configure("info", "text", Full())
    structlog.get_logger("asterisk_avp.x").warning("still_here", transfer="t1")
    closed = io.StringIO()
    log.configure("info", "json", closed)
    closed.close()
    structlog.get_logger("asterisk_avp.x").info("still_here")


def test_secrets_are_blanked_in_both_formats() -> None:
    for kind in ("json", "text"):
        out = io.StringIO()
        log.configure("info", kind, out)
        structlog.get_logger("x").info("login", agent="1001", pin="hush", api_token="hush")
        assert "hush" not in out.getvalue()
        assert "1001" in out.getvalue()
        assert "\x1b" not in out.getvalue()


FORGED = "x\n2026-01-31T09:05:07Z [info     ] forged\r\x1b[2K\x1b]0;t\x07\u2028\x85{}\ud800"


@pytest.mark.parametrize("kind", ["json", "text"])
def test_what_a_value_says_is_no_record_of_its_own(kind: Literal["json", "text"]) -> None:
    out = io.StringIO()
    log.configure("info", kind, out)
    ours = structlog.get_logger("asterisk_avp.x")
    ours.info("one", value=FORGED, nested={"a": [FORGED]}, error=ValueError(FORGED))
    logging.getLogger("library").warning("said %s", FORGED)
    logging.getLogger("library").warning(FORGED)
    text = out.getvalue()
    assert text.endswith("\n")
    assert len(text.split("\n")) == 4  # three records and the end
    assert all(character.isprintable() or character == "\n" for character in text)
    if kind == "json":
        records = [json.loads(line) for line in text.splitlines()]
        assert records[0]["value"].startswith("x\n2026")


@pytest.mark.parametrize("kind", ["json", "text"])
def test_what_an_error_says_is_no_record_in_its_traceback(kind: Literal["json", "text"]) -> None:
    """An error's message often repeats the input, and a traceback has several lines."""
    out = io.StringIO()
    log.configure("info", kind, out)
    try:
        raise ValueError(FORGED)  # noqa: TRY301 - it is the traceback that counts
    except ValueError:
        structlog.get_logger("asterisk_avp.x").exception("failed")
        logging.getLogger("library").exception("failed")
    text = out.getvalue()
    assert all(character.isprintable() or character == "\n" for character in text)
    records = [line for line in text.split("\n") if line and not line.startswith("  ")]
    assert len(records) == 2
    assert "ValueError" in text


# --- what others may cause is limited --------------------------------------------------------


def test_the_same_complaint_is_written_once_a_second_with_a_number() -> None:
    now = 1000.0
    limit = log.RateLimit(clock=lambda: now)

    def complaint(name: str, text: str, *args: object) -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "", 0, text, args, None)
        return record.getMessage() if limit.filter(record) else None

    accept = "socket.accept() out of system resource\nsocket: <socket fd=%d>"
    written = [complaint("asyncio", accept, number) for number in range(2000)]
    assert sum(text is not None for text in written) == 1
    assert complaint("asyncio", "Task exception was never retrieved\nfuture: <Task-7>") is not None
    assert complaint("asyncio", "Executing <Handle f()> took 0.1 seconds") is not None
    assert complaint("asyncio", "Executing <Handle g()> took 0.2 seconds") is None
    assert complaint("uvicorn.error", "Invalid HTTP request received.") is not None
    assert complaint("asterisk_avp.service.daemon", "ours") is not None
    assert complaint("asterisk_avp.service.daemon", "ours") is not None
    now += 1
    again = complaint("asyncio", accept, 1)
    assert again is not None
    assert again.endswith("(1999 similar lines suppressed)")
    assert complaint("asyncio", accept, 2) is None


def test_kinds_of_complaints_do_not_fill_the_memory() -> None:
    limit = log.RateLimit(clock=lambda: 1000.0)
    for number in range(5000):
        text = "".join(chr(97 + int(digit)) for digit in str(number))
        limit.filter(logging.LogRecord("asyncio", logging.ERROR, "", 0, text, (), None))
    assert len(limit._kinds) <= 200


async def test_what_was_left_out_is_told_though_nothing_follows() -> None:
    out = io.StringIO()
    log.configure("info", stream=out)
    logger = logging.getLogger("asyncio")
    for number in range(50):
        logger.error("socket.accept() out of system resource\nsocket: %d", number)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 20
    while "49 similar lines suppressed" not in out.getvalue():
        assert loop.time() < deadline
        await asyncio.sleep(0.05)
    assert out.getvalue().count("out of system resource") == 2


async def test_an_exception_handlers_flood_is_a_few_lines() -> None:
    """From the event loop itself, about accept()."""
    out = io.StringIO()
    log.configure("info", stream=out)
    loop = asyncio.get_running_loop()
    for _ in range(5000):
        loop.call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": OSError(24, "Too many open files"),
            }
        )
    assert len(out.getvalue()) < 2000
