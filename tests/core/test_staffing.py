"""Whether anybody of a group could be offered a call, and who is refused because of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import Mode, TargetKind
from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.core.pbx.staffing import Staffing
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.states import State
from tests.core.world import NOW, call, engine, member, request

GONE, BREAK, BUSY, FREE, WORK = "gone", "break", "busy", "free", "work"
"""``work``: a pause of the daemon that keeps after-call work."""


def seen(agent: str, what: str, queue: str) -> ev.Fact:
    match what:
        case "gone":
            return ev.MemberRemoved(queue, f"PJSIP/{agent}", NOW)
        case "break":
            return member(agent, queue, paused=True)
        case "busy":
            return member(agent, queue, status=2)
        case "work":
            return replace(member(agent, queue, paused=True), paused_reason=ACW_REASON)
        case _:
            return member(agent, queue)


@pytest.mark.parametrize("phone", [4, 5])
def test_a_phone_that_cannot_be_reached_is_nobody(phone: int) -> None:
    made = engine()
    call(made)
    made.fact(member("1003", "q-support", status=phone), NOW)
    assert asked(made, "support") == "target_offline"


def asked(made: TransferEngine, group: str) -> str:
    """What a request is answered, and that the target lists say the same before it."""
    lists = views.targets_view(made, "1001")
    (shown,) = [one for one in lists.agent_groups if one.id == group]
    wanted = request(target=group, mode=Mode.UNSUPERVISED, kind=TargetKind.GROUP)
    told = Staffing(shown.logged_in, shown.ready).obstacle
    if not told:
        made.request(wanted, CallVariables(), NOW)
        return "ok"
    with pytest.raises(Refused, match="group") as refused:
        made.request(wanted, CallVariables(), NOW)
    assert refused.value.reason == told
    return told


@pytest.mark.parametrize(
    ("first", "second"),
    [*itertools.combinations_with_replacement((GONE, BREAK, BUSY, FREE, WORK), 2)],
)
def test_another_group(first: str, second: str) -> None:
    made = engine()
    call(made)
    for agent, what in (("1003", first), ("1004", second)):
        made.fact(member(agent, "q-support"), NOW)
        made.fact(seen(agent, what, "q-support"), NOW)
    there = {first, second}
    expected = "ok" if there & {BUSY, FREE, WORK} else "target_not_ready"
    assert asked(made, "support") == ("target_offline" if there == {GONE} else expected)


@pytest.mark.parametrize(
    ("other", "expected"),
    [(GONE, "ok"), (BREAK, "target_not_ready"), (BUSY, "ok"), (FREE, "ok"), (WORK, "ok")],
)
def test_own_group(other: str, expected: str) -> None:
    """The transferor is offered their own call only where nobody else is logged in."""
    made = engine()
    call(made)
    made.fact(seen("1002", other, "sales"), NOW)
    assert asked(made, "sales") == expected


def test_a_break_in_another_group_does_not_matter() -> None:
    made = engine()
    call(made)
    made.fact(member("1003", paused=True), NOW)  # of sales, too, and on a break there
    assert asked(made, "support") == "ok"


@pytest.mark.parametrize("state", ["waiting", "ringing"])
@pytest.mark.parametrize(
    ("what", "reason"), [(BREAK, "target_not_ready"), (GONE, "target_offline")]
)
def test_a_consult_cannot_go_on_alone_to_somebody_who_has_left(
    state: str, what: str, reason: str
) -> None:
    made = engine()
    call(made)
    session, _ = made.request(request(), CallVariables(), NOW)
    for channel in ("u-caller1", "u-1001"):
        made.fact(ev.StasisEntered(channel), NOW)
    if state == "ringing":
        made.report(session.id, SessionEvent(EventType.LEG_RINGING), NOW)
    record = made.store.records[session.id]
    assert record.session.state.value == state
    assert "complete" in made.actions(record.session)
    outcome = made.fact(seen("1002", what, "sales"), NOW)
    assert session.id in outcome.transfers, "the buttons change"
    assert "complete" not in made.actions(record.session)
    before = record.session
    with pytest.raises(Refused) as refused:
        made.command(session.id, EventType.COMPLETE, NOW)
    assert refused.value.reason == reason
    assert record.session is before
    made.fact(ev.ChannelGone("u-1001"), NOW)
    assert record.session.state is State.RECALLING


def test_the_last_member_leaves_after_the_decision() -> None:
    made = engine()
    call(made)
    wanted = request(target="support", mode=Mode.UNSUPERVISED, kind=TargetKind.GROUP)
    for what, reason in ((BREAK, "target_not_ready"), (GONE, "target_offline")):
        session, _ = made.request(wanted, CallVariables(), NOW)
        made.fact(seen("1003", what, "q-support"), NOW)
        made.report(session.id, SessionEvent(EventType.REDIRECTED), NOW)
        made.fact(ev.QueueEnded("u-caller1", "JOINEMPTY"), NOW)
        assert made.store.records[session.id].session.reason == reason
        made.fact(member("1003", "q-support"), NOW)
