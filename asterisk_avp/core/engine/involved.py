"""The agents whom each transfer involves, so that nobody's transfers are searched for among all."""

from __future__ import annotations

from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.transfer.session import Session


def agents_of(session: Session) -> frozenset[str]:
    """Who transfers the call, is its target, has taken it, or was asked into it.

    External numbers are no agents. As `history.agents_involved`, without making a view first.
    """
    found = {session.agent, *session.asked}
    target = session.target
    if target is not None and target.kind not in (TargetKind.NUMBER, TargetKind.PRESET):
        if target.kind is TargetKind.AGENT:
            found.add(target.value)
        found.add(session.target_id or target.value)
    return frozenset(found)


class Involved:
    """Transfers by agent, and agents by transfer. Whoever was involved once stays so."""

    def __init__(self) -> None:
        self._agents: dict[str, set[str]] = {}
        self._transfers: dict[str, dict[str, None]] = {}

    def note(self, session: Session) -> None:
        agents = agents_of(session)
        self._agents.setdefault(session.id, set()).update(agents)
        for agent in agents:
            self._transfers.setdefault(agent, {})[session.id] = None

    def forget(self, transfer: str) -> None:
        for agent in self._agents.pop(transfer, ()):
            transfers = self._transfers[agent]
            del transfers[transfer]
            if not transfers:
                del self._transfers[agent]

    def transfers_of(self, agent: str) -> tuple[str, ...]:
        """The ids of an agent's transfers, in the order in which they came to involve the agent."""
        return tuple(self._transfers.get(agent, ()))
