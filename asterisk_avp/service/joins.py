"""At home: the phone's attended Transfer button on a call of another node's.

The phone talks to the target already, in a call of this node. The anchor decides, and sends a
consult leg for the target, as for any supervised transfer. Instead of entering the target's queue
the leg is joined with the target's channel (avp-node-in), and the anchor completes the transfer.
Until then nothing of the phone's two calls has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Destination, Redirect, SetVariables
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.part import Part

JOIN: Final = Destination("avp-node-in", "join")
CONSULT: Final = "consult"

NOT_JOINED: Final = "The target does not talk to the phone any more."
JOINED_SECONDS: Final = 2.0
"""Time in which a leg that is answered is with the target. The phone ends its own calls then."""

Wanted = tuple[str, str, str]
"""The anchor, the caller's channel there, and the target."""


@dataclass(frozen=True, slots=True)
class Join:
    target: str
    """The channel of the target's phone."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> bool:
        """Whether the leg has been joined with the target, in `JOINED_SECONDS`."""
        try:
            await asyncio.wait_for(self.done.wait(), JOINED_SECONDS)
        except TimeoutError:
            return False
        return True


class Joins(Part):
    hears = (NodeCall, ev.QueueJoined, ev.BridgeEntered, ev.ChannelGone)

    def __init__(self, engine: TransferEngine) -> None:
        self._store = engine.store
        self._wanted: dict[Wanted, Join] = {}
        self._joining: dict[str, Join] = {}
        """By the leg that is being joined, and therefore waits in no queue."""

    @contextmanager
    def expected(self, wanted: Wanted, channel: str) -> Iterator[Join]:
        """Meanwhile the leg may come."""
        join = self._wanted[wanted] = Join(channel)
        try:
            yield join
        finally:
            self._wanted.pop(wanted, None)

    def handle(self, message: Message) -> Outcome | None:
        match message:
            case NodeCall():
                return self._came(message)
            case ev.QueueJoined(channel=channel) if channel in self._joining:
                # The dialplan was faster than the variable.
                return Outcome([(None, Redirect(channel, JOIN))])
            case ev.ChannelGone(channel):
                self._joining.pop(channel, None)
            case ev.BridgeEntered(channel=channel) if channel in self._joining:
                self._joining.pop(channel).done.set()
                outcome = Outcome()
                self._store.leg_ended(channel, outcome)
                return outcome
        return None

    def _came(self, call: NodeCall) -> Outcome | None:
        if call.leg != CONSULT:
            return None
        join = self._wanted.pop((call.anchor, call.anchor_call, call.agent), None)
        if join is None:
            return None
        self._joining[call.channel] = join
        return Outcome([(None, SetVariables(call.channel, {"AVP_JOIN": join.target}))])
