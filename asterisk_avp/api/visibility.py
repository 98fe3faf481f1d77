"""What an agent's token may see. An integration's token sees everything.

An agent sees the state of every agent of the same client (`clients`), but only their own calls
(with callers and screen pops), and only transfers that involve them: as transferor, as target, or
as the agent who took the call. The caller and the notes belong to the screen pop: a target sees
them only once they have the call, or while an unsupervised transfer rings them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.clients import event_for
from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.model.tenants import EVERYTHING, Scope
from asterisk_avp.core.model.world import Mode, TransferState, TransferView

_OF_THE_CALLER = ("caller", "caller_formatted", "caller_name", "notes")
"""Fields of a transfer that the target sees only with the call."""

_PRIVATE = frozenset({"call", "calls", "memberships", "pause_reason", "work_actions"})


def involves(transfer: TransferView, agent: str) -> bool:
    """Whether ``agent`` transfers the call, is its target, or has taken it."""
    return agent in agents_involved(transfer)


def agents_of_event(transfer: Mapping[str, Any]) -> set[str]:
    """The agents whom a transfer in an event `involves`."""
    target = transfer.get("target") or {}
    found = {transfer.get("agent")}
    if target.get("kind") == "agent":
        found.add(target.get("id"))
    parties = transfer.get("parties") or ()
    found.update(party.get("id") for party in parties if party.get("role") == "target")
    found.update(transfer.get("asked") or ())
    return {agent for agent in found if isinstance(agent, str)}


def as_seen_by(principal: Principal, transfer: TransferView) -> TransferView:
    """The transfer without what the principal may not see (yet)."""
    if not _is_redacted(principal, transfer.agent, transfer.mode, transfer.state):
        return transfer
    parties = tuple(
        replace(party, name="", name_formatted="") if party.role == "caller" else party
        for party in transfer.parties
    )
    nothing: dict[str, object] = dict.fromkeys(_OF_THE_CALLER, "")
    nothing["caller_withheld"] = False
    return replace(transfer, **nothing, parties=parties, actions=())  # type: ignore[arg-type]


def _is_redacted(principal: Principal, agent: str, mode: str, state: str) -> bool:
    if principal.agent is None or principal.agent == agent or state == TransferState.COMPLETED:
        return False
    return not (mode == Mode.UNSUPERVISED and state == TransferState.RINGING)


class Visibility(Enum):
    """How much of an event a principal may see."""

    ALL = "all"
    PART = "part"
    """The `redacted` event, the same for all who may see no more."""
    NOTHING = "nothing"


def visibility_of(principal: Principal, event: Mapping[str, Any]) -> Visibility:
    """How much of ``event`` the principal may see.

    An event of a kind not known here shows an agent only what is marked as theirs.
    """
    if principal.agent is None:
        return Visibility.ALL
    match event:
        case {"type": "agent", "agent": {"id": str(agent_id)}}:
            return Visibility.ALL if agent_id == principal.agent else Visibility.PART
        case {"type": "transfer", "transfer": {} as transfer}:
            if principal.agent not in agents_of_event(transfer):
                return Visibility.NOTHING
            agent, mode, state = (
                str(transfer.get(name, "")) for name in ("agent", "mode", "state")
            )
            return (
                Visibility.PART if _is_redacted(principal, agent, mode, state) else Visibility.ALL
            )
        case {"type": "readiness" | "overflow"}:
            return Visibility.ALL
        case {"agent": str(agent_id)}:
            return Visibility.ALL if agent_id == principal.agent else Visibility.NOTHING
        case _:
            return Visibility.NOTHING


def redacted(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event without what is not for everybody who may know of it."""
    match event:
        case {"agent": {} as agent}:
            return {**event, "agent": {k: v for k, v in agent.items() if k not in _PRIVATE}}
        case {"transfer": {} as transfer}:
            parties = [
                {**party, "name": "", "name_formatted": ""}
                if party.get("role") == "caller"
                else party
                for party in transfer.get("parties") or ()
            ]
            return {
                **event,
                "transfer": {
                    **transfer,
                    **dict.fromkeys(_OF_THE_CALLER, ""),
                    "caller_withheld": False,
                    "parties": parties,
                    "actions": [],
                },
            }
        case _:
            raise ValueError("such an event is seen whole, or not at all")


def visible_to(
    principal: Principal, event: Mapping[str, Any], scope: Scope = EVERYTHING
) -> Mapping[str, Any] | None:
    """The event as the principal may see it; None: not visible.

    ``scope``: the principal's, see `clients`.
    """
    match visibility_of(principal, event):
        case Visibility.ALL:
            return event_for(event, scope)
        case Visibility.PART:
            return event_for(redacted(event), scope)
        case Visibility.NOTHING:
            return None
