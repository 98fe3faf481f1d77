"""The view of a call that another node anchors, to the agent who has it here. Read-only.

What Asterisk shows here is the trunk's channel, with the caller ID of a consult's transferor. What
the anchor tells comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.world import CallView, ConsultView, TransferView
from asterisk_avp.core.pbx.agent import Agent


def node_call_view(
    engine: TransferEngine, agent: Agent, there: NodeCall, view: CallView
) -> CallView:
    """``view``: the call as Asterisk shows it here."""
    told = engine.elsewhere.told
    running = told.running_of(agent.id, there.anchor, there.anchor_call)
    if running is not None:
        return replace(_of_caller(view, running), on_hold=True, transfer=running, consult=None)
    if engine.elsewhere.consulted(there.channel):
        return replace(view, pop={}, consult=_consult(engine, there))
    brought_by = told.get(there.transfer)
    if brought_by is None or brought_by.node != there.anchor:
        return _by_pop(view)
    left = told.left_by_caller((there.anchor, there.anchor_call), brought_by.view.since)
    if left is not None:
        return _of_colleague(view, left, agent.id)
    return _of_caller(view, brought_by.view)


def _of_caller(view: CallView, told: TransferView) -> CallView:
    return replace(
        view,
        caller=told.caller,
        caller_formatted=told.caller_formatted,
        caller_withheld=told.caller_withheld,
        group=told.group or view.group,
    )


def _by_pop(view: CallView) -> CallView:
    """Where this daemon knows nothing of the transfer, which ended long before its start."""
    caller = view.pop.get("caller")
    if not isinstance(caller, Mapping):
        return view
    return replace(
        view,
        caller=caller["number"],
        caller_formatted=caller["number_formatted"],
        caller_withheld=caller["withheld"],
    )


def _of_colleague(view: CallView, left: TransferView, agent: str) -> CallView:
    """With whom an agent is whom the caller has left in a conference."""
    roles = {"transferor", "target"}
    for other in left.parties:
        if other.role in roles and other.id != agent:
            return replace(
                view,
                caller=other.name if other.name_formatted else other.id,
                caller_formatted=other.name_formatted,
                caller_withheld=False,
                pop={},
            )
    return view


def _consult(engine: TransferEngine, there: NodeCall) -> ConsultView:
    """Who consults: by the daemons, or else by the call itself."""
    told = engine.elsewhere.told.get(there.transfer)
    known = told is not None and told.node == there.anchor
    agent = told.view.agent if told is not None and known else there.transferor
    return ConsultView(agent, engine.agents.name_of(agent) if agent else "")
