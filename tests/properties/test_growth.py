"""The cost of one event does not depend on the number of agents, calls and transfers.

Costs are counted as steps of Python, not timed. The indexes that avoid a search give the same
result as the search.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import (
    AgentState,
    ConfiguredAgent,
    Group,
    Mode,
    Target,
    TargetKind,
    TransferRequest,
    World,
)
from asterisk_avp.core.pbx.agent import NOT_THERE, Agent
from asterisk_avp.core.pbx.staffing import staffing
from asterisk_avp.core.pops.board import PopBoard
from tests.core.world import NOW, member

FEW, MANY = 10, 300


class CallCentre:
    """Agents in two queues each. ``busy`` of them talk and ring, half of these transfer."""

    def __init__(self, agents: int, queues: int, busy: int) -> None:
        groups = {f"q{n}": Group(f"q{n}", f"q{n}", f"Q{n}", acw_seconds=10) for n in range(queues)}
        numbers = itertools.count(1)
        self.engine = TransferEngine(World(groups), new_id=lambda: f"t{next(numbers)}")
        self.board = PopBoard(self.engine, str)
        self.board.started()
        self.queues = queues
        self.agents = [str(1000 + n) for n in range(agents)]
        for n, agent in enumerate(self.agents):
            for queue in (n, n + 1):
                self.fact(member(agent, f"q{queue % queues}"))
        for n in range(0, busy, 2):
            self.call(n)
            self.transfer(n)
            self.come(n + 1, "rung")
        for agent in self.agents[busy : 2 * busy]:
            self.fact(member(agent, "q0", last_call=NOW))  # in ACW

    def queue(self, n: int) -> str:
        return f"q{(n + 1) % self.queues}"

    def fact(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.board.observe(fact, NOW)
            self.follow(self.engine.fact(fact, NOW))

    def follow(self, outcome: Any) -> None:
        self.board.refresh(outcome.agents, outcome.transfers, NOW)
        self.engine.agents.next_acw_end()

    def come(self, n: int, which: str = "") -> None:
        """A call arrives and rings an agent."""
        agent, caller = self.agents[n], f"c{which}{n}"
        self.fact(
            ev.ChannelSeen(caller, f"PJSIP/trunk-{n:08x}", queue=self.queue(n)),
            ev.QueueJoined(self.queue(n), caller),
            ev.ChannelSeen(f"p{n}", f"PJSIP/{agent}-{n:08x}"),
            ev.AgentRung(self.queue(n), caller, f"PJSIP/{agent}"),
            member(agent, self.queue(n), status=6),
        )

    def call(self, n: int) -> None:
        agent, caller = self.agents[n], f"c{n}"
        self.come(n)
        self.fact(
            ev.QueueLeft(self.queue(n), caller),
            ev.AgentConnected(self.queue(n), caller, f"PJSIP/{agent}"),
            ev.BridgeEntered(f"p{n}", f"b{n}"),
            ev.BridgeEntered(caller, f"b{n}"),
            member(agent, self.queue(n), status=2, in_call=True),
        )

    def end(self, n: int) -> None:
        agent = self.agents[n]
        self.fact(
            ev.BridgeLeft(f"c{n}", f"b{n}"),
            ev.BridgeLeft(f"p{n}", f"b{n}"),
            ev.ChannelGone(f"c{n}"),
            ev.ChannelGone(f"p{n}"),
            ev.AgentCompleted(self.queue(n), f"PJSIP/{agent}", NOW),
            member(agent, self.queue(n), last_call=NOW),
        )

    def transfer(self, n: int) -> None:
        target = Target(TargetKind.AGENT, self.agents[n + 1])
        asked = TransferRequest(self.agents[n], Mode.SUPERVISED, target)
        session, outcome = self.engine.request(asked, CallVariables(), NOW)
        self.follow(outcome)
        self.fact(
            ev.BridgeLeft(f"c{n}", f"b{n}"),
            ev.BridgeLeft(f"p{n}", f"b{n}"),
            ev.StasisEntered(f"c{n}"),
            ev.StasisEntered(f"p{n}"),
        )
        leg = session.leg.channel
        self.fact(
            ev.ChannelSeen(leg, f"Local/{target.value}@avp-agent-queue-{n:08x};1"),
            ev.AgentConnected(
                f"avp-agent-{target.value}", session.local_far_end, f"PJSIP/{target.value}"
            ),
            ev.StasisEntered(leg),
        )


def steps(work: Callable[[], object]) -> int:
    """The number of Python instructions that were executed."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def whole(centre: CallCentre) -> None:
    n = len(centre.agents) - 2
    centre.call(n)
    centre.transfer(n)
    centre.engine.slot_taken(centre.agents[n])
    n -= 4
    centre.call(n)
    centre.end(n)
    centre.fact(ev.ClockTick(NOW))


