"""Whether a trunk works, by what each side finds."""

from __future__ import annotations

import pytest

from asterisk_avp.core.pbx.trunk_states import SURE_SECONDS, TrunkStates


def states(*, reached: bool | None, at: float = 0.0) -> TrunkStates:
    made = TrunkStates()
    made.found("b", at, reached=reached)
    return made


def test_one_question_without_an_answer_is_no_cut() -> None:
    made = states(reached=False)
    made.found("b", 1.0, reached=False)  # it was asked once more meanwhile
    assert made.works("b", 1.0) is True
    assert not made.cut("b", 1.0, lost=False, told=True)
    made.found("b", 1.1, reached=True)
    made.found("b", 2.0, reached=False)
    assert made.works("b", 2.0 + SURE_SECONDS / 2) is True
    assert made.works("b", 2.0 + SURE_SECONDS) is False
    assert made.cut("b", 2.0 + SURE_SECONDS, lost=False, told=True)


def test_of_a_node_that_is_lost_too_it_is() -> None:
    assert states(reached=False).cut("b", 0.1, lost=True, told=None)
    assert not states(reached=True).cut("b", 0.1, lost=True, told=None)


@pytest.mark.parametrize("reached", [True, None])
def test_the_other_side_gets_no_answer(reached: bool | None) -> None:
    made = states(reached=reached)
    assert made.cut("b", 0.0, lost=False, told=False)
    assert not made.cut("b", 0.0, lost=False, told=True)


def test_where_asterisk_does_not_know_the_heartbeat_decides() -> None:
    made = states(reached=None)
    assert made.works("b", 0.0) is None
    assert made.cut("b", 0.0, lost=True, told=None)
    assert not made.cut("b", 0.0, lost=False, told=None)


def test_what_a_lost_node_has_last_told_counts_no_more() -> None:
    assert not states(reached=True).cut("b", 0.0, lost=True, told=False)


def test_nodes_that_are_not_configured_any_more_are_forgotten() -> None:
    made = states(reached=False)
    made.retain(["c"])
    assert made.works("b", 100.0) is None
