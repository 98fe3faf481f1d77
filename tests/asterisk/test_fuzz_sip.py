"""Hostile SIP requests at a real Asterisk; more of them: `tests/run fuzz`.

The same each time: `--hypothesis-seed=N` (or `random`) sends others.
"""

from __future__ import annotations

import random

import pytest

from tests.asterisk.fuzz.campaign import campaign

pytestmark = [pytest.mark.asterisk, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SEED = 1
INPUTS = 500


async def test_nothing_comes_of_what_is_sent(request: pytest.FixtureRequest) -> None:
    chosen = request.config.getoption("--hypothesis-seed")
    number = random.getrandbits(32) if chosen == "random" else int(chosen or SEED)
    report = await campaign(number, INPUTS)
    assert not report.failures, report
    assert report.inputs == INPUTS
    assert report.answered > INPUTS / 2, report
    assert report.ran > INPUTS / 10, report
