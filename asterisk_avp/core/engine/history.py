"""Transfers that are over, for the agents they concerned, when the register has forgotten them.

Kept in memory only: for a day and for each agent no more than `PER_AGENT`. A daemon that starts
begins with an empty one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from asterisk_avp.core.model.world import TargetKind, TransferView

PER_AGENT = 100
KEPT_SECONDS = 24 * 3600.0
_OUTSIDE = frozenset({TargetKind.NUMBER, TargetKind.PRESET})


def concerned(transfer: TransferView) -> frozenset[str]:
    """Who gives, is to take, or has taken the call of ``transfer``."""
    agents = {transfer.agent}
    target = transfer.target
    if target is None or target.kind in _OUTSIDE:
        return frozenset(agents)  # numbers have no history, and would each keep one for a day
    if target.kind is TargetKind.AGENT:
        agents.add(target.value)
    agents |= {
        party.id
        for party in transfer.parties
        # A fourth party may have taken the target's place.
        if party.role == "target" and not party.id.startswith("party-")
    }
    return frozenset(agents)


class History:
    def __init__(self) -> None:
        self._of: dict[str, deque[TransferView]] = {}

    def keep(self, transfers: Iterable[TransferView], now: float) -> None:
        """Take in transfers that are over; drop those of the day before."""
        for transfer in transfers:
            for agent in concerned(transfer):
                self._of.setdefault(agent, deque(maxlen=PER_AGENT)).append(transfer)
        for agent, kept in list(self._of.items()):
            while kept and kept[0].since < now - KEPT_SECONDS:
                kept.popleft()
            if not kept:
                del self._of[agent]

    def of(self, agent: str, recent: Iterable[TransferView]) -> list[TransferView]:
        """The agent's ended transfers, the last one first; ``recent``: those still registered."""
        ended = [view for view in recent if view.state.final and agent in concerned(view)]
        found = {view.id: view for view in (*self._of.get(agent, ()), *ended)}
        return sorted(found.values(), key=lambda view: view.since, reverse=True)[:PER_AGENT]
