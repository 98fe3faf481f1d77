"""The policy: every request for a transfer passes `decide`, whether from the API or a phone.

The order of the checks is a contract (DESIGN section 4): contract, call, mode x target, feature,
target exists, group, number, target's state. The first check that fails gives the reason. The
settings are those of the call's group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asterisk_avp.core import numbers
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.tenants import Scope
from asterisk_avp.core.model.world import (
    AgentState,
    Group,
    Mode,
    TargetKind,
    TransferRequest,
    World,
    personal_queue,
)
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.staffing import nodes_of_group, staffing
from asterisk_avp.core.policy import needs

REASONS: Final[dict[str, str]] = {
    "not_contracted": "Session transfer is not part of this account's contract.",
    "no_active_call": "There is no call that could be transferred.",
    "already_transferring": "This call is already being transferred.",
    "unsupervised_external": "An external number can only be called with a consultation first.",
    "supervised_group": "A consultation needs one agent; a group takes unsupervised transfers.",
    "transfer_disabled": "Session transfer is not enabled for this call's group.",
    "internal_disabled": "Transfer to agents and groups is not enabled for this call's group.",
    "external_disabled": "External transfer is not enabled for this call's group.",
    "manual_dial_disabled": "Typing a number is not enabled for this call's group.",
    "presets_disabled": "Preset numbers are not enabled for this call's group.",
    "unsupervised_disabled": "Unsupervised transfer is not enabled for this call's group.",
    "conference_disabled": "Conferences are not enabled for this call's group.",
    "unknown_target": "There is no such target.",
    "not_in_group": "The target is not in any of your groups.",
    "self_transfer": "A call cannot be transferred to yourself.",
    "target_not_ready": "The target is on a break.",
    "target_offline": "The target is not logged in or their phone cannot be reached.",
    "target_queue_full": "A transferred call is already waiting for this target.",
    "unknown_agent": "This phone belongs to no agent of a group: log in to a queue and try again.",
}
REASONS.update({code: text for code, text in numbers.MESSAGES.items() if code != "ok"})
"""Every reason code, with its message."""

_GROUP_MESSAGES: Final[dict[str, str]] = {
    "target_offline": "Nobody of this group is logged in with a phone that can be reached.",
    "target_not_ready": "Everybody of this group is on a break.",
}


_NODE_LOST: Final = "The target's node cannot be reached at the moment."
_TRUNK_CUT: Final = "No call reaches the target's node: the trunk to it does not work."


def refused(reason: str, message: str = "", setting: str = "") -> Refused:
    """A refusal with ``message``, or with the message of its reason."""
    return Refused(reason, message or REASONS[reason], setting)


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """The state of the call and the target at the moment of the decision."""

    call_found: bool
    call_in_transfer: bool
    group: Group | None
    """The call's group; without a call, the agent's first."""
    slot_taken: bool
    """A transferred call waits for the target or is on its way to them."""


def decide(
    request: TransferRequest, facts: DecisionContext, agents: Agents, world: World
) -> Permission:
    """Permit the request, or raise `Refused` with the first reason against it.

    A target outside the agent's scope for this call (`core.model.tenants`) is refused exactly like
    an unknown id.
    """
    group = _check_call(facts)
    scope = agents.tenants.of_call(request.agent, group)
    setting = _check_rules(request.mode, request.target.kind, group.features)
    match request.target.kind:
        case TargetKind.AGENT:
            target = _target_agent(request, agents, scope)
            if facts.slot_taken:
                raise refused("target_queue_full")
            may_detach = group.features.allows("unsupervised_transfer")
            return _to_agent(target, group, world, setting, may_detach=may_detach)
        case TargetKind.GROUP:
            chosen = world.groups.get(request.target.value)
            if chosen is None or not scope.group(chosen.id):
                message = f"There is no agent group {request.target.value!r}."
                raise refused("unknown_target", message)
            reason = staffing(agents, chosen, request.agent).obstacle
            if reason:
                raise refused(reason, _GROUP_MESSAGES[reason])
            trunks, others = nodes_of_group(agents, chosen, request.agent)
            return Permission(
                group,
                queue=chosen.queue,
                may_detach=True,
                setting=setting,
                trunks=trunks,
                others=others,
            )
        case TargetKind.PRESET:
            typed = _preset_number(request, agents, world, scope)
        case TargetKind.NUMBER:
            typed = request.target.value
    checked = check_number(typed, request.agent, group.features, world)
    if not checked.allowed or checked.e164 is None:
        raise refused(checked.reason, setting=deciding_setting(checked, group.features))
    return Permission(group, number=checked.e164, setting=setting)


def decide_without_target(facts: DecisionContext) -> Permission:
    """Permit an agent to be prompted for the target, or raise `Refused`.

    The target that the agent then keys in passes `decide` like any other request.
    """
    group = _check_call(facts)
    return Permission(group, setting=check_features((), group.features))


def _check_call(facts: DecisionContext) -> Group:
    """Check contract and call, and return the call's group."""
    group = facts.group
    if group is not None and not group.features.contracted:
        raise refused("not_contracted", setting=group.features.origins.get("contracted", ""))
    if not facts.call_found or group is None:
        raise refused("no_active_call")
    if facts.call_in_transfer:
        raise refused("already_transferring")
    return group


def decide_party(typed: str, agent_id: str, group: Group, world: World) -> Permission:
    """Permit a number as fourth party, or raise `Refused` with the first reason against it."""
    setting = check_features(needs.PARTY, group.features)
    checked = check_number(typed, agent_id, group.features, world)
    if not checked.allowed or checked.e164 is None:
        raise refused(checked.reason)
    return Permission(group, number=checked.e164, setting=setting)


