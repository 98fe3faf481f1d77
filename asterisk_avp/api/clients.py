"""Restrict responses and events to the agent's scope: nothing of another client (account).

Whatever is outside the agent's scope (`core.model.tenants`) is removed, or gets an empty id and
name where it is part of something that concerns the agent, such as a call from another client's
agent. Operates on the JSON of responses and events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asterisk_avp.api.auth import Principal
from asterisk_avp.core.model.tenants import EVERYTHING, Scope

Scopes = Callable[[str], Scope]
"""Agent id to scope."""

Json = Mapping[str, Any]


def unrestricted(agent: str) -> Scope:
    """The scopes of a call centre with a single client."""
    del agent
    return EVERYTHING


def scope_of(principal: Principal, scopes: Scopes) -> Scope:
    """The principal's scope; an integration's is unrestricted."""
    return EVERYTHING if principal.agent is None else scopes(principal.agent)


def event_for(event: Json, scope: Scope) -> Json | None:
    """The event as visible in a scope; None: not visible."""
    match event:
        case _ if scope.unrestricted:
            return event
        case {"type": "agent", "agent": {} as agent}:
            shown = agent_for(agent, scope)
            return None if shown is None else {**event, "agent": shown}
        case {"type": "transfer", "transfer": {} as transfer}:
            return {**event, "transfer": transfer_for(transfer, scope)}
        case _:
            return event


def agent_for(agent: Json, scope: Scope) -> Json | None:
    """An agent in a list or event, as visible in a scope; None: not visible."""
    if scope.unrestricted:
        return agent
    if agent["id"] != scope.own and not scope.member(agent["groups"]):
        return None
    shown = {**agent, "groups": [group for group in agent["groups"] if scope.group(group)]}
    if "memberships" in shown:
        shown["memberships"] = [m for m in agent["memberships"] if scope.group(m["group"])]
    if "calls" in shown:
        shown["calls"] = [_call(call, scope) for call in agent["calls"]]
    if shown.get("call") is not None:
        shown["call"] = _call(agent["call"], scope)
    return shown


def transfer_for(transfer: Json, scope: Scope) -> Json:
    """A transfer that involves the scope's agent, without other clients' ids and names."""
    if scope.unrestricted:
        return transfer
    by, target = scope.agent(transfer["agent"]), transfer["target"]
    to = target is None or _knows(target, scope)
    shown = {
        **transfer,
        "agent": transfer["agent"] if by else "",
        "group": transfer["group"] if scope.group(transfer["group"]) else "",
        "asked": [agent for agent in transfer["asked"] if scope.agent(agent)],
        "parties": [
            _nobody(party)
            if (party["role"] == "transferor" and not by)
            or (party["role"] == "target" and not to and party["id"] == target["id"])
            or (party["role"] == "fourth" and _hidden(party["id"], scope))
            else party
            for party in transfer["parties"]
        ],
    }
    if not to:
        shown["target"] = {**target, "id": ""}
        drop = f"drop_party:{target['id']}"
        shown["actions"] = [action for action in transfer["actions"] if action != drop]
    return shown


def _call(call: Json, scope: Scope) -> Json:
    transfer = call["transfer"]
    return {
        **call,
        "group": call["group"] if scope.group(call["group"]) else None,
        "transfer": None if transfer is None else transfer_for(transfer, scope),
        "consult": _colleague(call["consult"], scope),
        "transferred": _colleague(call["transferred"], scope),
    }


def _colleague(told: Json | None, scope: Scope) -> Json | None:
    if told is None or scope.agent(told["agent"]):
        return told
    return {**told, "agent": "", "name": ""}


def _hidden(fourth: str, scope: Scope) -> bool:
    """Whether the fourth party is another client's agent; external ones have ids of their own."""
    return not fourth.startswith("party-") and not scope.agent(fourth)


def _knows(target: Json, scope: Scope) -> bool:
    match target["kind"]:
        case "agent":
            return scope.agent(target["id"])
        case "group":
            return scope.group(target["id"])
        case "preset":
            return scope.preset(target["id"])
        case _:
            return True


def _nobody(party: Json) -> Json:
    return {**party, "id": "", "name": "", "name_formatted": ""}
