"""What a log line looks like, and what never appears in one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

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
