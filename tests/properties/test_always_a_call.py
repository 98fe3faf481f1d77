"""Whoever is in a call is shown with it, in whatever order Asterisk tells of a transfer's steps.

AMI and ARI are two connections, and a bridge of two is made of several events, which app_queue,
AMI Bridge and the optimisation of Local channels send in orders of their own. A scenario is a set
of events, some of which come after others; hypothesis chooses the order of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.requests import CallVariables, is_settling
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import CallView, Mode
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Fourth, Party
from tests.core.test_always_a_call import Consult
from tests.core.world import NOW, WORLD, call, engine, member, request

ALICE, BOB, ERIN = "1001", "1002", "1004"
CALLER, PLAIN = "u-caller1", "plain"
ERINS_LEG, ERINS_FAR = "avp-t1-1-leg", "avp-t1-1-leg-queue"


ORDERS = settings(max_examples=settings().max_examples * 3 // 10)
"""There are many scenarios."""


def shown(made: Consult, agent: str) -> CallView | None:
    its = made.engine
    return views.agent_view(its, its.agents.by_id[agent]).call


@dataclass
class Scene:
    """Events to come, each with those that come before it, and who has a call meanwhile."""

    made: Consult
    has: tuple[str, ...]
    ends_with: dict[str, str]
    """Agent to the channel that the agent talks to in the end."""
    events: dict[str, tuple[ev.Fact | EventType, frozenset[str]]] = field(default_factory=dict)
    begins: Callable[[Consult], bool] = lambda _made: True
    """Whether the agents have a call from now on."""

    def chain(self, *facts: ev.Fact | EventType, after: Iterable[str] = ()) -> str:
        """Facts in this order; return the name of the last."""
        before = frozenset(after)
        name = ""
        for one in facts:
            name = f"{len(self.events)} {one}"
            self.events[name] = (one, before)
            before = frozenset([name])
        return name

    def moved(self, channel: str, before: str, after: str = PLAIN) -> str:
        return self.chain(ev.BridgeLeft(channel, before), ev.BridgeEntered(channel, after))

    def optimised(self, leg: str, far: str, phone: str, queue: str, after: str) -> None:
        """The phone takes the leg's place."""
        for steps in (
            (ev.BridgeLeft(phone, queue), ev.BridgeEntered(phone, PLAIN)),
            (ev.BridgeLeft(leg, PLAIN), ev.ChannelGone(leg)),
            (ev.BridgeLeft(far, queue), ev.ChannelGone(far)),
        ):
            self.chain(*steps, after=[after])

    def play(self, data: st.DataObject) -> None:
        done: set[str] = set()
        its = self.made.engine
        known = {agent: views.agent_view(its, its.agents.by_id[agent]) for agent in self.has}
        began = False
        while len(done) < len(self.events):
            ready = [
                n for n, (_, before) in self.events.items() if n not in done and before <= done
            ]
            name = data.draw(st.sampled_from(ready))
            done.add(name)
            told = self.take(self.events[name][0])
            began = began or self.begins(self.made)
            for agent in self.has:
                now = views.agent_view(its, its.agents.by_id[agent])
                assert now == known[agent] or agent in told.agents, (agent, name)
                assert not began or now.call is not None, (agent, name)
                known[agent] = now
        for agent, other in self.ends_with.items():
            talks = its.call_of(agent)
            assert talks is not None
            assert talks.caller_channel == other
            assert not is_settling(talks)

    def take(self, one: ev.Fact | EventType) -> Outcome:
        if isinstance(one, EventType):
            return self.made.engine.report(self.made.id, SessionEvent(one), NOW)
        return self.made.engine.fact(one, NOW)


def in_state(made: Consult, state: str) -> str:
    """Bring an answered consult into this state; return the caller's bridge."""
    if state == "swapped":
        made.command(EventType.SWAP)
        made.facts(ev.BridgeLeft("u-1001", made.consult), ev.BridgeEntered("u-1001", made.hold))
    if state == "conference":
        made.engine.report(made.id, SessionEvent(EventType.CONFERENCE), NOW)
        made.facts(ev.BridgeLeft(CALLER, made.hold), ev.BridgeEntered(CALLER, made.consult))
        return made.consult
    return made.hold


ANSWERED = ("consulting", "swapped", "conference")


