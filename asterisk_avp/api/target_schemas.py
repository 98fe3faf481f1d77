"""The JSON of the target lists."""

from __future__ import annotations

from asterisk_avp.api.schemas import Out, Time
from asterisk_avp.core.model.world import AgentState, TargetsView


class TargetAgentOut(Out):
    id: str
    name: str
    state: AgentState
    since: Time | None
    waiting_transfer: bool
    node: str | None
    """The node where the colleague is at home; null: this one."""


class TargetGroupOut(Out):
    id: str
    name: str
    available: int
    """Colleagues who are free now."""
    logged_in: int
    """Members who could be offered the call, on a break or not. The agent who asks counts only
    where nobody else is logged in."""
    ready: int
    """The same without those on a break. 0: a transfer to the group is refused."""
    agents: list[TargetAgentOut]


class TargetsOut(Out):
    permissions: list[str]
    my_agent_groups: list[TargetGroupOut]
    agent_groups: list[TargetGroupOut]
    external_presets: list[dict[str, str]]


def targets_out(view: TargetsView) -> TargetsOut:
    return TargetsOut.model_validate(view)
