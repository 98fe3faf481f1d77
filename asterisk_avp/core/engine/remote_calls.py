"""Calls between nodes: from this one to agents on others, and from others to agents here.

*On the anchor*, where the transfer is made, the dialplan runs Dial() to the target's node instead
of Queue(). That the target's phone rings, and that the target answers, are told by that Dial();
how it ended otherwise, by its Q.850 cause. The other node's queue is the only one to know whether
the target can be had, so that nothing here depends on the other daemon.

*At home*, where the target's queue is, a consult leg from another node is ended at the first ring
without an answer, as one of this node's is: the transferor is told at once. SIP does not tell that
by itself, because app_queue rings again.

A node that is lost while a leg waits or rings takes no part in the transfer any more. Who talks
already is left to the dialplan, which sees the end of the trunk's channel (avp-trunk-ended).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Destination, Redirect
from asterisk_avp.core.messages.remote import NodeCall, NodeLost, RemoteEnded, RemoteLeg
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.staffing import staffing
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session
from asterisk_avp.core.transfer.spec import Deadline, Place

REJECTED: Final = Destination("avp-node-in", "rejected")
"""Where a leg from another node is ended whose target has not answered."""
UNKNOWN: Final = Destination("avp-node-in", "refused")
"""Where a call from another node is ended that is for a queue of no group."""
UNANSWERED: Final = Destination("avp-recall", "unanswered")
"""What the dialplan does with a caller whom nobody has answered."""

_NO_CAUSE: Final = frozenset({0, 16})
_REFUSED: Final = 21
_LEFT: Final = 19

CAUSE_REASONS: Final[Mapping[int, str]] = {17: "target_queue_full", 18: "max_hold"}
"""The Q.850 causes with which avp-node-in ends a call, as ended_reason; all others but 19 and 21
mean that the node could not be reached."""


class RemoteCalls:
    def __init__(self, agents: Agents, store: SessionStore, rejected_within: float) -> None:
        """A ring that ends earlier than ``rejected_within`` seconds counts as rejected."""
        self._agents = agents
        self._store = store
        self._rejected_within = rejected_within
        self.legs: dict[str, RemoteLeg] = {}
        """Channels of ours towards other nodes, and in our queue of a group that spans nodes."""
        self.node_calls: dict[str, NodeCall] = {}
        """Channels of other nodes' transfers to queues here."""
        self._rings: dict[str, float] = {}
        """Channel that runs Dial() to since when the target's phone rings, in Unix seconds."""
        self._answered: dict[str, str] = {}
        """Transfer to a group that spans nodes, to the agent of this node who has answered."""

    def fact(self, fact: ev.Fact, now: float, outcome: Outcome) -> None:
        """Process a fact about calls between nodes, or about one of these calls."""
        match fact:
            case RemoteLeg():
                self.legs[fact.channel] = fact
            case NodeCall():
                self.node_calls[fact.channel] = fact
                if fact.agent:  # whose membership the dialplan waits for (avp-node-member)
                    self._store.index.leg_from_node(fact.channel, fact.agent)
                    outcome.agents.add(fact.agent)
                elif self._agents.world.group_of_queue(fact.queue) is None:
                    outcome.effects.append((None, Redirect(fact.channel, UNKNOWN)))
            case RemoteEnded():
                self._ended(fact, now, outcome)
            case NodeLost():
                self._lost(fact.node, now, outcome)
            case ev.DialProgress():
                self._progress(fact, now, outcome)
            case ev.AgentConnected() if fact.channel in self.legs:
                agent = self._agents.connected(fact.queue, fact.interface, now)
                self._answered[self.legs[fact.channel].transfer] = agent.id if agent else ""
            case ev.AgentUnanswered() if fact.channel in self.node_calls:
                if self.node_calls[fact.channel].leg == "consult":
                    outcome.effects.append((None, Redirect(fact.channel, REJECTED)))

    def gone(self, channel: str) -> None:
        """The channel has ended."""
        self._rings.pop(channel, None)
        self.node_calls.pop(channel, None)
        leg = self.legs.pop(channel, None)
        if leg is not None and not leg.node:
            self._answered.pop(leg.transfer, None)

    # --- the anchor ----------------------------------------------------------------------------

    def _progress(self, fact: ev.DialProgress, now: float, outcome: Outcome) -> None:
        found = self._store.role_of(fact.channel)
        if found is None and fact.status == "ANSWER":  # a caller who has been returned
            self._store.aftermath.answered(fact.channel)
        if found is None or fact.status not in ("RINGING", "ANSWER"):
            return
        session, role = found
        rings = fact.status == "RINGING"
        if role == "leg_far_end" and session.permission.node and rings:
            self._rings.setdefault(fact.channel, now)
            self._store.apply(session.id, SessionEvent(EventType.LEG_RINGING), now, outcome)
        elif role == "fourth_far_end" and rings and session.fourth is not None:
            if session.fourth.permission.node:
                self._store.records[session.id].fourth_rings = True
                outcome.transfers.append(session.id)
        elif role == "caller" and session.permission.by_trunk and rings:
            self._rings.setdefault(fact.channel, now)
            self._store.apply(session.id, SessionEvent(EventType.OFFERED), now, outcome)
        elif role == "caller" and session.permission.by_trunk:
            self._store.aftermath.answered(fact.channel)
            agent = session.permission.agent or self._answered.pop(session.id, "")
            event = SessionEvent(EventType.DELIVERED, agent=agent)
            self._store.apply(session.id, event, now, outcome)

    def _ended(self, fact: RemoteEnded, now: float, outcome: Outcome) -> None:
        rang = self._rings.pop(fact.channel, None)
        if fact.status == "ANSWER":
            return
        self._store.aftermath.unanswered(fact.channel, outcome)
        found = self._store.role_of(fact.channel)
        if found is None:
            return
        session, role = found
        kind = {
            "leg_far_end": EventType.LEG_LEFT_QUEUE,
            "fourth_far_end": EventType.DROP_FOURTH,
            "caller": EventType.LEFT_QUEUE,
        }.get(role)
        if kind is not None:
            ring = None if rang is None else now - rang
            event = SessionEvent(kind, self._reason(session, fact, ring))
            self._store.apply(session.id, event, now, outcome)

    def _reason(self, session: Session, fact: RemoteEnded, ring: float | None) -> str:
        """Why nobody has answered. ``ring``: for how many seconds it rang; None: it did not."""
        if fact.cause in CAUSE_REASONS:
            return CAUSE_REASONS[fact.cause]
        if fact.cause in _NO_CAUSE and fact.status == "NOANSWER":
            return "max_hold"  # the Dial()'s own limit
        if fact.cause == _LEFT:
            return self._left_reason(session)
        if fact.cause == _REFUSED and ring is not None:
            return "rejected" if ring < self._rejected_within else "no_answer"
        return "target_unreachable"

    def _left_reason(self, session: Session) -> str:
        agent = self._agents.by_id.get(session.permission.agent or "")
        if agent is not None:
            return "target_not_ready" if agent.paused else "target_offline"
        target = session.target.value if session.target is not None else ""
        group = self._agents.world.groups.get(target)
        if group is None:
            return "target_offline"
        return staffing(self._agents, group, session.agent).obstacle or "target_offline"

    def _lost(self, node: str, now: float, outcome: Outcome) -> None:
        for session in self._store.sessions():
            fourth = session.fourth
            if (
                fourth is not None
                and fourth.permission.node == node
                and fourth.party.presence is Presence.EXPECTED
            ):
                self._store.apply(session.id, SessionEvent(EventType.DROP_FOURTH), now, outcome)
            if session.permission.node != node:
                continue
            spec = session.state.spec
            if spec.deadline is Deadline.TARGET:
                event = SessionEvent(EventType.LEG_LEFT_QUEUE, "target_unreachable")
                self._store.apply(session.id, event, now, outcome)
            elif spec.caller.place is Place.QUEUE:
                event = SessionEvent(EventType.LEFT_QUEUE, "target_unreachable")
                self._store.apply(session.id, event, now, outcome)
                redirect = Redirect(session.caller.channel, UNANSWERED)
                outcome.effects.append((session.id, redirect))
