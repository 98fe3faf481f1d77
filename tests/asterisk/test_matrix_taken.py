"""The cells of `matrix` in which another program takes the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.asterisk import matrix
from tests.asterisk.call_centre import CallCentre, open_call_centre

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]

STATES = tuple(state for state in matrix.STATES if matrix.TAKEN in matrix.CELLS[state])
PARTS = tuple(STATES[part::3] for part in range(3))
"""Each with a call centre of its own: one has no room for all of their phones."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre(request: pytest.FixtureRequest) -> AsyncIterator[CallCentre]:
    async with open_call_centre(*PARTS[request.param]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("centre", "state"),
    [(part, state) for part, states in enumerate(PARTS) for state in states],
    indirect=["centre"],
)
async def test_cell(centre: CallCentre, state: str) -> None:
    await centre.cell(matrix.TAKEN, state)
