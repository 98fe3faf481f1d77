"""A short soak: all kinds of transfers in one daemon leave nothing behind.

Thousands of them, with a check of the memory: `tests/run soak`.
"""

from __future__ import annotations

import pytest

from tests.asterisk.soak import soaking

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


@pytest.mark.thorough
async def test_nothing_is_left_of_many_transfers() -> None:
    async with soaking(lanes=2) as soak:
        await soak.run(transfers=30, looks=1)
        assert not soak.failures, "\n\n".join(soak.failures)
        assert soak.grown() == []
        states = {state for _, _, state, _ in soak.told.ended}
        assert states == {"completed", "cancelled", "failed", "abandoned"}