@pytest.mark.parametrize("hangs_up", [False, True])
@pytest.mark.parametrize("into", [PLAIN, "q"])
@pytest.mark.parametrize("state", ANSWERED)
@ORDERS
@given(st.data())
def test_completed(state: str, into: str, hangs_up: bool, data: st.DataObject) -> None:
    """``into``: Asterisk optimises the leg away by moving the phone, or by moving the caller."""
    made = Consult()
    holds = in_state(made, state)
    told = [BOB]
    if hangs_up:
        made.facts(ev.ChannelGone("u-1001"))
    else:
        made.command(EventType.COMPLETE)
    scene = Scene(made, tuple(told), {BOB: CALLER})
    scene.chain(EventType.BRIDGED)
    leg = scene.moved(made.leg, made.consult)
    caller = scene.moved(CALLER, holds)
    if into == PLAIN:
        scene.optimised(made.leg, made.far, "u-1002", "q", leg)
    else:
        scene.chain(ev.BridgeLeft(CALLER, PLAIN), ev.BridgeEntered(CALLER, "q"), after=[caller])
        scene.chain(ev.BridgeLeft(made.leg, PLAIN), ev.ChannelGone(made.leg), after=[leg])
        scene.chain(ev.BridgeLeft(made.far, "q"), ev.ChannelGone(made.far), after=[leg])
    if not hangs_up:
        scene.chain(ev.ChannelGone("u-1001"))
    scene.play(data)


@pytest.mark.parametrize("how", ["cancel", "drop", "target", "rejected"])
@pytest.mark.parametrize("state", ["waiting", *ANSWERED])
@ORDERS
@given(st.data())
def test_back_to_the_caller(state: str, how: str, data: st.DataObject) -> None:
    made = Consult(answered=state != "waiting")
    holds = in_state(made, state)
    leg: list[ev.Fact | EventType] = [ev.ChannelGone(made.leg)]
    if how == "cancel" or (how == "drop" and state == "waiting"):
        made.command(EventType.CANCEL)
    elif how == "drop":
        made.engine.drop_party(made.id, BOB, NOW)
    elif how == "target":
        made.facts(ev.HangUpAsked("u-1002"), leg.pop())  # type: ignore[arg-type]
    elif state == "waiting":
        made.facts(ev.AgentUnanswered("avp-agent-1002", made.far, "PJSIP/1002", 1.0))
    else:
        made.facts(ev.HangUpAsked("u-1002"), ev.StasisLeft(made.leg))
    scene = Scene(made, (ALICE,), {ALICE: CALLER})
    scene.chain(EventType.BRIDGED)
    scene.chain(*leg)
    scene.chain(ev.ChannelGone(made.far))
    scene.moved("u-1001", made.hold if state == "swapped" else made.consult)
    scene.moved(CALLER, holds)
    scene.play(data)


@ORDERS
@given(st.data())
def test_swapped_and_cancelled_at_once(data: st.DataObject) -> None:
    """The events of the swap come after the next step has begun."""
    made = Consult()
    made.command(EventType.SWAP)
    made.command(EventType.CANCEL)
    scene = Scene(made, (ALICE,), {ALICE: CALLER})
    scene.chain(EventType.BRIDGED)
    scene.chain(
        ev.BridgeLeft("u-1001", made.consult),
        ev.BridgeEntered("u-1001", made.hold),
        ev.BridgeLeft("u-1001", made.hold),
        ev.BridgeLeft(CALLER, made.hold),
        ev.BridgeEntered(CALLER, PLAIN),
        ev.BridgeEntered("u-1001", PLAIN),
    )
    scene.chain(ev.ChannelGone(made.leg))
    scene.play(data)


def with_erin(made: Consult) -> None:
    """A colleague has joined as the fourth party."""
    permission = Permission(WORLD.groups["sales"], queue="avp-agent-1004", agent=ERIN)
    name = "Local/1004@avp-agent-queue-00000002"
    made.facts(
        member(ERIN),
        ev.ChannelSeen(ERINS_LEG, f"{name};1"),
        ev.ChannelSeen(ERINS_FAR, f"{name};2", ALICE),
        ev.ChannelSeen("u-1004", "PJSIP/1004-00000005"),
    )
    fourth = Fourth(ERIN, Party(ERINS_LEG, ERIN), ERINS_FAR, permission)
    made.engine.report(made.id, SessionEvent(EventType.ADD_PARTY, fourth=fourth), NOW)
    made.facts(
        ev.BridgeEntered(ERINS_FAR, "q4"),
        ev.BridgeEntered("u-1004", "q4"),
        ev.StasisEntered(ERINS_LEG),
        ev.BridgeEntered(ERINS_LEG, made.consult),
    )


