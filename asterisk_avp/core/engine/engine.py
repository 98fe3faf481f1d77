"""Where everything meets: facts and requests in, effects and changes out. Still pure.

The hub keeps the picture of channels (`Calls`), of agents (`Agents`) and of sessions
(`SessionStore`), and decides which session a fact concerns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from asterisk_avp.core.engine import parties
from asterisk_avp.core.engine.queue_events import QueueWatch
from asterisk_avp.core.engine.sessions import Outcome, Record, SessionStore, party_of
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Destination, HangUp, LeaveStasis
from asterisk_avp.core.model.errors import UnknownAgent, UnknownTransfer, WrongState
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.tenants import Scope
from asterisk_avp.core.model.world import Group, Mode, Target, TransferRequest, World
from asterisk_avp.core.pbx.agents import Agent, Agents
from asterisk_avp.core.pbx.calls import Call, Calls
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.actions import RECALL
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import (
    HELD_IN_STASIS,
    REPORTED,
    Party,
    Presence,
    Session,
    State,
    is_half,
    is_leg,
    leg_id,
    other_half,
    shown_id,
)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Channel variables of the caller, read before the decision."""

    max_hold_seconds: int | None = None
    """``AVP_MAX_HOLD``"""
    ends_at: int | None = None
    """When the call's own limit (TIMEOUT(absolute)) ends it, in Unix seconds; None: it has none."""


