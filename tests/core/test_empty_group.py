"""A transferred caller who waits in a group that nobody could take the call in any more."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine.empty_group import seconds_left, withdrawal
from asterisk_avp.core.messages import facts as ev
from tests.core.empty_group import SECONDS, WITHDRAW, leave, waiting
from tests.core.world import NOW


@pytest.mark.parametrize("how", ["target_offline", "target_not_ready", "unreachable"])
def test_however_the_last_one_leaves(how: str) -> None:
    made, transfer = waiting()
    assert withdrawal(made, transfer) is None
    leave(made, how)
    assert seconds_left(made, transfer) == SECONDS
    assert withdrawal(made, transfer) == WITHDRAW
    made.fact(ev.QueueEnded("u-caller1", "WITHDRAW"), NOW)
    reason = "target_offline" if how == "unreachable" else how
    assert made.store.records[transfer].session.reason == reason
    assert (seconds_left(made, transfer), withdrawal(made, transfer)) == (None, None)


def test_whoever_is_rung_may_still_answer() -> None:
    made, transfer = waiting()
    made.fact(ev.AgentRung("q-support", "u-caller1", "PJSIP/1003"), NOW)
    leave(made, "target_not_ready")
    assert (seconds_left(made, transfer), withdrawal(made, transfer)) == (SECONDS, None)


def test_an_administrator_withdraws_the_caller() -> None:
    made, transfer = waiting()
    made.fact(ev.QueueEnded("u-caller1", "WITHDRAW"), NOW)
    assert made.store.records[transfer].session.reason == "withdrawn"
