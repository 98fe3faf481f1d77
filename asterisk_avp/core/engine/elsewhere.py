"""What goes on between this node and others, for the engine. Empty where there is one Asterisk.

The engine's own transfers are those of calls that came in here. A call of another node is
transferred by that node, the anchor: here is known what it tells.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Final

from asterisk_avp.core.engine.reservations import SECONDS, Reservations, Slot
from asterisk_avp.core.engine.told_transfers import ToldTransfers
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.world import TransferState
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.trunk_calls import TrunkCalls
from asterisk_avp.core.policy import policy

CONSULT: Final = "consult"
"""`NodeCall.leg`"""


class Elsewhere:
    def __init__(self) -> None:
        self.trunks = TrunkCalls()
        self.slots = Reservations()
        self.told = ToldTransfers()
        self.lost: set[str] = set()
        """Nodes of which nothing is heard."""
        self.cut: set[str] = set()
        """Nodes to which, or from which, the trunk does not work."""
        self._held: dict[str, int] = {}
        """Agents of other nodes whose slots are being reserved for a decision of ours."""

    # --- slots -------------------------------------------------------------------------------

    def slot_taken(self, agent: Agent | None) -> bool:
        """Whether a call waits for this agent, or another node has reserved or tells of one."""
        if agent is None:
            return False
        if agent.remote is not None:
            # What we have just reserved is told of as well; two of ours the home tells apart.
            return agent.remote.waiting_transfer and agent.id not in self._held
        return bool(agent.waiting) or self.slots.taken(agent.id)

    def hold(self, agent: str) -> None:
        """A slot of this agent's is being reserved; until `release`, what is told of it is ours."""
        self._held[agent] = self._held.get(agent, 0) + 1

    def release(self, agent: str) -> None:
        left = self._held.get(agent, 1) - 1
        if left:
            self._held[agent] = left
        else:
            self._held.pop(agent, None)

    # --- calls -------------------------------------------------------------------------------

    def channels_of(self, agent: Agent) -> Iterable[str]:
        return self.trunks.channels_of(agent.id)

    def home_of(self, agent: Agent | None) -> str:
        """The other node where the agent is at home, or has a call of ours; empty: none."""
        if agent is None:
            return ""
        if agent.remote is not None:
            return agent.remote.node
        return next((self.trunks.legs[x].node for x in self.trunks.channels_of(agent.id)), "")

    def call_of(self, channel: str) -> NodeCall | None:
        """The other node's call that this channel stands for; None: it is no such."""
        return self.trunks.calls.get(channel)

    def consulted(self, channel: str) -> bool:
        """Whether the channel is a consult by a colleague, not (yet) the caller."""
        call = self.call_of(channel)
        return call is not None and call.leg == CONSULT and not self._is_completed(call)

    def consults(self, node: str) -> set[str]:
        """That node's transfers by which agents here are consulted."""
        calls = self.trunks.calls.values()
        found = {call.transfer for call in calls if (call.anchor, call.leg) == (node, CONSULT)}
        return found - {""}

    def note_completed(self, node: str, over: Container[str] = ()) -> list[NodeCall]:
        """That node's consult legs that stand for the caller from now on.

        What is told of a transfer is forgotten in time, but such a call may last for hours.
        ``over``: transfers that the node does not know any more. Their legs are still there, so the
        transferor has left them to the caller.
        """
        found = [
            replace(call, leg="")
            for call in self.trunks.calls.values()
            if (call.anchor, call.leg) == (node, CONSULT)
            and (call.transfer in over or self._is_completed(call))
        ]
        for call in found:
            self.trunks.call(call)
        return found

    def _is_completed(self, call: NodeCall) -> bool:
        told = self.told.get(call.transfer)
        if told is None or told.node != call.anchor:
            return False
        return told.view.state is TransferState.COMPLETED

    def forget_ended(self, before: float) -> None:
        """Drop what is told of transfers that ended before then (Unix seconds).

        Not of those that have brought agents here the calls that they have: it says who calls.
        """
        kept = {call.transfer for call in self.trunks.calls.values()}
        self.told.forget_ended(before, kept)


def reserve(
    agents: Agents,
    elsewhere: Elsewhere,
    wanted: tuple[str, str, str],
    now: float,
    *,
    taken: bool,
    token: str,
) -> tuple[Slot, bool]:
    """Reserve an agent's slot for another node; whether it is a new one. Raises `Refused`.

    ``wanted``: agent, transfer and anchor. ``taken``: whether somebody else has it. The rules are
    those of `policy.decide` about the target's state; all others are the anchor's to decide.
    """
    agent_id, transfer, anchor = wanted
    agent = agents.by_id.get(agent_id)
    if agent is None or agent.remote is not None:
        raise policy.refused("unknown_target", f"Agent {agent_id!r} is not at home on this node.")
    held = elsewhere.slots.held(agent_id, transfer, anchor)
    if held is not None:
        return held, False
    reason = policy.obstacle(agent)
    if reason:
        raise policy.refused(reason)
    if taken:
        raise policy.refused("target_queue_full")
    slot = Slot(token, agent_id, transfer, anchor, now + SECONDS)
    elsewhere.slots.add(slot)
    return slot, True
