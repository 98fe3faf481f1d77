"""Whether the trunks to other nodes work, as this node and the others find. Pure.

Each node asks over each trunk once a second (qualify_frequency). One question without an answer may
be a lost packet, so a trunk is cut after two, or at once where nothing else is heard of the node.
Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SURE_SECONDS: Final = 1.2
"""How long the other node has to be unreachable before its trunk counts as cut: a second question
has had no answer by then."""


class TrunkStates:
    def __init__(self) -> None:
        self._reached: dict[str, bool] = {}
        self._silent_since: dict[str, float] = {}

    def found(self, node: str, at: float, *, reached: bool | None) -> None:
        """What Asterisk says of the trunk's contact. None: it does not know."""
        if reached is None:
            self._reached.pop(node, None)
        else:
            self._reached[node] = reached
        if reached is False:
            self._silent_since.setdefault(node, at)
        else:
            self._silent_since.pop(node, None)

    def retain(self, nodes: Iterable[str]) -> None:
        """Forget all other nodes."""
        for gone in self._reached.keys() - set(nodes):
            self.found(gone, 0.0, reached=None)

    def works(self, node: str, at: float, *, lost: bool = False) -> bool | None:
        """Whether this node reaches the other one; None: not known.

        ``lost``: no heartbeat of it comes either.
        """
        reached, since = self._reached.get(node), self._silent_since.get(node)
        if since is not None:
            return not (lost or at - since >= SURE_SECONDS)
        return reached

    def cut(self, node: str, at: float, *, lost: bool, told: bool | None) -> bool:
        """Whether calls to the node, or from it, get lost.

        ``told``: whether the node says that its own trunk to this one works; None: it says nothing.
        """
        works = self.works(node, at, lost=lost)
        if works is None:
            return lost or told is False
        return not works or (told is False and not lost)
