"""Calls of other nodes here: whether they are a consult by a colleague, or have the caller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.elsewhere import CONSULT, Elsewhere
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.world import Mode, TransferState, TransferView

LEG = NodeCall("b-1", "1003", "avp-agent-1003", "t1", "a", "a-1", "sales", CONSULT, "1001")


def view(state: TransferState, since: float = 10.0, transfer: str = "t1") -> TransferView:
    return TransferView(
        id=transfer,
        agent="1001",
        group="sales",
        mode=Mode.SUPERVISED,
        target=None,
        state=state,
        ended_reason=None,
        caller="+12025550123",
        parties=(),
        since=since,
        started=1.0,
    )


def consulted(state: TransferState) -> Elsewhere:
    made = Elsewhere()
    made.trunks.call(LEG)
    made.told.tell("a", 1, view(state))
    return made


def test_a_completed_consult_has_the_caller_however_long() -> None:
    made = consulted(TransferState.CONSULTING)
    assert made.note_completed("a") == []
    assert made.consulted("b-1")
    made.told.tell("a", 2, view(TransferState.COMPLETED))
    assert not made.consulted("b-1")
    assert made.note_completed("a") == [replace(LEG, leg="")]
    assert made.note_completed("a") == []
    made.told.drop("t1")
    assert not made.consulted("b-1")


@pytest.mark.parametrize("state", [x for x in TransferState if x is not TransferState.COMPLETED])
def test_any_other_one_has_not(state: TransferState) -> None:
    made = consulted(state)
    assert made.note_completed("a") == []
    assert made.consulted("b-1")


def test_only_the_anchor_says_so() -> None:
    made = Elsewhere()
    made.trunks.call(LEG)
    made.told.tell("c", 1, view(TransferState.COMPLETED))
    for node in ("a", "c"):
        assert made.note_completed(node) == []
    assert made.note_completed("c", over={"t1"}) == []
    assert made.consulted("b-1")


def test_a_transfer_that_the_anchor_does_not_know_any_more() -> None:
    """Its leg is still there: a daemon that was away has not heard that it was completed."""
    made = Elsewhere()
    made.trunks.call(LEG)
    assert made.consults("a") == {"t1"}
    assert made.consults("c") == set()
    assert [call.channel for call in made.note_completed("a", over={"t1"})] == ["b-1"]
    assert not made.consulted("b-1")
    assert made.consults("a") == set()


def test_who_calls_is_known_as_long_as_the_call_lasts() -> None:
    made = consulted(TransferState.COMPLETED)
    made.told.tell("a", 2, view(TransferState.COMPLETED, transfer="t2"))
    made.told.tell("a", 3, view(TransferState.CONSULTING, transfer="t3"))
    made.forget_ended(1000.0)
    assert {each.id for each in made.told.all()} == {"t1", "t3"}
    made.trunks.gone("b-1")
    made.forget_ended(1000.0)
    assert {each.id for each in made.told.all()} == {"t3"}
