"""Turn facts about app_queue and Dial() into events of the transfer that they concern."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from asterisk_avp.core.engine.early_media import EarlyMedia
from asterisk_avp.core.engine.remote_calls import RemoteCalls
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import PartyState, TargetKind
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.staffing import staffing
from asterisk_avp.core.transfer.events import LEFT_QUEUE, EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session

QUEUE_REASONS: Mapping[str, str] = {
    "TIMEOUT": "max_hold",
    "FULL": "target_queue_full",
    "JOINEMPTY": "target_left",
    "JOINUNAVAIL": "target_left",
    "LEAVEEMPTY": "target_left",
    "LEAVEUNAVAIL": "target_left",
    "WITHDRAW": "withdrawn",
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
    def __init__(
        self,
        agents: Agents,
        store: SessionStore,
        ring_seconds: float,
        answered: Callable[[str, Agent, Outcome], None],
        early: EarlyMedia,
        cut: AbstractSet[str],
    ) -> None:
        """``ring_seconds``: the ring time of a personal queue. ``answered``: an agent has answered
        the call of a channel. ``cut``: the nodes whose trunks do not work.
        """
        self._answered = answered
        self._early = early
        self._agents = agents
        self._store = store
        self._ring_seconds = ring_seconds
        self.remote = RemoteCalls(agents, store, ring_seconds - REJECT_SECONDS, cut)

    def leg_end_reason(self, session_id: str) -> str:
        """Why a leg ended without an answer, as ended_reason. Clears the stored DIALSTATUS."""
        record = self._store.records[session_id]
        status, record.dial_status = record.dial_status, ""
        return DIAL_REASONS.get(status, "target_unreachable")

    def fact(self, fact: ev.Fact, now: float, outcome: Outcome) -> None:
        """Process a fact about app_queue or a Dial()."""
        self.remote.fact(fact, now, outcome)
        match fact:
            case ev.QueueJoined():
                _changed(self._agents.waiting_joined(fact.queue, fact.channel), outcome)
            case ev.QueueLeft():
                _changed(self._agents.waiting_left(fact.queue, fact.channel), outcome)
            case ev.AgentRung():
                self._fourth_rings(fact.channel, outcome)
                self._apply(fact.channel, EventType.LEG_RINGING, EventType.OFFERED, now, outcome)
            case ev.AgentUnanswered():
                self._fourth_does_not_answer(fact.channel, now, outcome)
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
                self._store.leg_ended(fact.channel, outcome)
                self._store.aftermath.answered(fact.channel)
                agent = self._agents.connected(fact.queue, fact.interface, now)
                answered_by = agent.id if agent is not None else ""
                self._apply(
                    fact.channel, None, EventType.DELIVERED, now, outcome, agent=answered_by
                )
                if agent is not None:
                    self._answered(fact.channel, agent, outcome)
            case ev.DialProgress():
                self._dial_progress(fact, now, outcome)
            case ev.NotAccepted():
                found = self._store.role_of(fact.channel)
                if found is not None and found[1] == "leg":
                    self._store.records[found[0].id].dial_status = "NOTACCEPTED"
            case ev.QueueEnded():
                # Any other status is no end that app_queue knows: there is no such queue, say.
                reason = QUEUE_REASONS.get(fact.status, LEFT_QUEUE)
                self._store.aftermath.unanswered(fact.channel, outcome)
                if reason == "target_left":
                    reason = self._queue_left_reason(fact.channel)
                elif reason == "withdrawn":
                    reason = self._obstacle(fact.channel) or reason
                elif reason == LEFT_QUEUE and self._is_leg(fact.channel):
                    reason = "target_unreachable"
                self._apply(
                    fact.channel,
                    EventType.LEG_LEFT_QUEUE,
                    EventType.LEFT_QUEUE,
                    now,
                    outcome,
                    reason=reason,
                    to_group=fact.to_group,
                )

    def _is_leg(self, channel: str) -> bool:
        found = self._store.role_of(channel)
        return found is not None and found[1] != "caller"

    def _fourth_rings(self, channel: str, outcome: Outcome) -> None:
        """The phone of a colleague who was asked as fourth party."""
        found = self._store.role_of(channel)
        if found is not None and found[1] == "fourth_far_end":
            self._store.records[found[0].id].fourth_rings = True
            outcome.transfers.append(found[0].id)

    def _fourth_does_not_answer(self, channel: str, now: float, outcome: Outcome) -> None:
        """Give up, as for the target of a consult; app_queue would ring them again."""
        found = self._store.role_of(channel)
        if found is not None and found[1] == "fourth_far_end":
            self._store.apply(found[0].id, SessionEvent(EventType.DROP_FOURTH), now, outcome)

    def _dial_progress(self, fact: ev.DialProgress, now: float, outcome: Outcome) -> None:
        found = self._store.role_of(fact.channel)
        if found is None:
            return
        session, role = found
        if role == "fourth":
            self._fourth_progress(session, fact, outcome)
        if session.permission.number is None:
            return
        record = self._store.records[session.id]
        if role == "leg_far_end":
            rings = session.state.spec.target.shown is PartyState.RINGING
            called = rings or record.dial_status in _IN_PROGRESS
            # Asterisk also reports NOANSWER where a trunk refuses the number (404, 484;
            # main/dial.c, ast_hangup_cause_to_dial_status); nothing has rung in that case.
            refused = fact.status == "NOANSWER" and not called
            record.dial_status = "CHANUNAVAIL" if refused else fact.status
            leg = session.leg.channel
            if fact.status == "RINGING":
                self._apply(fact.channel, EventType.LEG_RINGING, EventType.OFFERED, now, outcome)
                if not self._early.replaces_ringback(leg):
                    self._early.over(leg, outcome, rings=True)
            elif fact.status not in _IN_PROGRESS:
                self._early.attempt_ended(leg)
        elif role == "leg" and fact.status == "PROGRESS":
            # By a trunk's 183, or by the administrator's dialplan itself (Progress()).
            self._store.apply(session.id, SessionEvent(EventType.LEG_RINGING), now, outcome)
            self._early.begun(session, fact.channel, outcome)
        elif role == "leg" and fact.status in ("BUSY", "CONGESTION"):
            # The administrator's dialplan ended the call itself (Busy(), Congestion()). Every
            # other end without an answer is NOANSWER here, including an unassigned number.
            record.dial_status = record.dial_status or fact.status
        elif role == "leg" and fact.status == "ANSWER" and session.permission.requires_acceptance:
            # To the transferor, a call that has yet to be accepted is ringing. An announcement in
            # the administrator's dialplan answers without RINGING.
            self._store.apply(session.id, SessionEvent(EventType.LEG_RINGING), now, outcome)
            self._early.over(fact.channel, outcome, rings=True)

    def _fourth_progress(self, session: Session, fact: ev.DialProgress, outcome: Outcome) -> None:
        fourth = session.fourth
        if fourth is None or fourth.permission.number is None:
            return
        if fact.status == "PROGRESS" and session.transferor.presence is Presence.PRESENT:
            self._early.begun(session, fact.channel, outcome)
        elif fact.status == "ANSWER":
            self._early.over(fact.channel, outcome)

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
        to_group: bool = False,
    ) -> None:
        """Apply ``for_leg`` or ``for_caller`` to the session whose leg or caller ``channel`` is."""
        found = self._store.role_of(channel)
        if found is None:
            return
        kind = {"leg_far_end": for_leg, "caller": for_caller}.get(found[1])
        if kind is not None:
            event = SessionEvent(kind, reason, agent, to_group=to_group)
            self._store.apply(found[0].id, event, now, outcome)

    def _queue_left_reason(self, channel: str) -> str:
        """Why the target's queue has no member to answer: on a break, or logged out."""
        found = self._store.role_of(channel)
        target = found[0].target if found is not None else None
        if target is not None and target.kind is TargetKind.GROUP:
            return self._obstacle(channel) or "target_offline"
        agent = self._agents.by_id.get(target.value) if target is not None else None
        if agent is None or not agent.memberships:
            return "target_offline"
        if agent.paused or agent.reported_paused:
            return "target_not_ready"
        return "target_offline"

    def _obstacle(self, channel: str) -> str:
        """Why nobody of the target group could take the call; empty: somebody could."""
        found = self._store.role_of(channel)
        target = found[0].target if found is not None else None
        if found is None or target is None or target.kind is not TargetKind.GROUP:
            return ""
        group = self._agents.world.groups.get(target.value)
        return staffing(self._agents, group, found[0].agent).obstacle if group is not None else ""


def _changed(agent: Agent | None, outcome: Outcome) -> None:
    if agent is not None:
        outcome.agents.add(agent.id)
