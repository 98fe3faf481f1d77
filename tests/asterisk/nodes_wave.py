"""The test of a wave of `nodes_matrix`, for files that import it and name their ``WAVE``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.asterisk import nodes_matrix
from tests.asterisk.nodes_cells import Wave, open_wave

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("fault", "heal"), nodes_matrix.cells(metafunc.module.WAVE))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wave(request: pytest.FixtureRequest) -> AsyncIterator[Wave]:
    async with open_wave(request.module.WAVE) as opened:
        yield opened


async def test_cell(wave: Wave, fault: str, heal: str) -> None:
    seconds = await wave.cell(fault, heal)
    if os.environ.get("AVP_TEST_MEASURES"):
        nodes_matrix.note(fault, heal, seconds)
