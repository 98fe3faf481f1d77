"""Whoever looks at an agent is told when a transferred call waits for them, and when none does.

`tests/properties/test_explore_slots.py` asks for it in every order of events.
"""

from __future__ import annotations

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from tests.core.world import NOW, call, engine, member, request


def test_a_slot_is_told_free_when_the_leg_has_ended_that_waited_in_it() -> None:
    """AMI tells that it has left the queue, and that the phone is idle; then ARI, of its end."""
    made = engine()
    call(made)
    begun, outcome = made.request(request(), CallVariables(), NOW)
    assert "1002" in outcome.agents
    leg, behind = begun.leg.channel, begun.local_far_end
    for fact in (
        ev.StasisEntered("u-caller1"),
        ev.StasisEntered("u-1001"),
        ev.ChannelSeen(leg, "Local/1002@avp-agent-queue-00000001;1"),
        ev.ChannelSeen(behind, "Local/1002@avp-agent-queue-00000001;2"),
        ev.QueueJoined("avp-agent-1002", behind),
        member("1002", "avp-agent-1002", status=6),
        ev.ChannelGone("u-caller1"),
        ev.ChannelGone(leg),
        ev.QueueLeft("avp-agent-1002", behind),
        member("1002", "avp-agent-1002"),
    ):
        made.fact(fact, NOW)
    bob = made.agents.by_id["1002"]
    assert views.agent_view(made, bob).waiting_transfer, "its other half may still be in the queue"
    assert "1002" in made.fact(ev.ChannelGone(behind), NOW).agents
    assert not views.agent_view(made, bob).waiting_transfer


def test_a_slot_that_a_resync_finds_free_is_told() -> None:
    made = engine()
    made.fact(ev.QueueJoined("avp-agent-1002", "u-caller1"), NOW)
    made.sync_started()
    made.fact(member("1002"), NOW)
    assert "1002" in made.sync_finished(NOW).agents
    assert not made.slot_taken("1002")
