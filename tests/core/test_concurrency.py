"""Which effects may run concurrently, and which never."""

from __future__ import annotations

import itertools

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer.concurrency import can_run_concurrently

MARK = fx.SetVariables("caller", {"AVP_STATE": "done"})
THERE = fx.Destination("avp-stasis", "caller")


def batches(effects: list[fx.Effect]) -> list[list[str]]:
    """As the workers perform them."""
    found: list[list[fx.Effect]] = []
    for effect in effects:
        if found and can_run_concurrently(effect, found[-1]):
            found[-1].append(effect)
        else:
            found.append([effect])
    return [[type(effect).__name__ for effect in batch] for batch in found]


def test_cancel_takes_two_round_trips() -> None:
    effects: list[fx.Effect] = [
        fx.SetVariables("caller", {"AVP_SESSION_a0": "{}", "AVP_SESSION_0": "a:1"}),
        fx.HangUp("leg"),
        fx.StopPlaying("prompt"),
        fx.StopRingback("agent"),
        fx.StopMusic("agent"),
        fx.StopMusic("caller"),
        MARK,
        fx.SetVariables("agent", {"AVP_STATE": "done"}),
        fx.BridgePair("agent", "caller"),
    ]
    assert [len(batch) for batch in batches(effects)] == [8, 1]


def test_the_bridge_comes_after_all_that_it_relies_on() -> None:
    bridge = fx.BridgePair("leg", "caller")
    for before in (MARK, fx.StopMusic("caller"), fx.HangUp("other"), fx.LimitCall("caller", 9.0)):
        assert not can_run_concurrently(bridge, [before])
        assert not can_run_concurrently(before, [bridge])


def test_marks_come_before_the_redirect() -> None:
    """The dialplan reads them as soon as the channels are moved."""
    redirect = fx.Redirect("caller", THERE)
    assert not can_run_concurrently(redirect, [MARK])
    assert not can_run_concurrently(MARK, [redirect])
    made = fx.CreateBridge("hold", "hold")
    assert batches([MARK, MARK, redirect, made, made]) == [
        ["SetVariables", "SetVariables"],
        ["Redirect", "CreateBridge", "CreateBridge"],
    ]


def test_nobody_is_seated_in_a_bridge_that_is_being_made() -> None:
    assert not can_run_concurrently(
        fx.AddToBridge("hold", "caller"), [fx.CreateBridge("hold", "hold")]
    )
    assert not can_run_concurrently(
        fx.CreateBridge("hold", "hold"), [fx.AddToBridge("hold", "caller")]
    )


def test_what_happens_to_one_channel_keeps_its_order() -> None:
    assert not can_run_concurrently(fx.StartMusic("caller"), [fx.AddToBridge("hold", "caller")])
    assert can_run_concurrently(
        fx.AddToBridge("consult", "agent"), [fx.AddToBridge("hold", "caller")]
    )
    assert not can_run_concurrently(fx.StartMusic("leg"), [fx.StopMusic("leg")])
    assert not can_run_concurrently(fx.StopMusic("leg"), [fx.StartMusic("leg")])
    assert not can_run_concurrently(fx.StartRingback("agent"), [fx.StopMusic("agent")])
    renewal = fx.RenewTranslation("agent")
    assert not can_run_concurrently(renewal, [fx.StopRingback("agent")])
    assert not can_run_concurrently(fx.StopRingback("agent"), [renewal])
    assert can_run_concurrently(renewal, [fx.StopRingback("caller"), MARK])
    assert not can_run_concurrently(fx.HangUp("caller"), [MARK])
    assert not can_run_concurrently(MARK, [fx.HangUp("caller")])


@pytest.mark.parametrize(
    "last", [fx.LeaveStasis("caller"), fx.NotifyPhone("agent", done=True), fx.DestroyBridge("hold")]
)
def test_the_rule_is_to_wait(last: fx.Effect) -> None:
    for other in (MARK, fx.HangUp("leg"), fx.StopMusic("caller"), fx.BridgePair("a", "b")):
        assert not can_run_concurrently(last, [other])
        assert not can_run_concurrently(other, [last])


def test_all_of_a_batch_is_asked() -> None:
    seat = fx.AddToBridge("hold", "caller")
    for order in itertools.permutations([fx.HangUp("leg"), MARK]):
        assert not can_run_concurrently(seat, order)
