"""The smallest growth benchmark: it has every figure, and loses no transfer."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks import growth
from tests.benchmarks.growth_centre import Size
from tests.benchmarks.growth_table import ROWS, markdown


@pytest.mark.skipif(sys.platform != "linux", reason="CPU and memory are read from /proc")
async def test_every_figure_is_measured() -> None:
    size = Size(agents=8, queues=4, sessions=2, panels=2)
    least = growth.Effort(starts=1, calls=2, at_once=2, requests=1, changes=1, transfers=2, parts=1)
    figures = await growth.measure(size, least)
    assert set(figures.samples) == {row.name for row in ROWS}
    assert all(value > 0 for name in ("event", "transfer") for value in figures.samples[name])
    assert figures.median("held") == figures.median("panels") == 2
    assert "| CPU per transfer, ms |" in markdown([figures])
