"""Any order of channel and bridge events leaves a consistent picture of the calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.messages.facts import ChannelSeen
from asterisk_avp.core.pbx.calls import Calls


@given(st.lists(st.tuples(st.sampled_from("seirlg"), st.integers(0, 4), st.integers(0, 2))))
def test_any_order_of_events_leaves_a_consistent_picture(steps: list[tuple[str, int, int]]) -> None:
    """Whatever the order of events (repeated, late, for unknown channels): when all are gone, all
    is empty."""
    calls = Calls()
    for what, number, bridge in steps:
        channel = f"PJSIP/{number}-0000000{number}"
        match what:
            case "s":
                calls.update(ChannelSeen(channel, channel))
            case "e" | "i":
                calls.enter(channel, f"b{bridge}")
            case "r":
                name = f"PJSIP/{bridge}-000000a{number}"
                calls.update(ChannelSeen(channel, name, created=False))
            case "l":
                calls.leave(channel, f"b{bridge}")
            case "g":
                calls.gone(channel)
        for agent in range(5):
            for call in calls.of_agent({f"PJSIP/{agent}"}):
                assert call.agent_channel in calls.channels
                assert call.caller_channel in calls.channels
    for channel in list(calls.channels):
        calls.gone(channel)
    assert (calls._by_resource, calls._bridges, calls._by_name) == ({}, {}, {})
