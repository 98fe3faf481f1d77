"""What agents may do about their own work: after-call work (ACW), and their groups.

Pauses are in `core.engine.pause`. Each function checks a request, and returns what must be done;
none changes anything. Asterisk confirms each change, and the state follows.

Who may log in to a group. A membership grants permissions and delivers calls, so an agent cannot
choose groups freely. They may log in to the groups that the settings give them
(``AVP_AGENTS__<ID>__GROUPS``), and to those that they themselves have logged out of through the
daemon since it was started. Not to a group that a supervisor or the administrator took them out of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.messages.effects import AddMember, PauseMember, RemoveMember
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.errors import Refused, UnknownAgent, UnknownGroup, WrongState
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.core.pbx.agent import ACW_REASON, Agent, on_break
from asterisk_avp.core.pbx.agents import Agents

REASONS: Final[dict[str, str]] = {
    "static_member": "Asterisk's configuration makes you a member of the queue; this cannot be "
    "changed at run time.",
    "no_interface": "The daemon does not know your phone: log in on the phone first.",
    "group_not_yours": "You may not log in to this group.",
    "other_node": "Your place is on another node of the call centre: log in there.",
    "no_personal_queue": "You have no personal queue, which keeps the end of after-call work.",
    "acw_limit": "After-call work cannot be extended any further.",
    "pause_reason_not_allowed": "The administrator does not allow this reason for a pause.",
}
"""Every reason code of a refusal, with its message."""


def refused(reason: str) -> Refused:
    return Refused(reason, REASONS[reason])


@dataclass(frozen=True, slots=True)
class Ready:
    """What makes an agent ready."""

    unpause: tuple[PauseMember, ...]
    renew: tuple[MemberSeen, ...] = ()
    """Memberships whose wrap-up must end; with the personal one."""


def agent_of(agents: Agents, agent_id: str) -> Agent:
    """Raises `UnknownAgent`, and `WrongState` for an agent who is not a member of any queue."""
    agent = agents.by_id.get(agent_id)
    if agent is None:
        raise UnknownAgent(agent_id)
    if not agent.memberships:
        raise WrongState("The agent is not logged in to any queue.", "not_logged_in")
    return agent


def ready(agents: Agents, agent_id: str, now: float, *, keep_acw: bool = False) -> Ready:
    """End the agent's pause, and their ACW unless ``keep_acw``.

    Only dynamic memberships can be renewed. Others end a pause or an extended ACW, but app_queue's
    wrap-up goes on; where there is neither, this is refused (``static_member``).

    Raises `UnknownAgent`, `WrongState` and `Refused`.
    """
    agent = agent_of(agents, agent_id)
    paused = tuple(
        PauseMember(member.queue, member.interface, paused=False)
        for member in agent.memberships.values()
        if member.paused and (on_break(member) or not keep_acw)
    )
    if keep_acw or agent.state is not AgentState.ACW or now >= agent.acw_until:
        return Ready(paused)
    if not _renewable(agent):
        if paused:
            return Ready(paused)
        raise refused("static_member")
    personal = (agent.personal,) if agent.personal is not None else ()
    return Ready(paused, (*agent.memberships.values(), *personal))


def _renewable(agent: Agent) -> bool:
    """Whether the agent's wrap-up can be ended: every membership can be renewed."""
    return bool(agent.memberships) and all(m.dynamic for m in agent.memberships.values())


def extended_acw(
    agents: Agents, agent_id: str, seconds: int, now: float
) -> tuple[float, tuple[PauseMember, ...]]:
    """Extend the agent's ACW: its new end in Unix seconds, and the pauses until then.

    Raises `UnknownAgent`, `WrongState` outside of ACW, and `Refused`.
    """
    agent = agent_of(agents, agent_id)
    if agent.state is not AgentState.ACW or now >= agent.acw_end:
        raise WrongState("The agent is not in after-call work.", "not_in_acw")
    end = min(agent.acw_end + seconds, _latest_end(agents, agent))
    if end <= agent.acw_end:
        raise refused("acw_limit")
    return end, acw_pauses(agent)


