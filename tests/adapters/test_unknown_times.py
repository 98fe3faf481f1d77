"""A time that nobody knows is no time: never 1970."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.api.schemas import agent_out, transfer_out
from asterisk_avp.api.target_schemas import targets_out
from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from tests.core.world import NOW, call, engine, member, request


def test_an_agent_of_whom_nothing_was_heard() -> None:
    """Ivy is configured, and has never been a member since the daemon started."""
    made = engine()
    call(made)
    ivy = views.agent_view(made, made.agents.by_id["1009"])
    assert (ivy.state.value, ivy.since) == ("offline", None)
    assert agent_out(ivy).since is None
    made.fact(member("1009", interface="Local/ivy@agents/n", status=5), NOW)
    lists = targets_out(views.targets_view(made, "1001")).model_dump(mode="json")
    (group,) = lists["my_agent_groups"]
    assert {agent["id"]: agent["since"] is None for agent in group["agents"]} == {
        "1002": False,
        "1009": True,
    }
    assert "1970-01-01" not in str(lists)


def test_the_wait_of_a_transfer_that_an_earlier_daemon_began() -> None:
    """It is on the caller's channel, unless a daemon began it that did not write it there."""
    made = engine()
    call(made)
    session, _ = made.request(request(mode=Mode.UNSUPERVISED), CallVariables(), NOW)
    made.report(session.id, SessionEvent(EventType.REDIRECTED), NOW)
    waiting = made.store.records[session.id].session
    assert views.transfer_view(made, made.store.records[session.id]).hold_until == NOW + 8
    for since, until in ((NOW, NOW + 8), (None, None)):
        later = engine()
        call(later)
        later.store.adopt(replace(waiting, waiting_since=since), NOW, Outcome())
        shown = views.transfer_view(later, later.store.records[session.id])
        assert shown.hold_until == until
        assert "1970-01-01" not in str(transfer_out(shown).model_dump(mode="json"))
