"""A colleague as fourth party: who may be asked, their slot, and what the parties are called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import DialLeg, HangUp
from asterisk_avp.core.model.errors import Refused, WrongState
from asterisk_avp.core.model.world import (
    ConfiguredAgent,
    ConsultView,
    Mode,
    PartyView,
    Target,
    TargetKind,
)
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Fourth, Session
from tests.core.world import ALL_ON, NOW, WORLD, call, engine, member, request

ERIN = Target(TargetKind.AGENT, "1004")


class Consult:
    """Alice consults Bob; Erin is of the same group, Carol is not."""

    def __init__(self, **features: object) -> None:
        self.engine: TransferEngine = engine()
        chosen = replace(ALL_ON, external_transfer=False, manual_dial=False, **features)  # type: ignore[arg-type]
        groups = {name: replace(group, features=chosen) for name, group in WORLD.groups.items()}
        agents = {**WORLD.agents, "1004": ConfiguredAgent("1004", "Erin")}
        self.engine.reconfigure(replace(WORLD, groups=groups, agents=agents), NOW)
        self.facts(member("1001"), member("1002"), member("1003", "q-support"), member("1004"))
        call(self.engine)
        begun, _ = self.engine.request(request(), CallVariables(), NOW)
        self.id = begun.id
        self.facts(ev.StasisEntered("u-caller1"), ev.StasisEntered("u-1001"))
        self.facts(ev.StasisEntered(begun.leg.channel))
        assert self.state == "consulting"

    def facts(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.engine.fact(fact, NOW)

    @property
    def session(self) -> Session:
        return self.engine.store.records[self.id].session

    @property
    def state(self) -> str:
        return self.session.state.value

    @property
    def fourth(self) -> Fourth:
        assert self.session.fourth is not None
        return self.session.fourth

    def add(self, wanted: Target = ERIN) -> list[object]:
        return [effect for _, effect in self.engine.add_party(self.id, wanted, NOW).effects]

    def refused(self, wanted: Target = ERIN) -> str:
        with pytest.raises(Refused) as refused:
            self.add(wanted)
        assert self.session.fourth is None
        return refused.value.reason

    def party(self, role: str) -> PartyView | None:
        view = views.transfer_view(self.engine, self.engine.store.records[self.id])
        return next((party for party in view.parties if party.role == role), None)

    def rung(self) -> None:
        self.facts(ev.AgentRung("avp-agent-1004", self.fourth.other, "PJSIP/1004"))

    def answered(self) -> None:
        self.rung()
        self.facts(ev.StasisEntered(self.fourth.party.channel))


def test_their_personal_queue_is_asked() -> None:
    made = Consult()
    assert "add_party" in made.engine.actions(made.session)
    (leg,) = [effect for effect in made.add() if isinstance(effect, DialLeg)]
    assert (leg.permission.endpoint, leg.fourth) == ("Local/1004@avp-agent-queue", True)
    assert leg.variables["AVP_LEG"] == "consult"
    assert leg.variables["__AVP_NO_POP"] == "yes"
    assert made.party("fourth") == PartyView("1004", "fourth", "1004", "waiting")  # type: ignore[arg-type]
    assert "add_party" not in made.engine.actions(made.session)
    made.rung()
    assert made.party("fourth") == PartyView("1004", "fourth", "1004", "ringing")  # type: ignore[arg-type]
    made.answered()
    joined = made.party("fourth")
    assert joined is not None
    assert (joined.state, joined.hears) == ("talking", ("transferor", "target"))
    assert "drop_party:1004" in made.engine.actions(made.session)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("9999", "unknown_target"),
        ("1001", "self_transfer"),
        ("1002", "already_transferring"),
        ("1003", "not_in_group"),
    ],
)
def test_who_cannot_be_asked(wanted: str, reason: str) -> None:
    assert Consult().refused(Target(TargetKind.AGENT, wanted)) == reason


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (member("1004", paused=True), "target_not_ready"),
        (member("1004", status=5), "target_offline"),
        (ev.MemberRemoved("sales", "PJSIP/1004", NOW), "target_offline"),
        (ev.QueueJoined("avp-agent-1004", "u-other"), "target_queue_full"),
    ],
)
def test_who_cannot_be_asked_now(fact: ev.Fact, reason: str) -> None:
    made = Consult()
    made.facts(fact)
    expected = "not_in_group" if isinstance(fact, ev.MemberRemoved) else reason
    assert made.refused() in {reason, expected}


@pytest.mark.parametrize(
    ("off", "reason"),
    [("conference", "conference_disabled"), ("internal_transfer", "internal_disabled")],
)
def test_what_must_be_on(off: str, reason: str) -> None:
    """Typed numbers are off in all of these tests, so nobody else could be added."""
    made = Consult()
    groups = made.engine.world.groups
    chosen = replace(groups["sales"].features, **{off: False})
    world = replace(
        made.engine.world, groups={**groups, "sales": replace(groups["sales"], features=chosen)}
    )
    made.engine.reconfigure(world, NOW)
    assert "add_party" not in made.engine.actions(made.session)
    assert made.refused() == reason


def test_the_slot_is_taken_until_they_answer() -> None:
    """One call may wait for an agent, be it a consult, a caller, or this."""
    made = Consult()
    made.add()
    assert made.engine.slot_taken("1004")
    call(made.engine, "1003", "caller2", "q-support")
    made.facts(member("1003"))  # Carol joins the group
    wanted = request("1003", "1004", mode=Mode.SUPERVISED)
    with pytest.raises(Refused, match="waiting"):
        made.engine.request(wanted, CallVariables(), NOW)
    made.answered()
    assert not made.engine.slot_taken("1004")


@pytest.mark.parametrize("how", ["failed", "gone", "dropped", "unanswered", "withdrawn"])
def test_the_slot_is_free_when_they_do_not_come(how: str) -> None:
    made = Consult()
    made.add()
    leg, other = made.fourth.party.channel, made.fourth.other
    made.rung()
    match how:
        case "failed":
            made.engine.report(made.id, SessionEvent(EventType.FOURTH_FAILED), NOW)
        case "dropped":
            made.engine.drop_party(made.id, "1004", NOW)
        case "unanswered":
            unanswered = ev.AgentUnanswered("avp-agent-1004", other, "PJSIP/1004", 15.0)
            effects = [effect for _, effect in made.engine.fact(unanswered, NOW).effects]
            assert effects == [HangUp(leg)], "app_queue would ring again"
        case _:
            pass
    if how != "failed":
        made.facts(ev.ChannelGone(other), ev.ChannelGone(leg))
    assert made.session.fourth is None
    assert not made.engine.slot_taken("1004")
    assert made.state == "consulting"
    assert made.add(), "and again"
    assert made.party("fourth") == PartyView("1004", "fourth", "1004", "waiting")  # type: ignore[arg-type]


def test_there_is_one_fourth_party() -> None:
    made = Consult()
    made.add()
    made.answered()
    with pytest.raises(WrongState):
        made.add(ERIN)


def test_they_take_the_targets_place() -> None:
    made = Consult()
    made.add()
    made.answered()
    made.facts(ev.ChannelGone(made.session.leg.channel))
    assert made.party("fourth") is None
    target = made.party("target")
    assert target is not None
    assert (target.id, target.name) == ("1004", "1004")
    assert made.refused() == "already_transferring"
    shown = views.transfer_view(made.engine, made.engine.store.records[made.id])
    assert agents_involved(shown) == {"1001", "1002", "1004"}
    made.engine.command(made.id, EventType.COMPLETE, NOW)
    made.engine.report(made.id, SessionEvent(EventType.BRIDGED), NOW)
    assert made.state == "completed"


def test_whom_it_concerns() -> None:
    """The colleague is told of the transfer, is consulted, and is offered no transfer of it."""
    made = Consult()
    outcome = made.engine.add_party(made.id, ERIN, NOW)
    assert "1004" in outcome.agents
    shown = views.transfer_view(made.engine, made.engine.store.records[made.id])
    assert agents_involved(shown) == {"1001", "1002", "1004"}
    name = "Local/1004@avp-agent-queue-00000001;2"
    made.facts(
        ev.ChannelSeen(made.fourth.other, name, "1001"),
        ev.ChannelSeen("u-1004", "PJSIP/1004-00000009"),
        ev.BridgeEntered(made.fourth.other, "q4"),
        ev.BridgeEntered("u-1004", "q4"),
    )
    made.answered()
    erin = views.agent_view(made.engine, made.engine.agents.by_id["1004"])
    assert erin.call is not None
    assert erin.call.consult == ConsultView("1001", "Alice")
    assert views.targets_view(made.engine, "1004") == views.TargetsView((), (), ())
    with pytest.raises(Refused, match="already"):
        made.engine.request(request("1004", "1001"), CallVariables(), NOW)
    # After the transferor has left, the caller is theirs as well.
    made.engine.command(made.id, EventType.COMPLETE, NOW)
    erin = views.agent_view(made.engine, made.engine.agents.by_id["1004"])
    assert erin.call is not None
    assert (erin.call.caller, erin.call.consult) == ("caller1", None)


def test_they_are_told_after_they_have_left() -> None:
    """Otherwise a panel would show a transfer that ended long ago."""
    made = Consult()
    made.add()
    made.answered()
    leg, other = made.fourth.party.channel, made.fourth.other
    made.engine.drop_party(made.id, "1004", NOW)
    made.facts(ev.ChannelGone(other))
    outcome = made.engine.fact(ev.ChannelGone(leg), NOW)
    assert "1004" in outcome.agents
    assert made.session.fourth is None
    shown = views.transfer_view(made.engine, made.engine.store.records[made.id])
    assert shown.asked == ("1004",)
    assert "1004" in agents_involved(shown)


def test_their_slot_is_told_free_when_their_leg_has_ended() -> None:
    made = Consult()
    made.add()
    other, leg = made.fourth.other, made.fourth.party.channel
    made.facts(ev.QueueJoined("avp-agent-1004", other))
    made.engine.drop_party(made.id, "1004", NOW)
    made.facts(ev.ChannelGone(leg), ev.QueueLeft("avp-agent-1004", other))
    assert made.engine.slot_taken("1004")
    assert "1004" in made.engine.fact(ev.ChannelGone(other), NOW).agents
    assert not made.engine.slot_taken("1004")


def test_another_daemon_continues_it() -> None:
    made = Consult()
    made.add()
    made.answered()
    assert persistence.decode(persistence.encode(made.session), made.engine.world) == made.session


# --- the transferor's calls ----------------------------------------------------------------------


def calls_of(made: Consult) -> list[tuple[str, bool]]:
    """The transferor's calls, and whether each is being transferred."""
    view = views.agent_view(made.engine, made.engine.agents.by_id["1001"])
    assert view.call == view.calls[0]
    return [(one.id, one.transfer is not None) for one in view.calls]


