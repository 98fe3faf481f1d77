"""The groups' counts, whatever other nodes and Asterisk tell in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine import remote
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages import remote as told
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.core.pbx.headcount import NOBODY, Headcount, headcount_of
from tests.core.world import NOW, WORLD, engine, member

AGENTS = st.builds(
    RemoteAgent,
    node=st.sampled_from("bc"),
    state=st.sampled_from(AgentState),
    since=st.just(NOW),
    groups=st.sampled_from([(), ("sales",), ("sales", "support")]),
    logged_in=st.sampled_from([(), ("sales",), ("sales", "support")]),
    on_break=st.sampled_from([(), ("sales",)]),
    paused=st.booleans(),
    reachable=st.booleans(),
)
NAMES = st.sampled_from(["1001", "1002", "2005"])
FACTS = st.one_of(
    st.builds(told.RemoteAgentSeen, NAMES, AGENTS),
    st.builds(told.RemoteAgentGone, NAMES, st.sampled_from("bc")),
    st.builds(told.NodeLost, st.sampled_from("bc")),
    st.builds(told.NodeBack, st.sampled_from("bc")),
    st.builds(told.TrunkLost, st.sampled_from("bc")),
    st.builds(told.TrunkBack, st.sampled_from("bc")),
    st.builds(member, NAMES, status=st.sampled_from([1, 2, 5]), paused=st.booleans()),
)


@given(st.lists(FACTS, max_size=12))
def test_counts_are_right_after_anything(facts: list[ev.Fact]) -> None:
    made = engine()
    for fact in facts:
        if isinstance(fact, remote.FACTS):
            remote.apply(made, fact, NOW)
        else:
            made.fact(fact, NOW)
    for group in WORLD.groups.values():
        agents = made.agents.in_group(group.id)
        right = [headcount_of(agent, group.id, group.queue) for agent in agents]
        assert made.agents.headcounts.of(group.id) == Headcount(
            *map(sum, zip(NOBODY, *right, strict=True))
        )
    for agent in made.agents.by_id.values():
        assert agent.state is agent.state_at(NOW)
