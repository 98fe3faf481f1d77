"""The one gate: every request for a transfer passes `decide`, whatever path it came by.

The order of the checks is a contract (DESIGN section 4): contract, call, mode x target, feature,
target exists, group, number, target's state. The first that fails is the reason given.

What may be dialled comes out of here as `Allow` and nowhere else: the session is built from the
`Allow`, never from the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.agents import Agent, Agents
from asterisk_avp.core.errors import Refused
from asterisk_avp.core.model import (
    AgentState,
    Group,
    Mode,
    TargetKind,
    TransferRequest,
    World,
    personal_queue,
)

REASONS: Final = {
    "unsupervised_external": "An external number can only be called with a consultation first.",
    "supervised_group": "A consultation needs one agent; a group takes unsupervised transfers.",
    "external_disabled": "External transfer is not enabled for this call's group.",
    "presets_disabled": "Preset numbers are not enabled for this call's group.",
    "no_active_call": "There is no call that could be transferred.",
    "already_transferring": "This call is already being transferred.",
    "unknown_target": "There is no such target.",
    "not_in_group": "The target is not in any of your groups.",
    "self_transfer": "A call cannot be transferred to yourself.",
    "target_not_ready": "The target is on a break.",
    "target_offline": "The target is not logged in or their phone cannot be reached.",
    "target_queue_full": "A transferred call is already waiting for this target.",
}


def refused(reason: str, message: str = "") -> Refused:
    return Refused(reason, message or REASONS[reason])


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the call and the target at the moment of the decision."""

    call_found: bool
    call_in_transfer: bool
    group: Group | None
    """The call's group, whose settings apply."""
    slot_taken: bool
    """A transferred call waits for the target, or is on its way to them."""


@dataclass(frozen=True, slots=True)
class Allow:
    """A transfer that may happen: the queue to enter, and what may follow from it."""

    group: Group
    queue: str
    may_detach: bool
    """It may go on without agent 1, as an unsupervised transfer to the same target."""


def decide(request: TransferRequest, facts: Facts, agents: Agents, world: World) -> Allow:
    """Allow the request or raise `Refused` with the first reason that speaks against it."""
    if not facts.call_found or facts.group is None:
        raise refused("no_active_call")
    if facts.call_in_transfer:
        raise refused("already_transferring")
    _check_mode(request)
    if request.target.kind is TargetKind.GROUP:
        group = world.groups.get(request.target.value)
        if group is None:
            raise refused("unknown_target", f"There is no agent group {request.target.value!r}.")
        return Allow(facts.group, group.queue, may_detach=True)
    target = _target_agent(request, agents)
    if facts.slot_taken:
        raise refused("target_queue_full")
    return Allow(facts.group, personal_queue(target.id), may_detach=True)


def _check_mode(request: TransferRequest) -> None:
    external = request.target.kind in (TargetKind.NUMBER, TargetKind.PRESET)
    if external and request.mode is Mode.UNSUPERVISED:
        raise refused("unsupervised_external")
    if request.target.kind is TargetKind.GROUP and request.mode is Mode.SUPERVISED:
        raise refused("supervised_group")
    if request.target.kind is TargetKind.NUMBER:
        raise refused("external_disabled")
    if request.target.kind is TargetKind.PRESET:
        raise refused("external_disabled")


def _target_agent(request: TransferRequest, agents: Agents) -> Agent:
    target = agents.by_id.get(request.target.value)
    if target is None:
        raise refused("unknown_target", f"There is no agent {request.target.value!r}.")
    shared = set(agents.groups_of(target.id)) & set(agents.groups_of(request.agent))
    if target.id == request.agent:
        raise refused("self_transfer")
    if not shared:
        raise refused("not_in_group")
    if target.state is AgentState.OFFLINE:
        raise refused("target_offline")
    if target.paused:
        raise refused("target_not_ready")
    return target
