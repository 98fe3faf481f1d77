"""A transferred caller who waits in a group, and how its only agent leaves it."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.engine.empty_group import seconds_left
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import WithdrawCaller
from asterisk_avp.core.model.world import Mode, TargetKind
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from tests.core.world import NOW, call, engine, member, request

SECONDS = 7
WITHDRAW = WithdrawCaller("q-support", "u-caller1")


def waiting(seconds: int = SECONDS, *, group: str = "support") -> tuple[TransferEngine, str]:
    """1001's caller waits in support, of which 1003 is the only member."""
    made = engine()
    sales = made.world.groups["sales"]
    sales = replace(sales, features=replace(sales.features, empty_group_seconds=seconds))
    made.world = made.agents.world = replace(
        made.world, groups={**made.world.groups, "sales": sales}
    )
    for agent in tuple(made.agents.by_id):
        made.fact(ev.MemberRemoved("q-support", f"PJSIP/{agent}", NOW), NOW)
    made.fact(member("1003", "q-support", status=2), NOW)
    call(made)
    wanted = request(target=group, mode=Mode.UNSUPERVISED, kind=TargetKind.GROUP)
    session, _ = made.request(wanted, CallVariables(), NOW)
    made.report(session.id, SessionEvent(EventType.REDIRECTED), NOW)
    assert seconds_left(made, session.id) is None
    return made, session.id


def leave(made: TransferEngine, how: str) -> Outcome:
    match how:
        case "target_offline":
            return made.fact(ev.MemberRemoved("q-support", "PJSIP/1003", NOW), NOW)
        case "unreachable":
            return made.fact(member("1003", "q-support", status=5), NOW)
        case _:
            return made.fact(member("1003", "q-support", paused=True), NOW)
