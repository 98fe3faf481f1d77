"""The state that a decision about a transfer request needs, and the session that it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asterisk_avp.core.engine.sessions import SessionStore
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.caller import Caller, Presentation, Told
from asterisk_avp.core.model.hold import MUSIC
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group, Mode, Target, TransferRequest
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.channel import Call
from asterisk_avp.core.transfer.session import Party, Session, is_half, leg_id, other_half
from asterisk_avp.core.transfer.states import State


@dataclass(frozen=True, slots=True)
class CallVariables:
    """Channel variables of the caller, read before policy decides."""

    max_hold_seconds: int | None = None
    """``AVP_MAX_HOLD``"""
    ends_at: int | None = None
    """When the call's own limit (TIMEOUT(absolute)) ends it, in Unix seconds; None: no limit."""
    presentation: Presentation | None = None
    """Whether others may be told the caller; None: not read."""
    music_class: str = ""
    """`MUSIC`, as it was read; empty: not set."""


def in_transfer(store: SessionStore, agent_id: str, call: Call | None) -> bool:
    """Whether the call, or the requesting agent, is part of a running transfer.

    A call that `is_settling` also counts as one.
    """
    if call is None:
        return store.transferring(agent_id) is not None
    return is_settling(call) or any(
        store.role_of(channel) is not None for channel in (call.caller_channel, call.agent_channel)
    )


def is_settling(call: Call) -> bool:
    """Whether Asterisk has yet to optimise away the Local channel of a completed transfer.

    The caller is behind it, and moving it out of its bridge would end the call. It lasts some
    milliseconds.
    """
    return call.settling or any(map(is_half, (call.caller_channel, call.agent_channel)))


def group_of_call(agents: Agents, agent_id: str, call: Call | None) -> Group | None:
    """The group that ``AVP_GROUP`` names, else that of the call's queue, else the agent's."""
    groups = agents.world.groups
    if call is not None and call.group.lower() in groups:
        return groups[call.group.lower()]
    if call is not None and call.queue is not None:
        group = agents.world.group_of_queue(call.queue)
        if group is not None:
            return group
    return next((groups[group] for group in agents.groups_of(agent_id)), None)


def told_of(caller: Caller, group: Group | None) -> Told:
    """What agents and integrations are told of a caller, by the settings of the call's group."""
    return caller.told_agents(show_withheld=group is not None and group.features.show_withheld)


class SessionFactory:
    def __init__(
        self,
        agents: Agents,
        new_id: Callable[[], str],
        new_secret: Callable[[], str],
        ring_outside_seconds: int,
        orphan_seconds: int,
    ) -> None:
        """``new_secret`` makes the channel ids of legs unguessable (`session.leg_id`)."""
        self._agents = agents
        self.new_id = new_id
        self.new_secret = new_secret
        self._ring_outside_seconds = ring_outside_seconds
        self._orphan_seconds = orphan_seconds

    def make(
        self,
        request: TransferRequest,
        target: Target | None,
        permission: Permission,
        call: Call,
        facts: CallVariables,
    ) -> Session:
        """A session in its initial state; it is not added to the store."""
        identifier = request.transfer or self.new_id()
        leg = leg_id(identifier, self.new_secret())
        return Session(
            id=identifier,
            agent=request.agent,
            group=permission.group.id,
            mode=request.mode,
            target=target,
            transferor=Party(call.agent_channel, name=self._agents.name_of(request.agent)),
            caller=Party(
                call.caller_channel,
                call.caller.number,
                call.caller.name,
                presentation=facts.presentation or call.caller.presentation,
            ),
            leg=Party(leg),
            local_far_end=other_half(leg),
            permission=permission,
            transferor_location=self._agents.location_of(request.agent),
            ring_outside_seconds=self._ring_outside_seconds,
            max_hold_seconds=facts.max_hold_seconds or permission.group.max_hold_seconds,
            variables={
                "AVP_HOLD_ACTION": permission.group.max_hold_action.value,
                "AVP_ORPHAN_SECONDS": str(self._orphan_seconds),
                "AVP_ENDS_AT": "" if facts.ends_at is None else str(facts.ends_at),
                **({MUSIC: music} if (music := clean.ident(facts.music_class)) else {}),
                **_inbound(call.context),
                **self._return_to(request.agent),
            },
            notes=request.notes,
            origin=request.origin,
            state=State.STARTING if request.mode is Mode.SUPERVISED else State.QUEUEING,
        )

    def _return_to(self, agent_id: str) -> dict[str, str]:
        """The node to which the dialplan returns the caller, if the transferor is not on this."""
        nodes = self._agents.world.nodes
        if not nodes:
            return {}
        agent = self._agents.by_id.get(agent_id)
        home = agent.remote.node if agent is not None and agent.remote is not None else ""
        trunk = nodes[home].endpoint if home in nodes else ""
        return {"AVP_RETURN_NODE": home if trunk else "", "AVP_RETURN_TRUNK": trunk}


def _inbound(context: str) -> dict[str, str]:
    """Where the caller comes from, if that is known; earlier it was written to the channel."""
    return {"AVP_INBOUND_CONTEXT": clean.ident(context)} if context else {}
