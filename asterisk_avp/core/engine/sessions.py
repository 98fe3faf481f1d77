"""The sessions there are, and the ways that lead to them: from a channel, an agent, a target.

Nothing here looks at all sessions to find one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from asterisk_avp.core.messages.effects import DialLeg, Effect, SetVariables
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.transfer import machine, persistence
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.session import Party, Presence, Session, State


@dataclass(slots=True)
class Outcome:
    """What one input led to."""

    effects: list[tuple[str | None, Effect]] = field(default_factory=list)
    """In order; the session each belongs to, or None for those that belong to no session."""
    agents: set[str] = field(default_factory=set)
    """Agents whose view changed."""
    transfers: list[str] = field(default_factory=list)
    """Transfers whose view changed."""

    def then(self, later: Outcome) -> Outcome:
        """Both as one, in this order."""
        return Outcome(
            self.effects + later.effects,
            self.agents | later.agents,
            self.transfers + later.transfers,
        )


@dataclass(slots=True)
class Record:
    """A session with the times its views need (Unix seconds)."""

    session: Session
    started: float
    since: float
    waiting_since: float = 0.0
    """When the target began to be waited for, the last time."""
    dial_status: str = ""
    """How the last attempt to reach an external number stands (`core.engine.queue_events`)."""


class SessionStore:
    """``as_allowed_now`` brings a session's permission up to date before each step of it."""

    def __init__(
        self, as_allowed_now: Callable[[Session], Session] = lambda session: session
    ) -> None:
        self._as_allowed_now = as_allowed_now
        self.records: dict[str, Record] = {}
        self._roles: dict[str, tuple[str, str]] = {}
        """Channel id to (session id, role) of the sessions that are not over."""
        self._channels: dict[str, set[str]] = {}
        """The other way round: session id to channel ids."""
        self._written: dict[str, dict[str, str]] = {}
        """What is written on the callers' channels, by session."""
        self._heading_for: dict[str, set[str]] = {}
        """Agent id to the sessions on their way to that agent."""
        self._legs: dict[str, str] = {}
        """Halves of our legs that may wait in an agent's queue, or be about to; to that agent's id.
        Such a leg may outlive its transfer by the moment that Asterisk takes to end it."""
        self._legs_for: dict[str, set[str]] = {}
        """The other way round: agent id to those halves."""
        self._begun_by: dict[str, set[str]] = {}
        """Agent id to the sessions they began that are not over."""

    def begin(self, session: Session, now: float, outcome: Outcome) -> Session:
        """Enter a session that policy has allowed and take its first effects."""
        self.records[session.id] = Record(session, now, now)
        session, effects = machine.begin(session)
        self._store(session, effects, outcome)
        return session

    def apply(self, session_id: str, event: SessionEvent, now: float, outcome: Outcome) -> None:
        """Feed one event to one session; an unknown or ended one takes no notice."""
        record = self.records.get(session_id)
        if record is None:
            return
        before = record.session = self._as_allowed_now(record.session)
        session, effects = machine.step(before, event)
        if session is before:
            return
        if session.state is not before.state:
            record.since = now
            if session.state in _WAITS and before.state not in _WAITS:
                record.waiting_since = now
        self._store(session, effects, outcome)

    def adopt(self, session: Session, now: float, outcome: Outcome, mark: str = "") -> None:
        """Enter a session that a former daemon began; nothing is done yet.

        ``mark``: where that daemon has written it (`memory.MARK`), so that it stays whole there
        until it is written anew.
        """
        self.records[session.id] = Record(session, now, now)
        if mark:
            self._written[session.id] = {persistence.MARK: mark}
        self._store(session, (), outcome)

    def write_again(self, session_id: str, outcome: Outcome) -> None:
        """What another daemon needs to know: nobody can say whether the last of it was written."""
        written = self._written.get(session_id)
        session = self.records[session_id].session
        if written is not None:
            self._written[session_id] = persistence.variables(session, written)
            effect = SetVariables(session.caller.channel, self._written[session_id])
            outcome.effects.append((session_id, effect))

    def forget_running(self) -> None:
        """Drop the sessions that are not over; whoever went on with them knows them better."""
        for session_id in self._channels:
            del self.records[session_id]
        for index in (self._channels, self._roles, self._written, self._legs):
            index.clear()
        for sets in (self._heading_for, self._begun_by, self._legs_for):
            sets.clear()

    def sessions(self) -> list[Session]:
        """Those that are not over."""
        return [self.records[session_id].session for session_id in self._channels]

    def role_of(self, channel: str) -> tuple[Session, str] | None:
        """The running session a channel belongs to and its role in it."""
        found = self._roles.get(channel)
        return (self.records[found[0]].session, found[1]) if found is not None else None

    def lately(self, since: float) -> set[str]:
        """The channels of the sessions that are not over, or have ended since then."""
        return {
            channel
            for record in self.records.values()
            if not record.session.state.final or record.since >= since
            for channel in _roles(record.session)
        }

    def roles(self) -> list[tuple[str, Session, str]]:
        """Every channel of every running session, with its role."""
        return [
            (channel, self.records[session_id].session, role)
            for channel, (session_id, role) in self._roles.items()
        ]

    def heading_for(self, agent_id: str) -> bool:
        """Whether a transfer takes, or is about to take, this agent's waiting slot."""
        return agent_id in self._heading_for or agent_id in self._legs_for

    def leg_over(self, channel: str) -> None:
        """A leg has been answered, or has ended, or never began: it waits nowhere (any more)."""
        agent = self._legs.pop(channel, None)
        if agent is not None:
            _keep(self._legs_for, agent, channel, present=False)

    def only_legs(self, alive: Callable[[str], bool]) -> None:
        """Forget the legs that a resync has not found."""
        for leg in [leg for leg in self._legs if not alive(leg)]:
            self.leg_over(leg)

    def transferring(self, agent_id: str) -> Record | None:
        """The running transfer in which this agent, as agent 1, still takes part."""
        for session_id in self._begun_by.get(agent_id, ()):
            record = self.records[session_id]
            if record.session.transferor.presence is not Presence.GONE:
                return record
        return None

    def running(self) -> int:
        return len(self._channels)

    def forget_ended(self, before: float) -> list[Record]:
        """Drop, and hand out, the records of transfers that ended before that (Unix seconds)."""
        ended = [
            record
            for record in self.records.values()
            if record.session.state.final and record.since < before
        ]
        for record in ended:
            del self.records[record.session.id]
        return ended

    def _remembering(self, session: Session, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        """The effects, with what another daemon needs to go on written down before them."""
        written = self._written.get(session.id)
        if session.caller.presence is Presence.GONE:
            self._written.pop(session.id, None)
            return effects  # and with the caller's channel what is written on it
        if session.state.final:
            self._written.pop(session.id, None)
            if written is None:
                return effects
            # The mark first: without it the pieces say nothing.
            empty = dict.fromkeys((persistence.MARK, *persistence.pieces_of(written)), "")
            return (*effects, SetVariables(session.caller.channel, empty))
        variables = persistence.variables(session, written)
        if written is not None and persistence.same(variables, written):
            return effects
        self._written[session.id] = variables
        return (SetVariables(session.caller.channel, variables), *effects)

    def _store(self, session: Session, effects: tuple[Effect, ...], outcome: Outcome) -> None:
        self.records[session.id].session = session
        for effect in effects:
            if isinstance(effect, DialLeg) and effect.allow.agent is not None:
                self._legs[effect.other_channel] = effect.allow.agent
                _keep(self._legs_for, effect.allow.agent, effect.other_channel, present=True)
        outcome.effects.extend(
            (session.id, effect) for effect in self._remembering(session, effects)
        )
        outcome.transfers.append(session.id)
        outcome.agents.add(session.agent)
        over = session.state.final
        roles = {} if over else _roles(session)
        # A channel may also leave a session that goes on: a target whom the fourth party replaced.
        for channel in self._channels.pop(session.id, set()) - roles.keys():
            if self._roles.get(channel, ("",))[0] == session.id:
                del self._roles[channel]
        if roles:
            self._channels[session.id] = set(roles)
        self._roles.update({channel: (session.id, role) for channel, role in roles.items()})
        _keep(self._begun_by, session.agent, session.id, present=not over)
        if session.target is not None and session.target.kind is TargetKind.AGENT:
            outcome.agents.add(session.target.value)
            on_the_way = session.state not in _OFF_THE_SLOT
            _keep(self._heading_for, session.target.value, session.id, present=on_the_way)


def party_of(session: Session, role: str) -> Party | None:
    """The party in Stasis that a role names; None for the other half of a leg."""
    match role:
        case "transferor":
            return session.transferor
        case "caller":
            return session.caller
        case "leg":
            return session.leg
        case "fourth":
            return session.fourth.party if session.fourth is not None else None
        case _:
            return None


def _roles(session: Session) -> dict[str, str]:
    """The channels of a session and what each is to it."""
    roles = {
        session.transferor.channel: "transferor",
        session.caller.channel: "caller",
        session.leg.channel: "leg",
    }
    if session.leg_other:
        roles[session.leg_other] = "leg_other"
    if session.fourth is not None:
        roles[session.fourth.party.channel] = "fourth"
        roles[session.fourth.other] = "fourth_other"
    return roles


def _keep(index: dict[str, set[str]], key: str, value: str, *, present: bool) -> None:
    """Put ``value`` under ``key`` or take it away; no empty sets are left behind."""
    values = index.setdefault(key, set())
    if present:
        values.add(value)
    else:
        values.discard(value)
    if not values:
        del index[key]


_WAITS = frozenset({State.WAITING, State.RINGING, State.QUEUED, State.OFFERED})
"""States in which the target is waited for."""

_OFF_THE_SLOT = frozenset(
    {
        State.DECLINED,
        State.CONSULTING,
        State.SWAPPED,
        State.CONFERENCE,
        State.SHARED,
        State.PARTING,
        State.COMPLETING,
        State.RETURNING,
        State.RECALLING,
        State.COMPLETED,
        State.CANCELLED,
        State.FAILED,
        State.ABANDONED,
    }
)
"""States in which the transfer neither occupies nor is about to take the target's slot."""
