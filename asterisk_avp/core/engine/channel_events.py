"""Turn facts about channels into events of the transfer that they belong to."""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.engine.departures import Departures
from asterisk_avp.core.engine.early_media import EarlyMedia
from asterisk_avp.core.engine.queue_events import QueueEventHandler
from asterisk_avp.core.engine.session_index import party_of
from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages.effects import Destination, HangUp, LeaveStasis
from asterisk_avp.core.messages.facts import CallerPresentation, CallGroup
from asterisk_avp.core.model.caller import Presentation
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.transfer.dialplan import RECALL
from asterisk_avp.core.transfer.events import ENTERED, GONE, EventType, SessionEvent
from asterisk_avp.core.transfer.session import Presence, Session, far_end_of, is_leg, is_snoop
from asterisk_avp.core.transfer.spec import Place, Recovery
from asterisk_avp.core.transfer.states import State

_ENDED_BY_THE_PARTNER: Final = {
    Recovery.BRIDGE_TARGET: EventType.BRIDGED,
    Recovery.BRIDGE_TRANSFEROR: EventType.BRIDGED,
    Recovery.RECALL: EventType.REDIRECT_FAILED,
    Recovery.ENTER: EventType.CALL_ENDED,
    Recovery.QUEUE: EventType.CALL_ENDED,
}


class ChannelEventHandler:
    def __init__(
        self,
        calls: Calls,
        store: SessionStore,
        queues: QueueEventHandler,
        departures: Departures,
        early: EarlyMedia,
    ) -> None:
        self._hang_ups = departures.hang_ups
        self._departures = departures
        self._early = early
        self._calls = calls
        self._store = store
        self._queues = queues

    def stasis_entered(self, channel: str, now: float, outcome: Outcome) -> None:
        if self._early.entered(channel, outcome):
            return
        found = self._store.role_of(channel)
        if found is None:
            # It belongs to a transfer that is over: its Redirect took effect after it had timed
            # out. No session handles the channel, so send it to the dialplan's fallback. Hang up
            # a leg that answers this late: in the dialplan it would dial again.
            effect = (
                HangUp(channel)
                if is_leg(channel) or is_snoop(channel)
                else LeaveStasis(channel, self._fallback_destination(channel))
            )
            outcome.effects.append((None, effect))
            return
        self._store.leg_ended(far_end_of(found[0], channel), outcome)
        self._early.over(channel, outcome)
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
        transfer's Redirect takes effect. A caller who has not hung up was moved: by whom, and
        whether they are about to end after all, Asterisk is asked (`core.engine.whereabouts`),
        and until then the ends of others wait (`core.engine.departures`).
        """
        found = self._store.role_of(channel)
        if found is None:
            return
        session, role = found
        party = party_of(session, role)
        if party is None or party.presence is not Presence.PRESENT:
            return
        if not session.state.spec.held_in_stasis:
            return
        if role == "caller" and channel not in self._hang_ups:
            self._departures.caller_left(channel)
        else:
            self.gone(channel, now, outcome, alive=channel in self._calls.channels)

    def ended(self, channel: str, now: float, outcome: Outcome) -> None:
        self.gone(channel, now, outcome)
        self._hang_ups.gone(channel)
        self._queues.remote.gone(channel)

    def gone(self, channel: str, now: float, outcome: Outcome, *, alive: bool = False) -> None:
        """``alive``: the channel has only left Stasis."""
        self._early.gone(channel, outcome)
        found = self._store.role_of(channel)
        if found is None:
            return
        session, role = found
        kind = GONE.get(role)
        if session.state.spec.releases_slot and role in ("leg", "leg_far_end"):
            # The slot in the target's queue is free only after both halves have ended.
            halves = {session.leg.channel, session.local_far_end} - {channel}
            kind = None if halves & self._calls.channels.keys() else EventType.LEG_GONE
        if kind is EventType.CALLER_GONE:
            kind = self._why_the_caller_ended(session)
        if kind is not None:
            reason = self._queues.leg_end_reason(session.id) if kind is EventType.LEG_GONE else ""
            event = SessionEvent(kind, reason)
            if self._departures.wait(session, role, event, alive=alive):
                return
            self._departures.forget(session.caller.channel, role)
            self._store.apply(session.id, event, now, outcome)
            if role == "caller":
                self._departures.settled(channel, now, outcome)

    def variable_read(self, fact: CallGroup | CallerPresentation, outcome: Outcome) -> bool:
        """Note what a call's channel told when it was asked; return whether that is new."""
        if isinstance(fact, CallGroup):
            return self._calls.set_group(fact.channel, fact.group)
        channel, told = self._calls.channels.get(fact.channel), fact.presentation
        if channel is None or told is Presentation.UNKNOWN or channel.presentation is told:
            return False
        channel.presentation = told
        found = self._store.role_of(channel.id)
        if found is not None and found[1] == "caller":
            self._store.set_presentation(found[0].id, told, outcome)
        return True

    def _why_the_caller_ended(self, session: Session) -> EventType:
        """Who hung up, where the caller's channel ends while we move them.

        Asterisk and the dialplan end a caller whose partner hangs up: before we have moved them, or
        as soon as we have bridged the two, also where our Bridge is not answered yet.
        """
        recovery = session.state.spec.recovery
        caller, transferor = session.caller.channel, session.transferor.channel
        first = self._hang_ups.first(caller, transferor, session.leg.channel)
        partner = first not in ("", caller)
        if recovery in (Recovery.ENTER, Recovery.QUEUE) and first != caller:
            # Not if the Redirect has moved them: then nobody's hang-up ends the caller.
            moved = session.caller.presence is Presence.PRESENT
            partner = not moved and (partner or session.transferor.presence is Presence.GONE)
        kind = _ENDED_BY_THE_PARTNER.get(recovery)
        return kind if kind and partner else EventType.CALLER_GONE

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
