"""Between two bridges an agent and the caller still have their call, in whatever order it is told.

AMI answers that two channels are bridged; ARI's events of it come by another connection, sooner or
later. The tests go through a transfer's end event by event.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import CallView, ConsultView
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Fourth, Party, Session
from tests.core.world import NOW, WORLD, call, engine, request

NO_FACTS = CallVariables()
BRIDGED = "bridged"


class Consult:
    """Alice, who talks to caller1, consults Bob."""

    def __init__(self, *, answered: bool = True) -> None:
        self.engine: TransferEngine = engine()
        call(self.engine)
        begun, _ = self.engine.request(request(), NO_FACTS, NOW)
        self.id, self.leg, self.far = begun.id, begun.leg.channel, begun.local_far_end
        self.hold, self.consult = begun.hold_bridge, begun.consult_bridge
        self.engine.report(begun.id, SessionEvent(EventType.REDIRECTED), NOW)
        for channel, bridge in (("u-1001", self.consult), ("u-caller1", self.hold)):
            self.facts(
                ev.BridgeLeft(channel, "b-1001"),
                ev.StasisEntered(channel),
                ev.BridgeEntered(channel, bridge),
            )
        name = "Local/1002@avp-agent-queue-00000001"
        self.facts(
            ev.ChannelSeen(self.leg, f"{name};1"),
            ev.ChannelSeen(self.far, f"{name};2", "1001"),
            ev.ChannelSeen("u-1002", "PJSIP/1002-00000003"),
        )
        if answered:
            self.facts(
                ev.BridgeEntered(self.far, "q"),
                ev.BridgeEntered("u-1002", "q"),
                ev.StasisEntered(self.leg),
                ev.BridgeEntered(self.leg, self.consult),
            )

    def facts(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.engine.fact(fact, NOW)

    @property
    def session(self) -> Session:
        return self.engine.store.records[self.id].session

    def call(self, agent: str) -> CallView | None:
        return views.agent_view(self.engine, self.engine.agents.by_id[agent]).call

    def command(self, kind: EventType) -> None:
        self.engine.command(self.id, kind, NOW)

    def go_through(self, agent: str, other: str, steps: Iterable[ev.Fact | str]) -> None:
        """After each step the agent has a call with ``other``, and is told when it changes."""
        known = views.agent_view(self.engine, self.engine.agents.by_id[agent])
        for step in steps:
            if isinstance(step, str):
                told = self.engine.report(self.id, SessionEvent(EventType.BRIDGED), NOW)
            else:
                told = self.engine.fact(step, NOW)
            shown = self.call(agent)
            assert shown is not None, step
            assert shown.caller == other, step
            now = views.agent_view(self.engine, self.engine.agents.by_id[agent])
            assert now == known or agent in told.agents, step
            known = now


def moved(channel: str, before: str, after: str) -> list[ev.Fact | str]:
    return [ev.BridgeLeft(channel, before), ev.BridgeEntered(channel, after)]


ANSWERED_AT = range(5)


@pytest.mark.parametrize("at", ANSWERED_AT)
@pytest.mark.parametrize("end", ["cancel", "max hold", "target"])
def test_back_to_the_caller(end: str, at: int) -> None:
    made = Consult(answered=end != "max hold")
    if end == "cancel":
        made.command(EventType.CANCEL)
    elif end == "max hold":
        made.engine.report(made.id, SessionEvent(EventType.TIMED_OUT), NOW)
    else:
        made.facts(ev.HangUpAsked("u-1002"), ev.ChannelGone(made.leg))
    events = [
        *moved("u-1001", made.consult, "plain"),
        *moved("u-caller1", made.hold, "plain"),
    ]
    made.go_through("1001", "caller1", [*events[:at], BRIDGED, *events[at:]])
    assert made.session.state.final
    made.facts(ev.ChannelGone("u-caller1"))
    assert made.call("1001") is None


@pytest.mark.parametrize("at", ANSWERED_AT)
def test_to_the_target(at: int) -> None:
    made = Consult()
    assert made.call("1002") is not None
    made.command(EventType.COMPLETE)
    events = [*moved(made.leg, made.consult, "plain"), *moved("u-caller1", made.hold, "plain")]
    for early in events[:at]:
        made.facts(early)  # type: ignore[arg-type]
    optimised = [
        ev.BridgeLeft("u-1002", "q"),
        ev.BridgeEntered("u-1002", "plain"),
        ev.BridgeLeft(made.leg, "plain"),
        ev.ChannelGone(made.leg),
        ev.BridgeLeft(made.far, "q"),
        ev.ChannelGone(made.far),
    ]
    made.go_through("1002", "caller1", [BRIDGED, *events[at:]])
    # Asterisk has yet to optimise the leg away: a Redirect would end the call.
    with pytest.raises(Refused, match="already"):
        made.engine.request(request("1002", "1001"), NO_FACTS, NOW)
    made.go_through("1002", "caller1", optimised)
    made.facts(ev.ChannelGone("u-1001"))
    made.engine.calls.hold("u-1002", on_hold=False)
    assert (
        made.engine.request(request("1002", "1001"), NO_FACTS, NOW)[0].caller.channel == "u-caller1"
    )


OPTIMISED_AT = range(11)


@pytest.mark.parametrize("leg_first", [True, False])
@pytest.mark.parametrize("at", OPTIMISED_AT)
def test_to_the_target_whose_leg_is_optimised_away_before_the_answer(
    at: int, *, leg_first: bool
) -> None:
    """ARI's events may come sooner than AMI's answer, which says that the transfer is over."""
    made = Consult()
    made.command(EventType.COMPLETE)
    halves = [[ev.BridgeLeft(made.leg, "plain"), ev.ChannelGone(made.leg)]]
    halves.append([ev.BridgeLeft(made.far, "q"), ev.ChannelGone(made.far)])
    first, second = halves if leg_first else reversed(halves)
    events = [
        *moved(made.leg, made.consult, "plain"),
        *moved("u-caller1", made.hold, "plain"),
        ev.BridgeLeft("u-1002", "q"),
        ev.BridgeEntered("u-1002", "plain"),
        *first,
        *second,
    ]
    for step in events[:at]:
        told = made.engine.fact(step, NOW)  # type: ignore[arg-type]
        shown = made.call("1002")
        assert shown is not None, step
        assert not told.agents or "1002" in told.agents or step == events[0]
    made.go_through("1002", "caller1", [BRIDGED, *events[at:]])
    assert made.session.state.final
    made.facts(ev.ChannelGone("u-1001"))
    assert (
        made.engine.request(request("1002", "1001"), NO_FACTS, NOW)[0].caller.channel == "u-caller1"
    )


@pytest.mark.parametrize("gone", ["u-1002", "far"])
def test_a_target_who_leaves_has_no_call(gone: str) -> None:
    made = Consult()
    made.facts(ev.BridgeLeft("u-1002", "q"))
    assert made.call("1002") is not None
    made.facts(ev.ChannelGone(made.far if gone == "far" else gone))
    assert made.call("1002") is None


def test_a_call_that_came_back_can_be_transferred_before_its_events() -> None:
    """The answer is proof enough: both channels are in one bridge."""
    made = Consult()
    made.command(EventType.CANCEL)
    made.engine.report(made.id, SessionEvent(EventType.BRIDGED), NOW)
    for ended in (made.leg, made.far, "u-1002"):
        made.facts(ev.ChannelGone(ended))
    begun, _ = made.engine.request(request(), NO_FACTS, NOW)
    assert (begun.transferor.channel, begun.caller.channel) == ("u-1001", "u-caller1")


def test_the_transferor_has_no_call_with_the_leg_after_completing() -> None:
    made = Consult()
    made.command(EventType.COMPLETE)
    made.engine.report(made.id, SessionEvent(EventType.BRIDGED), NOW)
    assert made.call("1001") is None


def test_a_conference_that_the_transferor_has_left() -> None:
    """The target has the caller, in a bridge of ours and then in a plain one."""
    made = Consult()
    number = Party("avp-fourth-leg", "+12025550100")
    fourth = Fourth("party-4", number, "avp-fourth-leg-queue", Permission(WORLD.groups["sales"]))
    made.facts(ev.ChannelSeen("avp-fourth-leg", "Local/+12025550100@avp-external-leg-00000002;1"))
    made.engine.report(made.id, SessionEvent(EventType.ADD_PARTY, fourth=fourth), NOW)
    made.engine.report(made.id, SessionEvent(EventType.FOURTH_ANSWERED), NOW)
    made.facts(ev.BridgeEntered("avp-fourth-leg", made.consult))
    made.command(EventType.COMPLETE)
    made.go_through(
        "1002",
        "caller1",
        [
            *moved("u-caller1", made.hold, made.consult),
            ev.BridgeLeft("u-1001", made.consult),
            ev.ChannelGone("u-1001"),
            ev.BridgeLeft("avp-fourth-leg", made.consult),
            ev.ChannelGone("avp-fourth-leg"),
            BRIDGED,
            *moved(made.leg, made.consult, "plain"),
            *moved("u-caller1", made.consult, "plain"),
            *moved("u-1002", "q", "plain"),
            ev.BridgeLeft(made.leg, "plain"),
            ev.ChannelGone(made.leg),
            ev.ChannelGone(made.far),
        ],
    )
    assert made.session.state.final


# --- the target's call before that -----------------------------------------------------------


def test_a_consult_says_whose_it_is() -> None:
    made = Consult()
    for _ in range(2):
        asked = made.call("1002")
        assert asked is not None
        assert asked.consult == ConsultView("1001", "Alice")
        assert (asked.pop, asked.transfer) == ({}, None)
        assert "caller1" not in repr(asked)
        assert views.targets_view(made.engine, "1002") == views.TargetsView((), (), ())
        with pytest.raises(Refused, match="already"):
            made.engine.request(request("1002", "1001"), NO_FACTS, NOW)
        made.command(EventType.SWAP)
    made.engine.report(made.id, SessionEvent(EventType.CONFERENCE), NOW)
    asked = made.call("1002")
    assert asked is not None
    assert asked.consult is not None
    assert "caller1" not in repr(asked)
    mine = made.call("1001")
    assert mine is not None
    assert mine.consult is None
    assert views.targets_view(made.engine, "1001").permissions
