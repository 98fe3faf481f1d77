"""Agents of other nodes: states, groups, counts, views, and who is taken out of queues here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import remote, views, work
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.groups import group_view, membership
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages import remote as told
from asterisk_avp.core.messages.effects import AddMember, RemoveMember
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.nodes import Node, RemoteAgent
from asterisk_avp.core.model.world import AgentState, ConfiguredAgent, personal_queue
from asterisk_avp.core.pbx.headcount import Headcount
from tests.core.world import NOW, WORLD, call, engine, member, request

ERIN = RemoteAgent("b", AgentState.AVAILABLE, NOW - 60, ("sales",), ("sales",), name="Erin")


def tell(made: TransferEngine, fact: ev.Fact, now: float = NOW) -> Outcome:
    return remote.apply(made, fact, now)


def seen(made: TransferEngine, agent: RemoteAgent = ERIN, name: str = "2005") -> Outcome:
    return tell(made, told.RemoteAgentSeen(name, agent))


def test_an_agent_whom_only_another_node_knows_belongs_to_the_groups() -> None:
    made = engine()
    assert seen(made).agents == {"2005"}
    assert made.agents.groups_of("2005") == ("sales",)
    assert made.agents.name_of("2005") == "Erin"
    view = views.agent_view(made, made.agents.by_id["2005"])
    assert (view.state, view.node, view.since) == (AgentState.AVAILABLE, "b", NOW - 60)
    assert view.work_actions == ()
    assert made.agents.headcounts.of("sales") == Headcount(3, 3, 3)
    (shown,) = view.memberships
    assert (shown.member, shown.actions, shown.available) == (True, (), True)
    assert views.agent_view(made, made.agents.by_id["1001"]).node is None


def test_groups_that_are_not_configured_here_are_none() -> None:
    made = engine()
    seen(made, replace(ERIN, groups=("sales", "other"), logged_in=("other",)))
    assert made.agents.groups_of("2005") == ("sales",)
    assert made.agents.headcounts.of("sales") == Headcount(2, 2, 2)
    assert made.agents.headcounts.of("other") == Headcount(0, 0, 0)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"state": AgentState.TALKING}, (3, 3, 2)),
        ({"state": AgentState.NOT_READY, "paused": True}, (3, 2, 2)),
        ({"on_break": ("sales",)}, (3, 2, 2)),
        ({"logged_in": ()}, (2, 2, 2)),
        ({"reachable": False}, (2, 2, 2)),
    ],
)
def test_counts(change: dict[str, object], counts: tuple[int, int, int]) -> None:
    made = engine()
    seen(made, replace(ERIN, **change))  # type: ignore[arg-type]
    assert made.agents.headcounts.of("sales") == Headcount(*counts)


def test_the_same_again_is_no_change() -> None:
    made = engine()
    seen(made)
    assert seen(made).agents == set()
    assert seen(made, replace(ERIN, waiting_transfer=True)).agents == {"2005"}
    assert views.roster_view(made, made.agents.by_id["2005"]).waiting_transfer
    assert made.slot_taken("2005")


def test_a_target_like_any_other() -> None:
    made = engine()
    seen(made)
    call(made)
    groups = {group.id: group for group in views.targets_view(made, "1001").my_agent_groups}
    targets = {agent.id: agent for agent in groups["sales"].agents}
    assert (targets["2005"].node, targets["2005"].name) == ("b", "Erin")
    assert groups["sales"].logged_in == 2


def test_a_lost_node_and_its_return() -> None:
    made = engine()
    seen(made)
    seen(made, replace(ERIN, node="c"), "2006")
    assert tell(made, told.NodeLost("b")).agents == {"2005"}
    assert made.agents.by_id["2005"].state is AgentState.OFFLINE
    assert made.agents.by_id["2006"].state is AgentState.AVAILABLE
    assert made.agents.headcounts.of("sales").logged_in == 3
    assert tell(made, told.NodeLost("b")).agents == set()
    assert tell(made, told.NodeBack("b")).agents == {"2005"}
    assert made.agents.by_id["2005"].state is AgentState.AVAILABLE
    assert made.agents.by_id["2005"].since == NOW - 60


def test_a_cut_trunk_and_a_lost_node() -> None:
    """An agent is a target again once both are back, in whatever order, and whatever is told."""
    made = engine()
    seen(made)
    assert tell(made, told.TrunkLost("b")).agents == {"2005"}
    assert tell(made, told.TrunkLost("b")).agents == set()
    erin = made.agents.by_id["2005"]
    assert (erin.state, erin.remote and erin.remote.cut) == (AgentState.OFFLINE, True)
    call(made)
    with pytest.raises(Refused, match="the trunk to it does not work") as refused:
        made.request(request(target="2005"), CallVariables(), NOW)
    assert refused.value.reason == "target_offline"
    seen(made)
    assert erin.state is AgentState.OFFLINE
    tell(made, told.NodeLost("b"))
    tell(made, told.TrunkBack("b"))
    assert (erin.state, erin.remote and erin.remote.cut) == (AgentState.OFFLINE, False)
    tell(made, told.TrunkLost("b"))
    tell(made, told.NodeBack("b"))
    assert erin.state is AgentState.OFFLINE
    assert tell(made, told.TrunkBack("b")).agents == {"2005"}
    assert erin.state is AgentState.AVAILABLE


def test_gone_from_the_other_node() -> None:
    made = engine()
    seen(made)
    assert tell(made, told.RemoteAgentGone("2005", "c")).agents == set()
    assert tell(made, told.RemoteAgentGone("2005", "b")).agents == {"2005"}
    assert made.agents.groups_of("2005") == ()
    assert made.agents.headcounts.of("sales").logged_in == 2
    assert tell(made, told.RemoteAgentGone("2099", "b")).agents == set()
    assert "2099" not in made.agents.by_id


def test_the_end_of_acw_is_told_by_the_agents_node() -> None:
    made = engine()
    seen(made, replace(ERIN, state=AgentState.ACW, acw_end=NOW + 5))
    assert views.roster_view(made, made.agents.by_id["2005"]).acw_until == NOW + 5
    assert made.agents.next_acw_end() is None


def test_who_came_home_here_is_as_asterisk_says() -> None:
    made = engine()
    seen(made, replace(ERIN, state=AgentState.TALKING), "1002")
    assert made.agents.by_id["1002"].state is AgentState.TALKING
    tell(made, told.RemoteAgentGone("1002", "b"))
    assert made.agents.by_id["1002"].state is AgentState.AVAILABLE
    assert made.agents.headcounts.of("sales") == Headcount(2, 2, 2)


def test_who_is_at_home_elsewhere_is_taken_out_of_queues_here() -> None:
    made = engine()
    made.fact(member("1002", dynamic=True), NOW)
    made.fact(member("1002", "q-support"), NOW)
    made.fact(member("1002", personal_queue("1002"), dynamic=True), NOW)
    effects = [effect for _, effect in tell(made, told.HomeElsewhere("1002", "b")).effects]
    assert effects == [
        RemoveMember("sales", "PJSIP/1002"),
        RemoveMember(personal_queue("1002"), "PJSIP/1002"),
    ]
    assert tell(made, told.HomeElsewhere("2099", "b")).effects == []


def test_a_transfer_to_them_adds_no_member_here() -> None:
    made = engine()
    made.reconfigure(replace(WORLD, node="a", nodes={"b": Node("b", "trunk-b")}), NOW)
    seen(made, ERIN, "1002")
    call(made)
    session, outcome = made.request(request(), CallVariables(), NOW)
    assert session.permission.agent == "1002"
    assert not [effect for _, effect in outcome.effects if isinstance(effect, AddMember)]


def test_a_resync_and_a_reload_keep_them() -> None:
    made = engine()
    seen(made)
    made.sync_started()
    assert seen(made, replace(ERIN, state=AgentState.TALKING)).agents == set()
    made.fact(member("1001"), NOW)
    assert "2005" in made.sync_finished(NOW).agents
    assert made.agents.by_id["2005"].state is AgentState.TALKING
    made.reconfigure(WORLD, NOW)
    assert made.agents.groups_of("2005") == ("sales",)
    assert made.agents.headcounts.of("sales").logged_in == 2


def test_callers_who_wait_on_all_nodes() -> None:
    made = engine()
    made.fact(ev.QueueWaiting("sales", 2, 30, NOW), NOW)
    tell(made, told.RemoteGroupSeen("sales", "b", 3, NOW - 90))
    tell(made, told.RemoteGroupSeen("sales", "c", 0, None))
    tell(made, told.RemoteGroupSeen("other", "c", 1, NOW))
    view = group_view(made.agents, made.waiting, "sales")
    assert (view.waiting, view.longest_wait_since) == (5, NOW - 90)
    assert made.waiting.here("sales").callers == 2
    tell(made, told.NodeLost("b"))
    assert group_view(made.agents, made.waiting, "sales").waiting == 2


def test_staff_by_node() -> None:
    made = engine()
    seen(made)
    seen(made, replace(ERIN, node="c", state=AgentState.TALKING), "2006")
    assert remote.staff_by_node(made, "sales") == {
        "": Headcount(2, 2, 2),
        "b": Headcount(1, 1, 1),
        "c": Headcount(1, 1, 0),
    }


def test_a_membership_elsewhere_cannot_be_changed_here() -> None:
    made = engine()
    seen(made)
    shown = membership(made.agents, made.agents.by_id["2005"], "sales")
    assert (shown.member, shown.dynamic, shown.actions) == (True, False, ())


@pytest.mark.parametrize(("pin", "code"), [("b", "other_node"), ("a", "no_interface"), (None, "")])
def test_who_is_pinned_to_another_node_cannot_log_in_here(pin: str | None, code: str) -> None:
    agents = {"3001": ConfiguredAgent("3001", groups=("sales",), node=pin)}
    made = TransferEngine(replace(WORLD, agents=agents, node="a"), new_id=str)
    shown = membership(made.agents, made.agents.by_id["3001"], "sales")
    assert shown.actions == (() if code == "other_node" else ("login",))
    with pytest.raises(Refused) as refused:
        work.log_in(made.agents, "3001", "sales", NOW)
    assert refused.value.reason == (code or "no_interface")
