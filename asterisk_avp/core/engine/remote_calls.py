"""Calls between nodes: from this one to agents on others, and from others to agents here.

*On the anchor*, where the transfer is made, the dialplan runs Dial() to the target's node instead
of Queue(). That the target's phone rings, and that the target answers, are told by that Dial();
how it ended otherwise, by its Q.850 cause. The other node's queue is the only one to know whether
the target can be had, so that nothing here depends on the other daemon.

*At home*, where the target's queue is, a consult leg from another node is ended at the first ring
without an answer, as one of this node's is: the transferor is told at once. SIP does not tell that
by itself, because app_queue rings again.

A node whose trunk is cut while a leg waits or rings takes no part in the transfer any more, and its
own calls that nobody has answered here leave the queues. Who talks already is left to the dialplan,
which sees the end of the trunk's channel (avp-trunk-ended). It is the same where the node's
Asterisk was started again, however soon. A node whose daemon alone is lost goes on ringing its
agent: SIP tells what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from asterisk_avp.core.engine.remote_rings import ring_ended
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Destination, Redirect
from asterisk_avp.core.messages.remote import (
    NodeCall,
    NodeRestarted,
    RemoteEnded,
    RemoteLeg,
    RemoteRing,
    TrunkLost,
)
from asterisk_avp.core.model.world import PartyState
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.channel import Channel
from asterisk_avp.core.pbx.headcount import headcount_of
from asterisk_avp.core.pbx.staffing import staffing
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session
from asterisk_avp.core.transfer.spec import Deadline, Place

REJECTED: Final = Destination("avp-node-in", "rejected")
"""Where a leg from another node is ended whose target has not answered."""
UNKNOWN: Final = Destination("avp-node-in", "refused")
"""Where a call from another node is ended that is for a queue of no group."""
LOST: Final = Destination("avp-recall", "lost")
"""What the dialplan does with a caller whose target's node is lost: nobody is hung up."""
NO_RETURN: Final = Destination("avp-recall", "dead")
"""And where the transferor, to whom they would return, is on a node that is lost as well."""

_RETURN_NODE: Final = "AVP_RETURN_NODE"
"""The channel variable with the node of a transferor who is not on this one."""
_NO_CAUSE: Final = frozenset({0, 16})
_REFUSED: Final = 21
_LEFT: Final = 19

CAUSE_REASONS: Final[Mapping[int, str]] = {17: "target_queue_full", 18: "max_hold"}
"""The Q.850 causes with which avp-node-in ends a call, as ended_reason; all others but 19 and 21
mean that the node could not be reached."""


