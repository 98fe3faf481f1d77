"""What the API's relay asks of this node (`api.relay.Nodes`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from asterisk_avp.api.relay import Relayed
from asterisk_avp.cluster.peers import Peers, Sent
from asterisk_avp.core.engine.engine import TransferEngine

_WORK: Final = ("pause", "ready", "acw", "groups/")
"""What concerns the agent's membership in queues, and so the Asterisk where they are logged in."""


class Homes:
    def __init__(self, engine: TransferEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers
        self.own = engine.world.node

    def home_of(self, agent: str, path: str) -> str:
        """A call of this node is shown, and decided about, here."""
        known = self._engine.agents.by_id.get(agent)
        if known is None or known.remote is None or known.remote.node not in self._peers.peers:
            return ""
        if not path.startswith(_WORK) and self._engine.calls_of(known):
            return ""
        if not path and (not known.remote.reachable or self._peers.away(known.remote.node)):
            return ""  # as last known
        return known.remote.node

    def knows(self, transfer: str) -> bool:
        return (
            transfer in self._engine.store.records
            or self._engine.elsewhere.told.get(transfer) is not None
        )

    def others(self) -> Sequence[str]:
        return list(self._peers.peers)

    async def relay(
        self, node: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Relayed:
        sent = Sent(method, path, headers, body, raw=True)
        answer = await self._peers.relay(node, sent)
        return Relayed(answer.status, answer.headers, answer.body)
