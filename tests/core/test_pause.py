"""What the agent's own page needs: pause, the end of the wait, and the day's transfers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.history import KEPT_SECONDS, PER_AGENT, History
from asterisk_avp.core.engine.pause import MAX_REASON, pause
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages.effects import PauseMember
from asterisk_avp.core.model.errors import UnknownAgent, WrongState
from asterisk_avp.core.model.world import (
    AgentState,
    CallerOutcome,
    Mode,
    PartyView,
    Target,
    TargetKind,
    TransferState,
    TransferView,
)
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from tests.core.world import NOW, call, engine, member, request


def test_pause_is_for_every_group_queue() -> None:
    made = engine()
    made.fact(member("1005"), NOW)
    made.fact(member("1005", "q-support"), NOW)
    assert pause(made.agents, "1005", paused=True, reason=" Lunch\r\nbreak ") == (
        PauseMember("sales", "PJSIP/1005", paused=True, reason="Lunch break"),
        PauseMember("q-support", "PJSIP/1005", paused=True, reason="Lunch break"),
    )
    ready = pause(made.agents, "1005", paused=False, reason="not told")
    assert [(effect.paused, effect.reason) for effect in ready] == [(False, "")] * 2
    (long, _) = pause(made.agents, "1005", paused=True, reason="ü" * 60 + "\x07")
    assert len(long.reason.encode()) <= MAX_REASON
    assert long.reason == "ü" * (MAX_REASON // 2)


def test_who_is_in_no_queue_cannot_pause() -> None:
    made = engine()
    with pytest.raises(UnknownAgent):
        pause(made.agents, "nobody", paused=True)
    made.fact(member("1005"), NOW)
    made.agents.by_id["1005"].memberships.clear()
    with pytest.raises(WrongState):
        pause(made.agents, "1005", paused=True)


def test_a_pause_during_a_call_is_shown_at_once() -> None:
    made = engine()
    call(made)
    talking = member("1001", status=2, in_call=True)
    outcome = made.fact(replace(talking, paused=True, paused_reason="Lunch"), NOW + 5)
    assert "1001" in outcome.agents
    view = views.agent_view(made, made.agents.by_id["1001"])
    assert (view.state, view.paused, view.pause_reason) == (AgentState.TALKING, True, "Lunch")
    assert view.since == NOW
    assert "1001" in made.fact(talking, NOW + 6).agents
    assert views.agent_view(made, made.agents.by_id["1001"]).pause_reason == ""


def test_until_when_a_target_is_waited_for() -> None:
    made = engine()
    call(made)
    asked = request(mode=Mode.UNSUPERVISED)
    session, _ = made.request(asked, CallVariables(max_hold_seconds=30), NOW)

    def until() -> float | None:
        return views.transfer_view(made, made.record(session.id)).hold_until

    assert until() is None
    made.report(session.id, SessionEvent(EventType.REDIRECTED), NOW + 1)
    assert until() == NOW + 31
    made.report(session.id, SessionEvent(EventType.OFFERED), NOW + 9)
    assert until() == NOW + 31, "ringing is the same wait"
    made.report(session.id, SessionEvent(EventType.UNANSWERED), NOW + 12)
    assert until() == NOW + 31
    made.report(session.id, SessionEvent(EventType.DELIVERED, agent="1002"), NOW + 20)
    assert until() is None


# --- history -------------------------------------------------------------------------------------


def past(identifier: str, agent: str, target: str, since: float = NOW) -> TransferView:
    return TransferView(
        id=identifier, agent=agent, group="sales", mode=Mode.UNSUPERVISED,
        target=Target(TargetKind.GROUP, "sales"), state=TransferState.COMPLETED,
        ended_reason="completed", caller="+1202", since=since, started=since - 5,
        parties=(PartyView(target, "target", target, "talking"),),
    )  # fmt: skip


def ids(found: list[TransferView]) -> list[str]:
    return [view.id for view in found]


def test_history_is_of_those_concerned() -> None:
    history = History()
    history.keep([past("a", "1001", "1002"), past("b", "1002", "1003", NOW + 1)], NOW)
    assert ids(history.of("1002", [])) == ["b", "a"]
    assert ids(history.of("1001", [])) == ["a"]
    running = replace(past("c", "1001", "1002"), state=TransferState.RINGING)
    recent = past("d", "1001", "1002", NOW + 9)
    assert ids(history.of("1001", [running, recent, past("a", "1001", "1002")])) == ["d", "a"]


def test_there_is_no_history_of_numbers() -> None:
    """Otherwise every called number would keep its transfers for a day."""
    to_a_number = replace(
        past("a", "1001", "+12025550100"), target=Target(TargetKind.NUMBER, "+12025550100")
    )
    replaced = past("b", "1001", "party-4")
    history = History()
    history.keep([to_a_number, replaced], NOW)
    assert ids(history.of("1001", [])) == ["a", "b"]
    assert set(history._by_agent) == {"1001"}


def test_history_is_bounded() -> None:
    history = History()
    history.keep((past(str(i), "1001", "1002", NOW + i) for i in range(PER_AGENT + 5)), NOW)
    assert len(history.of("1001", [])) == PER_AGENT
    assert ids(history.of("1001", []))[0] == str(PER_AGENT + 4)
    history.keep([], NOW + PER_AGENT + KEPT_SECONDS + 5)
    assert history.of("1001", []) == []
    assert history._by_agent == {}


def test_what_is_told_again_takes_no_second_place() -> None:
    """What becomes of the caller is told after the end, too."""
    history = History()
    history.keep((past(str(i), "1001", "1002", NOW + i) for i in range(PER_AGENT)), NOW)
    again = replace(past("5", "1001", "1002", NOW + 5), caller_outcome=CallerOutcome.GROUP)
    history.keep([again], NOW)
    found = history.of("1001", [])
    assert len(found) == PER_AGENT
    assert [view for view in found if view.id == "5"] == [again]
