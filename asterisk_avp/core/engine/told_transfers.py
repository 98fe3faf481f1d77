"""Transfers at other nodes that concern agents who are at home here, as those nodes tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.model.errors import NodeOversteps
from asterisk_avp.core.model.world import TransferView

MOST: Final = 10_000
MOST_POPS: Final = 5_000

Pop = dict[str, Any]


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
        self._pops: dict[str, dict[str, tuple[int, Pop]]] = {}
        """The caller's channel at the anchor to the pops that agents here have of that call,
        each with its number."""

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
            if before.node != node or before.seq >= seq or before.view.state.final:
                self._by_id[view.id] = before
                if before.node != node:
                    raise NodeOversteps("another node's transfer")
                return None
            self._unindex(before.view)
        self._by_id[view.id] = Told(node, seq, view, call)
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

    def forget_ended(self, before: float) -> None:
        """Drop transfers that ended before then (Unix seconds)."""
        for view in self.all():
            if view.state.final and view.since < before:
                self._forget(view)

    def unknown_to(self, node: str, known: Iterable[str]) -> list[TransferView]:
        """The running transfers of which that node, asked for all, does not tell any more."""
        there = set(known)
        return [
            told.view
            for told in self._by_id.values()
            if told.node == node and not told.view.state.final and told.view.id not in there
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

    def put_pop(self, agent: str, call: str, seq: int, pop: Pop) -> bool:
        """``pop`` empty: it was withdrawn. False: it is no news."""
        of_call = self._pops.pop(call, {})
        news = seq > of_call.get(agent, (-1, pop))[0]
        if news:
            of_call[agent] = (seq, pop)
        self._pops[call] = of_call
        while len(self._pops) > MOST_POPS:
            del self._pops[next(iter(self._pops))]
        return news

    def pop_of(self, agent: str, call: str) -> Pop:
        """The pop of an agent's call, by the caller's channel at the anchor; empty: none."""
        return self._pops.get(call, {}).get(agent, (0, {}))[1]
