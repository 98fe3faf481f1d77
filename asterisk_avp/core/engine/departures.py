"""Parties who have left a transfer without hanging up: they may have left together. Pure.

Another program moves two parties at once (a Redirect with ExtraChannel, a Bridge of caller and
target), and each leaves by an event of its own. What follows from the end of one, by the table, is
to connect the caller with somebody: that would take the caller from whoever has them now. So an end
that no phone has asked for waits, for a moment, until Asterisk was asked where the caller is.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.engine.hang_ups import HangUps
from asterisk_avp.core.engine.session_index import party_of
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session

_MOVE_THE_CALLER: Final = ("transferor", "leg")
"""The roles whose end has the caller connected with somebody else."""


class Departures:
    def __init__(self, calls: Calls, agents: Agents, store: SessionStore) -> None:
        self.hang_ups = HangUps()
        self._calls = calls
        self._agents = agents
        self._store = store
        self._waiting: dict[str, dict[str, SessionEvent]] = {}
        """Caller to the events that wait, by role."""
        self._adrift: set[str] = set()
        """Callers who have left Stasis, nobody knows yet where to."""
        self._unasked: set[str] = set()

    def caller_left(self, caller: str) -> None:
        """A caller whom the transfer holds has left Stasis, and has not hung up."""
        self._adrift.add(caller)

    def wait(self, session: Session, role: str, event: SessionEvent, *, alive: bool) -> bool:
        """Whether this end waits. ``alive``: the channel has only left Stasis."""
        party, caller = party_of(session, role), session.caller
        spec = session.state.spec
        if role not in _MOVE_THE_CALLER or not spec.held_in_stasis or spec.releases_slot:
            return False
        if party is None or party.presence is not Presence.PRESENT:
            return False
        if caller.presence is not Presence.PRESENT:
            return False
        if caller.channel not in self._adrift and not self._moved(session, role, alive=alive):
            return False
        self._waiting.setdefault(caller.channel, {}).setdefault(role, event)
        self._unasked.add(caller.channel)
        return True

    def _moved(self, session: Session, role: str, *, alive: bool) -> bool:
        """Whether the party is somewhere else rather than gone, as far as is known."""
        if role == "transferor":
            return alive and session.transferor.channel not in self.hang_ups
        # A leg ends either way. An agent's phone behind it still has a channel if it was moved; of
        # a trunk's nothing is known.
        agent = self._agents.by_id.get(session.permission.agent or "")
        if agent is None:
            return True
        phones = self._calls.channels_of(
            agent.interfaces | self._agents.phones.interfaces_of(agent.id)
        )
        return any(phone not in self.hang_ups for phone in phones)

    def to_ask(self) -> set[str]:
        """The callers about whom Asterisk must be asked (`CallerAsked` answers), each told once."""
        unasked, self._unasked = self._unasked, set()
        return unasked

    def adrift(self, caller: str) -> bool:
        return caller in self._adrift

    def along(self, caller: str) -> tuple[str, ...]:
        """The roles of those who have left when the caller did."""
        return tuple(self._waiting.get(caller, ()))

    def settled(self, caller: str, now: float, outcome: Outcome) -> None:
        """It is known where the caller is, and applied: now the others' ends follow."""
        self._adrift.discard(caller)
        self._unasked.discard(caller)
        events = self._waiting.pop(caller, {})
        found = self._store.role_of(caller)
        if found is not None:
            for event in events.values():
                self._store.apply(found[0].id, event, now, outcome)

    def forget(self, caller: str, role: str) -> None:
        """The end of this party does not wait any longer: it is applied."""
        self._waiting.get(caller, {}).pop(role, None)

    def clear(self) -> None:
        """A resync finds out everything by itself."""
        self._waiting.clear()
        self._adrift.clear()
        self._unasked.clear()