def acw_pauses(agent: Agent) -> tuple[PauseMember, ...]:
    """What keeps calls of the groups away from the agent until ACW ends; `settled` ends it."""
    return tuple(
        PauseMember(member.queue, member.interface, paused=True, reason=ACW_REASON)
        for member in agent.memberships.values()
        if not member.paused
    )


def _latest_end(agents: Agents, agent: Agent) -> float:
    return agent.acw_until + agents.world.work.acw_extension_seconds


def actions(agents: Agents, agent: Agent) -> tuple[str, ...]:
    """What would not be refused now: ``pause ready end_acw extend_acw``."""
    if not agent.memberships or agent.state is AgentState.OFFLINE:
        return ()
    found = ["pause"]
    if agent.paused:
        found.append("ready")
    if agent.state is AgentState.ACW:
        if _renewable(agent) or agent.extended_until:
            found.append("end_acw")
        if agent.acw_end < _latest_end(agents, agent):
            found.append("extend_acw")
    return tuple(found)


def log_in(agents: Agents, agent_id: str, group_id: str, now: float) -> AddMember | None:
    """Log the agent in to a group; None: they are a member already.

    Whoever is paused in all their other groups is paused in this one, too, and who is in ACW gets
    no call before it ends. Raises `UnknownAgent`, `UnknownGroup`, and `Refused`.
    """
    agent = agents.by_id.get(agent_id)
    if agent is None:
        raise UnknownAgent(agent_id)
    queue = _queue_of(agents, group_id)
    if queue is None or not agents.tenants.of_agent(agent_id).group(group_id):
        raise UnknownGroup(group_id)
    if queue in agent.memberships:
        return None
    if not may_log_in(agents, agent, group_id):
        raise refused("other_node" if _pinned_elsewhere(agents, agent) else "group_not_yours")
    known = agent.left.get(queue) or agents.first_membership(agent) or _last_left(agent)
    configured = agents.world.agents.get(agent_id)
    interface = (configured.interface if configured is not None else None) or (
        known.interface if known is not None else ""
    )
    if not interface:
        raise refused("no_interface")
    same = known is not None and known.interface == interface
    kept = agent.left.get(queue)
    in_acw = agent.state is AgentState.ACW and now < agent.acw_end
    reason = agent.pause_reason if agent.paused else ACW_REASON if in_acw else ""
    return AddMember(
        queue,
        interface,
        known.state_interface if known is not None and same else "",
        known.name if known is not None and same else agents.name_of(agent_id),
        paused=agent.paused or in_acw,
        wrapup_seconds=kept.wrapup_seconds if kept is not None else 0,
        penalty=kept.penalty if kept is not None else 0,
        reason=reason,
    )


def may_log_in(agents: Agents, agent: Agent, group_id: str) -> bool:
    """Whether the group is one that the agent may log in to (see the module's docstring)."""
    if _pinned_elsewhere(agents, agent):
        return False
    configured = agents.world.agents.get(agent.id)
    if configured is not None and group_id in configured.groups:
        return True
    return (_queue_of(agents, group_id) or "") in agent.left


def _pinned_elsewhere(agents: Agents, agent: Agent) -> bool:
    """Whether the settings have the agent work on another node (``AVP_AGENTS__<ID>__NODE``)."""
    configured = agents.world.agents.get(agent.id)
    pin = configured.node if configured is not None else None
    return bool(agents.world.node) and pin not in (None, agents.world.node)


def log_out(agents: Agents, agent_id: str, group_id: str) -> RemoveMember | None:
    """Log the agent out of a group; None: they are no member.

    Raises `UnknownAgent`, `UnknownGroup`, and `Refused`.
    """
    agent = agents.by_id.get(agent_id)
    if agent is None:
        raise UnknownAgent(agent_id)
    queue = _queue_of(agents, group_id)
    if queue is None or not agents.tenants.of_agent(agent_id).group(group_id):
        raise UnknownGroup(group_id)
    member = agent.memberships.get(queue)
    if member is None:
        return None
    if not member.dynamic:
        raise refused("static_member")
    return RemoveMember(queue, member.interface)


def _queue_of(agents: Agents, group_id: str) -> str | None:
    group = agents.world.groups.get(group_id)
    return group.queue if group is not None else None


def _last_left(agent: Agent) -> MemberSeen | None:
    return next(iter(agent.left.values()), None)
