"""Who must be a member of their personal queue now (`core.pbx.personal_queues`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from asterisk_avp.core.engine.sessions import SessionStore
from asterisk_avp.core.model.world import personal_queue
from asterisk_avp.core.pbx.agent import IN_USE, Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.personal_queues import PersonalQueues


def personal_queues(
    agents: Agents, store: SessionStore, reserved: Callable[[str], bool]
) -> PersonalQueues:
    """``reserved``: whether another node's call is about to come for the agent."""
    return PersonalQueues(agents, partial(is_wanted, store, reserved))


def is_wanted(store: SessionStore, reserved: Callable[[str], bool], agent: Agent) -> bool:
    """Whether a transferred call waits for the agent, may come, or was delivered to them.

    Also while they have extended ACW, whose end their personal membership keeps, and while they
    transfer a call: the dialplan may send the caller back without asking (avp-recall, return), and
    the end of their call shows whether app_queue notes it in all queues (`pbx.shared_lastcall`).
    """
    if agent.remote is not None:
        return False  # their personal queue is on their own node
    if agent.waiting or agent.extended_until or store.index.has_transfer_to(agent.id):
        return True
    if reserved(agent.id):
        return True
    # Who delivered the last call is remembered for longer than it lasts.
    talking = any(member.status in IN_USE for member in agent.memberships.values())
    if talking and agent.call_queue == personal_queue(agent.id):
        return True
    if agent.personal is not None and agent.personal.in_call:
        return True
    return bool(store.index.begun_by(agent.id))
