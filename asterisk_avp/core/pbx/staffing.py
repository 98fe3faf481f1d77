"""Who of a group could be offered a transferred call: the members that app_queue counts as there.

The dialplan asks app_queue the same before a transferred call enters the queue (avp-somebody-there,
avp-member), because a member may leave after the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.model.world import Group
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.headcount import headcount_of


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
    """The trunks to the other nodes where somebody of the group is logged in, in order of nodes.

    And whether somebody other than the transferor is logged in here. Without such nodes, that does
    not matter, and it is not looked up.
    """
    nodes = agents.world.nodes
    if not nodes:
        return (), True
    there = [
        x for x in agents.in_group(group.id) if headcount_of(x, group.id, group.queue).logged_in
    ]
    # The transferor counts only where nobody else is logged in.
    counted = [agent for agent in there if agent.id != transferor] or there
    found = {agent.remote.node for agent in counted if agent.remote is not None}
    trunks = tuple(nodes[node].endpoint for node in sorted(found & nodes.keys()))
    here = any(agent.remote is None for agent in counted)
    return trunks, here or not trunks
