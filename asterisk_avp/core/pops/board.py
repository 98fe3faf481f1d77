"""Who has which screen pop, and who is to be told so.

A pop belongs to a call, known by the caller's channel, and whoever has the call has the pop. So
nothing here follows transfers step by step: after every change it is worked out from the picture
of calls and sessions who is to have a pop now, and what differs from what was told is told.

* *offered*: app_queue rings an agent for the caller. Withdrawn, if they do not get the call.
* *delivered*: the agent has the caller on the line, or is agent 1 of a running transfer of them.
  Nothing takes that back; the agent may need it in after-call work.

A consult leg is not the caller, so the target of a supervised transfer has nothing until the
caller is with them: at completion, and never if it is cancelled. In a conference the target waits
for completion as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import group_of_call
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.pbx.calls import Call, Channel, resource_of_interface
from asterisk_avp.core.pops.content import shape
from asterisk_avp.core.pops.ledger import Ledger, Pop, given
from asterisk_avp.core.pops.url import fill
from asterisk_avp.core.transfer.session import Presence, Session, is_half

OFFERED, DELIVERED, WITHDRAWN = "offered", "delivered", "withdrawn"

Shown = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    state: str
    pop: Shown
    silently: bool = False
    """It was found when the daemon started: whoever has it was told by another one."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Something to tell: ``agent`` has been offered, given or is no longer offered ``pop``."""

    agent: str
    state: str
    pop: Shown


