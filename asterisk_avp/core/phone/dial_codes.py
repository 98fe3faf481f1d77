"""Resolve the digits that an agent keys in, or dials with the phone's Transfer button."""

from __future__ import annotations

from asterisk_avp.core.model.tenants import EVERYTHING, Scope
from asterisk_avp.core.model.world import Target, TargetKind, World
from asterisk_avp.core.pbx.agents import Agents

MAX_TEXT = 80
"""Characters; the API's limit for a number."""


def resolve(text: str, agents: Agents, world: World, scope: Scope = EVERYTHING) -> Target:
    """An agent's id, a group's extension or a preset's code; any other text is a number to check.

    The settings ensure that ids, extensions and codes differ. An agent, group or preset outside
    ``scope`` counts as unknown.
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