def decide_colleague(
    session_target: str, request: TransferRequest, group: Group, agents: Agents, *, slot_taken: bool
) -> Permission:
    """Permit an agent as fourth party, by the rules for the target of a consult.

    ``session_target``: the agent who is the target already; empty: no agent. Raises `Refused`.
    """
    setting = check_features(needs.COLLEAGUE, group.features)
    scope = agents.tenants.of_call(request.agent, group)
    if request.target.value == session_target and scope.agent(session_target):
        raise refused("already_transferring", "This colleague takes part already.")
    target = _target_agent(request, agents, scope)
    if slot_taken:
        raise refused("target_queue_full")
    return _to_agent(target, group, agents.world, setting)


def check_features(names: tuple[str, ...], features: Features) -> str:
    """Raise `Refused` for the first feature of `needs.EACH` and ``names`` that is off.

    Returns the origin of the last setting.
    """
    names = (*needs.EACH, *names)
    for name in names:
        if not getattr(features, name):
            raise refused(needs.OFF[name], setting=features.origins.get(name, ""))
    return features.origins.get(names[-1], "")


def check_number(
    typed: str, agent_id: str, features: Features, world: World
) -> numbers.NumberCheck:
    """Apply the number rules with a group's settings, as seen from the agent's country."""
    configured = world.agents.get(agent_id)
    country = configured.country if configured is not None else None
    if country is None and features.country is None:
        # Without a country, no number is in "the same country". The settings require a country
        # where external transfer is on, so this group cannot dial out anyway.
        return numbers.NumberCheck(allowed=False, reason="country_mismatch")
    return numbers.check(
        typed,
        agent_country=country,
        client_country=features.country,
        toll_free_service=features.allows("toll_free_service"),
        toll_service=features.allows("toll_service"),
        strict_landline=features.strict_landline,
        landline_types=features.landline_types,
        domestic_territories=features.domestic_territories,
    )


def deciding_setting(checked: numbers.NumberCheck, features: Features) -> str:
    """The origin of the setting that refused a number; empty where no setting did."""
    name = {
        "toll_free_not_enabled": "toll_free_service",
        "toll_not_enabled": "toll_service",
    }.get(checked.reason, "")
    if checked.reason == "not_landline":
        # A type that counts as a land line is refused only because it may be a mobile number.
        counts = checked.line_type in features.landline_types
        name = "strict_landline" if counts else "landline_types"
    return features.origins.get(name, "")


def may_be_target(request: TransferRequest, group: Group, agents: Agents) -> bool:
    """Whether this agent may transfer calls to the target agent at all."""
    target = request.target.value
    scope = agents.tenants.of_call(request.agent, group)
    return target in agents.by_id and colleagues(request.agent, target, agents, scope)


def permitted(features: Features, mode: Mode, kind: TargetKind) -> bool:
    """Whether the features permit this mode and kind of target; the API hides what they do not."""
    try:
        _check_rules(mode, kind, features)
    except Refused:
        return False
    return True


def _check_rules(mode: Mode, kind: TargetKind, features: Features) -> str:
    """Raise `Refused`, or return the origin of the last setting that mattered."""
    rule = needs.TRANSFER[mode, kind]
    if isinstance(rule, str):
        raise refused(rule)
    return check_features(rule, features)


def _preset_number(request: TransferRequest, agents: Agents, world: World, scope: Scope) -> str:
    """The preset's number. Presets of the agent's own groups are refused as unknown."""
    preset = world.presets.get(request.target.value)
    own = preset is not None and preset.group in agents.groups_of(request.agent)
    if preset is None or own or not scope.preset(preset.id):
        raise refused("unknown_target", f"There is no preset {request.target.value!r} for you.")
    return preset.number


def _target_agent(request: TransferRequest, agents: Agents, scope: Scope) -> Agent:
    target = agents.by_id.get(request.target.value)
    if target is None or not scope.agent(target.id):
        raise refused("unknown_target", f"There is no agent {request.target.value!r}.")
    if target.id == request.agent:
        raise refused("self_transfer")
    if not colleagues(request.agent, target.id, agents, scope):
        raise refused("not_in_group")
    reason = obstacle(target)
    if reason:
        raise refused(reason, _lost(target))
    return target


def _lost(target: Agent) -> str:
    """A sentence about the way to a target of another node; empty: nothing is the matter."""
    if target.remote is None or target.remote.reachable:
        return ""
    return _TRUNK_CUT if target.remote.cut else _NODE_LOST


def _to_agent(
    target: Agent, group: Group, world: World, setting: str, *, may_detach: bool = False
) -> Permission:
    """The permission for an agent, wherever they are at home. Raises `Refused`."""
    node = target.remote.node if target.remote is not None else ""
    if node and node not in world.nodes:
        raise refused("target_offline", _NODE_LOST)
    return Permission(
        group,
        queue=personal_queue(target.id),
        agent=target.id,
        may_detach=may_detach,
        setting=setting,
        node=node,
        trunk=world.nodes[node].endpoint if node else "",
    )


def obstacle(target: Agent) -> str:
    """Why this agent would be offered no call, as a reason code; empty: they would."""
    there = target.remote is None or target.remote.reachable
    if target.state is AgentState.OFFLINE or not there:
        return "target_offline"
    return "target_not_ready" if target.paused else ""


def colleagues(agent: str, other: str, agents: Agents, scope: Scope) -> bool:
    """Whether the two agents share a group within the call's scope."""
    common = set(agents.groups_of(agent)) & set(agents.groups_of(other))
    return scope.member(common) if common else False
