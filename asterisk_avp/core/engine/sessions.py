"""The session store, with indexes by channel, transferor and target.

No lookup scans all sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from asterisk_avp.core.messages.effects import DialLeg, Effect, SetVariables
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.transfer import machine, persistence
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.states import State


@dataclass(frozen=True, slots=True)
class Taken:
    """What one event did to a transfer, for the log."""

    transfer: str
    call: str
    before: State
    event: EventType
    after: State
    row: str
    """The name of the row of `core.transfer.table`; empty where none applies."""
    reason: str
    changed: bool
    """Whether anything is different now, or something is to be done."""


@dataclass(slots=True)
class Outcome:
    """The result of one input to the engine."""

    effects: list[tuple[str | None, Effect]] = field(default_factory=list)
    """In order, each with the id of its session; None where it belongs to no session."""
    agents: set[str] = field(default_factory=set)
    """Ids of agents whose views changed."""
    transfers: list[str] = field(default_factory=list)
    """Ids of transfers whose views changed."""
    steps: list[Taken] = field(default_factory=list)
    """What each event did that a transfer was told of, in order."""

    def then(self, later: Outcome) -> Outcome:
        """Return both outcomes as one, ``later`` last."""
        return Outcome(
            self.effects + later.effects,
            self.agents | later.agents,
            self.transfers + later.transfers,
            self.steps + later.steps,
        )


def outcome_of(session: Session, *effects: Effect) -> Outcome:
    return Outcome(effects=[(session.id, effect) for effect in effects])


@dataclass(slots=True)
class Record:
    """A session with the times that its views need, in Unix seconds."""

    session: Session
    started: float
    since: float
    waiting_since: float = 0.0
    """When the latest wait for the target began."""
    dial_status: str = ""
    """DIALSTATUS of the last attempt to reach an external number (`core.engine.queue_events`)."""


class SessionStore:
    """``refresh_permission`` brings a session's permission up to date before each step of it."""

    def __init__(
        self, refresh_permission: Callable[[Session], Session] = lambda session: session
    ) -> None:
        self._refresh_permission = refresh_permission
        self.records: dict[str, Record] = {}
        self._roles: dict[str, tuple[str, str]] = {}
        """Channel id to (session id, role), for running sessions."""
        self._channels: dict[str, set[str]] = {}
        """Session id to channel ids, for running sessions."""
        self._written: dict[str, dict[str, str]] = {}
        """Session id to the variables written on the caller's channel."""
        self._transfers_to: dict[str, set[str]] = {}
        """Agent id to the sessions whose call is on its way to that agent."""
        self._legs: dict[str, str] = {}
        """Far end of a leg that waits in an agent's queue, or is about to, to that agent's id.
        Such a leg can outlive its transfer for the moment that Asterisk needs to end it."""
        self._legs_for: dict[str, set[str]] = {}
        """Agent id to the far ends in ``_legs``."""
        self._begun_by: dict[str, set[str]] = {}
        """Agent id to the running sessions of which the agent is the transferor."""

    def begin(self, session: Session, now: float, outcome: Outcome) -> Session:
        """Add a session that policy has permitted, with its first effects in ``outcome``."""
        self.records[session.id] = Record(session, now, now)
        session, effects = machine.begin(session)
        self._store(session, effects, outcome)
        return session

    def apply(self, session_id: str, event: SessionEvent, now: float, outcome: Outcome) -> None:
        """Apply one event to a session; without effect where the id is unknown."""
        record = self.records.get(session_id)
        if record is None:
            return
        before = record.session = self._refresh_permission(record.session)
        session, effects, row = machine.step(before, event)
        outcome.steps.append(
            Taken(
                transfer=session_id,
                call=before.caller.channel,
                before=before.state,
                event=event.kind,
                after=session.state,
                row=row.name if row is not None else "",
                reason=session.reason or event.reason,
                changed=bool(effects) or session != before,
            )
        )
        if session is before:
            return
        if session.state is not before.state:
            record.since = now
            if _awaits_target(session) and not _awaits_target(before):
                record.waiting_since = now
        self._store(session, effects, outcome)

    def adopt(self, session: Session, now: float, outcome: Outcome, marker: str = "") -> None:
        """Add a session that an earlier daemon began; no effect of its own results.

        ``marker``: the `persistence.COMMIT_MARKER` that the earlier daemon wrote, so that the next
        write does not overwrite the chunks that it refers to.
        """
        self.records[session.id] = Record(session, now, now)
        if marker:
            self._written[session.id] = {persistence.COMMIT_MARKER: marker}
        self._store(session, (), outcome)

    def rewrite(self, session_id: str, outcome: Outcome) -> None:
        """Write the session's variables once more, since the last write may have failed."""
        written = self._written.get(session_id)
        session = self.records[session_id].session
        if written is not None:
            self._written[session_id] = persistence.variables(session, written)
            effect = SetVariables(session.caller.channel, self._written[session_id])
            outcome.effects.append((session_id, effect))

    def forget_running(self) -> None:
        """Drop the running sessions, because another daemon has continued them."""
        for session_id in self._channels:
            del self.records[session_id]
        for index in (self._channels, self._roles, self._written, self._legs):
            index.clear()
        for sets in (self._transfers_to, self._begun_by, self._legs_for):
            sets.clear()

    def sessions(self) -> list[Session]:
        """The running sessions."""
        return [self.records[session_id].session for session_id in self._channels]

    def role_of(self, channel: str) -> tuple[Session, str] | None:
        """The running session that a channel belongs to, and its role there; None: no session."""
        found = self._roles.get(channel)
        return (self.records[found[0]].session, found[1]) if found is not None else None

    def recent_channels(self, since: float) -> set[str]:
        """The channels of sessions that are running, or ended at or after ``since``."""
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

    def has_transfer_to(self, agent_id: str) -> bool:
        """Whether a transfer occupies, or is about to occupy, this agent's waiting slot."""
        return agent_id in self._transfers_to or agent_id in self._legs_for

    def leg_ended(self, channel: str) -> None:
        """Note that a leg waits in no queue: it was answered, has ended, or was never dialled."""
        agent = self._legs.pop(channel, None)
        if agent is not None:
            _update_index(self._legs_for, agent, channel, present=False)

    def retain_legs(self, alive: Callable[[str], bool]) -> None:
        """Drop the legs that a resync has not found."""
        for leg in [leg for leg in self._legs if not alive(leg)]:
            self.leg_ended(leg)

    def transferring(self, agent_id: str) -> Record | None:
        """The running transfer in which this agent is the transferor and still takes part."""
        for session_id in self._begun_by.get(agent_id, ()):
            record = self.records[session_id]
            if record.session.transferor.presence is not Presence.GONE:
                return record
        return None

    def running(self) -> int:
        return len(self._channels)

    def forget_ended(self, before: float) -> list[Record]:
        """Drop and return the records of transfers that ended before ``before`` (Unix seconds)."""
        ended = [
            record
            for record in self.records.values()
            if record.session.state.final and record.since < before
        ]
        for record in ended:
            del self.records[record.session.id]
        return ended

    def _with_persistence(
        self, session: Session, effects: tuple[Effect, ...]
    ) -> tuple[Effect, ...]:
        """The effects, preceded by the write that lets another daemon continue the session."""
        written = self._written.get(session.id)
        if session.caller.presence is Presence.GONE:
            self._written.pop(session.id, None)
            return effects  # the variables ended with the caller's channel
        if session.state.final:
            self._written.pop(session.id, None)
            if written is None:
                return effects
            # Clear the commit marker first: without it the chunks mean nothing.
            empty = dict.fromkeys((persistence.COMMIT_MARKER, *persistence.chunks_of(written)), "")
            return (*effects, SetVariables(session.caller.channel, empty))
        variables = persistence.variables(session, written)
        if written is not None and persistence.same(variables, written):
            return effects
        self._written[session.id] = variables
        return (SetVariables(session.caller.channel, variables), *effects)

    def _store(self, session: Session, effects: tuple[Effect, ...], outcome: Outcome) -> None:
        self.records[session.id].session = session
        for effect in effects:
            if isinstance(effect, DialLeg) and effect.permission.agent is not None:
                self._legs[effect.other_channel] = effect.permission.agent
                _update_index(
                    self._legs_for, effect.permission.agent, effect.other_channel, present=True
                )
        outcome.effects.extend(
            (session.id, effect) for effect in self._with_persistence(session, effects)
        )
        outcome.transfers.append(session.id)
        outcome.agents.add(session.agent)
        over = session.state.final
        roles = {} if over else _roles(session)
        # A channel can also leave a running session: a target whom the fourth party replaced.
        for channel in self._channels.pop(session.id, set()) - roles.keys():
            if self._roles.get(channel, ("",))[0] == session.id:
                del self._roles[channel]
        if roles:
            self._channels[session.id] = set(roles)
        self._roles.update({channel: (session.id, role) for channel, role in roles.items()})
        _update_index(self._begun_by, session.agent, session.id, present=not over)
        if session.target is not None and session.target.kind is TargetKind.AGENT:
            outcome.agents.add(session.target.value)
            on_the_way = session.state.spec.takes_slot
            _update_index(self._transfers_to, session.target.value, session.id, present=on_the_way)


def party_of(session: Session, role: str) -> Party | None:
    """The party of a role; None for the far end of a leg."""
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
    """The session's channels, each with its role."""
    roles = {
        session.transferor.channel: "transferor",
        session.caller.channel: "caller",
        session.leg.channel: "leg",
    }
    if session.local_far_end:
        roles[session.local_far_end] = "leg_far_end"
    if session.fourth is not None:
        roles[session.fourth.party.channel] = "fourth"
        roles[session.fourth.other] = "fourth_far_end"
    return roles


def _update_index(index: dict[str, set[str]], key: str, value: str, *, present: bool) -> None:
    """Add ``value`` to the set of ``key``, or remove it; removes empty sets."""
    values = index.setdefault(key, set())
    if present:
        values.add(value)
    else:
        values.discard(value)
    if not values:
        del index[key]


def _awaits_target(session: Session) -> bool:
    return session.state.spec.deadline.awaits_target
