"""Which effects may run concurrently, and which never."""

from __future__ import annotations

import itertools

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer.concurrency import can_run_concurrently, next_to_begin
from asterisk_avp.core.transfer.legs import dial_leg
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import session as session_in

WAITING = session_in(State.WAITING)
MARK = fx.SetVariables("caller", {"AVP_STATE": "done"})
THERE = fx.Destination("avp-stasis", "caller")


def batches(effects: list[fx.Effect]) -> list[list[str]]:
    """As the workers perform them, if all that are in flight take equally long."""
    found: list[list[fx.Effect]] = []
    for effect in effects:
        if found and can_run_concurrently(effect, found[-1]):
            found[-1].append(effect)
        else:
            found.append([effect])
    return [[type(effect).__name__ for effect in batch] for batch in found]


def independent(later: fx.Effect, earlier: fx.Effect) -> bool:
    return can_run_concurrently(later, [earlier])


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
    relied_on = (fx.StopMusic("caller"), fx.StopMusic("agent"), fx.StopPlaying("prompt"))
    for before in (*relied_on, fx.AddToBridge("hold", "caller"), fx.HangUp("leg")):
        assert not independent(bridge, before)
        assert not independent(before, bridge)


def test_what_ami_executes_in_order_is_not_waited_for() -> None:
    """The marks, and the hang-up of a third, precede the Bridge on its own connection."""
    bridge = fx.BridgePair("leg", "caller")
    for before in (MARK, fx.LimitCall("caller", 9.0), fx.RenewTranslation("leg")):
        assert independent(bridge, before)
        assert not independent(before, bridge)
    assert independent(bridge, fx.HangUp("other"))
    assert not independent(bridge, fx.PauseRecording("caller"))  # of other answers


def test_the_end_of_a_third_party_follows_the_bridge_without_waiting_for_it() -> None:
    """It is much work for Asterisk, which the caller's way back need not wait for."""
    bridge = fx.BridgePair("agent", "caller")
    assert independent(fx.HangUp("leg"), bridge)
    assert not independent(fx.HangUp("agent"), bridge)
    assert not independent(fx.HangUp("caller"), bridge)
    assert not independent(fx.HangUp("leg"), fx.AddToBridge("hold", "caller"))


def test_marks_come_before_the_redirect() -> None:
    """The dialplan reads them as soon as the channels are moved: they are sent before it."""
    redirect = fx.Redirect("caller", THERE)
    assert independent(redirect, MARK)
    assert not independent(MARK, redirect)
    assert not independent(redirect, fx.HangUp("other"))
    made, other = fx.CreateBridge("hold", "hold"), fx.CreateBridge("consult", "consult")
    assert len(batches([MARK, MARK, redirect, made, other])) == 1


LEG = dial_leg(WAITING, "avp-t1-leg", "avp-t1-leg-queue", WAITING.permission, fourth=False)
JOIN, HEAR = fx.AddToBridge("consult", "agent"), fx.StartMusic("agent")
RENEWAL = fx.RenewTranslation("agent")


def test_the_target_is_dialled_while_the_others_join() -> None:
    joins = [JOIN, HEAR, RENEWAL]
    assert can_run_concurrently(LEG, [*joins, MARK, fx.CreateBridge("consult", "consult")])
    assert all(independent(join, LEG) for join in joins)
    assert not independent(MARK, LEG)
    assert not independent(LEG, fx.Redirect("caller", THERE))


def test_the_target_is_not_dialled_behind_what_the_others_hear() -> None:
    assert next_to_begin([JOIN, HEAR, RENEWAL, LEG], []) == 0
    assert next_to_begin([HEAR, RENEWAL, LEG], [JOIN]) == 2
    assert next_to_begin([HEAR, RENEWAL], [JOIN]) is None


@pytest.mark.parametrize(
    "before", [fx.HangUp("agent"), fx.StopMusic("agent"), fx.Play("a", (), "p")]
)
def test_a_call_to_a_target_overtakes_nothing_else(before: fx.Effect) -> None:
    assert next_to_begin([before, LEG], [JOIN]) is None
    assert next_to_begin([HEAR, before, LEG], [JOIN]) is None
    assert next_to_begin([JOIN, LEG], [fx.Redirect("caller", THERE)]) is None


def test_the_variables_that_describe_a_call_are_sent_before_it() -> None:
    """Otherwise a later daemon would not know of a phone that rings."""
    assert next_to_begin([HEAR, MARK, LEG], [JOIN]) == 1
    assert next_to_begin([HEAR, LEG], [JOIN, MARK]) == 1
    redirect = fx.Redirect("caller", THERE)  # of the same connection: the marks would come after it
    assert next_to_begin([HEAR, MARK, LEG], [redirect]) is None
    assert next_to_begin([MARK, LEG], [redirect]) is None


def test_one_party_does_not_wait_for_another() -> None:
    others = [fx.AddToBridge("hold", "caller"), fx.StartMusic("caller")]
    assert next_to_begin([HEAR, RENEWAL, *others], [JOIN]) == 2
    assert next_to_begin([HEAR, RENEWAL, others[1]], [JOIN, others[0]]) is None
    assert next_to_begin([HEAR, RENEWAL, fx.StopMusic("caller"), *others], [JOIN]) is None
    assert next_to_begin([RENEWAL, JOIN], [HEAR]) is None  # the renewal comes first


@pytest.mark.parametrize("who", ["caller", "leg"])
def test_a_translation_is_renewed_when_whoever_joins_has_joined(who: str) -> None:
    """A slow join outlasts the pause of a renewal, after which the target hears nobody any more."""
    join = fx.AddToBridge("consult", who)
    assert not independent(RENEWAL, join)
    assert next_to_begin([RENEWAL], [join]) is None
    assert next_to_begin([join, RENEWAL], [JOIN]) == 0
    assert next_to_begin([fx.StartMusic("agent"), join, fx.RenewTranslation("x")], [JOIN]) == 1
    assert next_to_begin([fx.StartMusic("agent"), fx.RenewTranslation("x")], [JOIN]) is None


def test_nobody_is_seated_in_a_bridge_that_is_being_made() -> None:
    assert not can_run_concurrently(
        fx.AddToBridge("hold", "caller"), [fx.CreateBridge("hold", "hold")]
    )
    assert not can_run_concurrently(
        fx.CreateBridge("hold", "hold"), [fx.AddToBridge("hold", "caller")]
    )
    # Another one need not be there.
    assert independent(fx.AddToBridge("hold", "caller"), fx.CreateBridge("consult", "consult"))
    assert not independent(fx.StartMusic("caller"), fx.CreateBridge("hold", "hold"))


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
