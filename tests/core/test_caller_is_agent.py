"""An agent calls a queue, and a colleague transfers the call: what the agent is told of it."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import CallView, Mode
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from tests.core.world import NOW, call, engine, request

CAROL = "1003"


def carol_calls(mode: Mode = Mode.SUPERVISED) -> tuple[TransferEngine, str]:
    """Carol of support has called sales, and Alice consults Bob about it, or sends it to him."""
    made = engine()
    call(made, caller=CAROL)
    session, _ = made.request(request(mode=mode), CallVariables(), NOW)
    return made, session.id


def told(made: TransferEngine, agent: str = CAROL) -> tuple[CallView, ...]:
    view = views.agent_view(made, made.agents.by_id[agent])
    assert view.call == (view.calls[0] if view.calls else None) or agent == "1001"
    return view.calls


def step(made: TransferEngine, transfer: str, kind: EventType) -> set[str]:
    return made.report(transfer, SessionEvent(kind), NOW).agents


def on_hold(made: TransferEngine, transfer: str) -> None:
    """Both are in Stasis, each in a bridge of the transfer's."""
    for channel, bridge in ((f"u-{CAROL}", "hold"), ("u-1001", "consult")):
        made.fact(ev.BridgeLeft(channel, "b-1001"), NOW)
        made.fact(ev.StasisEntered(channel), NOW)
        made.fact(ev.BridgeEntered(channel, f"avp-{transfer}-{bridge}"), NOW)


def test_before_the_transfer_it_is_an_ordinary_call() -> None:
    made = engine()
    call(made, caller=CAROL)
    (shown,) = told(made)
    assert (shown.id, shown.transferred) == ("u-1001", None)


def test_on_hold_the_call_is_still_told_and_who_transfers_it() -> None:
    made, transfer = carol_calls()
    on_hold(made, transfer)
    (shown,) = told(made)
    assert (shown.id, shown.on_hold, shown.pop, shown.transfer) == ("u-1001", True, {}, None)
    assert shown.transferred is not None
    assert (shown.transferred.agent, shown.transferred.name) == ("1001", "Alice")
    assert shown.transferred.hears == ("music",)


def test_each_step_is_told_to_the_agent() -> None:
    made, transfer = carol_calls()
    on_hold(made, transfer)
    for kind in (EventType.LEG_RINGING, EventType.CANCEL):
        assert CAROL in step(made, transfer, kind), kind


def test_who_waits_in_the_targets_queue_has_a_call_too() -> None:
    made, transfer = carol_calls(Mode.UNSUPERVISED)
    step(made, transfer, EventType.REDIRECTED)
    made.fact(ev.BridgeLeft(f"u-{CAROL}", "b-1001"), NOW)
    made.fact(ev.BridgeLeft("u-1001", "b-1001"), NOW)
    made.fact(ev.ChannelGone("u-1001"), NOW)
    (shown,) = told(made)
    assert shown.transferred is not None
    assert (shown.id, shown.on_hold, shown.transferred.hears) == ("u-1001", True, ("music",))


def in_one_bridge(made: TransferEngine, transfer: str) -> None:
    on_hold(made, transfer)
    made.fact(ev.BridgeLeft("u-1001", f"avp-{transfer}-consult"), NOW)
    made.fact(ev.BridgeEntered("u-1001", f"avp-{transfer}-hold"), NOW)


@pytest.mark.parametrize("where", [lambda *_: None, on_hold, in_one_bridge])
def test_what_is_offered_is_what_the_core_permits(where: object) -> None:
    """Nothing: it is the colleague's transfer, whether the two are in one bridge or not."""
    made, transfer = carol_calls()
    where(made, transfer)  # type: ignore[operator]
    (shown,) = told(made)
    assert shown.transferred is not None
    lists = views.targets_view(made, CAROL)
    assert (lists.permissions, lists.my_agent_groups, lists.agent_groups) == ((), (), ())
    with pytest.raises(Refused) as refused:
        made.request(request(CAROL, "1002"), CallVariables(), NOW)
    assert refused.value.reason in ("already_transferring", "no_active_call")


def test_after_the_end_it_is_an_ordinary_call_again() -> None:
    made, transfer = carol_calls()
    on_hold(made, transfer)
    made.fact(ev.ChannelGone(f"u-{CAROL}"), NOW)
    assert told(made) == ()
    assert views.targets_view(made, CAROL).permissions != ()
