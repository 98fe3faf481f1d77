"""Another configuration while calls go on: what follows it, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core import views
from asterisk_avp.core.effects import RemoveMember
from asterisk_avp.core.errors import Refused
from asterisk_avp.core.features import Features
from asterisk_avp.core.hub import CallFacts, Hub
from asterisk_avp.core.model import AgentState, ConfiguredAgent, Group, World
from asterisk_avp.core.session import Session
from tests.core.world import NOW, WORLD, call, hub, member, request


def begun(made: Hub) -> Session:
    call(made)
    session, _ = made.request(request(), CallFacts(), NOW)
    return session


def with_features(features: Features) -> World:
    sales = replace(WORLD.groups["sales"], features=features)
    return replace(WORLD, groups={**WORLD.groups, "sales": sales})


def test_the_same_configuration_changes_nothing() -> None:
    made = hub()
    session = begun(made)
    before = [views.agent_view(made, agent) for agent in made.agents.by_id.values()]
    assert made.reconfigure(WORLD, NOW).effects == []
    assert [views.agent_view(made, agent) for agent in made.agents.by_id.values()] == before
    assert made.record(session.id).session is session


def test_new_requests_follow_it_and_running_transfers_do_not() -> None:
    made = hub()
    session = begun(made)
    outcome = made.reconfigure(with_features(Features(internal_transfer=False)), NOW)
    assert (outcome.effects, outcome.transfers) == ([], [])
    assert made.record(session.id).session is session
    assert made.register.role_of("u-caller1") == (session, "caller")
    call(made, agent="1002", caller="caller2")
    with pytest.raises(Refused) as refused:
        made.request(request("1002", "1001"), CallFacts(), NOW)
    assert refused.value.reason == "internal_disabled"
    made.reconfigure(WORLD, NOW)
    with pytest.raises(Refused) as refused:
        made.request(request("1002", "1002"), CallFacts(), NOW)
    assert refused.value.reason == "self_transfer"


def test_names_are_the_new_ones() -> None:
    made = hub()
    agents = {"1001": ConfiguredAgent("1001", "Alicia", groups=("sales",))}
    outcome = made.reconfigure(replace(WORLD, agents=agents), NOW)
    assert made.agents.name_of("1001") == "Alicia"
    assert "1001" in outcome.agents
    assert "1009" not in made.agents.by_id  # configured no more, and nowhere a member
    assert "1002" in made.agents.by_id  # a member


def test_a_group_that_is_gone_takes_its_members_with_it() -> None:
    made = hub()
    made.fact(member("avp", "avp-agent-1003", interface="PJSIP/1003"), NOW)
    assert made.agents.by_id["1003"].personal is not None
    world = replace(WORLD, groups={"sales": WORLD.groups["sales"]})
    outcome = made.reconfigure(world, NOW)
    assert [effect for _, effect in outcome.effects] == [
        RemoveMember("avp-agent-1003", "PJSIP/1003")
    ]
    assert made.agents.by_id["1003"].state is AgentState.OFFLINE
    assert made.agents.groups_of("1003") == ()
    made.fact(member("1003", "q-support"), NOW)  # no longer ours to know
    assert made.agents.by_id["1003"].memberships == {}


def test_a_new_group_has_the_members_that_a_resync_finds() -> None:
    made = hub()
    world = replace(WORLD, groups={**WORLD.groups, "vip": Group("vip", "vip", "VIP")})
    made.reconfigure(world, NOW)
    made.sync_started()
    for agent, queue in (("1001", "sales"), ("1001", "vip"), ("1007", "vip")):
        made.fact(member(agent, queue), NOW)
    made.sync_finished(NOW)
    assert made.agents.groups_of("1001") == ("sales", "vip")
    assert made.agents.by_id["1007"].state is AgentState.AVAILABLE


def test_one_that_comes_in_the_middle_of_a_resync_waits_for_its_end() -> None:
    made = hub()
    made.sync_started()
    assert made.reconfigure(WORLD, NOW).effects == []
    assert made.agents.by_id["1001"].state is AgentState.AVAILABLE
