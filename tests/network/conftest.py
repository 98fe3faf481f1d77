"""Tests that need the line of `tests.network.line`; those of the line itself need nothing."""

from __future__ import annotations

# The report of a test that fails shows its call centre.
from tests.asterisk.conftest import (  # noqa: F401 - hooks of pytest's
    pytest_runtest_makereport,
    pytest_runtest_protocol,
)
