"""The pauses between attempts to connect."""

from __future__ import annotations

import pytest

from asterisk_avp.runtime.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(0, 0.2), (1, 0.4), (4, 3.2), (5, 5.0), (5000, 5.0)]
)
def test_it_grows_to_its_limit_with_jitter(failures: int, ceiling: float) -> None:
    backoff = Backoff(0.2, 5.0)
    pauses = [backoff.pause_seconds(failures) for _ in range(50)]
    assert ceiling / 2 <= min(pauses) < max(pauses) <= ceiling
