"""The settings for tests with random input."""

from __future__ import annotations

from tests import random_input  # noqa: F401 - it loads them
