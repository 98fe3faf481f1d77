"""The inbox: the only input of the engine, an ordered queue that delivers one message at a time.

AMI's and ARI's readers, timers, outcomes of effects and results of queries `post` here; a request
of the API or of a phone is a step of its own (`run`). Each message is handled completely before the
next one; messages posted meanwhile wait. Nothing here awaits, so a message is handled before its
connection is read further, which is all the back pressure that is needed.

Messages are delivered in the order of arrival, with two exceptions:

* While a resync reads the state of Asterisk, facts that change this state wait
  (`defer_state_facts`), because Asterisk's list may be older or newer than they are. A change that
  we requested and Asterisk has confirmed counts at once, and again after the list: whoever
  requested it goes on from there.
* The end of a channel waits for the response to an action about the channel (`hold_ends`). AMI and
  ARI are two connections, between which Asterisk's order is lost (`ami.perform`).

ARI sends responses by HTTP and events by WebSocket, without a defined order between them. The only
outcome in a response is that a leg could not be dialled. Asterisk then creates no channel, so no
event can be about that leg. If it created one and did not respond in time, the resync finds the
leg. An event in between does not matter in either case.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.transfer.events import SessionEvent

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hint:
    """An AMI event about a queue. A caller may have injected it, so Asterisk is queried first."""

    fact: ev.Fact


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What Asterisk has confirmed of a change that this daemon requested."""

    fact: ev.MemberSeen | ev.MemberRemoved


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of an effect."""

    session: str
    event: SessionEvent


@dataclass(frozen=True, slots=True)
class TimeUp:
    """A session's timer has expired."""

    session: str


@dataclass(frozen=True, slots=True)
class NeedsResync:
    """An effect of this session (None: of no particular session) may not have been performed."""

    session: str | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another program has taken over our Stasis application."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """Another daemon owned the application meanwhile; our state of transfers is out of date."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A message in AMI's stream that Asterisk cannot have written, and that was discarded."""

    event: str
    """The event's name; empty: none."""
    problem: str


HINTS: Final = (ev.MemberSeen, ev.MemberRemoved, ev.QueueJoined, ev.QueueLeft)
"""AMI facts that are only a `Hint`."""

Message = (
    ev.Fact
    | Hint
    | Confirmed
    | Report
    | TimeUp
    | NeedsResync
    | Replaced
    | Outdated
    | Defect
    | Outcome
)
Handle = Callable[[Message], None]
Post = Callable[[Message], None]

_STATE_FACTS: Final[frozenset[type[Message]]] = frozenset(
    {
        Hint,
        ev.ChannelSeen,
        ev.ChannelGone,
        ev.BridgeEntered,
        ev.BridgeLeft,
        ev.HoldChanged,
        ev.MusicChanged,
        ev.RecordingMuted,
        ev.MemberSeen,
        ev.MemberRemoved,
        ev.QueueJoined,
        ev.QueueLeft,
        ev.AgentRung,
        ev.AgentUnanswered,
        ev.AgentRingEnded,
        ev.AgentConnected,
        ev.AgentCompleted,
        ev.DialProgress,
        ev.QueueEnded,
        ev.NotAccepted,
    }
)
"""Facts that change the state of Asterisk. Stasis events and key presses cannot wait."""


class Inbox:
    def __init__(self) -> None:
        self._handle: Handle | None = None
        self._queue: deque[Message] = deque()
        self._busy = False
        self._deferred: list[Message] | None = None
        self._awaited_channels: Counter[str] = Counter()
        """Channel to the number of unanswered actions about it."""
        self._deferred_ends: list[ev.ChannelGone] = []

    def consume(self, handle: Handle) -> None:
        """Deliver every message to ``handle`` from now on."""
        self._handle = handle
        self._drain()

    def post(self, message: Message) -> None:
        """Queue a message; it is handled at once if no other is being handled."""
        if isinstance(message, Confirmed):
            message = message.fact
            if self._deferred is not None:
                self._deferred.append(message)
            self._deliver(message)
            return
        kind = type(message)
        if kind is ev.ChannelGone and message.id in self._awaited_channels:  # type: ignore[union-attr]
            self._deferred_ends.append(message)  # type: ignore[arg-type]
        elif self._deferred is not None and kind in _STATE_FACTS:
            self._deferred.append(message)
        else:
            self._deliver(message)

    def _deliver(self, message: Message) -> None:
        self._queue.append(message)
        if not self._busy:
            self._drain()

    def run(self, step: Callable[[Handle], T]) -> T:
        """Run an atomic step; return its result or raise its exception.

        ``step`` gets a function that handles a message at once, as part of the step. Raises
        `RuntimeError` while a message is being handled, that is, within another step.
        """
        if self._busy or self._handle is None:
            raise RuntimeError("a step within a step")
        self._busy = True
        try:
            return step(self._handle)
        finally:
            self._busy = False
            self._drain()

    def _drain(self) -> None:
        handle = self._handle
        if handle is None:
            return
        self._busy = True
        try:
            while self._queue:
                message = self._queue.popleft()
                try:
                    handle(message)
                except Exception:
                    # The messages behind it concern other calls.
                    log.exception("message_handler_failed", message=type(message).__name__)
        finally:
            self._busy = False

    # --- the two exceptions --------------------------------------------------------------------

    def defer_state_facts(self) -> None:
        """Defer facts that change the state of Asterisk, because a resync is about to read it."""
        self._deferred = []

    def deferred_state_facts(self) -> list[Message]:
        """Return the deferred facts in order, and stop deferring."""
        held, self._deferred = self._deferred or [], None
        return held

    def hold_ends(self, channels: Collection[str]) -> Callable[[], None]:
        """Hold the ends of these channels until the returned function is called (idempotent)."""
        awaited = Counter(set(channels))
        self._awaited_channels.update(awaited)

        def release() -> None:
            self._awaited_channels.subtract(awaited)
            for channel in awaited:
                if self._awaited_channels[channel] <= 0:
                    del self._awaited_channels[channel]
            awaited.clear()
            ends, self._deferred_ends = self._deferred_ends, []
            for end in ends:
                self.post(end)  # it is held again if another action concerns the channel

        return release
