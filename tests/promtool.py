"""Prometheus's own tool, for the tests of alert rules and dashboard."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from tests.debian import unpacked

PACKAGE: Final = "prometheus"
"""Not installed, or Prometheus itself would begin to run."""


def provide() -> Path:
    """The program; without it, from Debian's package. Raises `tests.debian.NotProvided`."""
    found = os.environ.get("AVP_PROMTOOL") or shutil.which("promtool")
    if found:
        return Path(found)
    return unpacked(PACKAGE, "promtool", "usr/bin/promtool")
