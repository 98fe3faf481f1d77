"""The engine's state as views of the API. Read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asterisk_avp.core.engine import groups, work
from asterisk_avp.core.engine.call_views import (
    ROLES,
    Pops,
    call_views,
    heard_roles,
    others_transfer,
)
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.parties import target_id
from asterisk_avp.core.engine.record import Record
from asterisk_avp.core.engine.requests import group_of_call, told_of
from asterisk_avp.core.model.caller import Told
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
from asterisk_avp.core.numbers import NumberCheck, shown
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.staffing import staffing
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.hearing import hearing, places
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.spec import Seat


def no_pops(agent: str, call: str) -> Mapping[str, Any]:
    del agent, call
    return {}


def agent_view(engine: TransferEngine, agent: Agent, pops: Pops = no_pops) -> AgentView:
    calls = _own_calls(engine, agent, pops)
    return replace(
        roster_view(engine, agent),
        call=next(iter(calls), None),
        calls=calls,
        pause_reason=agent.pause_reason,
        work_actions=work.actions(engine.agents, agent),
        memberships=groups.memberships(engine.agents, agent),
    )


def roster_view(engine: TransferEngine, agent: Agent) -> AgentView:
    """The agent without calls and without the pause reason."""
    return AgentView(
        id=agent.id,
        name=engine.agents.name_of(agent.id),
        state=agent.state,
        since=agent.since or None,
        groups=engine.agents.groups_of(agent.id),
        waiting_transfer=engine.slot_taken(agent.id),
        paused=agent.paused,
        acw_until=agent.acw_end if agent.state is AgentState.ACW else None,
        node=agent.remote.node if agent.remote is not None else None,
    )


def transfer_view(engine: TransferEngine, record: Record) -> TransferView:
    session = record.session
    group = engine.group_now(session)
    country, told = group.features.country, told_of(session.caller.identity, group)
    return TransferView(
        id=session.id,
        agent=session.agent,
        group=session.group,
        mode=session.mode,
        target=session.target,
        state=session.state.spec.reported,
        ended_reason=session.reason if session.state.final else None,
        caller=told.number,
        caller_formatted=shown(told.number, country),
        caller_withheld=told.withheld,
        parties=_parties(session, told, country, fourth_rings=record.fourth_rings),
        actions=engine.actions(session),
        since=record.since,
        started=record.started,
        notes=session.notes,
        hold_until=(
            session.waiting_since + session.wait_seconds
            if session.state.spec.deadline.awaits_target and session.waiting_since is not None
            else None
        ),
        music_since=record.music_since,
        asked=session.asked,
        caller_name=told.name,
        caller_outcome=record.caller_outcome,
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
    if others_transfer(engine, engine.agents.by_id[agent_id]):
        return TargetsView((), (), ())
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
    there = staffing(engine.agents, group, transferor)
    colleagues = engine.agents.in_group(group_id) if with_agents else []
    return TargetGroup(
        id=group.id,
        name=group.name,
        agents=tuple(
            _target_agent(engine, agent)
            for agent in sorted(colleagues, key=lambda agent: agent.id)
            if agent.id != transferor
        ),
        available=engine.agents.headcounts.without(group_id, transferor).available,
        logged_in=there.logged_in,
        ready=there.ready,
    )


def group_counts(engine: TransferEngine, group_id: str) -> Mapping[str, Any]:
    """A group's counts for whoever is not one of its agents, as in their targets."""
    there = engine.agents.headcounts.of(group_id)
    counts = {"available": there.available, "logged_in": there.logged_in, "ready": there.ready}
    return {"id": group_id, **counts}


def _target_agent(engine: TransferEngine, agent: Agent) -> TargetAgent:
    return TargetAgent(
        id=agent.id,
        name=engine.agents.name_of(agent.id),
        state=agent.state,
        since=agent.since or None,
        waiting_transfer=engine.slot_taken(agent.id),
        node=agent.remote.node if agent.remote is not None else None,
    )


def _own_calls(engine: TransferEngine, agent: Agent, pops: Pops) -> tuple[CallView, ...]:
    """The agent's calls, first the one that is being transferred.

    What the agent says to the target and the fourth party belongs to that call.
    """
    record = engine.store.transferring(agent.id)
    if record is None:
        return call_views(engine, agent, pops)
    session = record.session
    fourth = session.fourth.party.channel if session.fourth is not None else ""
    of_transfer = {session.caller.channel, session.leg.channel, fourth}
    others = call_views(engine, agent, pops, without=of_transfer)
    return (_transferring(engine, agent, record, pops), *others)


def _transferring(engine: TransferEngine, agent: Agent, record: Record, pops: Pops) -> CallView:
    """The call that the agent is transferring, which is not in a bridge with them meanwhile."""
    transfer = transfer_view(engine, record)
    return CallView(
        id=record.session.caller.channel,
        caller=transfer.caller,
        caller_formatted=transfer.caller_formatted,
        caller_withheld=transfer.caller_withheld,
        group=record.session.group,
        on_hold=True,
        pop=pops(agent.id, record.session.caller.channel),
        transfer=transfer,
    )


def _parties(
    session: Session, caller: Told, country: str | None, *, fourth_rings: bool
) -> tuple[PartyView, ...]:
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
        _numbered("caller", "caller", caller.number, _shown(session.caller, spec.caller), country),
        *_target(session, target, country),
        *_fourth(session, country, rings=fourth_rings),
    )
    heard = {ROLES[role]: heard_roles(what) for role, what in hearing(session).items()}
    on_hold = {
        ROLES[role] for role, party, _ in places(session) if party.channel in session.on_hold
    }
    return tuple(
        party
        if party.state is PartyState.GONE
        else replace(
            party,
            hears=heard[party.role],
            state=PartyState.ON_HOLD if party.role in on_hold else party.state,
        )
        for party in found
    )


def _shown(party: Party, seat: Seat) -> PartyState:
    return PartyState.GONE if party.presence is Presence.GONE else seat.shown


def _numbered(
    party: str, role: str, name: str, state: PartyState, country: str | None
) -> PartyView:
    """A party that is known by its number."""
    return PartyView(party, role, name, state, name_formatted=shown(name, country))


def _target(session: Session, state: PartyState, country: str | None) -> tuple[PartyView, ...]:
    if session.target is None:
        return ()
    if session.target_id and session.permission.agent is not None:
        return (PartyView(session.target_id, "target", session.target_id, state),)
    if session.target_id:
        return (_numbered(target_id(session), "target", session.leg.number, state, country),)
    name = session.target.value
    if session.target.kind is TargetKind.NUMBER:
        return (_numbered(target_id(session), "target", name, state, country),)
    return (PartyView(target_id(session), "target", name, state),)


def _fourth(session: Session, country: str | None, *, rings: bool) -> tuple[PartyView, ...]:
    fourth = session.fourth
    if fourth is None or session.state.final:
        return ()
    of_agent = fourth.permission.agent is not None
    state = PartyState.RINGING
    if fourth.party.presence is Presence.PRESENT:
        state = PartyState.TALKING
    elif of_agent and not rings:
        state = PartyState.WAITING  # in their personal queue
    if of_agent:
        return (PartyView(fourth.id, "fourth", fourth.id, state),)
    return (_numbered(fourth.id, "fourth", fourth.party.number, state, country),)
