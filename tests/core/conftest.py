"""The core's tests alone start without hypothesis, which they do not use."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Its plugin would import all of hypothesis for a report at the end: half a second of four."""
    plugin = "hypothesispytest"
    alone = all(argument.rstrip("/").endswith("tests/core") for argument in config.args)
    if alone and config.pluginmanager.has_plugin(plugin):
        config.pluginmanager.unregister(name=plugin)
