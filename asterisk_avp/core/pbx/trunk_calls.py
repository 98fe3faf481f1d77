"""Channels of the trunks between nodes: whose legs they are, and which calls of others. Pure.

All channels to a node have the same interface, so each is known by its id. At the anchor, where the
caller is, the trunk's channel stands for the agent on the other node. At the agent's home it stands
for the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from asterisk_avp.core.messages.remote import NodeCall, RemoteLeg


class TrunkCalls:
    def __init__(self) -> None:
        self.legs: dict[str, RemoteLeg] = {}
        """At the anchor, by the trunk's channel."""
        self._of_agent: dict[str, dict[str, None]] = {}
        """Agent to the channels of their legs, the latest last."""
        self.calls: dict[str, NodeCall] = {}
        """At the agent's home, by the trunk's channel."""

    def leg(self, leg: RemoteLeg) -> None:
        self.gone(leg.channel)
        self.legs[leg.channel] = leg
        self._of_agent.setdefault(leg.agent, {})[leg.channel] = None

    def call(self, call: NodeCall) -> None:
        self.calls[call.channel] = call

    def gone(self, channel: str) -> None:
        self.calls.pop(channel, None)
        leg = self.legs.pop(channel, None)
        if leg is not None:
            channels = self._of_agent[leg.agent]
            del channels[channel]
            if not channels:
                del self._of_agent[leg.agent]

    def retain(self, alive: Callable[[str], bool]) -> None:
        """Drop the channels that a resync has not found."""
        for channel in [x for x in (*self.legs, *self.calls) if not alive(x)]:
            self.gone(channel)

    def channels_of(self, agent: str) -> Iterable[str]:
        """The trunk's channels that stand for an agent of another node."""
        return self._of_agent.get(agent, ())

    def claim(self, agent: str, node: str, transfer: str) -> str:
        """`leg_of`; a call to a group there is this agent's from now on, as the node says."""
        channel = self.leg_of(agent, node, transfer)
        if not channel and (channel := self.leg_of("", node, transfer)):
            self.leg(replace(self.legs[channel], agent=agent))
        return channel

    def agent_of(self, channel: str) -> str:
        """The agent of another node whose leg the channel is; empty: nobody's."""
        leg = self.legs.get(channel)
        return leg.agent if leg is not None else ""

    def leg_of(self, agent: str, node: str, transfer: str) -> str:
        """The channel by which a transfer has brought a call to this agent; empty: there is none.

        Only a leg to ``node``: a node can speak for the calls that were sent to it.
        """
        for channel in self.channels_of(agent):
            leg = self.legs[channel]
            if (leg.node, leg.transfer) == (node, transfer):
                return channel
        return ""
