"""Tell `Calls` which calls a transfer is making, before the events of their bridges.

The steps of a transfer say it: one that begins an AMI Bridge, and the answer of an agent.
"""

from __future__ import annotations

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session, bridged_pair, far_end_of


class MadeCalls:
    def __init__(self, calls: Calls, agents: Agents, store: SessionStore) -> None:
        self._calls = calls
        self._agents = agents
        self._store = store
        self._moves: dict[str, tuple[str, str]] = {}
        """Transfer to the two channels that AMI Bridge is bringing together."""
        store.stepped = self._stepped

    def interfaces_of(self, agent: Agent) -> set[str]:
        return agent.interfaces | self._agents.phones.interfaces_of(agent.id)

    def _stepped(self, session: Session, event: SessionEvent, outcome: Outcome) -> None:
        """Note what a step of a transfer begins and ends."""
        moved = self._moves.pop(session.id, None)
        if moved is not None:
            made = event.kind is EventType.BRIDGED
            concerned = self._calls.bridged(moved) if made else self._calls.not_bridged(moved)
            self._changed(concerned, outcome)
        self._begin(session)

    def resume(self) -> None:
        """The same for transfers that a resync has found."""
        for session_id in self._moves.keys() - {s.id for s in self._store.sessions()}:
            self._calls.not_bridged(self._moves.pop(session_id))
        for session in self._store.sessions():
            if session.id not in self._moves:
                self._begin(session)

    def _begin(self, session: Session) -> None:
        moved = None if session.state.final else bridged_pair(session)
        if moved is None:
            return
        first, second = (self._behind(session, channel) for channel in moved)
        self._moves[session.id] = moved
        self._calls.expect(moved, (first, second))

    def _behind(self, session: Session, channel: str) -> str:
        """The channel that takes a leg's place; the channel itself where it is no leg."""
        far_end = far_end_of(session, channel)
        return (self._calls.phone_behind(far_end) if far_end else "") or channel

    def leg_answered(self, leg: str, outcome: Outcome) -> None:
        """The leg of a consult, or of a fourth party, is in Stasis: its agent has answered."""
        found = self._store.role_of(leg)
        if found is None or found[1] not in ("leg", "fourth"):
            return
        session, role = found
        fourth = session.fourth if role == "fourth" else None
        permission = fourth.permission if fourth is not None else session.permission
        agent = self._agents.by_id.get(permission.agent or "")
        talks = session.state.spec.target.place.ours
        if agent is not None and talks and session.presence_of(role) is Presence.PRESENT:
            self.answered(far_end_of(session, leg), agent, outcome)

    def answered(self, channel: str, agent: Agent, outcome: Outcome) -> None:
        """An agent has answered the call of this channel."""
        self._calls.answered(channel, self.interfaces_of(agent))
        outcome.agents.add(agent.id)

    def _changed(self, channels: tuple[str, ...], outcome: Outcome) -> None:
        for channel_id in channels:
            for channel in self._calls.concerned(channel_id):
                agent = self._agents.of_channel(channel.name)
                if agent is not None:
                    outcome.agents.add(agent.id)
