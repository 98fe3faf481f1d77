"""An agent's calls as views of the API. Read-only.

A call that a colleague transfers concerns two kinds of agents who may not transfer it: whom the
colleague consults (`CallView.consult`), and who is the call's caller themself, since agents call
queues too (`CallView.transferred`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.node_call_views import node_call_view
from asterisk_avp.core.engine.requests import group_of_call, told_of
from asterisk_avp.core.model.caller import Caller
from asterisk_avp.core.model.transferred import TransferredView
from asterisk_avp.core.model.world import CallView, ConsultView
from asterisk_avp.core.numbers import shown
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.channel import Call
from asterisk_avp.core.transfer.hearing import Heard, hearing
from asterisk_avp.core.transfer.session import Session, shown_id
from asterisk_avp.core.transfer.spec import Sound

Pops = Callable[[str, str], Mapping[str, Any]]
"""Agent and call (the caller's channel id) -> the call's screen pop; empty: no screen pop."""

ROLES: Final[Mapping[str, str]] = {
    "transferor": "transferor",
    "caller": "caller",
    "leg": "target",
    "fourth": "fourth",
}
"""The role of a session's party, as the API names it."""


def heard_roles(what: Heard) -> tuple[str, ...]:
    if isinstance(what, Sound):
        return () if what is Sound.NOTHING else (what.value,)
    return tuple(ROLES[role] for role in what)


def call_views(
    engine: TransferEngine, agent: Agent, pops: Pops, *, without: Container[str] = ()
) -> tuple[CallView, ...]:
    """The agent's calls, those not on hold first. ``without``: callers' channels to leave out."""
    transfers = _as_caller(engine, agent)
    found = []
    for call in engine.calls_of(agent):
        if call.caller_channel in without:
            continue
        session = transfers.pop(call.agent_channel, None)
        found.append(
            _call_view(engine, agent, call, pops)
            if session is None
            else _transferred(engine, session, call)
        )
    return (*found, *(_transferred(engine, session) for session in transfers.values()))


def others_transfer(engine: TransferEngine, agent: Agent) -> bool:
    """Whether what the agent has now is a call that a colleague transfers."""
    if engine.store.transferring(agent.id) is not None:
        return False
    transfers = _as_caller(engine, agent)
    call = next(iter(engine.calls_of(agent)), None)
    if call is None:
        return bool(transfers)
    if engine.elsewhere.consulted(call.caller_channel):
        return True
    return call.agent_channel in transfers or _asked(engine, call) is not None


def _as_caller(engine: TransferEngine, agent: Agent) -> dict[str, Session]:
    """The agent's channels whose calls are being transferred with the agent as their caller."""
    found = {}
    for channel in engine.channels_of(agent):
        role = engine.store.role_of(channel)
        if role is not None and role[1] == "caller":
            found[channel] = role[0]
    return found


def _call_view(engine: TransferEngine, agent: Agent, call: Call, pops: Pops) -> CallView:
    asked = _asked(engine, call)
    if asked is not None and asked.shared_call:
        return _shared(asked, agent, pops)
    group = group_of_call(engine.agents, agent.id, call)
    country = group.features.country if group is not None else None
    told = told_of(call.caller, group)
    view = CallView(
        id=shown_id(call.caller_channel),
        caller=told.number,
        caller_formatted=shown(told.number, country),
        caller_withheld=told.withheld,
        group=group.id if group is not None else None,
        on_hold=call.on_hold,
        pop=pops(agent.id, call.caller_channel) if asked is None else {},
        consult=None if asked is None else ConsultView(asked.agent, asked.transferor.name),
    )
    there = engine.elsewhere.call_of(call.caller_channel)
    return view if there is None else node_call_view(engine, agent, there, view)


def _transferred(engine: TransferEngine, session: Session, call: Call | None = None) -> CallView:
    """The transferor's call, to an agent who is its caller. The target is not told to them."""
    with_them = engine.calls.channels.get(session.transferor.channel)
    caller = with_them.caller if with_them is not None else Caller()
    told = told_of(call.caller if call is not None else caller, session.permission.group)
    heard = heard_roles(hearing(session)["caller"])
    return CallView(
        id=shown_id(session.transferor.channel),
        caller=told.number,
        caller_formatted=shown(told.number, session.permission.group.features.country),
        caller_withheld=told.withheld,
        group=session.group,
        on_hold=Sound.MUSIC.value in heard or (call is not None and call.on_hold),
        transferred=TransferredView(session.agent, session.transferor.name, heard),
    )


def _asked(engine: TransferEngine, call: Call) -> Session | None:
    """The transfer whose target or fourth party the agent is by this call; None: it is no leg."""
    return engine.store.asked_by(call.caller_channel)


def _shared(session: Session, agent: Agent, pops: Pops) -> CallView:
    """The caller, to an agent who has them in a conference that the transferor has left."""
    caller, group = session.caller, session.permission.group
    told = told_of(caller.identity, group)
    return CallView(
        id=caller.channel,
        caller=told.number,
        caller_formatted=shown(told.number, group.features.country),
        caller_withheld=told.withheld,
        group=session.group,
        on_hold=False,
        pop=pops(agent.id, caller.channel),
    )
