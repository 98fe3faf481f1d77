"""A few random histories of a call centre; longer runs: `tests/run histories`.

The same each time: `--hypothesis-seed=N` (or `random`) plays others. A failure is shortened, and
the report has the history as it first failed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.asterisk.histories import Office, play

pytestmark = [pytest.mark.asterisk, pytest.mark.slow]

SEED = 1
HISTORIES = 3
STEPS = 8


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with Office.open() as opened:
        yield opened


def test_whatever_happens(office: Office, request: pytest.FixtureRequest) -> None:
    chosen = request.config.getoption("--hypothesis-seed")
    number = random.getrandbits(32) if chosen == "random" else int(chosen or SEED)
    try:
        play(office, number, HISTORIES, STEPS)
    finally:
        print(dict(office.told))
    assert office.told["consult"] + office.told["transfer"] > 0
    assert office.told["settled"] > HISTORIES
