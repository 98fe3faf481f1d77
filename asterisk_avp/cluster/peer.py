"""What `cluster.picture` keeps of another node, and what follows from a message."""

from __future__ import annotations

from dataclasses import dataclass, field

from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.model.nodes import RemoteAgent


@dataclass(slots=True)
class News:
    """What follows from a message: facts for the engine, and what has to be asked or logged."""

    facts: list[Fact] = field(default_factory=list)
    asks: list[tuple[str, str]] = field(default_factory=list)
    """Node, and the agent after whom the page of its snapshot begins."""
    displaced: list[str] = field(default_factory=list)
    """Agents whose home was here and is elsewhere now."""


@dataclass(slots=True)
class Fetch:
    """A snapshot that is being read."""

    after: str = ""
    asked: float = 0.0
    seen: set[str] = field(default_factory=set)
    again: bool = False
    """A change was missed meanwhile: once more from the first page."""


@dataclass(slots=True)
class Known:
    """An agent as a node has last told, by this machine's clock."""

    revision: int
    seq: int
    agent: RemoteAgent


@dataclass(slots=True)
class Peer:
    """Another node."""

    id: str
    epoch: int = 0
    seq: int | None = None
    """Of the last message about changes without one missing before it; None: none has come."""
    beat: float | None = None
    """When the last heartbeat came that says that the node is ready; monotonic."""
    lost: bool | None = None
    """None: nothing was heard of the node yet."""
    complete: float | None = None
    """Since when all its agents are known; None: not yet, in this epoch."""
    offset: float = 0.0
    """What has to be added to its times; 0: the clocks are the same."""
    version: str = ""
    config_hash: str = ""
    trunks: dict[str, bool] = field(default_factory=dict)
    agents: dict[str, Known] = field(default_factory=dict)
    fetch: Fetch | None = None
