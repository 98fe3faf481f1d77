"""Which running session a channel or an agent belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from asterisk_avp.core.messages.effects import DialLeg, Effect
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.transfer.session import Party, Session

FAR_ENDS: Final = ("leg_far_end", "fourth_far_end")
"""The roles of the channels that are in a bridge with whoever answers a leg."""


class SessionIndex:
    def __init__(self) -> None:
        self._roles: dict[str, tuple[str, str]] = {}
        """Channel id to (session id, role)."""
        self._channels: dict[str, set[str]] = {}
        """Session id to channel ids."""
        self._transfers_to: dict[str, set[str]] = {}
        """Agent id to the sessions whose call is on its way to that agent."""
        self._legs: dict[str, str] = {}
        """Far end of a leg that waits in an agent's queue, or is about to, to that agent's id.
        Such a leg can outlive its transfer for the moment that Asterisk needs to end it."""
        self._legs_for: dict[str, set[str]] = {}
        """Agent id to the far ends in ``_legs``."""
        self._begun_by: dict[str, set[str]] = {}
        """Agent id to the sessions of which the agent is the transferor."""

    def clear(self) -> None:
        self._roles.clear()
        self._channels.clear()
        self._legs.clear()
        for sets in (self._transfers_to, self._begun_by, self._legs_for):
            sets.clear()

    def update(self, session: Session) -> None:
        """Note the channels and agents of a session; an ended one has none."""
        over = session.state.final
        roles = {} if over else roles_of(session)
        # A channel can also leave a running session: a target whom the fourth party replaced.
        for channel in self._channels.pop(session.id, set()) - roles.keys():
            if self._roles.get(channel, ("",))[0] == session.id:
                del self._roles[channel]
        if roles:
            self._channels[session.id] = set(roles)
        self._roles.update({channel: (session.id, role) for channel, role in roles.items()})
        _update(self._begun_by, session.agent, session.id, present=not over)
        if session.target is not None and session.target.kind is TargetKind.AGENT:
            on_the_way = session.state.spec.takes_slot
            _update(self._transfers_to, session.target.value, session.id, present=on_the_way)

    def dialled(self, effects: Iterable[Effect]) -> None:
        """Note the legs that are about to wait in agents' queues."""
        for effect in effects:
            if isinstance(effect, DialLeg) and effect.permission.agent is not None:
                self._legs[effect.other_channel] = effect.permission.agent
                _update(self._legs_for, effect.permission.agent, effect.other_channel, present=True)

    def leg_from_node(self, channel: str, agent: str) -> None:
        """Note another node's call that is about to wait in an agent's queue here."""
        self._legs[channel] = agent
        _update(self._legs_for, agent, channel, present=True)

    def leg_ended(self, channel: str) -> str:
        """Note that a leg waits in no queue: it was answered, has ended, or was never dialled.

        Return the agent in whose queue it was; empty: in nobody's.
        """
        agent = self._legs.pop(channel, "")
        if agent:
            _update(self._legs_for, agent, channel, present=False)
        return agent

    def retain_legs(self, alive: Callable[[str], bool]) -> None:
        """Drop the legs that a resync has not found."""
        for leg in [leg for leg in self._legs if not alive(leg)]:
            self.leg_ended(leg)

    def sessions(self) -> list[str]:
        return [*self._channels]

    def running(self) -> int:
        return len(self._channels)

    def role_of(self, channel: str) -> tuple[str, str] | None:
        """The session of a channel, and its role there; None: no session."""
        return self._roles.get(channel)

    def roles(self) -> list[tuple[str, tuple[str, str]]]:
        return [*self._roles.items()]

    def begun_by(self, agent_id: str) -> Iterable[str]:
        return self._begun_by.get(agent_id, ())

    def has_transfer_to(self, agent_id: str) -> bool:
        """Whether a transfer occupies, or is about to occupy, this agent's waiting slot."""
        return agent_id in self._transfers_to or agent_id in self._legs_for

    def transfers_to(self, agent_id: str) -> list[str]:
        """The transfers that occupy, or are about to occupy, this agent's waiting slot."""
        return sorted(self._transfers_to.get(agent_id, ()))


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


def roles_of(session: Session) -> dict[str, str]:
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


def _update(index: dict[str, set[str]], key: str, value: str, *, present: bool) -> None:
    """Add ``value`` to the set of ``key``, or remove it; removes empty sets."""
    values = index.setdefault(key, set())
    if present:
        values.add(value)
    else:
        values.discard(value)
    if not values:
        del index[key]
