"""The one way into the engine: a queue that hands on one message at a time, in order.

AMI's and ARI's readers, timers, the outcomes of effects and what was read from Asterisk all `post`
here; a request of the API or of a phone is a step of its own (`run`). A message is handled to its
end before the next one is looked at: what is posted meanwhile waits. Nothing here awaits, so a
message is handled before its connection is read any further, which is all the back pressure there
is, and needs be.

The order is the one in which messages came, with two exceptions:

* While the picture of Asterisk is being read, what would change the picture waits for it
  (`hold_picture`): the list that Asterisk gives may be older or newer than that.
* The end of a channel waits for the answer to the action that is about it (`hold_ends`). AMI and
  ARI are two connections, between which Asterisk's order is lost (`ami.perform`).

Answers to ARI's requests come by HTTP, its events by WebSocket, and Asterisk promises no order
between them. The only outcome among those answers is that a leg could not be dialled. Asterisk
makes no channel then, so that no event can be about the same leg; where it made one and did not
answer in time, the resync finds the leg. An event in between changes nothing about either.
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
    """What AMI says of a queue. A caller may have written it: Asterisk is asked first."""

    fact: ev.Fact


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
    """Something of this session (None: of none in particular) may not have been done."""

    session: str | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another program has our Stasis application."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """Another daemon had the application meanwhile: it knows the transfers better."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A message in AMI's stream that Asterisk cannot have written; nothing of it is believed."""

    event: str
    """Its name, if it has one."""
    problem: str


HINTS: Final = (ev.MemberSeen, ev.MemberRemoved, ev.QueueJoined, ev.QueueLeft)
"""What AMI says and is only a `Hint`."""

Message = ev.Fact | Hint | Report | TimeUp | NeedsResync | Replaced | Outdated | Defect | Outcome
Handle = Callable[[Message], None]
Post = Callable[[Message], None]

_PICTURE: Final[frozenset[type[Message]]] = frozenset(
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
"""What is about the picture. Who enters or leaves Stasis, and who presses keys, cannot wait."""


class Inbox:
    def __init__(self) -> None:
        self._handle: Handle | None = None
        self._queue: deque[Message] = deque()
        self._busy = False
        self._picture: list[Message] | None = None
        self._awaited: Counter[str] = Counter()
        """Channels, by the number of unanswered actions that are about them."""
        self._ends: list[ev.ChannelGone] = []

    def consume(self, handle: Handle) -> None:
        """From now on, have each message handled by this."""
        self._handle = handle
        self._drain()

    def post(self, message: Message) -> None:
        """Have a message handled in its turn: at once, if nothing else is being handled."""
        kind = type(message)
        if kind is ev.ChannelGone and message.id in self._awaited:  # type: ignore[union-attr]
            self._ends.append(message)  # type: ignore[arg-type]
        elif self._picture is not None and kind in _PICTURE:
            self._picture.append(message)
        else:
            self._queue.append(message)
            if not self._busy:
                self._drain()

    def run(self, step: Callable[[Handle], T]) -> T:
        """Take a step that nothing comes in between of; return, or raise, what it does.

        It gets the function that handles a message at once, as a part of the step. Not to be called
        while a message is being handled: that would be in the middle of another step.
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
                    # Those behind it are about other calls.
                    log.exception("message_not_handled", message=type(message).__name__)
        finally:
            self._busy = False

    # --- the two exceptions --------------------------------------------------------------------

    def hold_picture(self) -> None:
        """The picture is about to be read: what changes it waits."""
        self._picture = []

    def held_picture(self) -> list[Message]:
        """What has waited, in its order; nothing waits any more."""
        held, self._picture = self._picture or [], None
        return held

    def hold_ends(self, channels: Collection[str]) -> Callable[[], None]:
        """The ends of these channels wait until the returned function is called, once or more."""
        awaited = Counter(set(channels))
        self._awaited.update(awaited)

        def release() -> None:
            self._awaited.subtract(awaited)
            for channel in awaited:
                if self._awaited[channel] <= 0:
                    del self._awaited[channel]
            awaited.clear()
            ends, self._ends = self._ends, []
            for end in ends:
                self.post(end)  # one that another action is about waits on

        return release
