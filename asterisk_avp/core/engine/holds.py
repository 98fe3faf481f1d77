"""Music for whoever is only with parties on hold, so that nobody hears silence.

A phone's hold key sends a re-INVITE, and a bridge of two passes that on: Asterisk plays music to
the other one until the phone resumes. It passes the key on, not the state: whoever comes to a phone
on hold later hears nothing. A bridge of three or more passes nothing on, and music that plays ends
where a third joins (bridge_simple.c, bridge_softmix.c, ``ast_channel_hold_state``). So we start it
whenever `hearing.held` is true for a channel and Asterisk has not begun it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from asterisk_avp.core.messages.effects import Effect, EndHold, StartHold
from asterisk_avp.core.model.world import Origin
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.hearing import Company, held
from asterisk_avp.core.transfer.session import Session, bridged_pair

Effects = tuple[Effect, ...]


def noted(session: Session, holds: Callable[[str], bool]) -> Session:
    """The session with the parties that are on hold now."""
    on_hold = frozenset(party.channel for party in session.parties if holds(party.channel))
    return session if on_hold == session.on_hold else replace(session, on_hold=on_hold)


@dataclass(slots=True)
class HoldMusic:
    """Of one transfer."""

    asterisks: dict[str, Company] = field(default_factory=dict)
    """Channels to which Asterisk plays by itself, and the company in which that began."""

    def pressed(self, before: Session, after: Session) -> Effects:
        """What follows when a party presses the key in a bridge of the session's."""
        old = held(before)
        for channel, company in held(after).items():
            if channel not in old and len(company.channels) == 1:
                self.asterisks[channel] = company
        first, last = self._changed(before, after)
        return (*first, *last)

    def around(
        self, before: Session, after: Session, effects: Effects, event: SessionEvent
    ) -> Effects:
        """The effects of a step, with those that end music before it and begin it after it."""
        first, last = self._changed(before, after)
        pair = bridged_pair(before) if event.kind is EventType.BRIDGED else None
        if pair is not None:
            # In a bridge of Asterisk's own now. It ends this by itself when the party resumes.
            last += tuple(
                StartHold(one)
                for one, other in (pair, pair[::-1])
                if other in after.on_hold and one not in after.on_hold
            )
        return (*first, *effects, *last)

    def repeated(self, session: Session) -> Effects:
        self.asterisks.clear()
        return tuple(StartHold(channel) for channel in held(session))

    def _changed(self, before: Session, after: Session) -> tuple[Effects, Effects]:
        old, now = self._ours(before), held(after)
        self.asterisks = {
            channel: company
            for channel, company in self.asterisks.items()
            if now.get(channel) == company
        }
        new = self._ours(after)
        there = {party.channel for party in after.present}
        ended = [channel for channel in old if new.get(channel) != old[channel]]
        begun = [channel for channel in new if new[channel] != old.get(channel)]
        return (
            tuple(EndHold(channel) for channel in ended if channel in there),
            tuple(StartHold(channel) for channel in begun),
        )

    def _ours(self, session: Session) -> Mapping[str, Company]:
        """Whoever hears music from us in this state of the session."""
        if session.origin is Origin.JOIN:
            # It is completed at once. The end of a hold that has just begun is lost on a trunk
            # where an INVITE overtakes the last ACK (RFC 3261, 14.2: 500, and Asterisk gives up).
            return {}
        found = held(session).items()
        return {x: company for x, company in found if self.asterisks.get(x) != company}