def test_a_call_and_a_transfer_take_as_many_steps_among_many() -> None:
    quiet, busy = CallCentre(FEW, 5, 0), CallCentre(MANY, 60, 100)
    few, many = steps(lambda: whole(quiet)), steps(lambda: whole(busy))
    assert few > 1000
    assert many < few * 1.1, f"{many} steps among many, {few} among few"


def test_what_agents_have_in_common_takes_as_many_steps_among_many() -> None:
    def ask(centre: CallCentre) -> int:
        agent = centre.agents[-3]
        return steps(
            lambda: [*centre.engine.agents.groups_of(agent), *centre.engine.agents.in_group("q1")]
        )

    assert ask(CallCentre(MANY, MANY, 0)) <= ask(CallCentre(FEW, FEW, 0)) * 1.1


# --- what is kept is what looking at everything would find ---------------------------------------

GROUPS = {n: Group(n, f"q-{n}", n, acw_seconds=5 * i) for i, n in enumerate(("b", "a", "c"))}
WORLDS = [
    World(GROUPS),
    World({name: GROUPS[name] for name in ("c", "b")}),
    World(GROUPS, {"1": ConfiguredAgent("1", groups=("a", "unknown")), "9": ConfiguredAgent("9")}),
]
AGENTS = st.sampled_from(["1", "2", "3"])
QUEUES = st.sampled_from(["q-a", "q-b", "q-c", "avp-agent-1", "other"])
CALLERS = st.sampled_from(["x", "y"])
FACTS = st.one_of(
    st.builds(
        lambda agent, queue, status, last, paused: member(
            agent, queue, status=status, last_call=NOW + last, paused=paused
        ),
        AGENTS,
        QUEUES,
        st.sampled_from([1, 2, 6, 5]),
        st.integers(-20, 20),
        st.booleans(),
    ),
    st.builds(lambda a, q: ev.MemberRemoved(q, f"PJSIP/{a}", NOW), AGENTS, QUEUES),
    st.builds(lambda a, q: ev.AgentCompleted(q, f"PJSIP/{a}", NOW), AGENTS, QUEUES),
    st.builds(lambda a, q, c: ev.AgentRung(q, c, f"PJSIP/{a}"), AGENTS, QUEUES, CALLERS),
    st.builds(lambda a, q, c: ev.AgentConnected(q, c, f"PJSIP/{a}"), AGENTS, QUEUES, CALLERS),
    st.builds(lambda a, q, c: ev.AgentUnanswered(q, c, f"PJSIP/{a}", 1), AGENTS, QUEUES, CALLERS),
    st.builds(lambda c: ev.ChannelSeen(c, f"PJSIP/trunk-0000000{c}"), CALLERS),
    st.builds(ev.QueueJoined, QUEUES, CALLERS),
    st.builds(ev.QueueEnded, CALLERS, st.just("TIMEOUT")),
    st.builds(ev.ChannelGone, CALLERS),
)
STEPS = st.lists(FACTS | st.sampled_from(["tick", "sync", *WORLDS]), max_size=40)


def run(made: TransferEngine, board: PopBoard, happens: list[Any]) -> Iterator[float]:
    now = NOW
    for happening in happens:
        now += 1
        match happening:
            case "tick":
                made.fact(ev.ClockTick(now), now)
            case "sync":
                made.sync_started()
                board.sync_started()
                made.sync_finished(now)
                board.sync_finished(now)
            case World():
                made.reconfigure(happening, now)
            case _:
                board.observe(happening, now)
                outcome = made.fact(happening, now)
                board.refresh(outcome.agents, outcome.transfers, now)
        yield now


def is_there(agent: Agent, group: Group) -> bool:
    member = agent.memberships.get(group.queue)
    return member is not None and member.status not in NOT_THERE


def available(agents: list[Agent]) -> list[Agent]:
    return [agent for agent in agents if agent.state is AgentState.AVAILABLE]


