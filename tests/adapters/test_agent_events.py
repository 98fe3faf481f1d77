"""The event of an agent is what the API's schema makes of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.api.broadcast import agent_event
from asterisk_avp.api.schemas import agent_detail_out
from asterisk_avp.core.model.work import MembershipView
from asterisk_avp.core.model.world import AgentState, AgentView

MOMENTS = st.none() | st.floats(0, 4e9)
MEMBERSHIPS = st.builds(
    MembershipView,
    group=st.text(max_size=5),
    member=st.booleans(),
    dynamic=st.booleans(),
    actions=st.sampled_from([(), ("login",), ("logout",)]),
    logged_in=st.booleans(),
    ready=st.booleans(),
    available=st.booleans(),
)
VIEWS = st.builds(
    AgentView,
    id=st.text(max_size=5),
    name=st.text(max_size=5),
    state=st.sampled_from(AgentState),
    since=MOMENTS,
    groups=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    waiting_transfer=st.booleans(),
    paused=st.booleans(),
    pause_reason=st.text(max_size=5),
    node=st.none() | st.text(max_size=3),
    acw_until=MOMENTS,
    work_actions=st.sampled_from([(), ("pause", "ready"), ("end_acw", "extend_acw")]),
    memberships=st.lists(MEMBERSHIPS, max_size=3).map(tuple),
)


@given(VIEWS)
def test_who_has_no_call(view: AgentView) -> None:
    shown = agent_detail_out(view).model_dump(mode="json")
    made = agent_event(view)["agent"]
    assert made == shown
    assert list(made) == list(shown)