class RemoteCalls:
    def __init__(
        self, agents: Agents, store: SessionStore, rejected_within: float, cut: AbstractSet[str]
    ) -> None:
        """A ring that ends earlier than ``rejected_within`` seconds counts as rejected.

        ``cut``: the nodes whose trunks do not work, as `Elsewhere` has them.
        """
        self._agents = agents
        self._store = store
        self._rejected_within = rejected_within
        self.legs: dict[str, RemoteLeg] = {}
        """Channels of ours towards other nodes, and in our queue of a group that spans nodes."""
        self.node_calls: dict[str, NodeCall] = {}
        """Channels of other nodes' transfers to queues here."""
        self._queued: dict[str, str] = {}
        """Channels that wait in a queue, to that queue: all, since AMI may tell of it before ARI
        does of the `NodeCall`, and a daemon that starts learns last whose calls there are."""
        self._taken: set[str] = set()
        """Those of them that somebody has answered."""
        self._cut = cut
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
            case ev.QueueJoined():
                self._queued[fact.channel] = fact.queue
            case ev.QueueLeft():
                self._queued.pop(fact.channel, None)
            case RemoteEnded():
                self._ended(fact, now, outcome)
            case TrunkLost():  # `Elsewhere` may hear of it only after this
                self._lost(fact.node, {*self._cut, fact.node}, now, outcome)
            case NodeRestarted():
                self._lost(fact.node, self._cut, now, outcome)
            case ev.DialProgress():
                self._progress(fact, now, outcome)
            case RemoteRing(rings=True, consult=True):
                self._told_ring(fact, now, outcome)
            case ev.AgentConnected() if fact.channel in self.legs:
                agent = self._agents.connected(fact.queue, fact.interface, now)
                self._answered[self.legs[fact.channel].transfer] = agent.id if agent else ""
            case ev.AgentConnected() if fact.channel in self.node_calls:
                self._taken.add(fact.channel)
            case ev.AgentUnanswered() if fact.channel in self.legs:
                agent = self._agents.of_member(fact.queue, fact.interface)
                if agent is not None:
                    ring_ended(self._agents, self._store, agent.id, now, outcome)
            case ev.AgentUnanswered() if fact.channel in self.node_calls:
                if self.node_calls[fact.channel].leg == "consult":
                    outcome.effects.append((None, Redirect(fact.channel, REJECTED)))

    def waiting(self, queue: str) -> int:
        """How many calls of other nodes wait in a group's queue; each is counted by its node."""
        return sum(self._queued.get(channel) == queue for channel in self.node_calls)

    def sync_started(self) -> None:
        """A resync is about to tell who waits in queues."""
        self._queued.clear()

    def sync_finished(self, channels: Mapping[str, Channel], outcome: Outcome) -> None:
        """Note what has become of calls while nothing was heard of them."""
        for channel in {*self.node_calls, *self.legs, *self._rings} - channels.keys():
            self.gone(channel)
        for channel in self.node_calls:
            if channels[channel].bridge is not None:  # nothing else than an answer takes it there
                self._taken.add(channel)
                self._store.leg_ended(channel, outcome)

    def gone(self, channel: str) -> None:
        """The channel has ended."""
        self._rings.pop(channel, None)
        self.node_calls.pop(channel, None)
        self._queued.pop(channel, None)
        self._taken.discard(channel)
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

    def _told_ring(self, fact: RemoteRing, now: float, outcome: Outcome) -> None:
        """The target's daemon says what the Dial() reports, unless the 180 was lost."""
        found = self._store.role_of(fact.channel)
        if found is None or found[1] != "caller":
            return
        session, fourth = found[0], found[0].fourth
        permission, spec = session.permission, session.state.spec
        if fourth is not None and fourth.party.presence is Presence.EXPECTED:
            if fourth.permission.node and fourth.permission.agent == fact.agent:
                self._store.records[session.id].fourth_rings = True
                outcome.transfers.append(session.id)
        elif not permission.node or permission.agent != fact.agent:
            return
        elif spec.deadline is Deadline.TARGET:
            self._rings.setdefault(session.local_far_end, now)
            self._store.apply(session.id, SessionEvent(EventType.LEG_RINGING), now, outcome)

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
            reason = self._reason(session, fact, ring)
            event = SessionEvent(kind, reason, to_group=fact.to_group)
            self._store.apply(session.id, event, now, outcome)

    def _reason(self, session: Session, fact: RemoteEnded, ring: float | None) -> str:
        """Why nobody has answered. ``ring``: for how many seconds it rang; None: it did not."""
        if fact.cause in CAUSE_REASONS:
            return CAUSE_REASONS[fact.cause]
        if fact.to_group:  # no answer of the target's, whatever the cause
            return "target_unreachable"
        if fact.cause in _NO_CAUSE and fact.status == "NOANSWER":
            return "max_hold"  # the Dial()'s own limit
        if fact.cause == _LEFT:
            return self._left_reason(session)
        rang = ring is not None or session.state.spec.target.shown is PartyState.RINGING
        if fact.cause == _REFUSED and rang:  # since when is not known after a restart
            soon = ring is not None and ring < self._rejected_within
            return "rejected" if soon else "no_answer"
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

    def _lost(self, node: str, cut: AbstractSet[str], now: float, outcome: Outcome) -> None:
        """What waits or rings at the node is over. ``cut``: whose trunks do not work now."""
        for call in self.node_calls.values():
            if call.anchor == node and call.channel not in self._taken:
                outcome.effects.append((None, Redirect(call.channel, REJECTED)))
        for record in self._store.aftermath.returning():
            if record.session.variables.get(_RETURN_NODE) == node:
                caller = record.session.caller.channel
                self._store.aftermath.unanswered(caller, outcome)
                outcome.effects.append((record.session.id, Redirect(caller, NO_RETURN)))
        for session in self._store.sessions():
            fourth = session.fourth
            if (
                fourth is not None
                and fourth.permission.node == node
                and fourth.party.presence is Presence.EXPECTED
            ):
                self._store.apply(session.id, SessionEvent(EventType.DROP_FOURTH), now, outcome)
            if not self._cut_off(session, node):
                continue
            spec = session.state.spec
            if spec.deadline is Deadline.TARGET:
                event = SessionEvent(EventType.LEG_LEFT_QUEUE, "target_unreachable")
                self._store.apply(session.id, event, now, outcome)
            elif spec.caller.place is Place.QUEUE:
                no_return = session.variables.get(_RETURN_NODE) in cut
                event = _left(session, "target_unreachable", lost=True, no_return=no_return)
                self._store.apply(session.id, event, now, outcome)
                redirect = Redirect(session.caller.channel, NO_RETURN if no_return else LOST)
                outcome.effects.append((session.id, redirect))

    def _cut_off(self, session: Session, node: str) -> bool:
        """Whether nobody of the target can be reached now that the trunk to ``node`` is cut."""
        permission = session.permission
        if not permission.trunks:
            return permission.node == node
        nodes = self._agents.world.nodes.values()
        called = any(one.id == node and one.endpoint in permission.trunks for one in nodes)
        return called and not self._staffed(session, {*self._cut, node})

    def _staffed(self, session: Session, gone: set[str]) -> bool:
        """Whether somebody of the target group could take the call, but for these nodes' agents."""
        target = session.target.value if session.target is not None else ""
        group = self._agents.world.groups.get(target)
        if group is None:
            return False
        return any(
            headcount_of(agent, group.id, group.queue).ready
            for agent in self._agents.in_group(group.id)
            if agent.id != session.agent and (agent.remote is None or agent.remote.node not in gone)
        )


def _left(session: Session, reason: str, *, lost: bool, no_return: bool = False) -> SessionEvent:
    """The caller has left the target's queue.

    ``lost``: because the node was. ``no_return``: and the transferor's node is.
    """
    back = session.variables.get("AVP_HOLD_ACTION") == "return" and not no_return
    return SessionEvent(EventType.LEFT_QUEUE, reason, to_group=lost and not back)
