"""What each other node tells of itself, for those who judge its trunk."""

from __future__ import annotations

from asterisk_avp.cluster.picture import Picture


class Others:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def lost(self, node: str) -> bool:
        """Whether nothing is heard of the node, though others would be."""
        peer = self._picture.peers.get(node)
        return peer is not None and peer.lost is True and not self._picture.alone

    def trunk_told(self, node: str) -> bool | None:
        """Whether the node says that its trunk to this one works; None: it says nothing now."""
        peer = self._picture.peers.get(node)
        heard = peer is not None and peer.lost is False and not self._picture.alone
        return peer.trunks.get(self._picture.own) if peer is not None and heard else None

    def restarts(self, node: str) -> int:
        """How often the node's Asterisk was started again since this daemon first heard of it.

        A number, and not the time of the start: who looks twice a second would miss a start between
        hearing of the node and the first look.
        """
        peer = self._picture.peers.get(node)
        return peer.restarts if peer is not None else 0
