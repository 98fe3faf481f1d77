"""Turn facts about app_queue and Dial() into events of the transfer that they concern."""

from __future__ import annotations

from collections.abc import Mapping

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import PartyState
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.transfer.events import EventType, SessionEvent

QUEUE_REASONS: Mapping[str, str] = {
    "TIMEOUT": "max_hold",
    "FULL": "target_queue_full",
    "JOINEMPTY": "target_left",
    "JOINUNAVAIL": "target_left",
    "LEAVEEMPTY": "target_left",
    "LEAVEUNAVAIL": "target_left",
    "WITHDRAWN": "withdrawn",
}
"""QUEUESTATUS (app_queue.c, ``queue_results``) as ended_reason."""

DIAL_REASONS: Mapping[str, str] = {
    "BUSY": "target_busy",
    "CONGESTION": "target_congested",
    "CHANUNAVAIL": "target_unreachable",
    "NOANSWER": "no_answer",
    "CANCEL": "no_answer",
    # The end of the leg can be reported before the end of the Dial() that it interrupts.
    "RINGING": "no_answer",
    "PROCEEDING": "no_answer",
    "PROGRESS": "no_answer",
    "NOTACCEPTED": "not_accepted",
}
"""DIALSTATUS of the last attempt to reach an external number, as ended_reason.

NOTACCEPTED is our own: Asterisk has no such status.
"""

_IN_PROGRESS = frozenset({"RINGING", "PROGRESS", "PROCEEDING"})
"""Statuses of an attempt that has reached the called party's network."""

REJECT_SECONDS = 1.0
"""A ring that ends more than this before the ring time is over counts as rejected."""


class QueueEventHandler:
    def __init__(self, agents: Agents, store: SessionStore, ring_seconds: float) -> None:
        """``ring_seconds``: the ring time of a personal queue."""
        self._agents = agents
        self._store = store
        self._ring_seconds = ring_seconds

    def leg_end_reason(self, session_id: str) -> str:
        """Why a leg ended without an answer, as ended_reason. Clears the stored DIALSTATUS."""
        record = self._store.records[session_id]
        status, record.dial_status = record.dial_status, ""
        return DIAL_REASONS.get(status, "target_unreachable")

    def fact(self, fact: ev.Fact, now: float, outcome: Outcome) -> None:
        """Process a fact about app_queue or a Dial()."""
        match fact:
            case ev.QueueJoined():
                _changed(self._agents.waiting_joined(fact.queue, fact.channel), outcome)
            case ev.QueueLeft():
                _changed(self._agents.waiting_left(fact.queue, fact.channel), outcome)
            case ev.AgentRung():
                self._apply(fact.channel, EventType.LEG_RINGING, EventType.OFFERED, now, outcome)
            case ev.AgentUnanswered():
                rejected = fact.ring_seconds + REJECT_SECONDS < self._ring_seconds
                reason = "rejected" if rejected else "no_answer"
                self._apply(
                    fact.channel,
                    EventType.LEG_UNANSWERED,
                    EventType.UNANSWERED,
                    now,
                    outcome,
                    reason=reason,
                )
            case ev.AgentConnected():
                self._store.leg_ended(fact.channel)
                agent = self._agents.connected(fact.queue, fact.interface)
                answered_by = agent.id if agent is not None else ""
                self._apply(
                    fact.channel, None, EventType.DELIVERED, now, outcome, agent=answered_by
                )
            case ev.DialProgress():
                self._dial_progress(fact, now, outcome)
            case ev.NotAccepted():
                found = self._store.role_of(fact.channel)
                if found is not None and found[1] == "leg":
                    self._store.records[found[0].id].dial_status = "NOTACCEPTED"
            case ev.QueueEnded():
                reason = QUEUE_REASONS.get(fact.status, "")
                if not reason:
                    return  # answered or hung up; other events report that
                if reason == "target_left":
                    reason = self._queue_left_reason(fact.channel)
                self._apply(
                    fact.channel,
                    EventType.LEG_LEFT_QUEUE,
                    EventType.LEFT_QUEUE,
                    now,
                    outcome,
                    reason=reason,
                )

    def _dial_progress(self, fact: ev.DialProgress, now: float, outcome: Outcome) -> None:
        found = self._store.role_of(fact.channel)
        if found is None or found[0].permission.number is None:
            return
        session, role = found
        record = self._store.records[session.id]
        if role == "leg_far_end":
            rings = session.state.spec.target.shown is PartyState.RINGING
            called = rings or record.dial_status in _IN_PROGRESS
            # Asterisk also reports NOANSWER where a trunk refuses the number (404, 484;
            # main/dial.c, ast_hangup_cause_to_dial_status); nothing has rung in that case.
            refused = fact.status == "NOANSWER" and not called
            record.dial_status = "CHANUNAVAIL" if refused else fact.status
            if fact.status == "RINGING":
                self._apply(fact.channel, EventType.LEG_RINGING, EventType.OFFERED, now, outcome)
        elif role == "leg" and fact.status in ("BUSY", "CONGESTION"):
            # The administrator's dialplan ended the call itself (Busy(), Congestion()). Every
            # other end without an answer is NOANSWER here, including an unassigned number.
            record.dial_status = record.dial_status or fact.status
        elif role == "leg" and fact.status == "ANSWER" and session.permission.requires_acceptance:
            # To the transferor, a call that has yet to be accepted is ringing. An announcement in
            # the administrator's dialplan answers without RINGING.
            self._store.apply(session.id, SessionEvent(EventType.LEG_RINGING), now, outcome)

    def _apply(
        self,
        channel: str,
        for_leg: EventType | None,
        for_caller: EventType,
        now: float,
        outcome: Outcome,
        *,
        reason: str = "",
        agent: str = "",
    ) -> None:
        """Apply ``for_leg`` or ``for_caller`` to the session whose leg or caller ``channel`` is."""
        found = self._store.role_of(channel)
        if found is None:
            return
        kind = {"leg_far_end": for_leg, "caller": for_caller}.get(found[1])
        if kind is not None:
            self._store.apply(found[0].id, SessionEvent(kind, reason, agent), now, outcome)

    def _queue_left_reason(self, channel: str) -> str:
        """Why the target's queue has no member to answer: the agent paused, or logged out."""
        found = self._store.role_of(channel)
        target = found[0].target if found is not None else None
        agent = self._agents.by_id.get(target.value) if target is not None else None
        if agent is None or not agent.memberships:
            return "target_offline"
        if agent.paused or agent.reported_paused:
            return "target_not_ready"
        return "target_offline"


def _changed(agent: Agent | None, outcome: Outcome) -> None:
    if agent is not None:
        outcome.agents.add(agent.id)
