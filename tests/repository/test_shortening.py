"""A random history that fails is told at once, and shortened for a limited time only."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.asterisk.histories import play
from tests.asterisk.shortening import Failures


class Clock:
    """Each history takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Counting(RuleBasedStateMachine):
    """A history fails at its fifth step, unless all its numbers are small."""

    office: Any
    played: list[int]
    """How much was told before each history."""

    def __init__(self) -> None:
        super().__init__()
        self.office.failures.history()
        self.office.failures.clock.now += 1
        self.played.append(len(self.office.failures.output.read_text()))
        self.story: list[str] = []
        self.large = False

    @rule(number=st.integers(0, 1000))
    def step(self, number: int) -> None:
        self.story.append(str(number))
        self.large |= number > 3
        if self.large and len(self.story) >= 5:
            error = AssertionError(f"{len(self.story)} steps")
            self.office.failures.fails(error, self.story, "the logs")
            raise error


def _play(output: Path, seconds: float) -> tuple[Failures, list[int]]:
    output.touch()
    failures = Failures(seconds, output, "run --seed {}".format, clock=Clock())
    played: list[int] = []
    machine = type("Counts", (Counting,), {"played": played})
    office: Any = SimpleNamespace(failures=failures, history=lambda: machine)
    with pytest.raises(AssertionError, match="steps"):
        play(office, 7, 20, 12)
    return failures, played


def test_what_failed_first_is_told_before_another_history_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures, played = _play(tmp_path / "out", seconds=5.0)

    told = (tmp_path / "out").read_text()
    assert told.startswith("\n=== seed 7, history ")
    assert "step 5: AssertionError('5 steps')" in told
    assert "the logs" in told
    assert "again: run --seed 7" in told
    assert told in capsys.readouterr().out
    failing = played.index(0) + sum(size == 0 for size in played) - 1
    assert all(size > 0 for size in played[failing + 1 :])
    assert failures.first in told


def test_a_history_is_shortened_for_a_limited_time(tmp_path: Path) -> None:
    _, long = _play(tmp_path / "long", seconds=12.0)
    _, short = _play(tmp_path / "short", seconds=3.0)

    def after(played: list[int]) -> int:
        return sum(size > 0 for size in played)

    assert after(short) == 4 < after(long)


def test_each_shorter_history_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures()
    failures.begin(3)
    failures.history()
    failures.fails(AssertionError("a"), ["one", "two", "three"], "evidence")
    failures.fails(AssertionError("b"), ["one", "two", "three"], "")
    failures.fails(AssertionError("c"), ["three"], "")

    told = capsys.readouterr().out
    assert "=== seed 3, history 1, step 3: AssertionError('a')" in told
    assert "AssertionError('b')" not in told
    assert "--- 1 steps suffice: AssertionError('c')\nthree" in told
    assert repr(failures.error) == "AssertionError('c')"
