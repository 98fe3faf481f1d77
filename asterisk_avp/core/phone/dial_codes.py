"""What digits stand for that an agent keys in, or gives the phone's Transfer button."""

from __future__ import annotations

from asterisk_avp.core.model.tenants import EVERYTHING, Scope
from asterisk_avp.core.model.world import Target, TargetKind, World
from asterisk_avp.core.pbx.agents import Agents

MAX_TEXT = 80
"""No longer than a number may be in a request by the API."""


def meaning(text: str, agents: Agents, world: World, scope: Scope = EVERYTHING) -> Target:
    """An agent's id, a group's number or a preset's code; anything else is a number to be judged.

    The settings see to it that no two of the first three are the same. What is not in ``scope``
    means nothing, as if nobody had it.
    """
    if text in agents.by_id and scope.agent(text):
        return Target(TargetKind.AGENT, text)
    for group in world.groups.values():
        if group.extension is not None and group.extension == text and scope.group(group.id):
            return Target(TargetKind.GROUP, group.id)
    for preset in world.presets.values():
        if preset.code is not None and preset.code == text and scope.preset(preset.id):
            return Target(TargetKind.PRESET, preset.id)
    return Target(TargetKind.NUMBER, text[:MAX_TEXT])
