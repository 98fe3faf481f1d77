"""The transfer engine: facts and requests in, effects and changed views out. Pure.

The engine keeps the state of channels (`Calls`), agents (`Agents`) and sessions (`SessionStore`),
and maps each fact to the session it concerns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from asterisk_avp.core.engine import commands, parties
from asterisk_avp.core.engine.channel_events import ChannelEventHandler
from asterisk_avp.core.engine.queue_events import QueueEventHandler
from asterisk_avp.core.engine.requests import (
    CallVariables,
    SessionFactory,
    group_of_call,
    in_transfer,
)
from asterisk_avp.core.engine.sessions import Outcome, Record, SessionStore
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import UnknownAgent, UnknownTransfer
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.tenants import Scope
from asterisk_avp.core.model.world import Group, Mode, TransferRequest, World
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.calls import Call, Calls
from asterisk_avp.core.pbx.personal_queues import PersonalQueues
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session, shown_id


class TransferEngine:
    """See the module's docstring. Every ``now`` is in Unix seconds."""

    def __init__(
        self,
        world: World,
        new_id: Callable[[], str],
        ring_seconds: float = 15.0,
        ring_outside_seconds: int = 45,
        orphan_seconds: int = 60,
        new_secret: Callable[[], str] = str,
    ) -> None:
        """``new_secret`` makes the channel ids of legs unguessable (`session.leg_id`)."""
        self.world = world
        self.calls = Calls()
        self.agents = Agents(world)
        self._personal_queues = PersonalQueues(self.agents)
        self.store = SessionStore(self._with_current_permission)
        self.factory = SessionFactory(
            self.agents, new_id, new_secret, ring_outside_seconds, orphan_seconds
        )
        self._syncing = False
        self._changed_while_syncing: set[str] = set()
        """Agents whose views changed during a resync; reported when it is over."""
        self._reconfigured = False
        self._queues = QueueEventHandler(self.agents, self.store, ring_seconds)
        self._channels = ChannelEventHandler(self.calls, self.store, self._queues)

    # --- requests ----------------------------------------------------------------------------

    def call_of(self, agent_id: str, call_id: str | None = None) -> Call | None:
        """The call that a request concerns: ``call_id``, or else the call that is not on hold.

        None where the agent has no such call. Raises `UnknownAgent`.
        """
        agent = self.agents.by_id.get(agent_id)
        if agent is None:
            raise UnknownAgent(agent_id)
        for call in self.calls_of(agent):
            if call_id in (None, call.caller_channel, shown_id(call.caller_channel)):
                return call
        return None

    def calls_of(self, agent: Agent) -> list[Call]:
        interfaces = set(agent.interfaces)
        configured = self.world.agents.get(agent.id)
        if configured is not None and configured.interface:
            interfaces.add(configured.interface)
        return self.calls.of_agent(interfaces)

    def request(
        self, request: TransferRequest, facts: CallVariables, now: float
    ) -> tuple[Session, Outcome]:
        """Decide and begin. Raises `UnknownAgent` or `Refused`, with no effect in either case."""
        call = self.call_of(request.agent, request.call)
        permission = policy.decide(
            request,
            self.decision_context(
                request.agent, call, slot_taken=self.slot_taken(request.target.value)
            ),
            self.agents,
            self.world,
        )
        if call is None:  # unreachable: decide() refuses it; for the type checker
            raise policy.refused("no_active_call")
        return self.begin(self.factory.make(request, request.target, permission, call, facts), now)

    def decision_context(
        self, agent_id: str, call: Call | None, *, slot_taken: bool = False
    ) -> policy.DecisionContext:
        """What policy needs to know about an agent and their call."""
        transferring = in_transfer(self.store, agent_id, call)
        return policy.DecisionContext(
            call_found=call is not None or transferring,
            call_in_transfer=transferring,
            group=group_of_call(self.agents, agent_id, call),
            slot_taken=slot_taken,
        )

    def begin(self, session: Session, now: float) -> tuple[Session, Outcome]:
        """Add a session and return its first effects."""
        outcome = Outcome()
        return self.store.begin(session, now, outcome), outcome

    def command(self, transfer_id: str, kind: EventType, now: float) -> Outcome:
        """Apply a command of the transferor (`commands.COMMANDS`).

        Raises `UnknownTransfer`, `Refused` or `WrongState`.
        """
        session = self._with_current_permission(self.record(transfer_id).session)
        commands.check(session, kind, self.group_now(session))
        outcome = Outcome()
        self.store.apply(transfer_id, SessionEvent(kind), now, outcome)
        return outcome

    def actions(self, session: Session) -> tuple[str, ...]:
        """What the transferor may ask of this transfer now (`commands.offered`)."""
        if session.state.final:
            return ()
        return commands.offered(self._with_current_permission(session), self.group_now(session))

    def record(self, transfer_id: str) -> Record:
        """Raises `UnknownTransfer`."""
        record = self.store.records.get(transfer_id)
        if record is None:
            raise UnknownTransfer(transfer_id)
        return record

    def scope_of(self, agent_id: str) -> Scope:
        """The part of the configuration that this agent may see."""
        return self.agents.tenants.of_agent(agent_id)

    def slot_taken(self, agent_id: str) -> bool:
        """Whether a transferred call waits for this agent or is on its way to them."""
        agent = self.agents.by_id.get(agent_id)
        return bool(agent and agent.waiting) or self.store.has_transfer_to(agent_id)

    def add_party(self, transfer_id: str, typed: str, now: float) -> Outcome:
        """Call a fourth party. Raises `UnknownTransfer`, `Refused` or `WrongState`."""
        session = self.record(transfer_id).session
        permission = parties.check_party(session, typed, self.group_now(session), self.world)
        return parties.add(self.store, session, permission, now, self.factory.new_secret())

    def drop_party(self, transfer_id: str, party: str, now: float) -> Outcome:
        """Raises `UnknownTransfer`, `UnknownParty` or `WrongState`."""
        return parties.drop(self.store, self.record(transfer_id).session, party, now)

    # --- facts -------------------------------------------------------------------------------

    def fact(self, fact: ev.Fact, now: float) -> Outcome:
        """Process a fact that an adapter reported."""
        outcome = Outcome()
        match fact:
            case ev.ChannelSeen():
                self.calls.update(fact)
            case ev.ChannelGone():
                self.store.leg_ended(fact.id)
                self._channels.gone(fact.id, now, outcome)
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
                if self.calls.set_group(fact.channel, fact.group):
                    self._call_changed(fact.channel, outcome)
            case ev.StasisEntered():
                self._channels.stasis_entered(fact.channel, now, outcome)
            case ev.StasisLeft():
                self._channels.stasis_left(fact.channel, now, outcome)
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
                    # AMI reports the former, ARI the latter; either may come first.
                    self._channels.set_group_of_queued_caller(fact.channel)
                self._queues.fact(fact, now, outcome)
        if self._syncing:
            # The state is incomplete: panels would show calls without callers.
            self._changed_while_syncing |= outcome.agents
            outcome.agents.clear()
        return outcome

    def report(self, session_id: str, event: SessionEvent, now: float) -> Outcome:
        """Process the outcome of an effect, or the expiry of a timer."""
        outcome = Outcome()
        record = self.store.records.get(session_id)
        if event.kind is EventType.LEG_FAILED and record is not None:
            self.store.leg_ended(record.session.local_far_end)
        self.store.apply(session_id, event, now, outcome)
        return outcome

    # --- reload ------------------------------------------------------------------------------

    def reconfigure(self, world: World, now: float) -> Outcome:
        """Use the configuration ``world`` for every decision from now on.

        Running transfers continue: a held caller stays on hold, a ringing target keeps ringing, and
        a consultation can still be completed, cancelled, or left by either side. ``world`` must
        allow whatever a running transfer begins from now on (`group_now`).

        A resync must follow, to read the members of queues that ``world`` adds.
        """
        self.world = world
        self._reconfigured = True
        self.agents.reconfigure(world)
        # Names and groups may have changed, and what may be asked of a transfer.
        running = [session.id for session in self.store.sessions()]
        outcome = Outcome(agents=set(self.agents.by_id), transfers=running)
        for agent in self.agents.by_id.values():
            self._member_changed(agent, now, outcome)
        return outcome

    def group_now(self, session: Session) -> Group:
        """The group of a running transfer as now configured; it decides what may begin.

        ``session.allow`` keeps the group as it was when the transfer was requested, because
        whatever began under those settings (a paused recording, for example) must end under them.
        """
        group = self.world.groups.get(session.group)
        # A group that is no longer configured allows nothing.
        return group or replace(session.permission.group, features=Features(session_transfer=False))

    def _with_current_permission(self, session: Session) -> Session:
        """The session, with ``may_detach`` as the current settings have it.

        They can differ from those at the time of the decision: after a reload, and where an
        earlier daemon took the decision. Whether the target may still be reached is checked only
        after a reload: after a start, some agents may not be known yet.
        """
        permission, target = session.permission, session.target
        if session.mode is not Mode.SUPERVISED or permission.agent is None or target is None:
            return session
        request = TransferRequest(session.agent, Mode.UNSUPERVISED, target)
        group = self.group_now(session)
        may = policy.permitted(group.features, request.mode, target.kind)
        if self._reconfigured:
            may = may and policy.may_be_target(request, group, self.agents)
        if may is permission.may_detach:
            return session
        return replace(session, permission=replace(permission, may_detach=may))

    # --- resync ------------------------------------------------------------------------------

    def sync_started(self) -> None:
        """Forget the state of Asterisk; a resync is about to report all of it."""
        self._syncing = True
        self.calls.clear()
        self.agents.clear()

    def sync_finished(self, now: float) -> Outcome:
        """The resync has reported everything; what is missing no longer exists."""
        self._syncing = False
        self.store.retain_legs(self.calls.channels.__contains__)
        outcome = Outcome()
        outcome.agents |= self._changed_while_syncing
        self._changed_while_syncing.clear()
        for agent in self.agents.by_id.values():
            self._refresh(agent, now, outcome)
        outcome.effects.extend((None, effect) for effect in self._personal_queues.mirror_all())
        return outcome

    # --- views that have changed -------------------------------------------------------------

    def _member_changed(self, agent: Agent | None, now: float, outcome: Outcome) -> None:
        if agent is None or self._syncing:
            return  # incomplete state would remove members from queues
        outcome.effects.extend((None, effect) for effect in self._personal_queues.mirror(agent))
        self._refresh(agent, now, outcome)

    def _refresh(self, agent: Agent, now: float, outcome: Outcome) -> None:
        if self.agents.refresh(agent, now):
            outcome.agents.add(agent.id)

    def _call_changed(self, channel_id: str, outcome: Outcome) -> None:
        for channel in self.calls.in_same_bridge(channel_id):
            _changed(self.agents.of_channel(channel.name), outcome)


def _changed(agent: Agent | None, outcome: Outcome) -> None:
    if agent is not None:
        outcome.agents.add(agent.id)