def test_what_is_said_to_target_and_fourth_belongs_to_the_transferred_call() -> None:
    """It is no call of its own that could be chosen; another call on the phone is one."""
    made = Consult()
    leg = made.session.leg.channel
    one, two = made.session.consult_bridge, made.session.hold_bridge
    made.facts(ev.ChannelSeen(leg, "Local/1002@avp-agent-queue-00000001;1"))
    made.facts(ev.BridgeEntered(leg, one), ev.BridgeEntered("u-1001", one))
    assert calls_of(made) == [("u-caller1", True)]
    made.add()
    made.answered()
    fourth = made.fourth.party.channel
    made.facts(ev.ChannelSeen(fourth, "Local/1004@avp-agent-queue-00000002;1"))
    made.facts(ev.BridgeLeft(leg, one), ev.BridgeEntered(fourth, one))
    assert calls_of(made) == [("u-caller1", True)]
    made.facts(ev.BridgeLeft("u-1001", one))
    made.facts(ev.BridgeEntered("u-1001", two), ev.BridgeEntered("u-caller1", two))
    assert calls_of(made) == [("u-caller1", True)]
    made.facts(ev.ChannelSeen("u-caller2", "PJSIP/caller2-00000001", "caller2"))
    made.facts(ev.ChannelSeen("u-1001-2", "PJSIP/1001-00000009"))
    made.facts(ev.BridgeEntered("u-1001-2", "b2"), ev.BridgeEntered("u-caller2", "b2"))
    assert calls_of(made) == [("u-caller1", True), ("u-caller2", False)]
