"""What app_queue and Dial() did for a call, told to the transfer that waits for it."""

from __future__ import annotations

from collections.abc import Mapping

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.pbx.agents import Agent, Agents
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import State

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
    # The leg's end overtakes the end of the Dial() that it cuts short.
    "RINGING": "no_answer",
    "PROCEEDING": "no_answer",
    "PROGRESS": "no_answer",
    "NOTACCEPTED": "not_accepted",
}
"""How the attempt to reach an external number ended, as ended_reason.

DIALSTATUS of the last attempt; NOTACCEPTED is our own.
"""

_CALLED = frozenset({"RINGING", "PROGRESS", "PROCEEDING"})
"""That the attempt has got somewhere."""

REJECT_SECONDS = 1.0
"""A ring that ends sooner than this before the ring time is over was turned down."""


class QueueWatch:
    def __init__(self, agents: Agents, store: SessionStore, ring_seconds: float) -> None:
        """``ring_seconds``: how long a personal queue rings its agent."""
        self._agents = agents
        self._store = store
        self._ring_seconds = ring_seconds

    def why_gone(self, session_id: str) -> str:
        """Why a leg that has ended was not answered."""
        record = self._store.records[session_id]
        status, record.dial_status = record.dial_status, ""
        return DIAL_REASONS.get(status, "target_unreachable")

    def fact(self, fact: ev.Fact, now: float, outcome: Outcome) -> None:
        """Take in what app_queue or a Dial() did for a channel."""
        match fact:
            case ev.QueueJoined():
                _changed(self._agents.waiting_joined(fact.queue, fact.channel), outcome)
            case ev.QueueLeft():
                _changed(self._agents.waiting_left(fact.queue, fact.channel), outcome)
            case ev.AgentRung():
                self._tell(fact.channel, EventType.LEG_RINGING, EventType.OFFERED, now, outcome)
            case ev.AgentUnanswered():
                rejected = fact.ring_seconds + REJECT_SECONDS < self._ring_seconds
                reason = "rejected" if rejected else "no_answer"
                self._tell(
                    fact.channel,
                    EventType.LEG_UNANSWERED,
                    EventType.UNANSWERED,
                    now,
                    outcome,
                    reason=reason,
                )
            case ev.AgentConnected():
                self._store.leg_over(fact.channel)
                agent = self._agents.connected(fact.queue, fact.interface)
                taker = agent.id if agent is not None else ""
                self._tell(fact.channel, None, EventType.DELIVERED, now, outcome, agent=taker)
            case ev.DialProgress():
                self._dial_progress(fact, now, outcome)
            case ev.NotAccepted():
                found = self._store.role_of(fact.channel)
                if found is not None and found[1] == "leg":
                    self._store.records[found[0].id].dial_status = "NOTACCEPTED"
            case ev.QueueEnded():
                reason = QUEUE_REASONS.get(fact.status, "")
                if not reason:
                    return  # answered, or hung up: told by other events
                if reason == "target_left":
                    reason = self._why_left(fact.channel)
                self._tell(
                    fact.channel,
                    EventType.LEG_LEFT_QUEUE,
                    EventType.LEFT_QUEUE,
                    now,
                    outcome,
                    reason=reason,
                )

    def _dial_progress(self, fact: ev.DialProgress, now: float, outcome: Outcome) -> None:
        found = self._store.role_of(fact.channel)
        if found is None or found[0].allow.number is None:
            return
        session, role = found
        record = self._store.records[session.id]
        if role == "leg_other":
            called = session.state is State.RINGING or record.dial_status in _CALLED
            # Asterisk calls it NOANSWER as well that a trunk has refused the number (404, 484;
            # main/dial.c, ast_hangup_cause_to_dial_status): nothing has rung then.
            refused = fact.status == "NOANSWER" and not called
            record.dial_status = "CHANUNAVAIL" if refused else fact.status
            if fact.status == "RINGING":
                self._tell(fact.channel, EventType.LEG_RINGING, EventType.OFFERED, now, outcome)
        elif role == "leg" and fact.status in ("BUSY", "CONGESTION"):
            # What the administrator's dialplan answered by itself. Any other end without an
            # answer is NOANSWER here, also that of a number that does not exist.
            record.dial_status = record.dial_status or fact.status
        elif role == "leg" and fact.status == "ANSWER" and session.allow.to_accept:
            # For agent 1 a call that has yet to be accepted is one that rings; a recording in the
            # administrator's dialplan answers without having rung.
            self._store.apply(session.id, SessionEvent(EventType.LEG_RINGING), now, outcome)

    def _tell(
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
        """What app_queue did for a channel, told to the session whose leg or caller it is."""
        found = self._store.role_of(channel)
        if found is None:
            return
        kind = {"leg_other": for_leg, "caller": for_caller}.get(found[1])
        if kind is not None:
            self._store.apply(found[0].id, SessionEvent(kind, reason, agent), now, outcome)

    def _why_left(self, channel: str) -> str:
        """Nobody to answer in the target's queue: they went on a break, or logged out."""
        found = self._store.role_of(channel)
        wanted = found[0].target if found is not None else None
        target = self._agents.by_id.get(wanted.value) if wanted is not None else None
        if target is None or not target.memberships:
            return "target_offline"
        if target.paused or target.said_paused:
            return "target_not_ready"
        return "target_offline"


def _changed(agent: Agent | None, outcome: Outcome) -> None:
    if agent is not None:
        outcome.agents.add(agent.id)
