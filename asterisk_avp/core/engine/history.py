"""Ended transfers by agent, after `SessionStore` has dropped them.

Kept in memory only, for `KEPT_SECONDS` and at most `PER_AGENT` for each agent; a restart of the
daemon loses them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from asterisk_avp.core.model.world import TargetKind, TransferView

PER_AGENT = 100
KEPT_SECONDS = 24 * 3600.0
_OUTSIDE = frozenset({TargetKind.NUMBER, TargetKind.PRESET})


def agents_involved(transfer: TransferView) -> frozenset[str]:
    """The agents who transfer the call, are its target, have taken it, or were asked into it."""
    agents = {transfer.agent}
    target = transfer.target
    if target is not None and target.kind is TargetKind.AGENT:
        agents.add(target.value)
    # External numbers have no history.
    outside = target.value if target is not None and target.kind in _OUTSIDE else ""
    agents |= {
        party.id
        for party in transfer.parties
        # A fourth party may have become the target.
        if party.role == "target" and not party.id.startswith("party-") and party.id != outside
    }
    return frozenset(agents | {*transfer.asked})


class History:
    def __init__(self) -> None:
        self._by_agent: dict[str, deque[TransferView]] = {}

    def keep(self, transfers: Iterable[TransferView], now: float) -> None:
        """Add ended transfers, and drop those older than `KEPT_SECONDS` at ``now``.

        What is told again of a transfer, as its caller's whereabouts, replaces what was told.
        """
        for transfer in transfers:
            for agent in agents_involved(transfer):
                kept = self._by_agent.setdefault(agent, deque(maxlen=PER_AGENT))
                known = next((at for at, each in enumerate(kept) if each.id == transfer.id), None)
                if known is None:
                    kept.append(transfer)
                else:
                    kept[known] = transfer
        for agent, kept in list(self._by_agent.items()):
            while kept and kept[0].since < now - KEPT_SECONDS:
                kept.popleft()
            if not kept:
                del self._by_agent[agent]

    def of(self, agent: str, recent: Iterable[TransferView]) -> list[TransferView]:
        """The agent's ended transfers, latest first.

        ``recent``: the transfers that `SessionStore` still holds.
        """
        ended = [view for view in recent if view.state.final and agent in agents_involved(view)]
        found = {view.id: view for view in (*self._by_agent.get(agent, ()), *ended)}
        return sorted(found.values(), key=lambda view: view.since, reverse=True)[:PER_AGENT]
