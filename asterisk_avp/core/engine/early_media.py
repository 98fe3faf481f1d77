"""Let the transferor hear what the network says before an outside number answers (early media).

A 183 with media announces ringing tones, "this number is not in service", or the service of a
network. Asterisk discards it: whoever originates a call hears nothing of it before the answer
(main/dial.c). So a Snoop channel of ours takes what the far end of the leg's Local channel is sent.
Nothing is answered by that; the call costs from its answer on, as before.

* *The target.* The transferor is alone in the consult bridge, which the Snoop channel joins; only
  then does the ringback end.
* *A fourth party.* The others must not hear it. A second Snoop channel whispers to the transferor,
  and both are in a bridge of their own.

The network's media take precedence over our ringback: a 180 after the 183 of the same attempt
changes nothing. An administrator's dialplan can try another trunk, which may only send a 180.
Asterisk hangs a Snoop channel up with the channel that it listens to, so every end of the leg ends
this too. After a restart of the daemon, the channels count as orphaned, and ringback is back.
"""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages.effects import (
    AddToBridge,
    CreateBridge,
    DestroyBridge,
    Effect,
    Snoop,
    StartRingback,
    StopRingback,
    StopSnoop,
)
from asterisk_avp.core.transfer.session import Session, early_bridge, far_end_of
from asterisk_avp.core.transfer.spec import Deadline


@dataclass(slots=True)
class _Listening:
    session: str
    leg: str
    spy: str
    """The Snoop channel that has the network's media."""
    whisper: str = ""
    """The one that has it said to the transferor; empty: the target's leg, which needs none."""
    attempt: bool = True
    """Whether the attempt that sent early media goes on."""


class EarlyMedia:
    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._of_leg: dict[str, _Listening] = {}
        self._of_channel: dict[str, _Listening] = {}
        self._count = 0

    def begun(self, session: Session, leg: str, outcome: Outcome) -> None:
        """The network sends early media on the leg's call."""
        known = self._of_leg.get(leg)
        if known is not None:
            known.attempt = True
            return
        self._count += 1
        spy, far_end = f"{leg}-early{self._count}", far_end_of(session, leg)
        listening = _Listening(session.id, leg, spy)
        effects: tuple[Effect, ...] = (Snoop(far_end, spy),)
        if leg != session.leg.channel:
            listening.whisper = f"{spy}-whisper"
            effects = (
                CreateBridge(early_bridge(session.id), "early"),
                *effects,
                Snoop(session.transferor.channel, listening.whisper, whispers=True),
            )
        self._of_leg[leg] = self._of_channel[spy] = listening
        if listening.whisper:
            self._of_channel[listening.whisper] = listening
        _perform(outcome, session.id, *effects)

    def entered(self, channel: str, outcome: Outcome) -> bool:
        """A channel has entered Stasis; returns whether it is one of these."""
        listening = self._of_channel.get(channel)
        if listening is None:
            return False
        record = self._store.records.get(listening.session)
        if record is None or self._of_leg.get(listening.leg) is not listening:
            _perform(outcome, None, StopSnoop(channel))
            return True
        session = record.session
        if listening.whisper:
            _perform(outcome, session.id, AddToBridge(early_bridge(session.id), channel))
        elif session.state.spec.deadline is Deadline.TARGET:
            _perform(
                outcome,
                session.id,
                AddToBridge(session.consult_bridge, channel),
                StopRingback(session.transferor.channel),
            )
        else:
            _perform(outcome, session.id, StopSnoop(channel))
        return True

    def gone(self, channel: str, outcome: Outcome) -> None:
        """A channel has ended, with it perhaps what the transferor listened to."""
        listening = self._of_channel.pop(channel, None)
        if listening is not None and channel == listening.spy:
            self.over(listening.leg, outcome)

    def knows(self, channel: str) -> bool:
        """Whether the channel is one of these, which a resync must not take for orphaned."""
        return channel in self._of_channel

    def attempt_ended(self, leg: str) -> None:
        """An attempt has failed; what the dialplan says next is still heard."""
        if (listening := self._of_leg.get(leg)) is not None:
            listening.attempt = False

    def replaces_ringback(self, leg: str) -> bool:
        """Whether the attempt that rings now has sent early media."""
        listening = self._of_leg.get(leg)
        return listening is not None and listening.attempt

    def over(self, leg: str, outcome: Outcome, *, rings: bool = False) -> None:
        """End it: the leg was answered, or only ``rings`` from now on."""
        listening = self._of_leg.pop(leg, None)
        if listening is None:
            return
        of = listening.session
        _perform(outcome, of, StopSnoop(listening.spy))
        if listening.whisper:
            _perform(outcome, of, StopSnoop(listening.whisper), DestroyBridge(early_bridge(of)))
        elif rings and of in self._store.records:
            transferor = self._store.records[of].session.transferor
            _perform(outcome, of, StartRingback(transferor.channel))


def _perform(outcome: Outcome, session: str | None, *effects: Effect) -> None:
    outcome.effects.extend((session, effect) for effect in effects)
