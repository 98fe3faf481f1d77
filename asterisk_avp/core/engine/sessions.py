"""The session store, with indexes by channel, transferor and target.

No lookup scans all sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from asterisk_avp.core.engine import holds
from asterisk_avp.core.engine.aftermath import Aftermath
from asterisk_avp.core.engine.involved import Involved
from asterisk_avp.core.engine.record import Record
from asterisk_avp.core.engine.session_index import FAR_ENDS, SessionIndex, roles_of
from asterisk_avp.core.messages.effects import Effect, SetVariables
from asterisk_avp.core.model.caller import Presentation
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.transfer import machine, persistence
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session
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
    ended: list[str] = field(default_factory=list)
    """Ids of ended transfers of whose callers something else has become since."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do or to tell."""
        return not (self.effects or self.agents or self.transfers or self.steps or self.ended)

    def then(self, later: Outcome) -> Outcome:
        """Return both outcomes as one, ``later`` last."""
        return Outcome(
            self.effects + later.effects,
            self.agents | later.agents,
            self.transfers + later.transfers,
            self.steps + later.steps,
            self.ended + later.ended,
        )


def outcome_of(session: Session, *effects: Effect) -> Outcome:
    return Outcome(effects=[(session.id, effect) for effect in effects])


class SessionStore:
    """``refresh_permission`` brings a session's permission up to date before each step of it."""

    def __init__(
        self,
        refresh_permission: Callable[[Session], Session] = lambda session: session,
        alive: Callable[[str], bool] = lambda _channel: True,
        agent_of: Callable[[str], str] = lambda _channel: "",
    ) -> None:
        """``alive``: whether a channel exists. ``agent_of``: the agent whose channel it is."""
        self._agent_of = agent_of
        self.holds: Callable[[str], bool] = lambda _channel: False
        """Whether the phone of a channel has put the call on hold."""
        self.holds_unread = False
        """Whether `holds` does not know yet: sessions keep what was written down."""
        self._refresh_permission = refresh_permission
        self.aftermath = Aftermath(alive)
        self.stepped: Callable[[Session, SessionEvent, Outcome], None] = lambda *_: None
        """Told of a session after each change of its state, and of the event that caused it."""
        self.records: dict[str, Record] = {}
        self.index = SessionIndex()
        self._involved = Involved()
        self._written: dict[str, dict[str, str]] = {}
        """Session id to the variables written on the caller's channel."""

    def begin(self, session: Session, now: float, outcome: Outcome) -> Session:
        """Add a session that policy has permitted, with its first effects in ``outcome``."""
        record = self.records[session.id] = Record(session, now, now)
        session, effects = machine.begin(session)
        session = record.became(session, now)
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
        if event.kind is EventType.ADD_PARTY:
            record.fourth_rings = False
        if _awaits_target(session) and not _awaits_target(before):
            session = replace(session, waiting_since=now)
        session = self._noted(session)
        effects = record.hold_music.around(before, session, effects, event)
        session = record.became(session, now)
        self._store(session, effects, outcome)
        if session.state is not before.state:
            self.stepped(session, event, outcome)
        if session.state.final and not before.state.final:
            self.aftermath.ended(record, before, event)

    def leg_ended(self, channel: str, outcome: Outcome) -> None:
        """Note that a leg waits in no queue any more: whoever it waited for can be had again."""
        outcome.agents |= {self.index.leg_ended(channel)} - {""}

    def set_presentation(
        self, session_id: str, presentation: Presentation, outcome: Outcome
    ) -> None:
        """Whether others may be told the caller of a session has become known, or has changed."""
        session = self.records[session_id].session
        caller = replace(session.caller, presentation=presentation)
        if caller != session.caller:
            self._store(replace(session, caller=caller), (), outcome)

    def hold_changed(self, session_id: str, now: float, outcome: Outcome) -> None:
        """Note that a party of the session has put the call on hold, or resumed."""
        record = self.records[session_id]
        before = record.session
        session = self._noted(before)
        if session != before:
            effects = record.hold_music.pressed(before, session)
            self._store(record.became(session, now), effects, outcome)

    def repeat_hold(self, session_id: str, outcome: Outcome) -> None:
        """Have the music start where a resync has found parties on hold."""
        record = self.records[session_id]
        session = self._noted(record.session)
        effects = record.hold_music.repeated(session)
        if effects or session != record.session:
            self._store(session, effects, outcome)

    def holds_read(self, now: float, outcome: Outcome) -> None:
        """`holds` knows of all phones again: tell the sessions, and have music start."""
        if not self.holds_unread:
            return
        self.holds_unread = False
        for session in self.sessions():
            self.hold_changed(session.id, now, outcome)
            if self.records[session.id].session.on_hold:
                self.repeat_hold(session.id, outcome)

    def _noted(self, session: Session) -> Session:
        return session if self.holds_unread else holds.noted(session, self.holds)

    def adopt(
        self,
        session: Session,
        now: float,
        outcome: Outcome,
        written: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Add a session that an earlier daemon began; no effect of its own results.

        ``written``: the variables that the earlier daemon wrote, so that the next write does not
        overwrite the chunks that the marker refers to, and the same is not written once more.
        """
        self.records[session.id] = Record.adopted(session, now)
        if persistence.COMMIT_MARKER in written:
            self._written[session.id] = dict(written)
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
        for session_id in self.index.sessions():
            self._drop(session_id)
        self.index.clear()
        self._written.clear()

    def sessions(self) -> list[Session]:
        """The running sessions."""
        return [self.records[session_id].session for session_id in self.index.sessions()]

    def has_bridge(self, bridge: str) -> bool:
        """Whether a bridge, by its id, belongs to a running session (`Session.hold_bridge`)."""
        record = self.records.get(bridge.removeprefix("avp-").rpartition("-")[0])
        return record is not None and not record.session.state.final

    def role_of(self, channel: str) -> tuple[Session, str] | None:
        """The running session that a channel belongs to, and its role there; None: no session."""
        found = self.index.role_of(channel)
        return (self.records[found[0]].session, found[1]) if found is not None else None

    def asked_by(self, channel: str) -> Session | None:
        """The session whose target or fourth party has answered this channel; None: no such."""
        found = self.role_of(channel)
        return found[0] if found is not None and found[1] in FAR_ENDS else None

    def recent_channels(self, since: float) -> set[str]:
        """The channels of sessions that are running, or ended at or after ``since``."""
        return {
            channel
            for record in self.records.values()
            if not record.session.state.final or record.since >= since
            for channel in roles_of(record.session)
        }

    def roles(self) -> list[tuple[str, Session, str]]:
        """Every channel of every running session, with its role."""
        return [
            (channel, self.records[session_id].session, role)
            for channel, (session_id, role) in self.index.roles()
        ]

    def transferring(self, agent_id: str) -> Record | None:
        """The running transfer in which this agent is the transferor and still takes part."""
        for session_id in self.index.begun_by(agent_id):
            record = self.records[session_id]
            if record.session.transferor.presence is not Presence.GONE:
                return record
        return None

    def involving(self, agent_id: str) -> list[Record]:
        """The running and ended transfers that involve this agent, in the order of their begin."""
        found = [self.records[transfer] for transfer in self._involved.transfers_of(agent_id)]
        return sorted(found, key=lambda record: record.started)

    def running(self) -> int:
        return self.index.running()

    def forget_ended(self, before: float) -> list[Record]:
        """Drop and return the records of transfers that ended before ``before`` (Unix seconds)."""
        ended = [
            record
            for record in self.records.values()
            if record.session.state.final
            and record.since < before
            and self.aftermath.settled(record)
        ]
        for record in ended:
            self._drop(record.session.id)
        return ended

    def _drop(self, session_id: str) -> None:
        del self.records[session_id]
        self._involved.forget(session_id)

    def _with_persistence(
        self, session: Session, effects: tuple[Effect, ...]
    ) -> tuple[Effect, ...]:
        """The effects, preceded by the write that lets another daemon continue the session."""
        written = self._written.get(session.id)
        if session.caller.presence is Presence.GONE and not session.caller_is_elsewhere:
            self._written.pop(session.id, None)
            return effects  # the variables ended with the caller's channel
        if session.state.final or session.caller_is_elsewhere:
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
        record = self.records[session.id]
        record.session = session
        self.index.dialled(effects)
        self._involved.note(session)
        outcome.effects.extend(
            (session.id, effect) for effect in self._with_persistence(session, effects)
        )
        outcome.transfers.append(session.id)
        # Agents call queues too: one may be the caller.
        concerned = {session.agent, *session.asked, self._agent_of(session.caller.channel)}
        outcome.agents |= concerned - {""}
        if session.target is not None and session.target.kind is TargetKind.AGENT:
            outcome.agents.add(session.target.value)
        self.index.update(session)


def _awaits_target(session: Session) -> bool:
    return session.state.spec.deadline.awaits_target
