"""The transfer engine: facts and requests in, effects and changed views out. Pure.

The engine keeps the state of channels (`Calls`), agents (`Agents`) and sessions (`SessionStore`),
and maps each fact to the session it concerns.
"""

from __future__ import annotations

from collections.abc import Callable

from asterisk_avp.core.engine import commands, parties
from asterisk_avp.core.engine.by_others import ByOthers
from asterisk_avp.core.engine.channel_events import ChannelEventHandler
from asterisk_avp.core.engine.current import CurrentSettings
from asterisk_avp.core.engine.early_media import EarlyMedia
from asterisk_avp.core.engine.elsewhere import Elsewhere
from asterisk_avp.core.engine.groups import WaitingCallers
from asterisk_avp.core.engine.hold_keys import HoldKeys
from asterisk_avp.core.engine.made_calls import MadeCalls
from asterisk_avp.core.engine.queue_events import QueueEventHandler
from asterisk_avp.core.engine.record import Record
from asterisk_avp.core.engine.requests import (
    CallVariables,
    SessionFactory,
    group_of_call,
    in_transfer,
)
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.engine.wanted import personal_queues
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import UnknownAgent, UnknownTransfer
from asterisk_avp.core.model.tenants import Scope
from asterisk_avp.core.model.world import (
    AgentState,
    CallerOutcome,
    Group,
    Target,
    TransferRequest,
    World,
)
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.pbx.channel import Call
from asterisk_avp.core.pbx.extended_acw import restored, settled
from asterisk_avp.core.pbx.renewal import Placeholders
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session, is_bridge, shown_id


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
        self.calls = Calls(ours=is_bridge)
        self.agents = Agents(world)
        self._current = CurrentSettings(world, self.agents)
        self.store = SessionStore(
            self._current.session, lambda channel: channel in self.calls.channels, self._agent_of
        )
        self.waiting, self.elsewhere = WaitingCallers(), Elsewhere()
        self.personal_queues = personal_queues(self.agents, self.store, self.elsewhere.slots.taken)
        self._hold_keys = HoldKeys(self.calls, self.store, self._call_changed)
        self.made_calls = MadeCalls(self.calls, self.agents, self.store)
        self.factory = SessionFactory(
            self.agents, new_id, new_secret, ring_outside_seconds, orphan_seconds
        )
        self._syncing = False
        self._changed_while_syncing: set[str] = set()
        """Agents whose views changed during a resync; reported when it is over."""
        self._placeholders = Placeholders()
        self.early_media = early = EarlyMedia(self.store)
        self._queues = QueueEventHandler(
            *(self.agents, self.store, ring_seconds, self.made_calls.answered, early),
            self.elsewhere.cut,
        )
        self.remote_calls = self._queues.remote
        self.by_others = ByOthers(self.calls, self.agents, self.store, self._call_changed)
        self._channels = ChannelEventHandler(
            self.calls, self.store, self._queues, self.by_others.departures, early
        )

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
        interfaces = self.made_calls.interfaces_of(agent)
        return self.calls.of_agent(interfaces, self.elsewhere.channels_of(agent))

    def channels_of(self, agent: Agent) -> list[str]:
        return self.calls.channels_of(self.made_calls.interfaces_of(agent))

    def request(
        self, request: TransferRequest, facts: CallVariables, now: float
    ) -> tuple[Session, Outcome]:
        """Decide and begin. Raises `UnknownAgent` or `Refused`, with no effect in either case."""
        call = self.call_of(request.agent, request.call)
        taken = self.slot_taken(request.target.value)
        known = self.decision_context(request.agent, call, slot_taken=taken)
        permission = policy.decide(request, known, self.agents, self.world)
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
        session = self._current.session(self.record(transfer_id).session)
        commands.check(session, kind, self.group_now(session), self._current.obstacle(session))
        outcome = Outcome()
        self.store.apply(transfer_id, SessionEvent(kind), now, outcome)
        return outcome

    def actions(self, session: Session) -> tuple[str, ...]:
        """What the transferor may ask of this transfer now (`commands.offered`)."""
        if session.state.final:
            return ()
        current = self._current.session(session)
        return commands.offered(current, self.group_now(session))

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
        known = self.elsewhere.slot_taken(agent)
        return known or self.store.index.has_transfer_to(agent_id)

    def add_party(self, transfer_id: str, wanted: Target, now: float) -> Outcome:
        """Call a fourth party: a number or an agent.

        Raises `UnknownTransfer`, `Refused` or `WrongState`.
        """
        session = self.record(transfer_id).session
        permission = parties.check_party(
            session,
            wanted,
            self.group_now(session),
            self.agents,
            self.world,
            slot_taken=self.slot_taken(wanted.value),
        )
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
                self.store.leg_ended(fact.id, outcome)
                self._channels.ended(fact.id, now, outcome)
                self.store.aftermath.gone(fact.id, outcome, CallerOutcome.HUNG_UP)
                self._call_changed(fact.id, outcome)
                self.calls.gone(fact.id)
            case ev.HangUpAsked() | ev.ChannelLocated() | ev.KeyPressed() | ev.CallerAsked():
                self.by_others.fact(fact, now, outcome)
            case ev.BridgeEntered():
                self.calls.enter(fact.channel, fact.bridge)
                self._call_changed(fact.channel, outcome)
                self._hold_keys.moved(fact.bridge, outcome)
            case ev.BridgeLeft():
                self._call_changed(fact.channel, outcome)
                self.calls.leave(fact.channel, fact.bridge)
                self._hold_keys.moved(fact.bridge, outcome)
            case ev.HoldChanged():
                self._hold_keys.pressed(fact, now, outcome, note=not self._syncing)
            case ev.CallGroup() | ev.CallerPresentation():
                if self._channels.variable_read(fact, outcome):
                    self._call_changed(fact.channel, outcome)
            case ev.StasisEntered():
                self._channels.stasis_entered(fact.channel, now, outcome)
                self.made_calls.leg_answered(fact.channel, outcome)
            case ev.StasisLeft():
                self._channels.stasis_left(fact.channel, now, outcome)
            case ev.MemberSeen() if not self._placeholders.seen(fact):
                self.member_changed(self.agents.member_seen(fact), now, outcome)
            case ev.QueueWaiting():
                others = self.remote_calls.waiting(fact.queue)
                self.waiting.update(self.agents.group_of_queue(fact.queue), fact, others)
            case ev.MemberRemoved():
                agent = self.agents.member_removed(fact.queue, fact.interface)
                self.member_changed(agent, now, outcome)
            case ev.AgentCompleted():
                self.member_changed(self.agents.completed(fact), now, outcome)
            case ev.ClockTick():
                for agent in self.agents.acw_over(now):
                    self.member_changed(agent, now, outcome)
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
        if record is not None:
            session = record.session
            if event.kind is EventType.LEG_FAILED:
                self.store.leg_ended(session.local_far_end, outcome)
            if event.kind is EventType.FOURTH_FAILED and session.fourth is not None:
                self.store.leg_ended(session.fourth.other, outcome)
            event = self.by_others.after_bridge(session, event, outcome)
        self.store.apply(session_id, event, now, outcome)
        return outcome

    # --- reload ------------------------------------------------------------------------------

    def reconfigure(self, world: World, now: float) -> Outcome:
        """Use the configuration ``world`` for every decision from now on.

        Running transfers go on, and can still be completed, cancelled, or left by either side.
        ``world`` must allow whatever one of them begins from now on (`group_now`). A resync must
        follow, to read the members of queues that ``world`` adds.
        """
        self.world = world
        self._current.reconfigure(world)
        self.agents.reconfigure(world)
        self.waiting.retain(world.groups)
        # Names and groups may have changed, and what may be asked of a transfer.
        running = [session.id for session in self.store.sessions()]
        outcome = Outcome(agents=set(self.agents.by_id), transfers=running)
        for agent in self.agents.by_id.values():
            self.member_changed(agent, now, outcome)
        return outcome

    def group_now(self, session: Session) -> Group:
        """The group of a running transfer as now configured; it decides what may begin."""
        return self._current.group(session)

    # --- resync ------------------------------------------------------------------------------

    def sync_started(self) -> None:
        """Forget the state of Asterisk; a resync is about to report all of it."""
        self._syncing = True
        self._changed_while_syncing.update(filter(self.slot_taken, self.agents.by_id))
        self.calls.clear()
        self.agents.clear()
        self.remote_calls.sync_started()

    def sync_finished(self, now: float) -> Outcome:
        """The resync has reported everything; what is missing no longer exists."""
        self._syncing = False
        self.calls.resynced()
        self.store.index.retain_legs(self.calls.channels.__contains__)
        self.by_others.retain(self.calls.channels.__contains__)
        outcome = Outcome()
        self.remote_calls.sync_finished(self.calls.channels, outcome)
        self.store.aftermath.resynced(lambda caller: self.calls.channels[caller].bridge, outcome)
        outcome.agents |= self._changed_while_syncing
        self._changed_while_syncing.clear()
        for agent in self.agents.by_id.values():
            outcome.effects.extend((None, effect) for effect in restored(agent, now))
            self._refresh(agent, now, outcome, seen=False)
        outcome.effects.extend((None, effect) for effect in self.personal_queues.mirror_all(now))
        outcome.effects.extend((None, effect) for effect in self._placeholders.removed())
        return outcome

    # --- views that have changed -------------------------------------------------------------

    def member_changed(self, agent: Agent | None, now: float, outcome: Outcome) -> None:
        if agent is None or self._syncing:
            return  # incomplete state would remove members from queues
        unpauses, changes = settled(agent, now), self.personal_queues.mirror(agent, now)
        outcome.effects.extend((None, effect) for effect in (*changes, *unpauses))
        self._refresh(agent, now, outcome)

    def _refresh(self, agent: Agent, now: float, outcome: Outcome, *, seen: bool = True) -> None:
        before = agent.state is AgentState.OFFLINE, agent.last_pause[0]
        if self.agents.refresh(agent, now, seen=seen):
            outcome.agents.add(agent.id)
        if before != (agent.state is AgentState.OFFLINE, agent.paused):
            # What may be asked of transfers to this agent has changed.
            outcome.transfers += self.store.index.transfers_to(agent.id)

    def _agent_of(self, channel_id: str) -> str:
        """The agent whose phone's channel it is; empty: no agent's."""
        channel = self.calls.channels.get(channel_id)
        agent = self.agents.of_channel(channel.name) if channel is not None else None
        return agent.id if agent is not None else self.elsewhere.trunks.agent_of(channel_id)

    def _call_changed(self, channel_id: str, outcome: Outcome) -> None:
        for channel in self.calls.concerned(channel_id):
            outcome.agents |= {self._agent_of(channel.id)} - {""}
