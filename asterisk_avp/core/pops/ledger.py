"""The data behind each call's screen pop: variables, waiting time, past transfers.

A call is identified by the caller's channel. Waiting time and transfers are also written to that
channel's variables, where a restarted daemon reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.pops.content import (
    MAX_TRANSFERS,
    Data,
    ParsedVariables,
    PastTransfer,
    history,
    without_surrogates,
)
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Place, Released


@dataclass(slots=True)
class Pop:
    """One call: what was read from its variables, and what has happened since."""

    data: Data = field(default_factory=dict)
    transfers: tuple[PastTransfer, ...] = ()
    waited: float = 0.0
    """Seconds in queues, without the current wait."""
    waits_since: float | None = None
    """Start of the current wait in Unix seconds; None: not waiting."""
    queued: int = 0
    """How often it has entered a queue."""
    read_in: str = ""
    """The bridge or queue in which its variables were last requested."""
    known: bool = False
    """The variables have been read, or could not be read."""
    unreadable: bool = False
    """They could not be read the last time."""
    read_once: bool = False
    written: Mapping[str, str] = field(default_factory=dict)
    """The history as it is on the channel."""

    def waited_seconds(self, now: float) -> int:
        going_on = max(0.0, now - self.waits_since) if self.waits_since is not None else 0.0
        return int(self.waited + going_on)


class Ledger:
    """``iso`` formats Unix seconds as the API does."""

    def __init__(self, iso: Callable[[float], str]) -> None:
        self.pops: dict[str, Pop] = {}
        self._iso = iso
        self._unwritten: set[str] = set()
        """Calls whose history differs from what is on their channels."""

    def open(self, call: str) -> Pop:
        return self.pops.setdefault(call, Pop())

    def forget(self, call: str) -> None:
        self.pops.pop(call, None)

    def resynced(self, waiting: set[str], now: float) -> None:
        """After a resync: read all variables again, and end waits that are over."""
        for call, pop in self.pops.items():
            pop.read_in = ""
            if call not in waiting:
                self.stop_waiting(call, now)

    def variables_read(self, call: str, found: ParsedVariables) -> None:
        """Store a call's parsed variables."""
        pop = self.pops.get(call)
        if pop is None:
            return
        pop.data, pop.known, pop.unreadable = found.data, True, False
        self._unwritten.add(call)
        if not pop.read_once:
            pop.read_once = True
            # Transfers noted during the read come after those that an earlier daemon noted.
            ours = {past.transfer for past in pop.transfers}
            before = tuple(m for m in found.transfers if m.transfer not in ours)
            pop.written = found.history
            pop.transfers = before + pop.transfers
            pop.waited += found.waited_seconds

    def variables_unreadable(self, call: str) -> None:
        """The call's variables could not be read; show the pop without them."""
        pop = self.pops.get(call)
        if pop is not None:
            pop.known = pop.unreadable = True

    @property
    def unwritten_calls(self) -> bool:
        """Whether `unwritten` may return something."""
        return bool(self._unwritten)

    def unwritten(self) -> dict[str, dict[str, str]]:
        """The variables to write, by call; they count as written from now on."""
        found = {}
        calls, self._unwritten = self._unwritten, set()
        for call in calls:
            pop = self.pops.get(call)
            if pop is None or not pop.read_once:
                continue
            current = history(pop.transfers, int(pop.waited))
            emptied = dict.fromkeys(pop.written.keys() - current.keys(), "")
            changes = dict(current.items() - pop.written.items()) | emptied
            if changes:
                pop.written = current
                found[call] = changes
        return found

    def not_written(self, call: str, variables: Mapping[str, str]) -> None:
        """The write failed; `unwritten` returns the variables again."""
        pop = self.pops.get(call)
        if pop is not None:
            kept = pop.written.items() - variables.items()
            pop.written = dict(kept)
            self._unwritten.add(call)

    def note_transfer(self, session: Session, now: float) -> None:
        """Add the transfer to the call's history once the transferor has released the call."""
        call = session.caller.channel
        pop = self.open(call)
        known = any(past.transfer == session.id for past in pop.transfers)
        if session.state.spec.released is Released.YES or is_completed_conference(session):
            if not known:
                # A transferor who leaves while the target rings makes it unsupervised.
                queued = session.state.spec.caller.place is Place.QUEUE
                alone = queued or session.delivered_to is not None
                mode = Mode.UNSUPERVISED if alone else session.mode
                at, note = self._iso(now), without_surrogates(session.notes)
                name = session.transferor.name
                past = PastTransfer(session.agent, name, mode.value, note, at, session.id)
                pop.transfers = (*pop.transfers, past)[-MAX_TRANSFERS:]
                self._unwritten.add(call)
        elif known and not session.state.final:
            # The transfer failed to complete, and the call returns.
            pop.transfers = tuple(m for m in pop.transfers if m.transfer != session.id)
            self._unwritten.add(call)

    def joined(self, fact: ev.QueueJoined, now: float, *, again: bool) -> None:
        """The caller waits in a queue. ``again``: a resync found them there."""
        pop = self.open(fact.channel)
        if again and pop.waits_since is not None:
            return  # the same wait
        self.stop_waiting(fact.channel, now)
        pop.waits_since = now - fact.waited_seconds
        pop.queued += 1

    def stop_waiting(self, call: str, now: float) -> None:
        pop = self.pops.get(call)
        if pop is not None and pop.waits_since is not None:
            pop.waited += max(0.0, now - pop.waits_since)
            pop.waits_since = None
            self._unwritten.add(call)


def is_completed_conference(session: Session) -> bool:
    """Whether the transfer is completed while a conference with the fourth party continues."""
    return session.shared_call
