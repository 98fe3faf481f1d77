"""Whoever looks at an agent is told of every change of what they see."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine import views
from asterisk_avp.core.messages import facts as ev
from tests.core.world import NOW, engine, member

QUEUES = ("sales", "q-support", "avp-agent-1002")
SEEN = st.builds(
    lambda queue, status, paused, last_call, **more: replace(
        member("1002", queue, status=status, paused=paused, last_call=last_call), **more
    ),
    st.sampled_from(QUEUES),
    st.sampled_from((1, 2, 5, 6)),
    st.booleans(),
    st.sampled_from((0.0, NOW - 1)),
    dynamic=st.booleans(),
    paused_reason=st.sampled_from(("", "Lunch")),
    name=st.sampled_from(("Bob", "Robert")),
    in_call=st.booleans(),
)
GONE = st.builds(ev.MemberRemoved, st.sampled_from(QUEUES), st.just("PJSIP/1002"), st.just(NOW))


@given(st.lists(st.one_of(SEEN, GONE), max_size=12))
def test_whatever_changes_an_agents_view_is_told(facts: list[ev.Fact]) -> None:
    """Above all a membership beside another one, which changes no state."""
    made = engine()
    bob = made.agents.by_id["1002"]
    for fact in facts:
        before = views.agent_view(made, bob)
        told = "1002" in made.fact(fact, NOW).agents
        after = views.agent_view(made, bob)
        assert told or after == before, (before, after)
