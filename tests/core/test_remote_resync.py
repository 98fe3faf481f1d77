"""What a resync makes of other nodes' calls, of which events were missed: all as if they were not.

The daemon goes on while its connections to Asterisk are away, or Asterisk itself is started again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.remote_calls import REJECTED
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Redirect
from asterisk_avp.core.messages.remote import NodeCall, NodeRestarted, RemoteLeg, TrunkLost
from asterisk_avp.core.model.nodes import Node
from tests.core.world import NOW, WORLD, member

PERSONAL = "avp-agent-1001"
TO_AGENT = NodeCall("in-1", "1001", PERSONAL, "t1", "b", "c-1", "sales", "", "1003")
TO_GROUP = NodeCall("in-1", "", "sales", "t1", "b", "c-1", "sales", "", "1003")


def engine() -> TransferEngine:
    world = replace(WORLD, node="a", nodes={"b": Node("b", "trunk-b")})
    made = TransferEngine(world, new_id=lambda: "t1")
    made.fact(member("1001"), NOW)
    return made


@dataclass
class Call:
    """A call of node b's, as Asterisk has it."""

    call: NodeCall
    state: str = "new"

    @property
    def id(self) -> str:
        return self.call.channel

    def seen(self, **more: str) -> ev.ChannelSeen:
        return ev.ChannelSeen(self.id, f"PJSIP/trunk-b-{self.id}", **more)

    def step(self) -> list[ev.Fact]:
        """What happens to it next."""
        match self.state:
            case "new":
                self.state = "begins"
                return [self.seen(), self.call]
            case "begins":
                self.state = "waits"
                return [ev.QueueJoined(self.call.queue, self.id)]
            case "waits":
                self.state = "talks"
                return [
                    ev.QueueLeft(self.call.queue, self.id),
                    ev.AgentConnected(self.call.queue, self.id, "PJSIP/1001"),
                    ev.BridgeEntered(self.id, f"b-{self.id}"),
                ]
            case "talks":
                self.state = "over"
                return [ev.BridgeLeft(self.id, f"b-{self.id}"), ev.ChannelGone(self.id)]
        return []

    def hang_up(self) -> list[ev.Fact]:
        if self.state in ("new", "over", "talks"):
            return self.step() if self.state == "talks" else []
        left = [ev.QueueLeft(self.call.queue, self.id)] if self.state == "waits" else []
        self.state = "over"
        return [*left, ev.ChannelGone(self.id)]

    def picture(self) -> list[ev.Fact]:
        """What a resync reads of it."""
        match self.state:
            case "begins":
                return [self.seen()]
            case "waits":
                return [self.seen(), ev.QueueJoined(self.call.queue, self.id)]
            case "talks":
                return [self.seen(bridge=f"b-{self.id}")]
        return []


@dataclass
class Asterisk:
    calls: list[Call]
    engine: TransferEngine = field(default_factory=engine)
    deaf: bool = False

    def happens(self, facts: list[ev.Fact]) -> None:
        for fact in () if self.deaf else facts:
            self.engine.fact(fact, NOW)

    def resync(self) -> set[str]:
        """The agents who have changed. As `Synchroniser` and `TrunkWatch` do."""
        self.engine.sync_started()
        self.engine.fact(member("1001"), NOW)
        for call in self.calls:
            for fact in call.picture():
                self.engine.fact(fact, NOW)
        changed = self.engine.sync_finished(NOW).agents
        known = self.engine.remote_calls.node_calls
        for call in self.calls:
            if call.state in ("begins", "waits") and call.id not in known:
                self.engine.fact(call.call, NOW)
        self.deaf = False
        return changed

    def view(self) -> tuple[object, ...]:
        """What decisions depend on."""
        made = self.engine
        waiting = sum(call.state == "waits" for call in self.calls if not call.call.agent)
        made.fact(ev.QueueWaiting("sales", waiting + 2, 7, NOW), NOW)
        ended = []
        for fact in (TrunkLost("b"), NodeRestarted("b")):
            effects = made.fact(fact, NOW).effects
            ended.append({x.channel for _, x in effects if isinstance(x, Redirect)})
        known = sorted(made.remote_calls.node_calls)
        return made.slot_taken("1001"), made.waiting.here("sales").callers, ended, known


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


CALLS = st.lists(st.sampled_from([TO_AGENT, TO_GROUP]), min_size=1, max_size=4)
STEPS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12)


@given(CALLS, STEPS, STEPS, STEPS)
def test_after_a_resync_it_is_as_if_everything_had_been_heard(
    calls: list[NodeCall],
    before: list[tuple[int, bool]],
    meanwhile: list[tuple[int, bool]],
    after: list[tuple[int, bool]],
) -> None:
    made = [Call(replace(call, channel=f"in-{number}")) for number, call in enumerate(calls)]
    asterisk, reference = Asterisk(made), Asterisk(made)

    def run(steps: list[tuple[int, bool]]) -> None:
        for number, hangs_up in steps:
            call = made[number % len(made)]
            facts = call.hang_up() if hangs_up else call.step()
            asterisk.happens(facts)
            reference.happens(facts)

    run(before)
    asterisk.deaf = True
    unheard = {call.id for call in made if call.state == "new"}
    run(meanwhile)
    asterisk.resync()
    run(after)
    # Who was taken over while they talked is none of the calls that may still be ended.
    known = sorted(
        channel
        for channel in reference.engine.remote_calls.node_calls
        if channel not in unheard or channel in asterisk.engine.remote_calls.node_calls
    )
    assert asterisk.view() == (*reference.view()[:3], known)
