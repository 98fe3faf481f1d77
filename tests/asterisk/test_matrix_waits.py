"""The cells of `matrix` that wait for the target, or for a colleague who is called as well."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.asterisk import matrix
from tests.asterisk.call_centre import CallCentre, open_call_centre

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

STATES = ("waiting", "ringing", "colleague rings", "queued", "offered")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[CallCentre]:
    async with open_call_centre(*STATES) as opened:
        yield opened


@pytest.mark.parametrize(("fault", "state"), matrix.cells(*STATES))
async def test_cell(centre: CallCentre, fault: str, state: str) -> None:
    await centre.cell(fault, state)
