"""What `asterisk-avp watch` reads out of the API's agents and transfers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_CONNECTED: Final = frozenset({"talking", "holding", "on_hold"})
_IDLE: Final = frozenset({"available", "not_ready", "offline"})


class GroupFilter:
    """What concerns one of these groups; everything where there are none."""

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = tuple(groups)
        self._wanted = {group.casefold() for group in groups}

    def agent(self, agent: Mapping[str, Any]) -> bool:
        return not self._wanted or any(x.casefold() in self._wanted for x in agent["groups"])

    def transfer(self, transfer: Mapping[str, Any]) -> bool:
        """Transfers of the group's calls, and to it."""
        target = transfer.get("target") or {}
        to = target.get("id", "") if target.get("kind") == "group" else ""
        return not self._wanted or bool(
            {transfer["group"].casefold(), to.casefold()} & self._wanted
        )

    def group(self, group: Mapping[str, Any]) -> bool:
        return not self._wanted or group["id"].casefold() in self._wanted

    def event(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The event with what concerns the groups; None: nothing does."""
        match event:
            case {"type": "snapshot", "agents": agents, "transfers": transfers}:
                return {
                    **event,
                    "agents": [x for x in agents if self.agent(x)],
                    "transfers": [x for x in transfers if self.transfer(x)],
                    "groups": [x for x in event.get("groups", ()) if self.group(x)],
                }
            case {"type": "group", "group": group}:
                return event if self.group(group) else None
            case {"type": "agent", "agent": agent}:
                return event if self.agent(agent) else None
            case {"type": "transfer", "transfer": transfer}:
                return event if self.transfer(transfer) else None
            case _:
                return event


def calls_in_progress(
    agents: Iterable[Mapping[str, Any]], transfers: Iterable[Mapping[str, Any]]
) -> int:
    """How many callers the agents have. A consultation is part of the call that it is about."""
    consults = consults_by_agent(transfers)
    return len(
        {
            call["id"]
            for agent in agents
            for call in agent.get("calls") or filter(None, [agent.get("call")])
            if not (call.get("consult") or is_consult(agent, call, consults))
        }
    )


def consults_by_agent(transfers: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The running transfers about which an agent is asked, by that agent's id."""
    return {
        party["id"]: transfer
        for transfer in transfers
        if not ended(transfer) and transfer["mode"] == "supervised"
        for party in transfer.get("parties") or ()
        if party["role"] in ("target", "fourth") and party["state"] in _CONNECTED
    }


def is_consult(
    agent: Mapping[str, Any],
    call: Mapping[str, Any],
    consults: Mapping[str, Mapping[str, Any]],
) -> bool:
    """For a daemon that does not mark consultations: the agent's call that is not on hold."""
    return "consult" not in call and agent["id"] in consults and not call.get("on_hold")


def does_something(agent: Mapping[str, Any]) -> bool:
    return agent["state"] not in _IDLE or bool(agent["waiting_transfer"] or agent.get("call"))


def ended(transfer: Mapping[str, Any]) -> bool:
    return transfer["ended_reason"] is not None
