"""The table of states and faults (`tests/asterisk/matrix.py`) is complete."""

from __future__ import annotations

import pytest

from asterisk_avp.core.model.world import TransferState
from tests.asterisk import matrix, nodes_matrix

# The parties with a call in each state; the others cannot hang up.
THERE = {
    "starting, asked": {"caller", "agent"},
    "starting, moved": {"caller", "agent"},
    "collecting": {"caller", "agent"},
    "colleague rings": {"caller", "agent", "target", "fourth"},
    "consult of three": {"caller", "agent", "target", "fourth"},
    "conference of four": {"caller", "agent", "target", "fourth"},
    "sending, moved": {"caller", "target"},
    "queued": {"caller", "target"},
    "offered": {"caller", "target"},
}
EVERYBODY = {"caller", "agent", "target"}
# There is no target yet.
NO_CELL = {("collecting", "target unplugged")}
# Asterisk notices a dead phone by the audio that is missing: only where people talk.
TALK = {"consulting", "consult of three", "swapped", "conference", "conference of four"}
NO_CELL |= {(state, fault) for fault in matrix.DEAD for state in matrix.STATES if state not in TALK}
# These last for milliseconds.
NO_CELL |= {(state, matrix.TAKEN) for state in matrix.STATES if "," in state}


@pytest.mark.parametrize("state", matrix.STATES)
def test_every_fault_has_a_cell(state: str) -> None:
    there = THERE.get(state, EVERYBODY)
    expected = {
        fault
        for fault in matrix.FAULTS
        if (" hangs up" not in fault or fault.partition(" ")[0] in there)
        and (state, fault) not in NO_CELL
    }
    assert matrix.CELLS[state].keys() == expected


def test_every_reported_state_has_a_row() -> None:
    """By its own name, or by those of its parts; `waiting` and `ringing` have two modes."""
    rows = {state.partition(",")[0] for state in matrix.STATES}
    running = {reported.value for reported in TransferState if not reported.final}
    assert running <= rows


def test_every_cell_can_be_read() -> None:
    for text in (text for row in matrix.CELLS.values() for text in row.values()):
        cell = matrix.read(text)
        assert cell.named <= matrix.PARTIES.keys(), text
        assert cell.state
        assert matrix.told(text)


def test_everything_goes_on() -> None:
    """After each cell there is a follow-up action, unless no party of ours is left."""
    for row in matrix.CELLS.values():
        for fault, text in row.items():
            strangers = not matrix.read(text).named & {"caller", "agent"}
            assert matrix.following(fault, text) or strangers or text == matrix.JUST_DONE, text


def test_the_page_is_that_of_the_table() -> None:
    assert matrix.PAGE.read_text() == matrix.page()


def test_the_page_of_several_nodes_is_that_of_its_table() -> None:
    assert nodes_matrix.PAGE.read_text() == nodes_matrix.page()


def test_every_cell_of_several_nodes_was_measured() -> None:
    wanted = {
        f"{phase} / {fault} / {heal}"
        for phases in nodes_matrix.WAVES.values()
        for phase in phases
        for fault in nodes_matrix.FAULTS
        for heal in nodes_matrix.HEALS
    }
    assert nodes_matrix.measured().keys() == wanted


@pytest.mark.parametrize("heal", nodes_matrix.HEALS)
@pytest.mark.parametrize("fault", nodes_matrix.FAULTS)
def test_no_caller_is_lost_with_a_node(fault: str, heal: str) -> None:
    for phase in nodes_matrix.HERE:
        for text in nodes_matrix.cell(phase, fault, heal).split(" | "):
            assert "caller" in matrix.read(text).named, (phase, text)
            assert matrix.told(text)
