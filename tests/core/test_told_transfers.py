"""What other nodes tell of their transfers, and what is still true of it."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.engine.told_transfers import MOST_POPS, ToldPop, ToldTransfers
from asterisk_avp.core.model.world import CallerOutcome, Mode, TransferState, TransferView

CALL = "a-1.1"


def view(state: TransferState, since: float, outcome: CallerOutcome | None = None) -> TransferView:
    return TransferView(
        id=f"{since:012}",
        agent="1003",
        group="sales",
        mode=Mode.SUPERVISED,
        target=None,
        state=state,
        ended_reason=None if outcome is None else "caller_hangup",
        caller="caller1",
        parties=(),
        since=since,
        started=since,
        caller_outcome=outcome,
    )


def test_a_call_that_its_caller_has_left() -> None:
    """Until a later transfer brings the same caller again."""
    told = ToldTransfers()
    told.tell("a", 1, view(TransferState.CONFERENCE, 10.0), CALL)
    assert told.left_by_caller(("a", CALL), 5.0) is None
    ended = replace(view(TransferState.ABANDONED, 20.0, CallerOutcome.HUNG_UP), id=f"{10.0:012}")
    told.tell("a", 2, ended, CALL)
    assert told.left_by_caller(("a", CALL), 5.0) == ended
    assert told.left_by_caller(("a", "a-2.1"), 5.0) is None
    assert told.left_by_caller(("c", CALL), 5.0) is None  # the same channel's name, elsewhere
    assert told.left_by_caller(("a", CALL), 30.0) is None


def test_a_call_that_its_caller_still_has() -> None:
    told = ToldTransfers()
    for number, outcome in enumerate((CallerOutcome.CONNECTED, CallerOutcome.RETURNED)):
        told.tell("a", number, view(TransferState.COMPLETED, 10.0 + number, outcome), CALL)
    assert told.left_by_caller(("a", CALL), 5.0) is None


def test_what_becomes_of_the_caller_after_the_end() -> None:
    """The caller was to come back; nobody answers, so they are in their group again."""
    told = ToldTransfers()
    failed = view(TransferState.FAILED, 10.0, CallerOutcome.RETURNED)
    assert told.tell("a", 5, failed, CALL) == {"1003"}
    assert told.tell("a", 4, replace(failed, caller_outcome=CallerOutcome.HUNG_UP), CALL) is None
    later = replace(failed, caller_outcome=CallerOutcome.GROUP)
    assert told.tell("a", 6, later, CALL) == {"1003"}
    assert [each.caller_outcome for each in told.all()] == [CallerOutcome.GROUP]
    assert told.tell("a", 7, replace(failed, state=TransferState.CONSULTING), CALL) is None
    assert told.running_of("1003", "a", CALL) is None
    assert told.all() == [later]


def test_a_nodes_pop_is_of_its_own_call() -> None:
    told = ToldTransfers()
    pop, other = {"id": "1.1", "data": "theirs"}, {"id": "1.1", "data": "of somebody else"}

    assert told.put_pop("1005", ("a", "1.1"), ToldPop(1, pop))
    assert told.put_pop(
        "1005", ("c", "1.1"), ToldPop(10**9, other)
    )  # the same channel's name, elsewhere
    assert told.pop_of("1005", ("a", "1.1")) == pop
    assert told.put_pop("1005", ("a", "1.1"), ToldPop(2, {}))
    assert told.pop_of("1005", ("a", "1.1")) == {}


def test_pops_are_kept_up_to_a_number() -> None:
    told = ToldTransfers()
    for number in range(MOST_POPS + 100):
        told.put_pop("1005", ("a", str(number)), ToldPop(1, {"id": str(number)}))
    assert told.pop_of("1005", ("a", "99")) == {}
    assert told.pop_of("1005", ("a", str(MOST_POPS + 99))) != {}


def test_what_is_told_again_is_no_news() -> None:
    """A node is asked every few seconds about what runs there: no panel hears of it each time."""
    told = ToldTransfers()
    running = view(TransferState.CONSULTING, 10.0)
    assert told.tell("a", 1, running, CALL) == {"1003"}
    assert told.tell("a", 2, running, CALL) is None
    assert told.tell("a", 2, replace(running, state=TransferState.SWAPPED), CALL) is None  # older
    assert told.tell("a", 3, replace(running, state=TransferState.SWAPPED), CALL) == {"1003"}
    assert [each.view.state for each in told.running()] == [TransferState.SWAPPED]
