"""What `cluster.picture` keeps of another node, and what follows from a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.cluster.messages import Heartbeat
from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.model.nodes import RemoteAgent

MOST_AGENTS: Final = 20_000
"""Agents of one node; further ones are not believed."""
MOST_EVER: Final = 50_000
"""Agents of all nodes together, those who are gone included: the engine keeps each."""
MOST_PAGES: Final = 200
"""Of one snapshot: twice as many as `MOST_AGENTS` need. One without an end is given up."""
STANDBY_SECONDS: Final = 10.0
"""For how long a node whose daemon is silent is not lost while its standby is heard: the standby
notices a frozen daemon after about two seconds, and reads the state of an Asterisk with hundreds of
transfers in a few."""


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
    pages: int = 0
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
    standby: float | None = None
    """When a standby of the node was last heard; monotonic."""
    unready: bool = False
    """Whether the daemon that serves has said that it does not know its Asterisk."""
    lost: bool | None = None
    """None: nothing was heard of the node yet."""
    complete: float | None = None
    """Since when all its agents are known; None: not yet, in this epoch."""
    offset: float = 0.0
    """What has to be added to its times; 0: the clocks are the same."""
    version: str = ""
    config_hash: str = ""
    trunks: dict[str, bool] = field(default_factory=dict)
    asterisk: str = ""
    """When its Asterisk was started, as it was last told."""
    restarts: int = 0
    """How often its Asterisk was started again since the node was first heard."""
    agents: dict[str, Known] = field(default_factory=dict)
    fetch: Fetch | None = None

    def tells(self, beat: Heartbeat) -> None:
        """What a heartbeat of a daemon that is ready says of its node."""
        self.version, self.config_hash = beat.version, beat.config_hash
        self.trunks = dict(beat.trunks)
        if beat.asterisk:
            self.restarts += bool(self.asterisk) and beat.asterisk != self.asterisk
            self.asterisk = beat.asterisk

    def not_ready(self, beat: Heartbeat, at: float) -> None:
        """A heartbeat of a daemon that does not know its Asterisk."""
        if beat.standby:
            self.standby = at
        elif beat.epoch == self.epoch:
            self.unready = True

    def silent(self, at: float, fresh: float, lost_seconds: float) -> bool:
        """Whether the node is to be taken for lost. ``fresh``: see `cluster.picture`.

        Not while a standby is about to take the place of a daemon that ended or froze: the calls to
        the node's agents go on without either.
        """
        silence = at - max(self.beat or 0.0, fresh)
        if silence <= lost_seconds:
            return False
        standby = self.standby is not None and at - self.standby <= lost_seconds
        serves_soon = standby and self.lost is False and not self.unready
        return not serves_soon or silence > STANDBY_SECONDS
