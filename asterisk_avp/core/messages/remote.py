"""Facts about other nodes: what their daemons tell, and what becomes of calls to them."""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.model.nodes import RemoteAgent


@dataclass(frozen=True, slots=True)
class RemoteAgentSeen(Fact):
    """The directory tells of an agent who is at home on another node."""

    agent: str
    seen: RemoteAgent


@dataclass(frozen=True, slots=True)
class RemoteAgentGone(Fact):
    """The agent is no longer at home on that node: logged in here, or nowhere."""

    agent: str
    node: str


@dataclass(frozen=True, slots=True)
class NodeLost(Fact):
    """No heartbeat of the node has come for too long, or the way to it is cut."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeBack(Fact):
    node: str


@dataclass(frozen=True, slots=True)
class RemoteLeg(Fact):
    """Our dialplan has called an agent on another node; ``channel`` is the trunk's channel.

    Known by its id, because all channels to a node have the same interface.
    """

    channel: str
    agent: str
    node: str
    transfer: str


@dataclass(frozen=True, slots=True)
class RemoteEnded(Fact):
    """Our dialplan reports the end of the Dial() of ``channel`` to another node."""

    channel: str
    status: str
    """DIALSTATUS"""
    cause: int
    """The Q.850 cause of the trunk's channel."""


@dataclass(frozen=True, slots=True)
class NodeCall(Fact):
    """Our dialplan has taken in a call of another node, the anchor, where the caller is.

    Its headers are cleaned, and believed only because the trunk's endpoint has its own context.
    """

    channel: str
    """The trunk's channel here."""
    agent: str
    """For whom it is; empty: for a group."""
    transfer: str
    anchor: str
    """The id of the node."""
    anchor_call: str
    """The caller's channel there."""
    group: str = ""
    """The call's group."""
    leg: str = ""
    """``consult``, or empty where it is the caller who waits."""
    transferor: str = ""
    target_group: str = ""
    """The group that it is for; empty: for an agent."""
