"""What a log line looks like, and what never appears in one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from asterisk_avp import log


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
    """An error's message often repeats what was read, and a traceback has lines of its own."""
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
