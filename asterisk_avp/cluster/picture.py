"""What this node knows of the others, without I/O and clock: epochs, sequence numbers, loss, homes.

Each node numbers its messages about changes. A gap, or another epoch (the node's daemon has begun
anew), makes the picture incomplete: `Peer.fetch` asks for a snapshot, page by page, while changes
go on arriving. Of two daemons that speak for one node, the one that began later is believed while
it speaks.

An agent whom several nodes claim is at home where the home's revision is highest. Where agents are
pinned by the settings, only their node is believed.

Times called ``at`` are monotonic seconds of this machine; ``now`` is its Unix time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from asterisk_avp.cluster import messages
from asterisk_avp.cluster.peer import MOST_AGENTS, MOST_EVER, Known, News, Peer
from asterisk_avp.core.messages.remote import (
    NodeBack,
    NodeLost,
    RemoteAgentGone,
    RemoteAgentSeen,
    RemoteGroupSeen,
)
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent

KEEP_SECONDS: Final = 30.0
"""How long a node that reaches no other keeps the last picture of them."""
ASK_AGAIN_SECONDS: Final = 1.0
"""A page that has not come by then is asked for once more."""


class Picture:
    """``nodes``: all of them. ``pin``: agent to the node where the settings pin them, or None."""

    def __init__(
        self,
        own: str,
        nodes: Iterable[str],
        lost_seconds: float,
        pin: Callable[[str], str | None],
        count: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """``count`` is called for each message that is not believed, with a code."""
        self.own = own
        self.peers = {node: Peer(node) for node in nodes if node != own}
        self.lost_seconds = lost_seconds
        self.held: dict[str, int] = {}
        """The agents at home here, with the revision of their home; 0: not stored."""
        self._pin = pin
        self._count = count
        self._shown: dict[str, RemoteAgent] = {}
        """What the engine was told last."""
        self._fresh = 0.0
        """A node that was heard before this moment has until then to be heard again."""
        self._alone: float | None = None
        """Since when no other node can be heard, by our own fault; None: not so."""
        self._ticked: float | None = None
        self._ever: set[str] = set()

    # --- homes -----------------------------------------------------------------------------------

    def hold(self, agent: str, revision: int) -> News:
        """The agent is at home here."""
        news = News()
        self.held[agent] = revision
        self._decide(agent, news)
        return news

    def release(self, agent: str) -> News:
        """The agent is not at home here."""
        news = News()
        if self.held.pop(agent, None) is not None:
            self._decide(agent, news)
        return news

    def pinned(self, agents: Iterable[str]) -> News:
        """Agents of the settings: show those who are pinned to another node, before it speaks."""
        news = News()
        for agent in agents:
            self._decide(agent, news)
        return news

    def claimed(self, agent: str, revision: int, seen: RemoteAgent) -> News:
        """A node says to us alone that an agent is at home there; NATS tells the rest.

        Nobody needs to be known here: a daemon that starts hears it before it has read its queues.
        """
        news, peer = News(), self.peers.get(seen.node)
        new = peer is not None and revision > peer.revision(agent)
        if peer is not None and new and self._believed(peer, agent):
            peer.agents[agent] = Known(revision, -1, seen)
            self._decide(agent, news)
        return news

    def home(self, agent: str) -> tuple[str, Known] | None:
        """The other node that claims the agent with the highest revision, and what it tells."""
        found = [(p, p.agents[agent]) for p in self.peers.values() if agent in p.agents]
        if pin := self._pin(agent):
            found = [(p, known) for p, known in found if p.id == pin]
        if not found:
            return None
        peer, known = max(
            found,
            key=lambda x: (x[1].revision, x[1].agent.state is not AgentState.OFFLINE, x[0].id),
        )
        return peer.id, known

    def reachable(self, node: str) -> bool:
        peer = self.peers.get(node)
        return peer is not None and peer.lost is False

    def _decide(self, agent: str, news: News) -> None:
        """Tell the engine whose agent it is, if that or what is told of them has changed."""
        shown, wanted = self._shown.get(agent), self._wanted(agent, news)
        if wanted == shown:
            return
        if wanted is None:
            if shown is not None:
                del self._shown[agent]
                news.facts.append(RemoteAgentGone(agent, shown.node))
            return
        self._shown[agent] = wanted
        if not self.reachable(wanted.node):
            wanted = replace(wanted, reachable=False)
        news.facts.append(RemoteAgentSeen(agent, wanted))

    def _wanted(self, agent: str, news: News) -> RemoteAgent | None:
        pin, held = self._pin(agent), self.held.get(agent)
        if pin == self.own:
            return None
        found = self.home(agent)
        if found is None:
            if pin is None or pin not in self.peers:
                return None
            unheard = RemoteAgent(pin, AgentState.OFFLINE, since=0.0, groups=())
        else:
            known = found[1]
            if held is not None and pin is None and held >= known.revision:
                return None
            unheard = known.agent
        if held is not None:
            del self.held[agent]
            news.displaced.append(agent)
        return unheard

    # --- messages --------------------------------------------------------------------------------

    def heartbeat(self, beat: messages.Heartbeat, at: float, now: float) -> News:
        news, peer = News(), self.peers.get(beat.node)
        if beat.node == self.own:
            self._heard_ourselves(at)
            return news
        if not beat.ready and peer is not None:
            peer.not_ready(beat, at)
        peer = self._peer(beat, at, news) if beat.ready else None
        if peer is None:
            return news
        peer.tells(beat, now)
        peer.beat, peer.unready = at, False
        if peer.lost is not False:
            was, peer.lost = peer.lost, False
            if was:
                peer.doubts("groups")  # who waits there was forgotten, and is not told again
                news.facts.append(NodeBack(peer.id))
            else:
                self._decide_all(peer, news)
        gap = peer.seq is None or beat.seq > peer.seq or peer.doubt == "all"
        if gap or peer.doubt:
            self._gap(peer, at, news, light=not gap)
        return news

    def missed(self, node: str) -> None:
        """A message of this node was not read. If it told of agents, there is a gap."""
        if node in self.peers:
            self.peers[node].doubts("groups")

    def reconfigured(self, agents: Iterable[str]) -> News:
        """There are other settings. What was told of others than theirs was not believed."""
        for peer in self.peers.values():
            peer.doubts("all")
        return self.pinned(agents)

    def changes(self, told: messages.Changes, at: float) -> News:
        news = News()
        peer = self._peer(told, at, news)
        if peer is None:
            return news
        if peer.seq is not None and told.seq <= peer.seq:
            self._count("repeated")
            return news
        if peer.seq is None or told.seq > peer.seq + 1:
            self._gap(peer, at, news)
        peer.seq = told.seq
        for agent in told.gone:
            known = peer.agents.get(agent)
            if known is not None:
                del peer.agents[agent]
                self._decide(agent, news)
        for one in told.agents:
            self._take(peer, one, news)
        return news

    def page(self, page: messages.Page, after: str, at: float) -> News:
        """A page of a snapshot, which begins after the agent ``after``."""
        news = News()
        peer = self._peer(page, at, news)
        if peer is None or peer.fetch is None or peer.fetch.after != after:
            return news
        fetch = peer.fetch
        if page.next and page.next <= after:
            self._count("page")
            return news
        for one in page.agents:
            self._take(peer, one, news)
        following, gone = peer.read(page, fetch, at)
        if following:
            news.asks.append((peer.id, following))
        for agent in gone:
            self._decide(agent, news)
        return news

    def groups(self, told: messages.Groups, at: float) -> News:
        news = News()
        peer = self._peer(told, at, news)
        if peer is not None:
            for group, callers, since in told.waiting:
                moment = since + peer.offset if since is not None and callers else None
                news.facts.append(RemoteGroupSeen(group, peer.id, callers, moment))
        return news

    def _peer(self, message: messages.Message, at: float, news: News) -> Peer | None:
        """The node that speaks; None: it is not to be believed."""
        peer = self.peers.get(message.node)
        if peer is None:
            if message.node != self.own:
                self._count("unknown_node")
            return None
        if message.epoch != peer.epoch:
            alive = peer.beat is not None and at - peer.beat <= self.lost_seconds
            if message.epoch < peer.epoch and alive:
                self._count("former_daemon")
                return None
            peer.begins_anew(message.epoch)
            self._gap(peer, at, news)
        return peer

    def _gap(self, peer: Peer, at: float, news: News, *, light: bool = False) -> None:
        """Something of the peer's changes is not known: read all of them."""
        if peer.missed(at, light=light):
            news.asks.append((peer.id, ""))

    def _take(self, peer: Peer, told: messages.Told, news: News) -> None:
        if peer.fetch is not None:
            peer.fetch.seen.add(told.id)
        known = peer.agents.get(told.id)
        if not self._believed(peer, told.id) or (known is not None and told.seq < known.seq):
            return  # also where a page is older than the change
        peer.agents[told.id] = Known(told.revision, told.seq, peer.by_our_clock(told.agent))
        self._decide(told.id, news)

    def _believed(self, peer: Peer, agent: str) -> bool:
        """Whether the agent may be one of the peer's."""
        if self._pin(agent) not in (None, peer.id):
            self._count("not_theirs")
            return False
        many = len(peer.agents) >= MOST_AGENTS or len(self._ever) >= MOST_EVER
        if many and agent not in peer.agents:
            self._count("too_many")
            return False
        self._ever.add(agent)
        return True

    def _decide_all(self, peer: Peer, news: News) -> None:
        """The node can be reached: say so of its agents."""
        for agent, shown in self._shown.items():
            if shown.node == peer.id:
                news.facts.append(RemoteAgentSeen(agent, shown))

    # --- time ------------------------------------------------------------------------------------

    def cut_off(self, at: float) -> None:
        """The connection to NATS is lost."""
        if self._alone is None:
            self._alone = at

    def _heard_ourselves(self, at: float) -> None:
        """Our own heartbeat has come back, so the others' would."""
        if self._alone is not None:
            self._alone, self._fresh = None, at
            for peer in self.peers.values():
                peer.doubts("groups")

    @property
    def alone(self) -> bool:
        return self._alone is not None

    def tick(self, at: float, echo: float | None) -> News:
        """Several times a second. ``echo``: when our own heartbeat last came back; None: never."""
        news = News()
        late = self._ticked is None or at - self._ticked > self.lost_seconds / 2
        self._ticked = at
        if late:
            # The beginning, or we were stopped: what has come meanwhile is not read yet.
            self._fresh = at
        if echo is None or at - echo > self.lost_seconds:
            self.cut_off(at)
        if self._alone is not None:
            if at - self._alone >= KEEP_SECONDS:
                for peer in self.peers.values():
                    self._lose(peer, news)
            return news
        for peer in self.peers.values():
            if peer.silent(at, self._fresh, self.lost_seconds):
                self._lose(peer, news)
            elif peer.fetch is not None and at - peer.fetch.asked >= ASK_AGAIN_SECONDS:
                peer.fetch.asked = at
                news.asks.append((peer.id, peer.fetch.after))
        return news

    def _lose(self, peer: Peer, news: News) -> None:
        if peer.lost is not True:
            peer.lost = True
            news.facts.append(NodeLost(peer.id))

    def lost_for(self, node: str, at: float) -> float | None:
        """For how many seconds nothing was heard of a node that is lost; None: it is not lost.

        Nothing is known of that while we are alone.
        """
        peer = self.peers.get(node)
        if peer is None:
            return float("inf")
        if self.alone or not peer.lost:
            return None
        return at - max(peer.beat or 0.0, self._fresh)

    def ages(self, at: float) -> Iterator[float]:
        """For each node, how many seconds ago it was last heard to be complete."""
        return (peer.age(at) for peer in self.peers.values())

    @property
    def connected(self) -> int:
        """How many other nodes can be heard."""
        return 0 if self.alone else sum(peer.lost is False for peer in self.peers.values())
