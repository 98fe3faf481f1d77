"""Where agents are at home: on one node each, by compare-and-set in the engine's store.

An agent's home is the node where they are logged in. It moves when they log in elsewhere; where
they were logged in on two nodes, `LOST_SECONDS` after their home is lost. A node that loses a home
takes the agent out of its queues. Agents whom the settings pin to a node have no entry.

While the store cannot be reached nothing moves, and an agent who has no home yet belongs to the
node where they are logged in (revision 0). A node that is cut off keeps its homes: it cannot know
that one has moved, until it reaches the engine again.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from asterisk_avp.cluster.picture import Picture
from asterisk_avp.core.model.agent_state import AgentState

LOST_SECONDS: Final = 10.0
"""For how long a node must be lost before others may take its homes."""


class StoreAway(Exception):
    """The store does not answer, or cannot say anything now."""


class Taken(Exception):
    """Somebody else has changed the entry meanwhile."""


class Entry(NamedTuple):
    node: str
    revision: int


class Store(Protocol):
    """Agent to node. Each method raises `StoreAway`, the last two also `Taken`."""

    async def get(self, agent: str) -> Entry | None: ...

    async def create(self, agent: str, node: str) -> int:
        """Returns the new revision, which is higher than all that a lost store has given."""

    async def update(self, agent: str, node: str, revision: int) -> int:
        """Replace the entry of this revision; returns the new one."""


class Verdict(Enum):
    TAKE = auto()
    """The home may be set to this node, if nothing has changed it meanwhile."""
    OURS = auto()
    ELSEWHERE = auto()
    WAIT = auto()
    """Elsewhere as yet, but that node is lost."""


def verdict(
    picture: Picture, agent: str, entry: Entry | None, at: float, *, fresh: bool
) -> Verdict:
    """Whose the agent is who is logged in here. ``fresh``: they have just logged in."""
    if entry is None:
        return Verdict.TAKE
    if entry.node == picture.own:
        return Verdict.OURS
    if fresh:
        return Verdict.TAKE
    lost = picture.lost_for(entry.node, at)
    if lost is not None:
        return Verdict.TAKE if lost >= LOST_SECONDS else Verdict.WAIT
    peer = picture.peers.get(entry.node)
    if picture.alone or peer is None or not picture.reachable(entry.node) or not peer.complete:
        return Verdict.WAIT
    known = peer.agents.get(agent)
    if known is None or known.agent.state is AgentState.OFFLINE:
        return Verdict.TAKE
    return Verdict.ELSEWHERE


MOST_ATTEMPTS: Final = 5


async def claim(
    store: Store, picture: Picture, agent: str, at: float, *, fresh: bool
) -> tuple[Verdict, Entry | None, str]:
    """Decide, and store the decision; never `Verdict.TAKE`. Raises `StoreAway`.

    And the node from which the home was taken; empty: none.

    Of two nodes that claim at the same moment one is refused, and yields to the other.
    """
    entry = None
    for _ in range(MOST_ATTEMPTS):
        entry = await store.get(agent)
        decided = verdict(picture, agent, entry, at, fresh=fresh)
        if decided is not Verdict.TAKE:
            return decided, entry, ""
        try:
            if entry is None:
                # The store may have lost what it had: the nodes still tell each other of it.
                found = picture.home(agent)
                former = found[0] if found is not None else ""
                revision = await store.create(agent, picture.own)
            else:
                former = entry.node
                revision = await store.update(agent, picture.own, entry.revision)
        except Taken:
            fresh = False
            continue
        return Verdict.OURS, Entry(picture.own, revision), former
    return Verdict.WAIT, entry, ""
