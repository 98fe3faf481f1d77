"""What is known of each call for its screen pop: data, waiting time, transfers so far.

A call is known by the caller's channel. What only we know of it is written to that channel's
variables, where a daemon that starts anew finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.pops.content import MAX_TRANSFERS, Data, Moved, Read, history, whole
from asterisk_avp.core.transfer.session import Session, State


@dataclass(slots=True)
class Pop:
    """One call's: what has been read of it, and what happened to it since."""

    data: Data = field(default_factory=dict)
    transfers: tuple[Moved, ...] = ()
    waited: float = 0.0
    """Seconds in queues, without the wait that goes on."""
    waits_since: float | None = None
    """Unix seconds."""
    queued: int = 0
    """How often it has entered a queue."""
    read_in: str = ""
    """Where the call was when its variables were last asked for."""
    known: bool = False
    """They have been answered, or will not be."""
    read_once: bool = False
    written: Mapping[str, str] = field(default_factory=dict)
    """What the channel's own variables say of the transfers and the wait."""

    def waited_seconds(self, now: float) -> int:
        going_on = max(0.0, now - self.waits_since) if self.waits_since is not None else 0.0
        return int(self.waited + going_on)


class Ledger:
    """``iso`` writes Unix seconds as the API does."""

    def __init__(self, iso: Callable[[float], str]) -> None:
        self.pops: dict[str, Pop] = {}
        self._iso = iso
        self._unwritten: set[str] = set()
        """Calls that something happened to that their channels do not say yet."""

    def open(self, call: str) -> Pop:
        return self.pops.setdefault(call, Pop())

    def forget(self, call: str) -> None:
        self.pops.pop(call, None)

    def heard_again(self, waiting: set[str], now: float) -> None:
        """Asterisk was not heard for a while: variables may be others, waits may be over."""
        for call, pop in self.pops.items():
            pop.read_in = ""
            if call not in waiting:
                self.stop_waiting(call, now)

    def noted(self, call: str, found: Read) -> None:
        """What a call's variables said."""
        pop = self.pops.get(call)
        if pop is None:
            return
        pop.data, pop.known = found.data, True
        self._unwritten.add(call)
        if not pop.read_once:
            pop.read_once = True
            # What was noted while we asked comes after what a former daemon had noted.
            ours = {moved.transfer for moved in pop.transfers}
            before = tuple(m for m in found.transfers if m.transfer not in ours)
            pop.written = found.history
            pop.transfers = before + pop.transfers
            pop.waited += found.waited_seconds

    def unread(self, call: str) -> None:
        """The call's variables could not be read: what is known has to do."""
        pop = self.pops.get(call)
        if pop is not None:
            pop.known = True

    @property
    def unwritten_calls(self) -> bool:
        """Whether `unwritten` may find something."""
        return bool(self._unwritten)

    def unwritten(self) -> dict[str, dict[str, str]]:
        """What is to be written to the channels of which calls; taken as written from now on."""
        found = {}
        calls, self._unwritten = self._unwritten, set()
        for call in calls:
            pop = self.pops.get(call)
            if pop is None or not pop.read_once:
                continue
            wanted = history(pop.transfers, int(pop.waited))
            emptied = dict.fromkeys(pop.written.keys() - wanted.keys(), "")
            fresh = dict(wanted.items() - pop.written.items()) | emptied
            if fresh:
                pop.written = wanted
                found[call] = fresh
        return found

    def not_written(self, call: str, variables: Mapping[str, str]) -> None:
        """Writing failed; to be tried again."""
        pop = self.pops.get(call)
        if pop is not None:
            kept = pop.written.items() - variables.items()
            pop.written = dict(kept)
            self._unwritten.add(call)

    def note_transfer(self, session: Session, now: float) -> None:
        """Keep the transfer in the call's history, from the moment agent 1 lets the call go."""
        call = session.caller.channel
        pop = self.open(call)
        known = any(moved.transfer == session.id for moved in pop.transfers)
        if session.state in _LET_GO or given(session):
            if not known:
                # Agent 1 who leaves while the target rings makes it unsupervised.
                alone = session.state in _BY_QUEUE or session.delivered_to is not None
                mode = Mode.UNSUPERVISED if alone else session.mode
                at, note = self._iso(now), whole(session.notes)
                name = session.transferor.name
                moved = Moved(session.agent, name, mode.value, note, at, session.id)
                pop.transfers = (*pop.transfers, moved)[-MAX_TRANSFERS:]
                self._unwritten.add(call)
        elif known and not session.state.final:
            # It could not be completed, and the call goes back.
            pop.transfers = tuple(m for m in pop.transfers if m.transfer != session.id)
            self._unwritten.add(call)

    def joined(self, fact: ev.QueueJoined, now: float, *, again: bool) -> None:
        """The caller waits in a queue; ``again``: a resync found them there."""
        pop = self.open(fact.channel)
        if again and pop.waits_since is not None:
            return  # the same wait, told once more
        self.stop_waiting(fact.channel, now)
        pop.waits_since = now - fact.waited_seconds
        pop.queued += 1

    def stop_waiting(self, call: str, now: float) -> None:
        pop = self.pops.get(call)
        if pop is not None and pop.waits_since is not None:
            pop.waited += max(0.0, now - pop.waits_since)
            pop.waits_since = None
            self._unwritten.add(call)


def given(session: Session) -> bool:
    """Agent 1 has completed it, and three go on talking for a while."""
    return session.outcome is State.COMPLETED and session.state in _GIVEN


_BY_QUEUE = frozenset({State.QUEUED, State.OFFERED})
_LET_GO = _BY_QUEUE | {State.COMPLETING, State.COMPLETED}
_GIVEN = frozenset({State.SHARED, State.PARTING})