@pytest.mark.parametrize("leaves", [BOB, ERIN])
@pytest.mark.parametrize("state", ANSWERED)
@ORDERS
@given(st.data())
def test_the_last_two_of_four(state: str, leaves: str, data: st.DataObject) -> None:
    made = Consult()
    with_erin(made)
    holds = in_state(made, state)
    made.command(EventType.COMPLETE)
    if holds != made.consult:
        made.facts(ev.BridgeLeft(CALLER, holds), ev.BridgeEntered(CALLER, made.consult))
    made.facts(ev.ChannelGone("u-1001"))
    bob, erin = (made.leg, made.far, "u-1002", "q"), (ERINS_LEG, ERINS_FAR, "u-1004", "q4")
    out, (leg, far, phone, queue) = (bob, erin) if leaves == BOB else (erin, bob)
    stays = ERIN if leaves == BOB else BOB
    assert shown(made, stays) == shown(made, leaves)
    made.facts(ev.ChannelGone(out[2]), ev.ChannelGone(out[0]))
    scene = Scene(made, (stays,), {stays: CALLER})
    scene.chain(ev.ChannelGone(out[1]))
    scene.chain(EventType.BRIDGED)
    moved = scene.moved(leg, made.consult)
    scene.moved(CALLER, made.consult)
    scene.optimised(leg, far, phone, queue, moved)
    scene.play(data)


@ORDERS
@given(st.data())
def test_transferor_and_target_after_the_caller_has_left_a_conference(data: st.DataObject) -> None:
    made = Consult()
    in_state(made, "conference")
    made.facts(ev.ChannelGone(CALLER))
    scene = Scene(made, (ALICE, BOB), {ALICE: "u-1002", BOB: "u-1001"})
    scene.chain(EventType.BRIDGED)
    leg = scene.moved(made.leg, made.consult)
    scene.moved("u-1001", made.consult)
    scene.optimised(made.leg, made.far, "u-1002", "q", leg)
    scene.play(data)


@ORDERS
@given(st.data())
def test_the_target_answers_a_consult(data: st.DataObject) -> None:
    made = Consult(answered=False)
    answered = ev.AgentConnected("avp-agent-1002", made.far, "PJSIP/1002")
    scene = Scene(made, (BOB,), {})
    scene.begins = lambda made: made.session.state.value == "consulting"
    scene.chain(ev.BridgeEntered(made.far, "q"))
    scene.chain(ev.BridgeEntered("u-1002", "q"))
    scene.chain(ev.StasisEntered(made.leg), ev.BridgeEntered(made.leg, made.consult))
    scene.chain(answered)
    scene.play(data)
    asked = shown(made, BOB)
    assert asked is not None
    assert asked.consult is not None
    assert asked.consult.agent == ALICE


class Sent(Consult):
    """Alice has sent caller1 to Bob, who is rung."""

    def __init__(self) -> None:
        self.engine = engine()
        call(self.engine)
        wanted = request(mode=Mode.UNSUPERVISED)
        self.id = self.engine.request(wanted, CallVariables(), NOW)[0].id
        self.engine.report(self.id, SessionEvent(EventType.REDIRECTED), NOW)
        self.facts(
            ev.BridgeLeft("u-1001", "b-1001"),
            ev.BridgeLeft(CALLER, "b-1001"),
            ev.ChannelSeen("u-1002", "PJSIP/1002-00000003"),
            ev.AgentRung("avp-agent-1002", CALLER, "PJSIP/1002"),
        )


@pytest.mark.parametrize("recalled", [False, True])
@ORDERS
@given(st.data())
def test_answered_by_the_target(recalled: bool, data: st.DataObject) -> None:
    made = Sent()
    queue = "avp-agent-1002"
    if recalled:
        made.facts(ev.QueueEnded(CALLER, "TIMEOUT"))
        assert made.session.state.final
        queue = "sales"
        made.facts(ev.AgentRung(queue, CALLER, "PJSIP/1002"))
    scene = Scene(made, (BOB,), {BOB: CALLER})
    come: list[ev.Fact] = []
    scene.begins = lambda _made: bool(come)
    take = scene.take

    def noted(one: ev.Fact | EventType) -> Outcome:
        come.extend([one] if isinstance(one, ev.AgentConnected) else [])
        return take(one)

    scene.take = noted  # type: ignore[method-assign]
    scene.chain(ev.AgentConnected(queue, CALLER, "PJSIP/1002"))
    scene.chain(ev.BridgeEntered(CALLER, "b-1002"))
    scene.chain(ev.BridgeEntered("u-1002", "b-1002"))
    scene.chain(ev.ChannelGone("u-1001"))
    scene.play(data)
    made.facts(ev.BridgeLeft(CALLER, "b-1002"), ev.ChannelGone(CALLER))
    assert shown(made, BOB) is None
