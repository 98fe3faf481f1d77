"""Who of a group could be offered a transferred call: the members that app_queue counts as there.

The dialplan asks app_queue the same before a transferred call enters the queue (avp-somebody-there,
avp-member), because a member may leave after the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.model.world import Group
from asterisk_avp.core.pbx.agents import Agents


@dataclass(frozen=True, slots=True)
class Staffing:
    """Members of a group's queue who could be offered one call."""

    logged_in: int
    """Whose phones can be reached, on a break or not."""
    ready: int
    """Who are not on a break in this queue, whatever they do now."""

    @property
    def obstacle(self) -> str:
        """The reason code where nobody could ever take the call; empty: somebody could."""
        if not self.logged_in:
            return "target_offline"
        return "" if self.ready else "target_not_ready"


def staffing(agents: Agents, group: Group, transferor: str) -> Staffing:
    """Who could be offered the transferor's call.

    The transferor counts only where nobody else is logged in: only then does the dialplan offer
    them their own call again.
    """
    there = agents.headcounts.of(group.id)
    if there.logged_in > 1:
        there = agents.headcounts.without(group.id, transferor)
    return Staffing(there.logged_in, there.ready)


def nodes_of_group(agents: Agents, group: Group, transferor: str) -> tuple[tuple[str, ...], bool]:
    """The trunks to the other nodes where somebody of the group may log in, in order of nodes.

    The call waits on all of them, for whoever is free first, or logs in meanwhile. And whether
    somebody other than the transferor is logged in, on any node: only then is the transferor not
    offered the call.
    """
    world = agents.world
    nodes = {name: node for name, node in world.nodes.items() if name != world.node}
    if not nodes:
        return (), True
    found: set[str] = set()
    for agent in agents.in_group(group.id):
        configured = world.agents.get(agent.id)
        if agent.remote is not None:
            found.add(agent.remote.node)
        if configured is None or configured.node is None:
            found |= nodes.keys()  # they may log in anywhere
        else:
            found.add(configured.node)
    trunks = tuple(nodes[node].endpoint for node in sorted(found & nodes.keys()))
    return trunks, bool(agents.headcounts.without(group.id, transferor).logged_in)
