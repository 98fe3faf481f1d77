"""Facts about calls between nodes, in any order: a caller never waits for a node that is lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Redirect
from asterisk_avp.core.messages.remote import RemoteEnded, RemoteLeg, TrunkLost
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.spec import Deadline, Place
from tests.core.test_remote_calls import CALLER, FAR_END, LEG, consult, engine, queue, session
from tests.core.world import NOW

CHANNELS = st.sampled_from([CALLER, FAR_END, LEG, "u-1001", "trunk-1", "nobody"])
STATUSES = st.sampled_from(
    ["", "RINGING", "PROGRESS", "ANSWER", "BUSY", "CONGESTION", "NOANSWER", "CHANUNAVAIL", "CANCEL"]
)
FACTS = st.one_of(
    st.builds(ev.DialProgress, CHANNELS, STATUSES),
    st.builds(RemoteEnded, CHANNELS, STATUSES, st.integers(0, 127)),
    st.builds(RemoteLeg, CHANNELS, st.sampled_from(["1003", ""]), st.just("b"), st.just("t1")),
    st.builds(ev.ChannelGone, st.sampled_from([FAR_END, LEG, "trunk-1", "u-1001"])),
    st.builds(ev.AgentConnected, st.just("sales"), CHANNELS, st.just("PJSIP/1001")),
    st.builds(ev.StasisEntered, st.sampled_from([LEG])),
    st.sampled_from([TrunkLost("b"), TrunkLost("c"), EventType.CANCEL, EventType.COMPLETE]),
)


@settings(deadline=None, max_examples=300)
@given(st.booleans(), st.lists(FACTS, max_size=8))
def test_a_caller_is_never_left_with_a_node_that_is_lost(
    supervised: bool, facts: list[ev.Fact | EventType]
) -> None:
    made = engine()
    (consult if supervised else queue)(made)
    for fact in facts:
        if isinstance(fact, EventType):
            made.report("t1", SessionEvent(fact), NOW)
            continue
        before = session(made)
        outcome = made.fact(fact, NOW)
        after = session(made)
        for _, effect in outcome.effects:
            assert not isinstance(effect, Redirect) or effect.channel == CALLER
        if fact == TrunkLost("b"):
            assert after.state.spec.deadline is not Deadline.TARGET
            queued = after.state.spec.caller.place is Place.QUEUE and not after.state.final
            assert not queued
        elif fact == TrunkLost("c"):
            assert after == before
        if after.state.final and not before.state.final:
            assert after.reason
        if after.caller.presence is not Presence.GONE and after.state.final:
            assert made.record("t1").caller_outcome is not None