class PopBoard:
    """``iso`` writes Unix seconds as the API does."""

    def __init__(self, engine: TransferEngine, iso: Callable[[float], str]) -> None:
        self._engine = engine
        self.ledger = Ledger(iso)
        self._rings: dict[str, set[str]] = {}
        """By agent: the callers that app_queue rings them for."""
        self._rung_by: dict[str, set[str]] = {}
        """The other way round: by caller, the agents that are rung."""
        self._connected: dict[str, str] = {}
        """By agent: the caller app_queue gave them, until the two are in a bridge."""
        self._connected_to: dict[str, set[str]] = {}
        """The other way round."""
        self._given: dict[str, str] = {}
        """By agent: the caller whose transfer to them agent 1 has completed, while a fourth party
        stays with the two. They are in a bridge of ours, where the agent's call is with our leg."""
        self._told: dict[str, dict[str, Told]] = {}
        self._told_of: dict[str, set[str]] = {}
        """By call: the agents who have been told of it."""
        self._touched: set[str] = set()
        self._gone: set[str] = set()
        self._joined: set[str] = set()
        """Callers that a resync found waiting."""
        self._syncing = False
        self._started = False

    # --- what happens ------------------------------------------------------------------------

    def saw(self, fact: ev.Fact, now: float) -> None:
        """Before the hub takes the fact in, while it still knows whom it concerns."""
        match fact:
            case ev.AgentRung():
                agent = self._agent_of(fact.interface)
                if agent is not None and not _ours(fact.channel):
                    self._not_connected(fact.channel)  # the queue before has let go of it
                    _put(self._rings, agent, fact.channel)
                    _put(self._rung_by, fact.channel, agent)
                    self._touched.add(agent)
            case ev.AgentUnanswered() | ev.AgentRingEnded():
                self._stop_ringing(fact.channel, self._agent_of(fact.interface))
            case ev.AgentConnected():
                self._stop_ringing(fact.channel)
                agent = self._agent_of(fact.interface)
                if agent is not None and not _ours(fact.channel):
                    self._forget_connected(agent)
                    self._connected[agent] = fact.channel
                    _put(self._connected_to, fact.channel, agent)
                    self._touched.add(agent)
            case ev.QueueJoined():
                self._queue_joined(fact, now)
            case ev.QueueLeft():
                # Who rings is not asked here: app_queue tells this before it tells who answered.
                self.ledger.stop_waiting(fact.channel, now)
            case ev.QueueEnded():
                self._stop_ringing(fact.channel)
            case ev.ChannelGone():
                self._stop_ringing(fact.id)
                self._not_connected(fact.id)
                if fact.id in self.ledger.pops:
                    self._gone.add(fact.id)
                    self._touched |= self.holders(fact.id)
            case _:
                pass

    @property
    def stirred(self) -> bool:
        """Whether something is to be settled, or written, although no agent has changed."""
        return bool(self._touched or self._gone or self.ledger.unwritten_calls)

    def sync_started(self) -> None:
        self._syncing = True
        self._joined.clear()

    def sync_finished(self, now: float) -> None:
        """The picture is whole again: what nobody told meanwhile shows now."""
        self._syncing = False
        for call in self._rung_by.keys() - self._joined:
            self._stop_ringing(call)
        self._connected.clear()
        self._connected_to.clear()
        self._gone |= self.ledger.pops.keys() - self._engine.calls.channels.keys()
        self.ledger.heard_again(self._joined, now)
        self._touched |= self._engine.agents.by_id.keys() | self._told.keys()

    # --- what follows ------------------------------------------------------------------------

    def settle(
        self, agents: Iterable[str], transfers: Iterable[str], now: float
    ) -> tuple[list[Telling], list[str]]:
        """What is to be told now, and the calls whose variables are to be read first.

        ``agents`` and ``transfers`` are those that have changed.
        """
        for transfer in transfers:
            record = self._engine.store.records.get(transfer)
            if record is not None:
                self._note_transfer(record.session, now)
        if self._syncing:
            return [], []
        touched = self._touched | set(agents)
        if not (touched or self._gone):
            return [], []
        self._touched.clear()
        told: list[Telling] = []
        to_read: list[str] = []
        for agent in sorted(touched):
            told += self._settle_agent(agent, now, to_read)
        # Each of them is looked up: a set less a dictionary's keys would look at all channels.
        for call in self._gone:
            if call not in self._engine.calls.channels:
                self.ledger.forget(call)
        self._gone.clear()
        return told, to_read

    def started(self) -> None:
        """From now on what is found is news, and is told."""
        self._started = True

    def shown(self, agent: str, call: str, now: float) -> dict[str, Any]:
        """The pop of an agent's call; empty where the call has none."""
        channel = self._engine.calls.channels.get(call)
        pop = self.ledger.pops.get(call)
        if channel is None or pop is None or not self._pops_up(channel):
            return {}
        return self._shape(agent, channel, pop, now)

    def holders(self, call: str) -> set[str]:
        """Agents for whom the call's pop may be of use now."""
        found = {
            agent
            for index in (self._rung_by, self._connected_to, self._told_of)
            for agent in index.get(call, ())
        }
        for channel in self._engine.calls.around(call):
            agent = self._engine.agents.of_channel(channel.name)
            if agent is not None:
                found.add(agent.id)
        role = self._engine.store.role_of(call)
        if role is not None:
            found |= {role[0].agent, role[0].allow.agent or role[0].agent}
        return found

    def _settle_agent(self, agent: str, now: float, to_read: list[str]) -> list[Telling]:
        told = self._told.setdefault(agent, {})
        wanted = self._wanted(agent)
        tellings = []
        for call in told.keys() - wanted.keys():
            if told[call].state == DELIVERED and call in self._engine.calls.channels:
                continue  # on its way from one bridge to another, maybe back to the same agent
            before = told.pop(call)
            _take(self._told_of, call, agent)
            if before.state == OFFERED and not before.silently:
                tellings.append(Telling(agent, WITHDRAWN, before.pop))
        for call, state in wanted.items():
            channel = self._engine.calls.channels.get(call)
            if channel is None:
                continue
            pop = self.ledger.open(call)
            place = channel.bridge or f"queue {pop.queued}"
            if pop.read_in != place:
                # Once in each bridge and each queue: on the way the dialplan may have set another.
                pop.read_in = place
                to_read.append(call)
            had = told.get(call)
            same = had is not None and had.state == state
            silently = not self._started or (had is not None and same and had.silently)
            # A call that nothing is known of yet is told of as soon as it has been read.
            if not silently and not (pop.known and self._pops_up(channel)):
                continue
            shown = self._shape(agent, channel, pop, now)
            if had is None or not same or had.pop["data"] != shown["data"]:
                self._let_go(call)
                told[call] = Told(state, shown, silently)
                _put(self._told_of, call, agent)
                if not silently:
                    tellings.append(Telling(agent, state, shown))
        if not told:
            del self._told[agent]
        return tellings

    def _let_go(self, call: str) -> None:
        """Somebody gets the call; if those who have had it get it again, that is news."""
        for agent in tuple(self._told_of.get(call, ())):
            told = self._told[agent][call]
            if told.state == DELIVERED and call not in self._wanted(agent):
                del self._told[agent][call]
                _take(self._told_of, call, agent)

    def _wanted(self, agent_id: str) -> dict[str, str]:
        """The calls whose pops the agent is to have now, and how."""
        agent = self._engine.agents.by_id.get(agent_id)
        if agent is None:
            return {}
        wanted = dict.fromkeys(sorted(self._rings.get(agent_id, ())), OFFERED)
        for call in self._engine.calls_of(agent):
            if not _ours(call.caller_channel):
                wanted[call.caller_channel] = DELIVERED
                if self._connected.get(agent_id) == call.caller_channel:
                    self._forget_connected(agent_id)
        if agent_id in self._connected:
            wanted[self._connected[agent_id]] = DELIVERED
        record = self._engine.store.transferring(agent_id)
        if record is not None:
            wanted[record.session.caller.channel] = DELIVERED
        if agent_id in self._given:
            wanted[self._given[agent_id]] = DELIVERED
        return wanted

    def _pops_up(self, channel: Channel) -> bool:
        """A call by a queue always; others where somebody set something, but no agent's phone."""
        if channel.queue is not None:
            return True
        if self._engine.agents.of_channel(channel.name) is not None:
            return False  # it has inherited what belongs to the caller at its other end
        pop = self.ledger.pops.get(channel.id)
        return pop is not None and bool(pop.data or pop.transfers or pop.queued)

    def _shape(self, agent: str, channel: Channel, pop: Pop, now: float) -> dict[str, Any]:
        number, name = channel.caller_number, channel.caller_name
        call = Call("", channel.id, number, name, channel.queue, on_hold=False, group=channel.group)
        scope = self._engine.agents.tenants.of_agent(agent)
        group = group_of_call(self._engine.agents, agent, call)
        if group is not None and not scope.group(group.id):
            group = None  # another client's, whose call it was
        group_id = group.id if group is not None else None
        own = {"id": channel.id, "caller_number": number, "caller_name": name, "group": group_id}
        return shape(
            channel.id,
            pop.data,
            number=number,
            name=name,
            group=group_id,
            waited_seconds=pop.waited_seconds(now),
            transfers=tuple(
                moved if scope.agent(moved.agent) else moved.by_nobody() for moved in pop.transfers
            ),
            url=fill(group.pop_url, pop.data, own) if group is not None else None,
        )

    # --- transfers, queues and rings ---------------------------------------------------------

    def _note_transfer(self, session: Session, now: float) -> None:
        if session.caller.channel in self._engine.calls.channels:
            self.ledger.note_transfer(session, now)
            self._note_given(session)

    def _note_given(self, session: Session) -> None:
        agent, call = session.allow.agent, session.caller.channel
        if agent is None:
            return
        if given(session) and all(
            p.presence is Presence.PRESENT for p in (session.leg, session.caller)
        ):
            self._given[agent] = call
            self._touched.add(agent)
        elif self._given.get(agent) == call:
            del self._given[agent]
            self._touched.add(agent)

    def _queue_joined(self, fact: ev.QueueJoined, now: float) -> None:
        if _ours(fact.channel):
            return
        self.ledger.joined(fact, now, again=self._syncing)
        if self._syncing:
            self._joined.add(fact.channel)

    def _stop_ringing(self, call: str, agent: str | None = None) -> None:
        ringing = self._rung_by.get(call, set())
        for rung in tuple(ringing) if agent is None else {agent} & ringing:
            _take(self._rings, rung, call)
            _take(self._rung_by, call, rung)
            self._touched.add(rung)

    def _not_connected(self, call: str) -> None:
        for agent in tuple(self._connected_to.get(call, ())):
            self._forget_connected(agent)
            self._touched.add(agent)

    def _forget_connected(self, agent: str) -> None:
        call = self._connected.pop(agent, None)
        if call is not None:
            _take(self._connected_to, call, agent)

    def _agent_of(self, interface: str) -> str | None:
        agent = self._engine.agents.of_channel(resource_of_interface(interface))
        return agent.id if agent is not None else None


def _put(index: dict[str, set[str]], key: str, value: str) -> None:
    index.setdefault(key, set()).add(value)


def _take(index: dict[str, set[str]], key: str, value: str) -> None:
    """No empty sets are left behind."""
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]


def _ours(channel: str) -> bool:
    """A half of a leg of ours, which is not the caller, whatever it has inherited from them."""
    return is_half(channel)
