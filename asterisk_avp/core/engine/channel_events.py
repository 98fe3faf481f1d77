"""Turn facts about channels into events of the transfer that they belong to."""

from __future__ import annotations

from asterisk_avp.core.engine.queue_events import QueueEventHandler
from asterisk_avp.core.engine.sessions import Outcome, SessionStore, party_of
from asterisk_avp.core.messages.effects import Destination, HangUp, LeaveStasis
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.transfer.dialplan import RECALL
from asterisk_avp.core.transfer.events import ENTERED, GONE, EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, is_leg
from asterisk_avp.core.transfer.spec import Place
from asterisk_avp.core.transfer.states import State


class ChannelEventHandler:
    def __init__(self, calls: Calls, store: SessionStore, queues: QueueEventHandler) -> None:
        self._calls = calls
        self._store = store
        self._queues = queues

    def stasis_entered(self, channel: str, now: float, outcome: Outcome) -> None:
        found = self._store.role_of(channel)
        if found is None:
            # It belongs to a transfer that is over: its Redirect took effect after it had timed
            # out. No session handles the channel, so send it to the dialplan's fallback. Hang up
            # a leg that answers this late: in the dialplan it would dial again.
            effect = (
                HangUp(channel)
                if is_leg(channel)
                else LeaveStasis(channel, self._fallback_destination(channel))
            )
            outcome.effects.append((None, effect))
            return
        if found[1] == "leg":
            self._store.leg_ended(found[0].local_far_end)
        kind = ENTERED.get(found[1])
        if kind is not None:
            self._store.apply(found[0].id, SessionEvent(kind), now, outcome)

    def _fallback_destination(self, channel: str) -> Destination | None:
        """Where to send a caller who stayed in Stasis when their transfer failed; None: onward."""
        for record in self._store.records.values():
            session = record.session
            held = session.caller.channel == channel and session.caller.presence is Presence.PRESENT
            if held and session.state is State.FAILED:
                return RECALL
        return None

    def stasis_left(self, channel: str, now: float, outcome: Outcome) -> None:
        """A party has left Stasis: it hung up, or another program moved it.

        Counts only in states that hold the parties in Stasis. A channel that we bridge or queue
        leaves Stasis too, and a channel that an earlier transfer bridged leaves it when this
        transfer's Redirect takes effect.
        """
        found = self._store.role_of(channel)
        if found is None:
            return
        session, role = found
        party = party_of(session, role)
        if party is None or party.presence is not Presence.PRESENT:
            return
        if session.state.spec.held_in_stasis:
            self.gone(channel, now, outcome)

    def gone(self, channel: str, now: float, outcome: Outcome) -> None:
        found = self._store.role_of(channel)
        if found is None:
            return
        session, role = found
        kind = GONE.get(role)
        if session.state.spec.releases_slot and role in ("leg", "leg_far_end"):
            # The slot in the target's queue is free only after both halves have ended.
            halves = {session.leg.channel, session.local_far_end} - {channel}
            kind = None if halves & self._calls.channels.keys() else EventType.LEG_GONE
        if kind is not None:
            reason = self._queues.leg_end_reason(session.id) if kind is EventType.LEG_GONE else ""
            self._store.apply(session.id, SessionEvent(kind, reason), now, outcome)

    def set_group_of_queued_caller(self, channel: str) -> None:
        """Set the group of a caller whom we have queued to the group that AVP_GROUP now names.

        It is read again when an agent has the call; until then, agents who are rung must not see
        the old group.
        """
        found = self._store.role_of(channel)
        if found is None or found[1] != "caller":
            return
        if found[0].state.spec.caller.place is Place.QUEUE:
            self._calls.set_group(channel, found[0].group_after)
