"""What others do with the call of a transfer: take it, or hang up while we move it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from asterisk_avp.core.engine.departures import Departures
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.engine.whereabouts import Company, is_elsewhere, judged
from asterisk_avp.core.messages.effects import HangUp
from asterisk_avp.core.messages.facts import (
    CallerAsked,
    ChannelLocated,
    HangUpAsked,
    KeyPressed,
)
from asterisk_avp.core.model.world import TargetKind, personal_queue
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.transfer.events import TAKEN, EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session, bridged_pair
from asterisk_avp.core.transfer.spec import Deadline, Recovery


class ByOthers:
    def __init__(
        self,
        calls: Calls,
        agents: Agents,
        store: SessionStore,
        changed: Callable[[str, Outcome], None],
    ) -> None:
        """``changed``: notes that the call of a channel looks different to its agents now."""
        self._agents = agents
        self._changed = changed
        self._calls = calls
        self._store = store
        self.departures = Departures(calls, agents, store)
        self.hang_ups = self.departures.hang_ups

    def fact(
        self,
        fact: HangUpAsked | ChannelLocated | KeyPressed | CallerAsked,
        now: float,
        outcome: Outcome,
    ) -> None:
        match fact:
            case KeyPressed(channel):
                self._keyed(channel)
            case ChannelLocated():
                self._located(fact, now, outcome)
            case CallerAsked(caller):
                self.departures.settled(caller, now, outcome)
            case HangUpAsked(channel, soft) if channel in self._calls.channels:
                self.hang_ups.asked(channel, by_phone=not soft)

    def retain(self, alive: Callable[[str], bool]) -> None:
        """Keep only what a resync does not find out by itself."""
        self.hang_ups.retain(alive)
        self.departures.clear()

    # --- taken ---------------------------------------------------------------------------------

    def _located(self, fact: ChannelLocated, now: float, outcome: Outcome) -> None:
        """Asterisk has answered where a caller is."""
        event = self.judged(fact, now)
        if event is None:
            return
        if (session := self.session_of(fact.id)) is not None:
            # Who has left with the caller is with them, perhaps: nothing of ours ends their calls.
            along = replace(event, along=self.departures.along(fact.id))
            self._store.apply(session.id, along, now, outcome)
            waited_for = session.permission.agent
        else:
            record = self._store.aftermath.of(fact.id)
            self._store.aftermath.left(fact.id, outcome)
            waited_for = record.session.agent if record is not None else None
        self._changed(fact.id, outcome)
        self.departures.settled(fact.id, now, outcome)
        if waited_for is not None:
            # app_queue sends no event of a caller whom AMI Bridge takes from it.
            self._agents.waiting_left(personal_queue(waited_for), fact.id)
            outcome.agents |= {waited_for} & self._agents.by_id.keys()

    def follows(self, caller: str) -> bool:
        """Whether it matters where this channel is: of a transfer, or of the dialplan after one."""
        of_ended = self._store.aftermath.of(caller)
        return of_ended is not None or self.session_of(caller) is not None

    def callers(self, before: float) -> list[str]:
        """Those of transfers that have been in their states since ``before`` (Unix seconds)."""
        running = (self._store.records.get(session.id) for session in self._store.sessions())
        found = (*running, *self._store.aftermath.records())
        return [
            record.session.caller.channel
            for record in found
            if record is not None and record.since <= before
        ]

    def session_of(self, caller: str) -> Session | None:
        """The transfer whose caller this channel is, as it is now; None: of none."""
        found = self._store.role_of(caller)
        return found[0] if found is not None and found[1] == "caller" else None

    def judged(self, fact: ChannelLocated, now: float) -> SessionEvent | None:
        """What follows from where a caller is; None: nothing."""
        session = self.session_of(fact.id)
        if session is None:
            return self._judged_after(fact)
        age = now - self._store.records[session.id].since
        return judged(session, fact, self._company(session, self._is_target), age)

    def _judged_after(self, fact: ChannelLocated) -> SessionEvent | None:
        record = self._store.aftermath.of(fact.id)
        if record is None:
            return None
        left = is_elsewhere(fact, self._company(record.session, self._is_of_the_call))
        return SessionEvent(EventType.CALLER_LEFT, TAKEN) if left else None

    def _keyed(self, channel: str) -> None:
        found = self._store.role_of(channel)
        if found is not None and found[1] == "caller":
            waits = found[0].state.spec.deadline is Deadline.QUEUE
            self._store.records[found[0].id].caller_keyed |= waits

    def _company(self, session: Session, meant: Callable[[Session, str], bool]) -> Company:
        """``meant``: whether the call was meant for an agent."""
        caller = session.caller.channel
        channel = self._calls.channels.get(caller)
        others = [x for x in self._calls.in_same_bridge(caller) if x.id != caller]
        found = [self._agents.of_channel(x.name) for x in others]
        agent = next((each.id for each in found if each is not None), "")
        return Company(
            channel.bridge if channel is not None else None,
            {x.id for x in others}.__contains__,
            agent,
            bool(agent) and meant(session, agent),
            self._store.records[session.id].caller_keyed,
        )

    def _is_target(self, session: Session, agent: str) -> bool:
        target = session.target
        if target is None:
            return False
        if target.kind is TargetKind.GROUP:
            return target.value in self._agents.groups_of(agent)
        return agent == session.permission.agent

    def _is_of_the_call(self, session: Session, agent: str) -> bool:
        """Whether the dialplan offers the agent a call that nobody answered (avp-recall)."""
        return agent == session.agent or session.group in self._agents.groups_of(agent)

    # --- hang-ups while two channels are bridged -------------------------------------------------

    def after_bridge(self, session: Session, event: SessionEvent, outcome: Outcome) -> SessionEvent:
        """The event that an answer to our Bridge really means, with the end of whoever hung up.

        Asterisk may have lost a hang-up that came first (`core.engine.hang_ups`).
        """
        pair = bridged_pair(session)
        if event.kind is not EventType.BRIDGED or pair is None:
            return event
        outcome.effects += [(session.id, HangUp(each)) for each in pair if each in self.hang_ups]
        to_one = session.state.spec.recovery is not Recovery.BRIDGE_REST
        if to_one and self.hang_ups.first(*pair) == session.caller.channel:
            return SessionEvent(EventType.CALLER_GONE)
        return event

    def stuck(self, channel_id: str) -> bool:
        """Whether a channel is in a bridge although its end was asked for (some time ago)."""
        channel = self._calls.channels.get(channel_id)
        return channel_id in self.hang_ups and channel is not None and channel.bridge is not None
