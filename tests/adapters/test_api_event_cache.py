"""An event for many panels is serialised once, and contains what each of them would receive."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scripted_transfer_service import transfer_view

from asterisk_avp.api import event_cache
from asterisk_avp.api.auth import Principal
from asterisk_avp.api.broadcast import agent_event, transfer_event
from asterisk_avp.api.event_cache import Roster, SharedEvent
from asterisk_avp.api.schemas import agent_for_all
from asterisk_avp.api.visibility import visible_to
from asterisk_avp.core.model.world import AgentState, AgentView, CallView

VIEW = AgentView(
    "1001",
    "Zoë",
    AgentState.TALKING,
    1_769_850_307.25,
    ("sales",),
    waiting_transfer=True,
    call=CallView("u1", "+12025550123", "sales", on_hold=False, pop={"data": {"id": 7}}),
    paused=True,
    pause_reason="lunch",
)
CALLERS = [Principal(None), Principal("1001"), Principal("1002"), Principal("1003")]
EVENTS = [
    agent_event(VIEW),
    transfer_event(replace(transfer_view("t", "1001", "1002"), notes="wants blue")),
    {"type": "readiness", "readiness": {}},
    {"type": "pop", "agent": "1001", "pop": {}},
    {"type": "overflow"},
    {"type": "unheard of"},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event["type"]))
def test_each_is_told_what_is_theirs(event: dict[str, object]) -> None:
    told = SharedEvent(event)
    assert told == event
    for caller in [*CALLERS, *CALLERS]:
        text, seen = told.text_for(caller), visible_to(caller, event)
        assert (None if text is None else json.loads(text)) == seen


def test_it_is_written_once_for_all_who_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    as_text = event_cache.as_text
    monkeypatch.setattr(event_cache, "as_text", lambda value: written.append(1) or as_text(value))
    told = SharedEvent(EVENTS[0])
    for number in range(500):
        told.text_for(Principal(str(1001 + number)))
    assert len(written) == 2


def test_the_roster_has_of_each_agent_what_an_event_would_show_another() -> None:
    whole = visible_to(Principal("another"), agent_event(VIEW))
    assert whole is not None
    plain = replace(VIEW, call=None, pause_reason="")
    roster = Roster(agent_for_all)
    ((agent, text),) = roster.texts([plain])
    assert (agent, json.loads(text)) == ("1001", whole["agent"])
    ((_, changed),) = roster.texts([replace(plain, state=AgentState.ACW)])
    assert json.loads(changed) == {**whole["agent"], "state": "acw"}
    assert list(roster.texts([])) == []
