"""Admission under any sequence of requests, ends, answers and pauses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine.admission import LEAST, MOST, Admission, Bounds

BOUNDS = Bounds(begin_seconds=1.0, answer_seconds=0.5)
SECONDS = st.floats(min_value=0.0, max_value=20.0)
STEPS = st.lists(
    st.one_of(
        st.just(("ask", 0.0)),
        st.tuples(st.just("end"), st.integers(0, 63).map(float)),
        st.tuples(st.just("answer"), SECONDS),
        st.tuples(st.just("wait"), SECONDS),
        st.just(("reset", 0.0)),
    ),
    max_size=200,
)


def played(steps: list[tuple[str, float]]) -> tuple[Admission, float]:
    """The admission after these steps, none of which may exceed its bounds."""
    admission, now, number, open_ = Admission(BOUNDS), 0.0, 0, dict[str, float]()
    for what, value in steps:
        match what:
            case "ask":
                number += 1
                if admission.admits(now):
                    assert not admission.busy
                    admission.begin(str(number), now)
                    open_[str(number)] = now
                    assert admission.beginning <= admission.limit
            case "end" if open_:
                key = sorted(open_)[int(value) % len(open_)]
                admission.end(key, now)
                del open_[key]
            case "answer":
                admission.answered(value)
            case "wait":
                now += value
            case "reset":
                admission.reset()
        assert LEAST <= admission.limit <= MOST
        assert admission.beginning <= MOST
    return admission, now


@given(STEPS)
def test_no_more_than_the_limit_and_never_for_ever(steps: list[tuple[str, float]]) -> None:
    admission, now = played(steps)
    for _ in range(11):
        admission.answered(BOUNDS.answer_seconds)
    assert admission.admits(now + 2 * BOUNDS.begin_seconds + 0.1)


@given(STEPS)
def test_a_quick_asterisk_is_taken_back_soon(steps: list[tuple[str, float]]) -> None:
    admission, _ = played(steps)
    for _ in range(5):
        admission.answered(BOUNDS.answer_seconds / 4)
    assert not admission.busy


@given(st.lists(SECONDS, min_size=1, max_size=40))
def test_it_does_not_change_with_every_answer(answers: list[float]) -> None:
    """To be busy takes two slow answers, and to end it five fast ones."""
    admission, changes = Admission(BOUNDS), 0
    for seconds in answers:
        before = admission.busy
        admission.answered(seconds)
        changes += admission.busy is not before
    assert changes <= 2 * (len(answers) // 7) + 1


def test_one_slow_answer_says_nothing() -> None:
    admission = Admission(BOUNDS)
    for seconds in (0.01, 0.01, 3.0, 0.01, 0.01, 0.01, 0.01, 3.0, 0.01):
        admission.answered(seconds)
        assert not admission.busy
    admission.answered(0.6)
    assert admission.busy


def test_the_limit_follows_how_long_a_beginning_takes() -> None:
    """Asterisk serves them in turn, each for a tenth of a second: ten at a time take a second."""
    admission, now, waiting = Admission(BOUNDS), 0.0, list[str]()
    for number in range(3_000):
        now += 0.05
        admission.answered(0.2)
        if admission.admits(now):
            admission.begin(str(number), now)
            waiting.append(str(number))
        if number % 2 and waiting:
            admission.end(waiting.pop(0), now)
    assert 5 <= admission.limit <= 12


def test_a_phone_that_is_slow_to_ring_says_nothing_about_asterisk() -> None:
    admission = Admission(BOUNDS)
    for number in range(20):
        admission.answered(0.005)
        assert admission.admits(float(number))
        admission.begin(str(number), float(number))
        admission.end(str(number), number + 1.9)
    assert admission.limit >= 8


def test_phones_that_never_ring_do_not_keep_others_waiting() -> None:
    admission, now = Admission(BOUNDS), 0.0
    for number in range(20):
        now += 0.5
        assert admission.admits(now)
        admission.begin(str(number), now)
