"""What a resync makes of other nodes' calls, of which events were missed: all as if they were not.

The daemon goes on while its connections to Asterisk are away, or Asterisk itself is started again.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.remote_calls import REJECTED
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Redirect
from asterisk_avp.core.messages.remote import NodeRestarted, RemoteLeg, TrunkLost
from tests.core.node_calls import TO_AGENT, TO_GROUP, Asterisk, Call, engine
from tests.core.world import NOW


def test_a_call_that_was_answered_meanwhile() -> None:
    call = Call(TO_AGENT)
    asterisk = Asterisk([call])
    asterisk.happens(call.step() + call.step())
    assert asterisk.engine.slot_taken("1001")
    asterisk.deaf = True
    call.step()
    assert "1001" in asterisk.resync()
    assert not asterisk.engine.slot_taken("1001")
    for fact in (TrunkLost("b"), NodeRestarted("b")):
        assert asterisk.engine.fact(fact, NOW).effects == []  # they talk
    asterisk.happens(call.step())
    assert asterisk.engine.remote_calls.node_calls == {}


def test_a_call_that_still_waits() -> None:
    call = Call(TO_AGENT)
    asterisk = Asterisk([call])
    asterisk.happens(call.step() + call.step())
    asterisk.resync()
    assert asterisk.engine.slot_taken("1001")
    effects = asterisk.engine.fact(TrunkLost("b"), NOW).effects
    assert effects == [(None, Redirect("in-1", REJECTED))]


def test_asterisk_was_started_again() -> None:
    """Its own callers are counted anew, and the group is not told too few of them."""
    calls = [Call(replace(TO_GROUP, channel=f"in-{number}")) for number in range(3)]
    asterisk = Asterisk(calls)
    for call in calls:
        asterisk.happens(call.step() + call.step())
        call.state = "over"
    made = asterisk.engine
    made.fact(RemoteLeg("out-1", "1004", "b", "t7"), NOW)
    asterisk.resync()
    made.fact(ev.QueueWaiting("sales", 2, 7, NOW), NOW)
    assert made.waiting.here("sales").callers == 2
    assert made.remote_calls.node_calls == {}
    assert made.remote_calls.legs == {}


@pytest.mark.parametrize("late", ["live", "restart"])
def test_a_call_of_a_group_is_counted_once_whatever_is_told_first(late: str) -> None:
    """AMI tells of queues, ARI of the call; a daemon that starts reads the latter last."""
    call = Call(TO_GROUP, state="waits")
    asterisk = Asterisk([call])
    if late == "live":
        asterisk.happens([call.seen(), ev.QueueJoined("sales", "in-1"), TO_GROUP])
    else:
        asterisk.resync()
    asterisk.engine.fact(ev.QueueWaiting("sales", 1, 7, NOW), NOW)
    assert asterisk.engine.waiting.here("sales").callers == 0


def test_a_caller_of_this_node_whom_a_resync_finds_is_counted() -> None:
    made = engine()
    made.sync_started()
    made.fact(ev.ChannelSeen("u-1", "PJSIP/caller-1"), NOW)
    made.fact(ev.QueueJoined("sales", "u-1"), NOW)
    made.sync_finished(NOW)
    made.fact(ev.QueueWaiting("sales", 1, 7, NOW), NOW)
    assert made.waiting.here("sales").callers == 1