class TransferEngine:
    """See the module's docstring. Times are Unix seconds, given by the caller."""

    def __init__(
        self,
        world: World,
        new_id: Callable[[], str],
        ring_seconds: float = 15.0,
        ring_outside_seconds: int = 45,
        orphan_seconds: int = 60,
        new_secret: Callable[[], str] = str,
    ) -> None:
        """``new_secret``: what makes the channel ids of legs unguessable (`session.leg_id`)."""
        self.world = world
        self.calls = Calls()
        self.agents = Agents(world)
        self.store = SessionStore(self._as_allowed_now)
        self._new_id = new_id
        self._new_secret = new_secret
        self._ring_outside_seconds = ring_outside_seconds
        self._orphan_seconds = orphan_seconds
        self._syncing = False
        self._untold: set[str] = set()
        """Agents of whom a resync has something to tell, once it is over."""
        self._reconfigured = False
        self._queues = QueueWatch(self.agents, self.store, ring_seconds)

    # --- requests ----------------------------------------------------------------------------

    def call_of(self, agent_id: str, wanted: str | None = None) -> Call | None:
        """The call a request of this agent is about: the one named, else the one not on hold.

        Raises `UnknownAgent`.
        """
        agent = self.agents.by_id.get(agent_id)
        if agent is None:
            raise UnknownAgent(agent_id)
        for call in self.calls_of(agent):
            if wanted in (None, call.caller_channel, shown_id(call.caller_channel)):
                return call
        return None

    def calls_of(self, agent: Agent) -> list[Call]:
        interfaces = set(agent.interfaces)
        configured = self.world.agents.get(agent.id)
        if configured is not None and configured.interface:
            interfaces.add(configured.interface)
        return self.calls.of_agent(interfaces)

    def request(
        self, request: TransferRequest, facts: CallFacts, now: float
    ) -> tuple[Session, Outcome]:
        """Decide and begin. Raises `UnknownAgent` or `Refused`; then nothing was done."""
        call = self.call_of(request.agent, request.call)
        allow = policy.decide(
            request,
            self.facts_of(request.agent, call, slot_taken=self.slot_taken(request.target.value)),
            self.agents,
            self.world,
        )
        if call is None:  # decide() has refused this already; for the type checker
            raise policy.refused("no_active_call")
        return self.begin(self.new_session(request, request.target, allow, call, facts), now)

    def facts_of(
        self, agent_id: str, call: Call | None, *, slot_taken: bool = False
    ) -> policy.Facts:
        """What policy has to know of an agent and their call."""
        in_transfer = self._in_transfer(agent_id, call)
        return policy.Facts(
            call_found=call is not None or in_transfer,
            call_in_transfer=in_transfer,
            group=self.group_of_call(agent_id, call),
            slot_taken=slot_taken,
        )

    def begin(self, session: Session, now: float) -> tuple[Session, Outcome]:
        """Enter a session and take its first effects."""
        outcome = Outcome()
        return self.store.begin(session, now, outcome), outcome

    def command(self, transfer_id: str, kind: EventType, now: float) -> Outcome:
        """What agent 1 wants done: see `COMMANDS`.

        Raises `UnknownTransfer`, `Refused` or `WrongState`.
        """
        session = self._as_allowed_now(self.record(transfer_id).session)
        needed = _NEEDED.get(kind)
        if needed is not None:
            policy.check_features(needed, self.group_now(session).features)
        if not machine.legal(session, kind):
            state = REPORTED[session.state]
            raise WrongState(f"A transfer that is {state} cannot be {COMMANDS[kind]}.")
        outcome = Outcome()
        self.store.apply(transfer_id, SessionEvent(kind), now, outcome)
        return outcome

    def record(self, transfer_id: str) -> Record:
        """Raises `UnknownTransfer`."""
        record = self.store.records.get(transfer_id)
        if record is None:
            raise UnknownTransfer(transfer_id)
        return record

    def scope_of(self, agent_id: str) -> Scope:
        """What of the configuration this agent may know."""
        return self.agents.tenants.of_agent(agent_id)

    def slot_taken(self, agent_id: str) -> bool:
        """Whether a transferred call waits for this agent, or is on its way to them."""
        agent = self.agents.by_id.get(agent_id)
        return bool(agent and agent.waiting) or self.store.heading_for(agent_id)

    def add_party(self, transfer_id: str, typed: str, now: float) -> Outcome:
        """Call a fourth party. Raises `UnknownTransfer`, `Refused` or `WrongState`."""
        session = self.record(transfer_id).session
        allow = parties.may_call(session, typed, self.group_now(session), self.world)
        return parties.add(self.store, session, allow, now, self._new_secret())

    def drop_party(self, transfer_id: str, party: str, now: float) -> Outcome:
        """Raises `UnknownTransfer`, `UnknownParty` or `WrongState`."""
        return parties.drop(self.store, self.record(transfer_id).session, party, now)

    # --- facts -------------------------------------------------------------------------------

    def fact(self, fact: ev.Fact, now: float) -> Outcome:
        """Take in what an adapter reported."""
        outcome = Outcome()
        match fact:
            case ev.ChannelSeen():
                self.calls.see(fact)
            case ev.ChannelGone():
                self.store.leg_over(fact.id)
                self._gone(fact.id, now, outcome)
                self._call_changed(fact.id, outcome)
                self.calls.gone(fact.id)
            case ev.BridgeEntered():
                self.calls.enter(fact.channel, fact.bridge)
                self._call_changed(fact.channel, outcome)
            case ev.BridgeLeft():
                self._call_changed(fact.channel, outcome)
                self.calls.leave(fact.channel, fact.bridge)
            case ev.HoldChanged():
                self.calls.hold(fact.channel, on_hold=fact.on_hold)
                self._call_changed(fact.channel, outcome)
            case ev.CallGroup():
                if self.calls.grouped(fact.channel, fact.group):
                    self._call_changed(fact.channel, outcome)
            case ev.StasisEntered():
                self._stasis_entered(fact.channel, now, outcome)
            case ev.StasisLeft():
                self._stasis_left(fact.channel, now, outcome)
            case ev.MemberSeen():
                self._member_changed(self.agents.member_seen(fact), now, outcome)
            case ev.MemberRemoved():
                agent = self.agents.member_removed(fact.queue, fact.interface)
                self._member_changed(agent, now, outcome)
            case ev.AgentCompleted():
                self._member_changed(self.agents.completed(fact), now, outcome)
            case ev.ClockTick():
                for agent in self.agents.acw_over(now):
                    self._refresh(agent, now, outcome)
            case _:
                if isinstance(fact, ev.QueueJoined | ev.AgentRung):
                    # AMI tells the one, ARI the other: whichever comes first.
                    self._another_groups(fact.channel)
                self._queues.fact(fact, now, outcome)
        if self._syncing:
            # Half a picture is none: panels would be told of calls without callers.
            self._untold |= outcome.agents
            outcome.agents.clear()
        return outcome

    def report(self, session_id: str, event: SessionEvent, now: float) -> Outcome:
        """The outcome of an effect, or the expiry of a timer."""
        outcome = Outcome()
        record = self.store.records.get(session_id)
        if event.kind is EventType.LEG_FAILED and record is not None:
            self.store.leg_over(record.session.leg_other)
        self.store.apply(session_id, event, now, outcome)
        return outcome

    # --- another configuration ---------------------------------------------------------------

    def reconfigure(self, world: World, now: float) -> Outcome:
        """Decide by ``world`` from now on.

        What goes on ends in peace: a call that is held or a target who is rung is not taken back,
        and a consultation can be completed, cancelled, or left by either side. What is begun in a
        running transfer from now on (see `group_now`) has to be allowed by ``world``.

        Members of queues that are new to us have to be read by a resync.
        """
        self.world = world
        self._reconfigured = True
        self.agents.reconfigure(world)
        outcome = Outcome(agents=set(self.agents.by_id))  # names and groups may be others
        for agent in self.agents.by_id.values():
            self._member_changed(agent, now, outcome)
        return outcome

    def group_now(self, session: Session) -> Group:
        """The group of a running transfer as it is configured now: it decides what may be begun.

        ``session.allow`` has it as it was when the transfer was asked for. That stays, since what
        was begun by it (a recording that was paused, say) has to be ended by it as well.
        """
        group = self.world.groups.get(session.group)
        # One that is configured no more allows nothing.
        return group or replace(session.allow.group, features=Features(session_transfer=False))

    def _as_allowed_now(self, session: Session) -> Session:
        """The session with what the settings in force say of going on without agent 1.

        They may be others than those it was allowed by: after a reload, and where a former daemon
        allowed it. Only a reload makes agents vanish; after a start some may not be known yet.
        """
        allow, target = session.allow, session.target
        if session.mode is not Mode.SUPERVISED or allow.agent is None or target is None:
            return session
        request = TransferRequest(session.agent, Mode.UNSUPERVISED, target)
        group = self.group_now(session)
        may = policy.permitted(group.features, request.mode, target.kind)
        if self._reconfigured:
            may = may and policy.may_be_target(request, group, self.agents)
        if may is allow.may_detach:
            return session
        return replace(session, allow=replace(allow, may_detach=may))

    # --- resync ------------------------------------------------------------------------------

    def sync_started(self) -> None:
        """Everything is about to be reported anew."""
        self._syncing = True
        self.calls.clear()
        self.agents.clear()

    def sync_finished(self, now: float) -> Outcome:
        """Everything has been reported: what is missing is gone."""
        self._syncing = False
        self.store.only_legs(self.calls.channels.__contains__)
        outcome = Outcome()
        outcome.agents |= self._untold
        self._untold.clear()
        for agent in self.agents.by_id.values():
            self._refresh(agent, now, outcome)
        outcome.effects.extend((None, effect) for effect in self.agents.mirror_all())
        return outcome

    # --- which session, and what it means for it -------------------------------------------------

    def _stasis_entered(self, channel: str, now: float, outcome: Outcome) -> None:
        found = self.store.role_of(channel)
        if found is None:
            # Of a transfer that is over: its Redirect was given up on and came through after
            # all. Nobody here would ever look after it; the dialplan's net does. A leg that
            # answers too late must not go on in the dialplan, which would dial once more.
            late = HangUp(channel) if is_leg(channel) else LeaveStasis(channel, self._net(channel))
            outcome.effects.append((None, late))
            return
        if found[1] == "leg":
            self.store.leg_over(found[0].leg_other)
        kind = _ENTERED.get(found[1])
        if kind is not None:
            self.store.apply(found[0].id, SessionEvent(kind), now, outcome)

    def _net(self, channel: str) -> Destination | None:
        """Where a caller goes whose transfer failed, and could not be let go of then."""
        for record in self.store.records.values():
            session = record.session
            held = session.caller.channel == channel and session.caller.presence is Presence.PRESENT
            if held and session.state is State.FAILED:
                return RECALL
        return None

    def _stasis_left(self, channel: str, now: float, outcome: Outcome) -> None:
        """A party that was with us has left Stasis: it hung up, or somebody took it away.

        Only while we hold it. A channel that we bridged away or queued leaves Stasis too, and
        one that a former transfer bridged away leaves when this one's Redirect takes it over.
        """
        found = self.store.role_of(channel)
        if found is None:
            return
        session, role = found
        party = party_of(session, role)
        if party is None or party.presence is not Presence.PRESENT:
            return
        if session.state in HELD_IN_STASIS:
            self._gone(channel, now, outcome)

    def _gone(self, channel: str, now: float, outcome: Outcome) -> None:
        found = self.store.role_of(channel)
        if found is None:
            return
        session, role = found
        kind = _GONE.get(role)
        if session.state is State.DETACHING and role in ("leg", "leg_other"):
            # The slot in the target's queue is not free before both halves have ended.
            halves = {session.leg.channel, session.leg_other} - {channel}
            kind = None if halves & self.calls.channels.keys() else EventType.LEG_GONE
        if kind is not None:
            reason = self._queues.why_gone(session.id) if kind is EventType.LEG_GONE else ""
            self.store.apply(session.id, SessionEvent(kind, reason), now, outcome)

    def _another_groups(self, channel: str) -> None:
        """A caller whom we have sent on is that group's from now on, as AVP_GROUP says there.

        It is read again once an agent has the call, but who is rung must not be told the old one.
        """
        found = self.store.role_of(channel)
        if found is not None and found[1] == "caller" and found[0].state in _SENT_ON:
            self.calls.grouped(channel, found[0].group_after)

    def _member_changed(self, agent: Agent | None, now: float, outcome: Outcome) -> None:
        if agent is None or self._syncing:
            return  # half a picture would make us take members out of queues
        outcome.effects.extend((None, effect) for effect in self.agents.mirror(agent))
        self._refresh(agent, now, outcome)

    def _refresh(self, agent: Agent, now: float, outcome: Outcome) -> None:
        if self.agents.refresh(agent, now):
            outcome.agents.add(agent.id)

    def _call_changed(self, channel_id: str, outcome: Outcome) -> None:
        for channel in self.calls.around(channel_id):
            _changed(self.agents.of_channel(channel.name), outcome)

    # --- a new session -----------------------------------------------------------------------

    def _in_transfer(self, agent_id: str, call: Call | None) -> bool:
        """Whether the call, or the agent who asks, is part of a running transfer.

        So it is as long as Asterisk has not optimised away the leg of one that is over: the caller
        is behind it, and whoever takes it out of its bridge ends the call.
        """
        if call is None:
            return self.store.transferring(agent_id) is not None
        return any(
            self.store.role_of(channel) is not None or is_half(channel)
            for channel in (call.caller_channel, call.agent_channel)
        )

    def group_of_call(self, agent_id: str, call: Call | None) -> Group | None:
        """The call's group: as it travels with the call, else its queue's, else the agent's."""
        groups = self.world.groups
        if call is not None and call.group.lower() in groups:
            return groups[call.group.lower()]
        if call is not None and call.queue is not None:
            group = self.world.group_of_queue(call.queue)
            if group is not None:
                return group
        return next((groups[group] for group in self.agents.groups_of(agent_id)), None)

    def new_session(
        self,
        request: TransferRequest,
        target: Target | None,
        allow: Permission,
        call: Call,
        facts: CallFacts,
    ) -> Session:
        """A session as it is before anything has been done."""
        identifier = self._new_id()
        leg = leg_id(identifier, self._new_secret())
        return Session(
            id=identifier,
            agent=request.agent,
            group=allow.group.id,
            mode=request.mode,
            target=target,
            transferor=Party(call.agent_channel, name=self.agents.name_of(request.agent)),
            caller=Party(call.caller_channel, call.caller_number, call.caller_name),
            leg=Party(leg),
            leg_other=other_half(leg),
            allow=allow,
            transferor_location=self.agents.location_of(request.agent),
            ring_outside_seconds=self._ring_outside_seconds,
            max_hold_seconds=facts.max_hold_seconds or allow.group.max_hold_seconds,
            variables={
                "AVP_HOLD_ACTION": allow.group.max_hold_action.value,
                "AVP_ORPHAN_SECONDS": str(self._orphan_seconds),
                "AVP_ENDS_AT": "" if facts.ends_at is None else str(facts.ends_at),
            },
            notes=request.notes,
            origin=request.origin,
            state=State.STARTING if request.mode is Mode.SUPERVISED else State.QUEUEING,
        )


def _changed(agent: Agent | None, outcome: Outcome) -> None:
    if agent is not None:
        outcome.agents.add(agent.id)


_SENT_ON = frozenset({State.QUEUEING, State.QUEUED, State.OFFERED})
_ENTERED = {
    "transferor": EventType.AGENT_ENTERED,
    "caller": EventType.CALLER_ENTERED,
    "leg": EventType.LEG_ANSWERED,
    "fourth": EventType.FOURTH_ANSWERED,
}
_GONE = {
    "transferor": EventType.AGENT_GONE,
    "caller": EventType.CALLER_GONE,
    "leg": EventType.LEG_GONE,
    "fourth": EventType.FOURTH_GONE,
}
_NEEDED = {
    EventType.SWAP: (),
    EventType.CONFERENCE: policy.CONFERENCE,
}
"""What begins something new in a running transfer, and the features it needs besides session
transfer itself. To complete or cancel it is to end it, which needs none."""
COMMANDS = {
    EventType.COMPLETE: "completed",
    EventType.CANCEL: "cancelled",
    EventType.SWAP: "swapped",
    EventType.CONFERENCE: "made a conference",
}
"""What agent 1 may ask of a running transfer, with the word for it."""
