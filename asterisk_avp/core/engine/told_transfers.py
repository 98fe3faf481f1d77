"""Transfers at other nodes that concern agents who are at home here, as those nodes tell. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.model.errors import NodeOversteps
from asterisk_avp.core.model.world import CallerOutcome, TransferView

GONE: Final = frozenset({CallerOutcome.HUNG_UP, CallerOutcome.ELSEWHERE})
"""Ends of a transfer after which none of its parties has the caller."""
MOST: Final = 10_000
MOST_POPS: Final = 5_000

Pop = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToldPop:
    seq: int
    pop: Pop
    """Empty: it was withdrawn."""
    state: str = ""
    shown: str = ""
    """The call's id as the agent's screen has been told it: that of the trunk's channel here."""


@dataclass(frozen=True, slots=True)
class Told:
    node: str
    """The anchor, which alone may say anything of it."""
    seq: int
    view: TransferView
    call: str = ""
    """The caller's channel there; empty: not told."""


class ToldTransfers:
    def __init__(self) -> None:
        self._by_id: dict[str, Told] = {}
        self._begun_by: dict[str, dict[str, None]] = {}
        """Agent to the running transfers of which the agent is the transferor."""
        self._pops: dict[tuple[str, str], dict[str, ToldPop]] = {}
        """The anchor and the caller's channel there, to the pops that agents here have of that
        call."""
        self._left: dict[tuple[str, str], TransferView] = {}
        """The anchor and the caller's channel there, to the latest transfer that the caller has
        left."""

    def get(self, transfer: str) -> Told | None:
        return self._by_id.get(transfer)

    def all(self) -> list[TransferView]:
        return [told.view for told in self._by_id.values()]

    def involving(self, agent: str) -> list[TransferView]:
        return [view for view in self.all() if agent in agents_involved(view)]

    def tell(self, node: str, seq: int, view: TransferView, call: str = "") -> set[str] | None:
        """Note a transfer; return the agents whom it concerns. None: it is no news.

        Raises `NodeOversteps` where it is another node's transfer.
        """
        before = self._by_id.pop(view.id, None)
        if before is not None:
            # What becomes of the caller may be told after the end; nothing begins again after it.
            over = before.view.state.final and not view.state.final
            if before.node != node or before.seq >= seq or over:
                self._by_id[view.id] = before
                if before.node != node:
                    raise NodeOversteps("another node's transfer")
                return None
            if before.view == view and before.call == call:
                # Asked for again: it is as it was.
                self._by_id[view.id] = replace(before, seq=seq)
                return None
            self._unindex(before.view)
        self._by_id[view.id] = Told(node, seq, view, call)
        if call and view.caller_outcome in GONE:
            self._left[node, call] = view
            while len(self._left) > MOST_POPS:
                del self._left[next(iter(self._left))]
        if not view.state.final:
            self._begun_by.setdefault(view.agent, {})[view.id] = None
        while len(self._by_id) > MOST:
            oldest = next(iter(self._by_id.values()))
            self._forget(oldest.view)
        concerned = set(agents_involved(view))
        return concerned | (set(agents_involved(before.view)) if before is not None else set())

    def running_of(self, agent: str, node: str, call: str) -> TransferView | None:
        """The running transfer of that node's call of which the agent is the transferor."""
        for transfer in self._begun_by.get(agent, ()):
            told = self._by_id[transfer]
            if told.node == node and told.call in ("", call):
                return told.view
        return None

    def left_by_caller(self, call: tuple[str, str], since: float) -> TransferView | None:
        """The transfer that the caller of this call (anchor and channel) has left.

        If not before ``since``.

        Its other parties may talk on, by what the call has brought them (a conference).
        """
        left = self._left.get(call)
        return left if left is not None and left.since >= since else None

    def forget_ended(self, before: float, kept: Container[str]) -> None:
        """Drop transfers that ended before then (Unix seconds), but for those that are ``kept``."""
        for view in self.all():
            if view.state.final and view.since < before and view.id not in kept:
                self._forget(view)

    def running(self) -> Iterator[Told]:
        return (told for told in self._by_id.values() if not told.view.state.final)

    def unknown_to(
        self, node: str, known: Iterable[str], asked: Container[str]
    ) -> list[TransferView]:
        """The running transfers that it was ``asked`` for, and does not know any more."""
        there = set(known)
        return [
            told.view
            for told in self.running()
            if told.node == node and told.view.id in asked and told.view.id not in there
        ]

    def _forget(self, view: TransferView) -> None:
        del self._by_id[view.id]
        self._unindex(view)

    def drop(self, transfer: str) -> None:
        told = self._by_id.get(transfer)
        if told is not None:
            self._forget(told.view)

    def _unindex(self, view: TransferView) -> None:
        begun = self._begun_by.get(view.agent)
        if begun is not None:
            begun.pop(view.id, None)
            if not begun:
                del self._begun_by[view.agent]

    # --- screen pops -------------------------------------------------------------------------

    def put_pop(self, agent: str, call: tuple[str, str], told: ToldPop) -> bool:
        """``call``: anchor and channel. Whether it is news."""
        of_call = self._pops.pop(call, {})
        news = told.seq > of_call.get(agent, _NO_POP).seq
        if news:
            of_call[agent] = told
        self._pops[call] = of_call
        while len(self._pops) > MOST_POPS:
            del self._pops[next(iter(self._pops))]
        return news

    def pop_of(self, agent: str, call: tuple[str, str]) -> Pop:
        """The pop of an agent's call, by anchor and the caller's channel there; empty: none."""
        return self.pops_of(call).get(agent, _NO_POP).pop

    def pops_of(self, call: tuple[str, str]) -> Mapping[str, ToldPop]:
        """By agent."""
        return self._pops.get(call, {})


_NO_POP: Final = ToldPop(-1, {})
