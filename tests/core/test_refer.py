"""The phone's Transfer button, without a phone: which call it concerns, and what it affects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import HangUp, NotifyPhone, Redirect, SetVariables
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.phone.refer import ReferHandler
from tests.core.world import ALL_ON, NOW, WORLD, call, engine, member, request

NO_FACTS = CallVariables()
GROUPS = {**WORLD.groups, "support": replace(WORLD.groups["support"], extension="801")}


def office() -> tuple[TransferEngine, ReferHandler]:
    """1001 talks to caller1."""
    made = engine()
    made.reconfigure(replace(WORLD, groups=GROUPS), NOW)
    call(made)
    return made, ReferHandler(made)


def second_call(made: TransferEngine, agent: str, peer: str) -> None:
    """A line of ``agent`` is in a bridge with ``peer``."""
    made.fact(ev.ChannelSeen(f"u2-{agent}", f"PJSIP/{agent}-00000021"), NOW)
    made.fact(ev.ChannelSeen(f"u2-{peer}", f"PJSIP/{peer}-00000022"), NOW)
    for channel in (f"u2-{agent}", f"u2-{peer}"):
        made.fact(ev.BridgeEntered(channel, f"b2-{agent}"), NOW)


def refused(desk: ReferHandler, asked: ev.ReferReceived, dialled: str = "") -> tuple[str, Outcome]:
    """The reason, and the effects."""
    wanted = desk.transfer_request(asked, dialled)
    assert wanted is not None
    with pytest.raises(Refused) as refusal:
        desk.refer(asked, wanted, NO_FACTS, NOW)
    return refusal.value.reason, desk.refuse(asked, wanted, refusal.value.reason, NOW)


def effects(outcome: Outcome) -> list[object]:
    return [effect for _, effect in outcome.effects]


def attended(second: str, target: str | None) -> ev.ReferReceived:
    return ev.ReferReceived("u-1001", "1002", attended=True, second=second, target=target)


def test_attended_with_the_agents_own_second_call() -> None:
    made, desk = office()
    second_call(made, "1001", "1002")
    asked = attended("u2-1001", "u2-1002")
    wanted = desk.transfer_request(asked, "")
    assert wanted is not None
    session, _ = desk.refer(asked, wanted, NO_FACTS, NOW)
    assert (session.leg.channel, session.second_line) == ("u2-1002", "u2-1001")


@pytest.mark.parametrize(
    ("second", "target"),
    [
        ("u2-1003", "u2-1002"),  # a colleague's call with an agent
        ("u2-1002", "u2-1003"),  # the same, from the other side
        ("u2-1003", None),  # a colleague's ringing phone
        ("u-nobody", None),
    ],
)
def test_attended_with_a_call_that_is_not_the_agents(second: str, target: str | None) -> None:
    made, desk = office()
    second_call(made, "1003", "1002")
    reason, outcome = refused(desk, attended(second, target))
    assert reason == "unknown_target"
    touched = {e.channel for e in effects(outcome) if isinstance(e, HangUp | Redirect)}
    assert touched == {"u-caller1"}  # with the transferor, into Stasis


def test_attended_with_a_call_that_is_being_transferred() -> None:
    made, desk = office()
    second_call(made, "1001", "1002")
    made.fact(member("1004"), NOW)
    made.request(request(target="1004", call="u2-1002"), NO_FACTS, NOW)
    assert refused(desk, attended("u2-1001", "u2-1002"))[0] == "already_transferring"


def test_the_one_who_is_consulted_presses_it() -> None:
    """The consultation is not touched; the half of the leg in Stasis notifies the phone."""
    made, desk = office()
    session, _ = made.request(request(), NO_FACTS, NOW)
    for channel in ("u-caller1", "u-1001", session.leg.channel):
        made.fact(ev.StasisEntered(channel), NOW)
    made.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000007"), NOW)
    other = session.local_far_end
    made.fact(ev.ChannelSeen(other, "Local/1002@avp-agent-queue-00000001;2"), NOW)
    for channel in ("u-1002", other):
        made.fact(ev.BridgeEntered(channel, "b9"), NOW)
    asked = ev.ReferReceived("u-1002", "1001", attended=False)
    reason, outcome = refused(desk, asked)
    assert reason == "already_transferring"
    assert effects(outcome) == [NotifyPhone(session.leg.channel, done=False)]


def test_a_caller_who_is_an_agent_presses_it_on_music() -> None:
    made = engine()
    desk = ReferHandler(made)
    call(made, "1001", "1003")
    made.request(request(call="u-1003"), NO_FACTS, NOW)
    for channel in ("u-1003", "u-1001"):
        made.fact(ev.BridgeLeft(channel, "b-1001"), NOW)
        made.fact(ev.StasisEntered(channel), NOW)
    reason, outcome = refused(desk, ev.ReferReceived("u-1003", "1002", attended=False))
    assert reason == "already_transferring"
    assert effects(outcome) == [NotifyPhone("u-1003", done=False)]


def test_a_refused_transfer_to_a_group_leaves_the_call_with_its_own() -> None:
    made, desk = office()
    off = replace(
        GROUPS["sales"], features=replace(GROUPS["sales"].features, internal_transfer=False)
    )
    made.reconfigure(replace(made.world, groups={**GROUPS, "sales": off}), NOW)
    asked = ev.ReferReceived("u-1001", "801", attended=False)
    wanted = desk.transfer_request(asked, "")
    assert wanted is not None
    assert wanted.target.kind is TargetKind.GROUP
    reason, outcome = refused(desk, asked)
    assert reason == "internal_disabled"
    marks = [e.variables for e in effects(outcome) if isinstance(e, SetVariables)]
    assert [m["AVP_GROUP"] for m in marks if "AVP_GROUP" in m] == ["sales"]


def test_a_member_whose_interface_is_named_like_one_is_not_keyed_in() -> None:
    """Nobody needs to have added them to the settings."""
    made = engine()
    british = replace(WORLD.groups["sales"], features=replace(ALL_ON, country="GB"))
    made.reconfigure(replace(WORLD, groups={**WORLD.groups, "sales": british}), NOW)
    for agent in ("999", "112", "1004"):
        made.fact(member(agent), NOW)
    call(made)
    for text, kind in (
        ("999", TargetKind.NUMBER),
        ("112", TargetKind.NUMBER),
        ("1004", TargetKind.AGENT),
    ):
        assert PhoneLines(made).resolve(text, "1001", british).kind is kind
