"""What the hub knows, in the shapes that are shown. Reads only."""

from __future__ import annotations

from asterisk_avp.core.agents import Agent
from asterisk_avp.core.calls import Call
from asterisk_avp.core.hub import Hub
from asterisk_avp.core.model import (
    AgentState,
    AgentView,
    CallView,
    PartyView,
    TargetAgent,
    TargetGroup,
    TargetsView,
    TransferView,
)
from asterisk_avp.core.register import Record
from asterisk_avp.core.session import REPORTED, Presence, Session, State

PERMISSIONS = ("session_transfer", "internal_transfer", "unsupervised_transfer")
"""What every agent may do until policy settings say otherwise."""


def agent_view(hub: Hub, agent: Agent) -> AgentView:
    calls = tuple(_call_view(hub, agent, call) for call in hub.calls_of(agent))
    return AgentView(
        id=agent.id,
        name=hub.agents.name_of(agent.id),
        state=agent.state,
        since=agent.since,
        groups=hub.agents.groups_of(agent.id),
        waiting_transfer=hub.slot_taken(agent.id),
        call=_transferring(hub, agent) or next(iter(calls), None),
        calls=calls,
    )


def transfer_view(record: Record) -> TransferView:
    session = record.session
    return TransferView(
        id=session.id,
        agent=session.agent,
        group=session.group,
        mode=session.mode,
        target=session.target,
        state=REPORTED[session.state],
        ended_reason=session.reason if session.state.final else None,
        caller=session.caller.number,
        parties=_parties(session),
        since=record.since,
        started=record.started,
        notes=session.notes,
    )


def targets_view(hub: Hub, agent_id: str) -> TargetsView:
    """My Agent Groups with colleagues, and Agent Groups, which take unsupervised transfers."""
    mine = hub.agents.groups_of(agent_id)
    return TargetsView(
        permissions=PERMISSIONS,
        my_agent_groups=tuple(_target_group(hub, group, agent_id) for group in mine),
        agent_groups=tuple(
            _target_group(hub, group, agent_id, with_agents=False) for group in hub.world.groups
        ),
    )


def _target_group(hub: Hub, group_id: str, asking: str, *, with_agents: bool = True) -> TargetGroup:
    group = hub.world.groups[group_id]
    colleagues = sorted(
        (agent for agent in hub.agents.in_group(group_id) if agent.id != asking),
        key=lambda agent: agent.id,
    )
    return TargetGroup(
        id=group.id,
        name=group.name,
        agents=tuple(_target_agent(hub, agent) for agent in colleagues) if with_agents else (),
        available=sum(agent.state is AgentState.AVAILABLE for agent in colleagues),
    )


def _target_agent(hub: Hub, agent: Agent) -> TargetAgent:
    return TargetAgent(
        id=agent.id,
        name=hub.agents.name_of(agent.id),
        state=agent.state,
        since=agent.since,
        waiting_transfer=hub.slot_taken(agent.id),
    )


def _call_view(hub: Hub, agent: Agent, call: Call) -> CallView:
    group = hub.world.group_of_queue(call.queue) if call.queue else None
    groups = hub.agents.groups_of(agent.id)
    return CallView(
        id=call.caller_channel,
        caller=call.caller_number,
        group=group.id if group is not None else next(iter(groups), None),
        on_hold=call.on_hold,
    )


def _transferring(hub: Hub, agent: Agent) -> CallView | None:
    """The agent's call while they transfer it: it is not in a bridge with them then."""
    record = hub.register.transferring(agent.id)
    if record is None:
        return None
    return CallView(
        id=record.session.caller.channel,
        caller=record.session.caller.number,
        group=record.session.group,
        on_hold=True,
        transfer=transfer_view(record),
    )


_CALLER_STATES = {
    State.CONSULTING: "holding",
    State.COMPLETED: "talking",
    State.CANCELLED: "talking",
    State.QUEUED: "waiting",
    State.OFFERED: "waiting",
    State.QUEUEING: "waiting",
}
_TARGET_STATES = {
    State.STARTING: "waiting",
    State.QUEUEING: "waiting",
    State.WAITING: "waiting",
    State.RINGING: "ringing",
    State.QUEUED: "waiting",
    State.OFFERED: "ringing",
    State.CONSULTING: "talking",
    State.COMPLETING: "talking",
    State.COMPLETED: "talking",
}


def _parties(session: Session) -> tuple[PartyView, ...]:
    """Who takes part and what they do now, as seen from the transfer."""
    state = session.state
    caller = "gone" if session.caller.presence is Presence.GONE else None
    transferor = "gone" if session.transferor.presence is Presence.GONE else None
    if state is State.COMPLETED or session.mode == "unsupervised":
        transferor = "gone"
    return (
        PartyView(session.agent, "transferor", session.transferor.name, transferor or "talking"),
        PartyView(
            "caller",
            "caller",
            session.caller.number,
            caller or _CALLER_STATES.get(state, "holding"),
        ),
        PartyView(
            session.target.value, "target", session.target.value, _TARGET_STATES.get(state, "gone")
        ),
    )
