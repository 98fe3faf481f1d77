"""The engine's state as views of the API. Read-only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.parties import target_id
from asterisk_avp.core.engine.requests import group_of_call
from asterisk_avp.core.engine.sessions import Record
from asterisk_avp.core.model.features import SWITCHES, Features
from asterisk_avp.core.model.world import (
    AgentState,
    AgentView,
    CallView,
    Group,
    Mode,
    PartyState,
    PartyView,
    TargetAgent,
    TargetGroup,
    TargetKind,
    TargetsView,
    TransferView,
)
from asterisk_avp.core.numbers.rules import NumberCheck
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.calls import Call
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.hearing import Heard, hearing
from asterisk_avp.core.transfer.session import Party, Presence, Session, shown_id
from asterisk_avp.core.transfer.spec import Seat, Sound

Pops = Callable[[str, str], Mapping[str, Any]]
"""Agent and call (the caller's channel id) -> the call's screen pop; empty: no screen pop."""


def no_pops(agent: str, call: str) -> Mapping[str, Any]:
    del agent, call
    return {}


def agent_view(engine: TransferEngine, agent: Agent, pops: Pops = no_pops) -> AgentView:
    calls = tuple(_call_view(engine, agent, call, pops) for call in engine.calls_of(agent))
    return replace(
        roster_view(engine, agent),
        call=_transferring(engine, agent, pops) or next(iter(calls), None),
        calls=calls,
        pause_reason=agent.pause_reason,
    )


def roster_view(engine: TransferEngine, agent: Agent) -> AgentView:
    """The agent without calls and without the pause reason."""
    return AgentView(
        id=agent.id,
        name=engine.agents.name_of(agent.id),
        state=agent.state,
        since=agent.since,
        groups=engine.agents.groups_of(agent.id),
        waiting_transfer=engine.slot_taken(agent.id),
        paused=agent.paused,
    )


def transfer_view(engine: TransferEngine, record: Record) -> TransferView:
    session = record.session
    return TransferView(
        id=session.id,
        agent=session.agent,
        group=session.group,
        mode=session.mode,
        target=session.target,
        state=session.state.spec.reported,
        ended_reason=session.reason if session.state.final else None,
        caller=session.caller.number,
        parties=_parties(session),
        actions=engine.actions(session),
        since=record.since,
        started=record.started,
        notes=session.notes,
        hold_until=(
            record.waiting_since + session.wait_seconds
            if session.state.spec.deadline.awaits_target
            else None
        ),
    )


def number_check(engine: TransferEngine, agent_id: str, typed: str) -> NumberCheck:
    """The number rules with the settings of the call's group. Raises `UnknownAgent`."""
    group = _group(engine, agent_id)
    features = group.features if group is not None else Features(contracted=False)
    return policy.check_number(typed, agent_id, features, engine.world)


def targets_view(engine: TransferEngine, agent_id: str) -> TargetsView:
    """The three target lists, restricted to what the settings of the call's group permit.

    *My Agent Groups* lists colleagues. *Agent Groups* lists targets of unsupervised transfers.
    *External Presets* lists presets of groups other than the agent's own. No list contains
    anything outside the agent's scope or the scope of the call's account (`core.model.tenants`).
    """
    group = _group(engine, agent_id)
    features = group.features if group is not None else Features(contracted=False)
    own = engine.agents.groups_of(agent_id)
    scope = engine.agents.tenants.of_call(agent_id, group)

    def may(kind: TargetKind, *modes: Mode) -> bool:
        return any(policy.permitted(features, mode, kind) for mode in modes)

    agents = may(TargetKind.AGENT, Mode.SUPERVISED, Mode.UNSUPERVISED)
    groups = may(TargetKind.GROUP, Mode.UNSUPERVISED)
    presets = may(TargetKind.PRESET, Mode.SUPERVISED)
    return TargetsView(
        permissions=tuple(name for name in SWITCHES if features.allows(name)),
        my_agent_groups=tuple(
            _target_group(engine, name, agent_id)
            for name in own
            if (agents or groups) and scope.group(name)
        ),
        agent_groups=tuple(
            _target_group(engine, name, agent_id, with_agents=False)
            for name in engine.world.groups
            if groups and scope.group(name)
        ),
        external_presets=tuple(
            {
                "id": preset.id,
                "name": preset.name,
                "group": preset.group if scope.group(preset.group) else "",
            }
            for preset in engine.world.presets.values()
            if presets and preset.group not in own and scope.preset(preset.id)
        ),
    )


def _group(engine: TransferEngine, agent_id: str) -> Group | None:
    """The call's group, including while the call is being transferred. Raises `UnknownAgent`."""
    call = engine.call_of(agent_id)
    record = engine.store.transferring(agent_id)
    if record is not None:
        return engine.group_now(record.session)
    return group_of_call(engine.agents, agent_id, call)


def _target_group(
    engine: TransferEngine, group_id: str, transferor: str, *, with_agents: bool = True
) -> TargetGroup:
    group = engine.world.groups[group_id]
    colleagues = [agent for agent in engine.agents.in_group(group_id) if agent.id != transferor]
    shown = sorted(colleagues, key=lambda agent: agent.id) if with_agents else []
    return TargetGroup(
        id=group.id,
        name=group.name,
        agents=tuple(_target_agent(engine, agent) for agent in shown),
        available=[agent.state for agent in colleagues].count(AgentState.AVAILABLE),
    )


def _target_agent(engine: TransferEngine, agent: Agent) -> TargetAgent:
    return TargetAgent(
        id=agent.id,
        name=engine.agents.name_of(agent.id),
        state=agent.state,
        since=agent.since,
        waiting_transfer=engine.slot_taken(agent.id),
    )


def _call_view(engine: TransferEngine, agent: Agent, call: Call, pops: Pops) -> CallView:
    group = group_of_call(engine.agents, agent.id, call)
    return CallView(
        id=shown_id(call.caller_channel),
        caller=call.caller_number,
        group=group.id if group is not None else None,
        on_hold=call.on_hold,
        pop=pops(agent.id, call.caller_channel),
    )


def _transferring(engine: TransferEngine, agent: Agent, pops: Pops) -> CallView | None:
    """The call that the agent is transferring, which is not in a bridge with them meanwhile."""
    record = engine.store.transferring(agent.id)
    if record is None:
        return None
    return CallView(
        id=record.session.caller.channel,
        caller=record.session.caller.number,
        group=record.session.group,
        on_hold=True,
        pop=pops(agent.id, record.session.caller.channel),
        transfer=transfer_view(engine, record),
    )


_ROLES: Mapping[str, str] = {
    "transferor": "transferor",
    "caller": "caller",
    "leg": "target",
    "fourth": "fourth",
}
"""The role of a session's party, as the API names it."""


def _parties(session: Session) -> tuple[PartyView, ...]:
    """The parties of a transfer, with their states and what they hear."""
    spec = session.state.spec
    unsupervised = session.mode is Mode.UNSUPERVISED and not session.refused
    transferor = _shown(session.transferor, spec.transferor)
    target = _shown(session.leg, spec.target) if spec.target.place.ours else spec.target.shown
    found = (
        PartyView(
            session.agent,
            "transferor",
            session.transferor.name,
            PartyState.GONE if unsupervised else transferor,
        ),
        PartyView("caller", "caller", session.caller.number, _shown(session.caller, spec.caller)),
        *_target(session, target),
        *_fourth(session),
    )
    heard = {_ROLES[role]: _heard(what) for role, what in hearing(session).items()}
    return tuple(
        party
        if party.state is PartyState.GONE or not heard[party.role]
        else replace(party, hears=heard[party.role])
        for party in found
    )


def _heard(what: Heard) -> tuple[str, ...]:
    if isinstance(what, Sound):
        return () if what is Sound.NOTHING else (what.value,)
    return tuple(_ROLES[role] for role in what)


def _shown(party: Party, seat: Seat) -> PartyState:
    return PartyState.GONE if party.presence is Presence.GONE else seat.shown


def _target(session: Session, state: PartyState) -> tuple[PartyView, ...]:
    if session.target is None:
        return ()
    name = session.leg.number if session.target_id else session.target.value
    return (PartyView(target_id(session), "target", name, state),)


def _fourth(session: Session) -> tuple[PartyView, ...]:
    if session.fourth is None or session.state.final:
        return ()
    present = session.fourth_is is Presence.PRESENT
    state = PartyState.TALKING if present else PartyState.RINGING
    return (PartyView(session.fourth.id, "fourth", session.fourth.party.number, state),)