@given(STEPS)
def test_groups_and_the_end_of_acw_are_those_of_all_agents(happens: list[Any]) -> None:
    made = TransferEngine(WORLDS[0], new_id=lambda: "t")
    for now in run(made, PopBoard(made, str), happens):
        agents, world = made.agents, made.world
        for agent in agents.by_id.values():
            queues = agent.memberships or agent.former_queues
            configured = world.agents.get(agent.id)
            own = configured.groups if configured is not None else ()
            assert agents.groups_of(agent.id) == tuple(
                g.id for g in world.groups.values() if g.queue in queues or g.id in own
            )
        for group in world.groups:
            assert {agent.id for agent in agents.in_group(group)} == {
                agent for agent in agents.by_id if group in agents.groups_of(agent)
            }
        for group in world.groups.values():
            there = agents.in_group(group.id)
            members = [a for a in there if is_there(a, group)]
            ready = [a for a in members if not a.memberships[group.queue].paused]
            counted = agents.headcounts.of(group.id)
            assert counted.logged_in == len(members)
            assert counted.ready == len(ready)
            assert counted.available == len(available(ready))
            for agent in agents.by_id.values():
                others = [a for a in ready if a is not agent]
                shown = views.targets_view(made, agent.id).agent_groups
                assert bool(shown) is bool(agents.groups_of(agent.id))
                assert {x.available for x in shown if x.id == group.id} <= {len(available(others))}
                alone = [a for a in members if a is not agent] or members
                assert staffing(agents, group, agent.id).logged_in == len(alone)
        in_acw = [a for a in agents.by_id.values() if a.state is AgentState.ACW]
        assert agents.next_acw_end() == min((a.acw_until for a in in_acw), default=None)
        made.fact(ev.ClockTick(now), now)
        assert all(a.acw_until > now for a in in_acw if a.state is AgentState.ACW)


@given(STEPS)
def test_who_is_rung_and_who_has_which_call_is_known_both_ways(happens: list[Any]) -> None:
    made = TransferEngine(WORLDS[0], new_id=lambda: "t")
    board = PopBoard(made, str)
    board.started()
    for _ in run(made, board, happens):
        queued = board._queued
        rings = {(a, c) for a, calls in queued._ringing_for.items() for c in calls}
        assert rings == {(a, c) for c, agents in queued._rung_by.items() for a in agents}
        notified = {(a, c) for a, calls in board._notified.items() for c in calls}
        assert notified == {(a, c) for c, agents in board._notified_agents.items() for a in agents}
        connected = {(a, c) for c, agents in queued._connected_to.items() for a in agents}
        assert {*queued._connected.items()} == connected
        indexes = (queued._ringing_for, queued._rung_by, queued._connected_to)
        for index in (*indexes, board._notified_agents):
            assert all(index.values())


@pytest.mark.parametrize("groups", [("sales",), ("support", "sales")])
def test_a_group_that_is_not_configured_is_nobodys(groups: tuple[str, ...]) -> None:
    world = World({"sales": Group("sales", "sales", "Sales", features=Features())})
    made = TransferEngine(
        World(world.groups, {"1": ConfiguredAgent("1", groups=groups)}), new_id=lambda: "t"
    )
    assert made.agents.groups_of("1") == ("sales",)
    assert made.agents.groups_of("2") == ()
    assert [agent.id for agent in made.agents.in_group("support")] == []


def test_an_agents_transfers_are_found_without_a_search() -> None:
    """Also the ended ones, and of whoever was asked as fourth party; none that was dropped."""
    centre = CallCentre(MANY, 60, 100)
    store = centre.engine.store
    first = centre.agents[0]
    transfer = store.involving(first)[0].session.id
    for n in (2, 4):  # the callers of two of them hang up
        centre.fact(ev.ChannelGone(f"c{n}"))
    for record in store.records.values():
        if record.session.agent == centre.agents[6]:
            record.session = replace(record.session, asked=("asked",))
            store._involved.note(record.session)

    def searched(agent: str) -> list[str]:
        return [
            transfer
            for transfer, record in store.records.items()
            if agent in agents_involved(views.transfer_view(centre.engine, record))
        ]

    for agent in [*centre.agents, "asked"]:
        assert [record.session.id for record in store.involving(agent)] == searched(agent)
    assert len(searched("asked")) == 1
    assert [record.session.id for record in store.involving(first)] == [transfer]
    store.forget_ended(NOW + 1)
    store.forget_running()
    assert not store.records
    assert not store.involving(first)
    assert not store._involved._transfers
