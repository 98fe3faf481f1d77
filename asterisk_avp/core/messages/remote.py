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
class HomeElsewhere(Fact):
    """An agent logged in here is at home on ``node``: no queue here may offer them a call."""

    agent: str
    node: str


@dataclass(frozen=True, slots=True)
class HomeTaken(Fact):
    """An agent who was at home on ``node`` has logged in here, and is at home here now."""

    agent: str
    node: str
    revision: int


@dataclass(frozen=True, slots=True)
class HomeClaimed(Fact):
    """``node`` says to us alone that the agent is at home there now."""

    agent: str
    node: str
    revision: int


@dataclass(frozen=True, slots=True)
class RemoteGroupSeen(Fact):
    """How many callers wait in a group's queue on another node."""

    group: str
    node: str
    callers: int
    since: float | None
    """When the first of them joined, in Unix seconds; None: nobody waits."""


@dataclass(frozen=True, slots=True)
class NodeLost(Fact):
    """No heartbeat of the node has come for too long. Calls to it may go on."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeBack(Fact):
    node: str


@dataclass(frozen=True, slots=True)
class TrunkLost(Fact):
    """The trunk to the node does not work, as this node or the other one finds. Told repeatedly."""

    node: str


@dataclass(frozen=True, slots=True)
class TrunkBack(Fact):
    node: str


@dataclass(frozen=True, slots=True)
class NodeRestarted(Fact):
    """The node's Asterisk was started again: it has none of the calls that it had."""

    node: str


@dataclass(frozen=True, slots=True)
class RemoteLeg(Fact):
    """Our dialplan has called an agent on another node; ``channel`` is the trunk's channel.

    Known by its id, because all channels to a node have the same interface. ``node`` empty: the
    channel that waits in this node's queue of a group that spans nodes; ``agent`` is empty then.
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
    to_group: bool = False
    """The node, or the phone that was rung, is lost: the caller waits at the head of the group."""


@dataclass(frozen=True, slots=True)
class RemoteRing(Fact):
    """The other node tells whose phone rings for a call of ours, or does not ring any more."""

    channel: str
    """The caller's, also of a consult leg."""
    agent: str
    rings: bool
    consult: bool = False
    """Whether it rings for a consult leg: a word about that may come after the caller was sent."""


@dataclass(frozen=True, slots=True)
class NodeCall(Fact):
    """Another node's transferred call enters a queue here; ``channel`` is the trunk's channel.

    Everything else is what that node's headers say, as far as it is clean.
    """

    channel: str
    agent: str
    """Whose personal queue it is; empty: the queue of a group."""
    queue: str
    transfer: str
    anchor: str
    """The node that makes the transfer: the one whose trunk the channel is."""
    anchor_call: str
    """The id of the caller's channel there."""
    group: str
    """The call's group, whose settings apply."""
    leg: str
    """``consult``: a consult leg; empty: the caller."""
    transferor: str
