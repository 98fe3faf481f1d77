"""What `cluster.picture` keeps of another node, and what follows from a message."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from asterisk_avp.cluster.messages import Heartbeat, Page
from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.model.nodes import RemoteAgent

MOST_AGENTS: Final = 20_000
"""Agents of one node; further ones are not believed."""
MOST_EVER: Final = 50_000
"""Agents of all nodes together, those who are gone included: the engine keeps each."""
MOST_PAGES: Final = 200
"""Of one snapshot: twice as many as `MOST_AGENTS` need. One without an end is given up."""
SAME_CLOCK_SECONDS: Final = 1.0
"""Clocks that differ by less are taken for the same: what a message takes looks like a difference,
and the times of states must not change with each message."""
STANDBY_SECONDS: Final = 10.0
"""For how long a node whose daemon is silent is not lost while its standby is heard: the standby
notices a frozen daemon after about two seconds, and reads the state of an Asterisk with hundreds of
transfers in a few."""

Doubt = Literal["", "groups", "all"]


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
    light: bool = False
    """Perhaps nothing was missed but what is told of groups, which have no numbers: the question
    for the first page makes the node tell them all. Its other pages are read if it has changed."""


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
    doubt: Doubt = ""
    """What of all that it has told may be lost: it is asked after its next heartbeat."""

    def begins_anew(self, epoch: int) -> None:
        """Another daemon of the node speaks: its numbers are others."""
        self.epoch, self.seq, self.complete, self.fetch = epoch, None, None, None
        for known in self.agents.values():
            known.seq = -1

    def revision(self, agent: str) -> int:
        """Of the agent's home, as the node has told; -1: it has told of no such agent."""
        known = self.agents.get(agent)
        return known.revision if known is not None else -1

    def age(self, at: float) -> float:
        """How many seconds ago it was last heard to be complete."""
        if self.beat is None or self.complete is None:
            return math.inf
        return at - self.beat

    def tells(self, beat: Heartbeat, now: float) -> None:
        """What a heartbeat of a daemon that is ready says of its node."""
        difference = now - beat.now
        if abs(difference - self.offset) > SAME_CLOCK_SECONDS:
            self.offset = difference if abs(difference) > SAME_CLOCK_SECONDS else 0.0
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

    def doubts(self, what: Doubt) -> None:
        self.doubt = self.doubt if self.doubt == "all" else what

    def missed(self, at: float, *, light: bool) -> bool:
        """Not everything is known that it has told: whether to ask for the first page now.

        ``light``: as of `Fetch`.
        """
        self.doubt = ""
        if self.fetch is not None:
            self.fetch.again = self.seq is not None
            return False
        self.fetch = Fetch(asked=at, light=light)
        return True

    def read(self, page: Page, fetch: Fetch, at: float) -> tuple[str, set[str]]:
        """A page of its snapshot has been taken over.

        After whom the next page begins, which is to be asked for, or empty; and the agents of whom
        it tells no more.
        """
        unchanged = fetch.light and page.seq == self.seq
        fetch.light = False
        if self.seq is None or (not fetch.after and page.seq > self.seq):
            self.seq = page.seq
        fetch.pages += 1
        if page.next and fetch.pages < MOST_PAGES and not unchanged:
            fetch.after, fetch.asked = page.next, at
            return page.next, set()
        if fetch.again:
            self.fetch = Fetch(asked=at)  # `Picture.tick` asks, so that it never goes in haste
            return "", set()
        self.fetch = None
        if unchanged:
            return "", set()
        self.complete = at
        gone = self.agents.keys() - fetch.seen
        for agent in gone:
            del self.agents[agent]
        return "", gone

    def by_our_clock(self, agent: RemoteAgent) -> RemoteAgent:
        """The agent with times of this machine, from the node's own."""
        if not self.offset:
            return agent
        return replace(
            agent,
            since=agent.since + self.offset if agent.since else 0.0,
            acw_end=agent.acw_end + self.offset if agent.acw_end else 0.0,
        )

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
