"""Which agent has which screen pop, and the notifications that follow.

A pop belongs to a call, identified by the caller's channel; the agent who has the call has the pop.
The board does not follow transfers step by step. After every change it derives from the state of
calls and sessions which agents should have a pop, and reports the difference from what it has
reported before.

* *offered*: app_queue rings an agent for the caller; *withdrawn* if they do not get the call.
* *delivered*: the agent talks to the caller, or is the transferor of a running transfer of the
  call. It is never withdrawn, since the agent may need it in after-call work.

A consult leg is not the caller, so the target of a supervised transfer gets the pop only when the
transfer completes, and never if it is cancelled. The same holds in a conference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import group_of_call, told_of
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.pbx.channel import Call, Channel, resource_of_interface
from asterisk_avp.core.pops import rings_elsewhere
from asterisk_avp.core.pops.content import as_told, ordered, shape
from asterisk_avp.core.pops.ledger import Ledger, Pop, is_completed_conference
from asterisk_avp.core.pops.notifications import Notified, PopNotification, essence
from asterisk_avp.core.pops.queued_calls import QueuedCalls, add, discard
from asterisk_avp.core.pops.url import fill
from asterisk_avp.core.transfer.session import Presence, Session, is_bridge, is_half

OFFERED, DELIVERED, WITHDRAWN = "offered", "delivered", "withdrawn"


class PopBoard:
    """``iso`` formats Unix seconds as the API does. ``keys``: the keys of a pop's data that come
    first.
    """

    def __init__(
        self, engine: TransferEngine, iso: Callable[[float], str], keys: Sequence[str] = ()
    ) -> None:
        self._engine = engine
        self._keys = tuple(keys)
        self.ledger = Ledger(iso)
        self._queued = QueuedCalls()
        self._completed_to: dict[str, str] = {}
        """Agent to the caller of a completed transfer whose fourth party still takes part. They are
        in a bridge of ours, where the agent's call is with our leg."""
        self._notified: dict[str, dict[str, Notified]] = {}
        """Agent to call to the last notification."""
        self._notified_agents: dict[str, set[str]] = {}
        """Call to the agents who were notified of it."""
        self._changed_agents: set[str] = set()
        self._ended_calls: set[str] = set()
        self._waiting_calls: set[str] = set()
        """Callers whom a resync found waiting in a queue."""
        self._syncing = False
        self._started = False

    # --- facts -------------------------------------------------------------------------------

    def observe(self, fact: ev.Fact, now: float) -> None:
        """Note a fact. Call it before the engine processes the fact."""
        self._changed_agents |= rings_elsewhere.observe(self._engine, self._queued, fact)
        match fact:
            case ev.AgentRung():
                agent = self._agent_of(fact.interface)
                if agent is not None and not self._is_hidden(fact.channel):
                    # The call has left its earlier queue.
                    self._changed_agents |= self._queued.drop_connected(fact.channel)
                    self._queued.ring(agent, fact.channel)
                    self._changed_agents.add(agent)
            case ev.AgentUnanswered() | ev.AgentRingEnded():
                self._changed_agents |= self._queued.stop_ringing(
                    fact.channel, self._agent_of(fact.interface)
                )
            case ev.AgentConnected():
                self._changed_agents |= self._queued.stop_ringing(fact.channel)
                agent = self._agent_of(fact.interface)
                if agent is not None and not self._is_hidden(fact.channel):
                    self._queued.connect(agent, fact.channel)
                    self._changed_agents.add(agent)
            case ev.QueueJoined():
                self._queue_joined(fact, now)
            case ev.QueueLeft():
                # Ringing agents are kept: app_queue reports this before it reports the answer.
                self.ledger.stop_waiting(fact.channel, now)
            case ev.QueueEnded():
                self._changed_agents |= self._queued.stop_ringing(fact.channel)
            case ev.ChannelGone():
                self._changed_agents |= self._queued.stop_ringing(fact.id)
                self._changed_agents |= self._queued.drop_connected(fact.id)
                if fact.id in self.ledger.pops:
                    self._ended_calls.add(fact.id)
                    self._changed_agents |= self.holders(fact.id)
            case ev.ChannelSeen():  # ARI may report it after AMI has reported that it rings
                self._changed_agents |= self._queued.agents_of(fact.id)

    @property
    def has_pending(self) -> bool:
        """Whether `refresh` or a write is due although no agent has changed."""
        return bool(self._changed_agents or self._ended_calls or self.ledger.unwritten_calls)

    def presentation_is_read(self, call: str) -> bool:
        """Whether it is read with the call's group in this bridge (`service.call_groups`)."""
        channel = self._engine.calls.channels.get(call)
        return channel is not None and channel.group_is_read

    def sync_started(self) -> None:
        self._syncing = True
        self._waiting_calls.clear()

    def sync_finished(self, now: float) -> None:
        """The state is complete again: account for what happened unreported."""
        self._syncing = False
        waiting = self._waiting_calls | rings_elsewhere.waiting(self._engine)
        self._changed_agents |= self._queued.resynced(waiting)
        self._ended_calls |= self.ledger.pops.keys() - self._engine.calls.channels.keys()
        self.ledger.resynced(self._waiting_calls, now)
        self._changed_agents |= self._engine.agents.by_id.keys() | self._notified.keys()

    # --- notifications -----------------------------------------------------------------------

    def refresh(
        self, agents: Iterable[str], transfers: Iterable[str], now: float
    ) -> tuple[list[PopNotification], list[str]]:
        """The notifications that are due, and the calls whose variables must be read first.

        ``agents`` and ``transfers``: those that have changed.
        """
        for transfer in transfers:
            record = self._engine.store.records.get(transfer)
            if record is not None:
                self._note_transfer(record.session, now)
        if self._syncing:
            return [], []
        changed = self._changed_agents | set(agents)
        if not (changed or self._ended_calls):
            return [], []
        self._changed_agents.clear()
        notifications: list[PopNotification] = []
        to_read: list[str] = []
        for agent in sorted(changed):
            notifications += self._refresh_agent(agent, now, to_read)
        # Look up each: subtracting the dictionary's keys would iterate over all channels.
        for call in self._ended_calls:
            if call not in self._engine.calls.channels:
                self.ledger.forget(call)
        self._ended_calls.clear()
        return notifications, to_read

    def started(self) -> None:
        """End of the start: notify agents of every change from now on."""
        self._started = True

    def shown(self, agent: str, call: str, now: float) -> dict[str, Any]:
        """The pop of an agent's call; empty: none."""
        there = self._engine.elsewhere.call_of(call)
        if there is not None:  # another node tells it
            told = self._engine.elsewhere.told.pop_of(agent, (there.anchor, there.anchor_call))
            return {**told, "id": call} if told else {}
        channel = self._engine.calls.channels.get(call)
        pop = self.ledger.pops.get(call)
        if channel is None or pop is None or not self._has_pop(channel):
            return {}
        return self._shape(agent, channel, pop, now)

    def offered(self, agent: str | None = None) -> list[PopNotification]:
        """The pops that are offered now, to this agent or to all."""
        return [
            PopNotification(rung, notified.state, notified.pop)
            for rung, calls in self._notified.items()
            if agent in (None, rung)
            for notified in calls.values()
            if notified.state == OFFERED
        ]

    def notified(self, call: str, now: float) -> list[PopNotification]:
        """Who was notified of the call's pop, in which state, and what they have of it now."""
        pops = {x: self.shown(x, call, now) for x in self._notified_agents.get(call, ())}
        last = self._notified
        return [PopNotification(x, last[x][call].state, pop) for x, pop in pops.items() if pop]

    def holders(self, call: str) -> set[str]:
        """The agents for whom the call's pop may matter now."""
        found = self._queued.agents_of(call) | self._notified_agents.get(call, set())
        partner = self._engine.calls.partner_of(call)
        for channel in (*self._engine.calls.in_same_bridge(call), *((partner,) if partner else ())):
            agent = self._engine.agents.of_channel(channel.name)
            trunk = self._engine.elsewhere.trunks.agent_of(channel.id)
            found |= {agent.id if agent is not None else trunk} - {""}
        role = self._engine.store.role_of(call)
        if role is not None:
            found |= {role[0].agent, role[0].permission.agent or role[0].agent}
        return found

    def _refresh_agent(self, agent: str, now: float, to_read: list[str]) -> list[PopNotification]:
        notified = self._notified.setdefault(agent, {})
        current = self._current_pops(agent)
        notifications = []
        for call in notified.keys() - current.keys():
            if notified[call].state == DELIVERED and call in self._engine.calls.channels:
                continue  # between two bridges; it may return to the same agent
            before = notified.pop(call)
            discard(self._notified_agents, call, agent)
            if before.state == OFFERED and not before.silently:
                notifications.append(PopNotification(agent, WITHDRAWN, before.pop))
        for call, state in current.items():
            channel = self._engine.calls.channels.get(call)
            if channel is None:
                continue
            pop = self.ledger.open(call)
            place = channel.bridge or f"queue {pop.queued}"
            moves = channel.bridge is None and pop.waits_since is None and state == DELIVERED
            if moves or self._is_between(channel):
                place = pop.read_in or place
            if pop.read_in != place:
                # Once in each bridge and each queue: the dialplan in between may change it.
                pop.read_in = place
                to_read.append(call)
            last = notified.get(call)
            same = last is not None and last.state == state
            silently = not self._started or (last is not None and same and last.silently)
            # The notification follows as soon as the call's variables have been read.
            known = pop.unreadable or (pop.known and channel.caller.known)
            if not silently and not (known and self._has_pop(channel)):
                continue
            shown = self._shape(agent, channel, pop, now)
            if last is None or not same or essence(last.pop) != essence(shown):
                self._release_former_holders(call)
                notified[call] = Notified(state, shown, silently)
                add(self._notified_agents, call, agent)
                if not silently:
                    notifications.append(PopNotification(agent, state, shown))
        if not notified:
            del self._notified[agent]
        return notifications

    def _is_hidden(self, channel: str) -> bool:
        """Whether it is no caller's, or a caller of whom another node's board tells."""
        return is_half(channel) or self._engine.elsewhere.call_of(channel) is not None

    def _is_between(self, channel: Channel) -> bool:
        """Whether it is in a bridge of a transfer, or on the way into one of its target's."""
        held = is_bridge(channel.bridge or "")
        return held or self._engine.calls.partner_of(channel.id) is not None

    def _release_former_holders(self, call: str) -> None:
        """An agent gets the call: former holders are notified again if it returns to them."""
        for agent in tuple(self._notified_agents.get(call, ())):
            notified = self._notified[agent][call]
            if notified.state == DELIVERED and call not in self._current_pops(agent):
                del self._notified[agent][call]
                discard(self._notified_agents, call, agent)

    def _current_pops(self, agent_id: str) -> dict[str, str]:
        """The calls whose pops the agent should have now, each with its state."""
        agent = self._engine.agents.by_id.get(agent_id)
        if agent is None:
            return {}
        current = dict.fromkeys(sorted(self._queued.ringing_for(agent_id)), OFFERED)
        for call in self._engine.calls_of(agent):
            if not self._is_hidden(call.caller_channel):
                current[call.caller_channel] = DELIVERED
                if self._queued.connected_to(agent_id) == call.caller_channel:
                    self._queued.forget_connected(agent_id)
        connected = self._queued.connected_to(agent_id)
        if connected is not None:
            current[connected] = DELIVERED
        record = self._engine.store.transferring(agent_id)
        if record is not None:
            current[record.session.caller.channel] = DELIVERED
        if agent_id in self._completed_to:
            current[self._completed_to[agent_id]] = DELIVERED
        return current

    def _has_pop(self, channel: Channel) -> bool:
        """Whether a channel has a pop: a queue's caller always, others only if data was set.

        An agent's phone never has one.
        """
        if channel.queue is not None:
            return True
        if self._engine.agents.of_channel(channel.name) is not None:
            return False  # its variables are inherited from the caller at its other end
        pop = self.ledger.pops.get(channel.id)
        return pop is not None and bool(pop.data or pop.transfers or pop.queued)

    def _shape(self, agent: str, channel: Channel, pop: Pop, now: float) -> dict[str, Any]:
        caller, queue = channel.caller, channel.queue
        call = Call("", channel.id, caller, queue, on_hold=False, group=channel.group)
        scope = self._engine.agents.tenants.of_agent(agent)
        group = group_of_call(self._engine.agents, agent, call)
        if group is not None and not scope.group(group.id):
            group = None  # the group of another client
        group_id = group.id if group is not None else None
        told = told_of(caller, group)
        data = as_told(pop.data, caller, told)
        known = {"caller_number": told.number, "caller_name": told.name, "group": group_id}
        return shape(
            channel.id,
            ordered(data, self._keys),
            caller=told,
            country=group.features.country if group is not None else None,
            group=group_id,
            waited_seconds=pop.waited_seconds(now),
            transfers=tuple(
                past if scope.agent(past.agent) else past.without_agent() for past in pop.transfers
            ),
            url=fill(group.pop_url, data, {"id": channel.id, **known})
            if group is not None
            else None,
        )

    # --- transfers, queues and rings ---------------------------------------------------------

    def _note_transfer(self, session: Session, now: float) -> None:
        if session.caller.channel in self._engine.calls.channels:
            self.ledger.note_transfer(session, now)
            self._note_completed(session)

    def _note_completed(self, session: Session) -> None:
        call, asked = session.caller.channel, [(session.permission.agent, session.leg)]
        if session.fourth is not None:
            asked.append((session.fourth.permission.agent, session.fourth.party))
        there = session.caller.presence is Presence.PRESENT and is_completed_conference(session)
        have = {
            agent
            for agent, leg in asked
            if there and agent is not None and leg.presence is Presence.PRESENT
        }
        had = {agent for agent, of in self._completed_to.items() if of == call}
        self._completed_to |= dict.fromkeys(have, call)
        for agent in had - have:
            del self._completed_to[agent]
        self._changed_agents |= have | had

    def _queue_joined(self, fact: ev.QueueJoined, now: float) -> None:
        if self._is_hidden(fact.channel):
            return
        self.ledger.joined(fact, now, again=self._syncing)
        if self._syncing:
            self._waiting_calls.add(fact.channel)

    def _agent_of(self, interface: str) -> str | None:
        agent = self._engine.agents.of_channel(resource_of_interface(interface))
        return agent.id if agent is not None else None
