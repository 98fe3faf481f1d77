"""What an agent's token may see. An integration's sees everything.

An agent sees every agent's state, but calls (and with them callers and screen pops) only of
their own, and only the transfers that concern them: those they make, those made to them, and
those in which they are the target that took the call. Who the caller is and what was noted about
the call belongs to its screen pop: a target sees it when they have the call, or when it rings for
them without a consultation, and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asterisk_avp.api.auth import Caller
from asterisk_avp.core.history import concerned
from asterisk_avp.core.model import Mode, TransferState, TransferView

_PRIVATE = frozenset({"call", "calls", "pause_reason"})


def concerns(transfer: TransferView, agent: str) -> bool:
    """Whether ``agent`` gives, is to take, or has taken the call of ``transfer``."""
    return agent in concerned(transfer)


def _event_concerns(transfer: Mapping[str, Any], agent: str) -> bool:
    """The same of a transfer as it is in an event."""
    target = transfer.get("target") or {}
    if transfer.get("agent") == agent:
        return True
    if target.get("kind") == "agent" and target.get("id") == agent:
        return True
    parties = transfer.get("parties") or ()
    return any(party.get("role") == "target" and party.get("id") == agent for party in parties)


def as_seen_by(caller: Caller, transfer: TransferView) -> TransferView:
    """The transfer without what ``caller`` may not know (yet)."""
    if not _withheld(caller, transfer.agent, transfer.mode, transfer.state):
        return transfer
    parties = tuple(
        replace(party, name="") if party.role == "caller" else party for party in transfer.parties
    )
    return replace(transfer, caller="", notes="", parties=parties)


def _event_as_seen_by(caller: Caller, transfer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same of a transfer as it is in an event."""
    agent, mode, state = (str(transfer.get(name, "")) for name in ("agent", "mode", "state"))
    if not _withheld(caller, agent, mode, state):
        return transfer
    parties = [
        {**party, "name": ""} if party.get("role") == "caller" else party
        for party in transfer.get("parties") or ()
    ]
    return {**transfer, "caller": "", "notes": "", "parties": parties}


def _withheld(caller: Caller, agent: str, mode: str, state: str) -> bool:
    if caller.agent is None or caller.agent == agent or state == TransferState.COMPLETED:
        return False
    return not (mode == Mode.UNSUPERVISED and state == TransferState.RINGING)


def visible_to(caller: Caller, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The event as ``caller`` may see it; None where it is none of their business.

    An event of a kind not known here shows an agent only what is marked as theirs.
    """
    if caller.agent is None:
        return event
    match event:
        case {"type": "agent", "agent": {"id": str(agent_id)} as agent}:
            if agent_id == caller.agent:
                return event
            return {**event, "agent": {k: v for k, v in agent.items() if k not in _PRIVATE}}
        case {"type": "transfer", "transfer": {} as transfer}:
            if not _event_concerns(transfer, caller.agent):
                return None
            return {**event, "transfer": _event_as_seen_by(caller, transfer)}
        case {"type": "readiness" | "overflow"}:
            return event
        case {"agent": str(agent_id)}:
            return event if agent_id == caller.agent else None
        case _:
            return None
