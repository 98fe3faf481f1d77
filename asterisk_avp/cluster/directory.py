"""The directory of the call centre's agents over NATS: tells of this node, and hears the others.

States are stored nowhere: each node tells its agents' changes, and answers who asks for all of
them. What the others tell goes into `Picture`, and from there as facts to the engine. Where agents
are at home is in `HomeKeeper`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

import structlog
from nats import errors
from nats.aio.msg import Msg

from asterisk_avp import __version__
from asterisk_avp.cluster import wire
from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.home_keeper import HomeKeeper
from asterisk_avp.cluster.messages import Changes, Groups, Heartbeat, Page
from asterisk_avp.cluster.others import Others
from asterisk_avp.cluster.own import OwnAgents, OwnGroups
from asterisk_avp.cluster.peer import STANDBY_SECONDS, News
from asterisk_avp.cluster.picture import Picture
from asterisk_avp.cluster.store import HomeStore
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.messages.remote import NodeBack, NodeLost
from asterisk_avp.core.model.world import World
from asterisk_avp.runtime import garbage
from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

M = TypeVar("M")

HEARTBEAT_SECONDS: Final = 0.5
CHANGES_SECONDS: Final = 0.02
"""Between two messages about changes. The first of them is sent at once."""
GROUPS_SECONDS: Final = 0.5
TICK_SECONDS: Final = 0.1
PAGE_SECONDS: Final = 1.0
"""How long an answer with a page may take."""
SETTLE_SECONDS: Final = 5.0
"""How long after the start the agents of all nodes should be known."""
_STOP_SECONDS: Final = 0.5


class Directory:
    """``tell`` gets facts for the engine; ``ready``: whether the state of Asterisk is known."""

    def __init__(
        self,
        settings: ClusterSettings,
        engine: TransferEngine,
        tell: Callable[[Fact], None],
        ready: Callable[[], bool],
        news: Callable[[], None],
    ) -> None:
        """``news`` is called when `warnings` may have changed."""
        self.config_hash = ""
        """Of the settings that all nodes have in common."""
        self.standing_by: Callable[[], bool] = lambda: False
        """Whether this daemon is a standby that sees its Asterisk, and would serve at once."""
        self.trunks: Callable[[], Mapping[str, bool]] = dict
        """What this node finds of its trunks to the others."""
        self.asterisk: Callable[[], str] = str
        """When this node's Asterisk was started."""
        self._engine = engine
        self._tell_engine = tell
        self._ready = ready
        self._news = news
        self.node = node = settings.node or ""
        self.epoch = int(time.time() * 1000)
        self.dropped: Counter[str] = Counter()
        """Messages that were not believed, by a code of the reason."""
        self.picture = Picture(
            node, engine.world.nodes, settings.lost_seconds, self._pin, self._count
        )
        self.others = Others(self.picture)
        self._own = OwnAgents(engine, node)
        self._groups = OwnGroups(engine)
        handlers = {
            wire.subject("node", "*"): self._heartbeat,
            wire.subject("state", "*"): self._changes,
            wire.subject("group", "*"): self._waiting,
            wire.subject("snapshot", node): self._asked,
        }
        calls = (self._connection_changed, self._count, self.picture.missed)
        self.connection = Connection(settings, handlers, *calls)
        self._store = HomeStore(self.connection, len(settings.servers))
        self.homes = HomeKeeper(engine, self.picture, self._store, self._take, self._told_anew)
        self._dirty: dict[str, None] = {}
        """Agents of whom something may have to be told, the first first."""
        self._wake = asyncio.Event()
        self._tasks = TaskSet("directory")
        self._pages = TaskSet("pages of the directory")
        self._echo: float | None = None
        self._settings_differ: set[str] = set()
        self._whole = asyncio.Event()
        """Set once the homes of the first agents are known."""
        self._settle_at: float | None = None
        self._spoken = False
        """Whether this daemon has been ready."""
        self._former, self._other = 0, 0.0
        """The epoch of another daemon that has spoken for this node: we take over from it, or, if
        it is higher than ours, it has our place until it is silent. ``_other``: when it spoke."""
        self._stale = True
        """The state of all agents has to be looked at, because Asterisk's was read anew."""
        self._world: World | None = None

    # --- running ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, once. A standby begins while it waits, and knows the others when it serves."""
        if not len(self._tasks):
            for each in (self.connection.run, self._beat, self._send, self._watch):
                self._tasks.start(_always(each))

    async def stop(self) -> None:
        await self.homes.stop()
        for tasks in (self._pages, self._tasks):
            tasks.cancel()
            await tasks.stop(_STOP_SECONDS)

    def changed(self, agents: Iterable[str]) -> None:
        """Something of these agents has changed in the engine."""
        if not self._ready():
            self._stale = True  # the state is incomplete: all of it is told afterwards
            return
        agents = tuple(agents)
        self.homes.look(agents)
        for agent in agents:
            if agent in self.picture.held:
                self._told_anew(agent)

    def _told_anew(self, agent: str) -> None:
        self._dirty[agent] = None
        self._wake.set()

    def _pin(self, agent: str) -> str | None:
        configured = self._engine.world.agents.get(agent)
        return configured.node if configured is not None else None

    def _connection_changed(self) -> None:
        if not self.connection.connected:
            self.picture.cut_off(time.monotonic())
        self._groups.forget()
        self._news()

    # --- what this node tells --------------------------------------------------------------------

    def _speaks(self) -> bool:
        """Whether this daemon knows its Asterisk, and no other one has taken its place."""
        return self._ready() and self._former <= self.epoch

    async def _beat(self) -> None:
        while True:
            ready = self._speaks()
            beat = Heartbeat(
                self.node,
                self.epoch,
                time.time(),
                seq=self._own.seq,
                ready=ready,
                version=__version__,
                config_hash=self.config_hash,
                trunks=self.trunks(),
                standby=not ready and not self._spoken and self.standing_by(),
                asterisk=self.asterisk(),
            )
            await self.connection.publish(wire.subject("node", self.node), wire.write(beat))
            if beat.ready and (waiting := self._groups.changed()):
                told = wire.write(Groups(self.node, self.epoch, time.time(), waiting))
                if not await self.connection.publish(wire.subject("group", self.node), told):
                    self._groups.forget()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty and self._speaks():
                some = list(self._dirty)[: wire.PAGE]
                for agent in some:
                    del self._dirty[agent]
                agents, gone = self._own.changed(some, self.picture.held)
                if agents or gone:
                    seq, now = self._own.seq, time.time()
                    told = Changes(self.node, self.epoch, now, seq, agents, gone)
                    # If it cannot be sent, the others see the gap by the next heartbeat.
                    await self.connection.publish(
                        wire.subject("state", self.node), wire.write(told)
                    )
            await asyncio.sleep(CHANGES_SECONDS)

    async def _asked(self, _node: str, message: Msg) -> None:
        after = self._read(wire.request, message.data)
        if not self._speaks():
            return  # a standby hears the questions as well
        # Until then an agent whose home is here would seem to be at home nowhere.
        await self._whole.wait()
        if after is None or not self._asks(message.reply) or not self._speaks():
            return
        if not after:
            self._groups.forget()  # a node begins to listen
        agents, following = self._own.page(after)
        page = Page(self.node, self.epoch, time.time(), self._own.seq, agents, following)
        await self.connection.publish(message.reply, wire.write(page))

    def _asks(self, reply: str) -> bool:
        """Whether a node wants the answer: the servers would let us answer to any subject."""
        inbox, _, rest = reply.partition(".")
        return inbox == "_INBOX" and rest.partition(".")[0] in self.picture.peers

    # --- what the others tell --------------------------------------------------------------------

    async def _heartbeat(self, node: str, message: Msg) -> None:
        beat = self._read(wire.heartbeat, node, message.data)
        if beat is None:
            return
        at = time.monotonic()
        if node == self.node:
            if beat.epoch == self.epoch:
                self._echo = at
                self._take(self.picture.heartbeat(beat, at, time.time()))
            elif beat.ready:
                self._former, self._other = max(self._former, beat.epoch), at
            return
        self._take(self.picture.heartbeat(beat, at, time.time()))
        self._compare_settings(node)

    async def _changes(self, node: str, message: Msg) -> None:
        if node != self.node and (told := self._read(wire.changes, node, message.data)):
            self._count("agent", told.refused)
            self._take(self.picture.changes(told, time.monotonic()))

    async def _waiting(self, node: str, message: Msg) -> None:
        if node != self.node and (told := self._read(wire.groups, node, message.data)):
            self._take(self.picture.groups(told, time.monotonic()))

    async def _fetch(self, node: str, after: str) -> None:
        try:
            answer = await self.connection.client.request(
                wire.subject("snapshot", node), wire.write_request(after), timeout=PAGE_SECONDS
            )
        except (errors.Error, ConnectionError, TimeoutError):
            return  # it is asked for again
        page = self._read(wire.page, node, answer.data)
        if page is not None:
            self._count("agent", page.refused)
            self._take(self.picture.page(page, after, time.monotonic()))

    def _read(self, read: Callable[..., M], *args: object) -> M | None:
        try:
            return read(*args)
        except wire.Bad as error:
            self._count(str(error))
            return None

    def _count(self, reason: str, many: int = 1) -> None:
        if many and not self.dropped[reason]:
            log.warning("directory_message_dropped", reason=reason)
        if many:
            self.dropped[reason] += many

    def _take(self, news: News) -> None:
        for node, after in news.asks:
            self._pages.start(self._fetch(node, after))
        for fact in news.facts:
            if isinstance(fact, NodeLost):
                log.warning("node_lost", node=fact.node, alone=self.picture.alone)
                self._news()
            elif isinstance(fact, NodeBack):
                log.info("node_back", node=fact.node)
                self._news()
            self._tell_engine(fact)
        if news.displaced:
            self.homes.displaced(news.displaced)

    async def _watch(self) -> None:
        while True:
            at = time.monotonic()
            if self._world is not self._engine.world:
                self._world = self._engine.world
                self._take(self.picture.reconfigured(self._world.agents))
            self._take(self.picture.tick(at, self._echo))
            silent = at - self._other > STANDBY_SECONDS and not self.picture.alone
            if self._former > self.epoch and silent:
                self._stale = True  # the daemon that was believed instead of this one is gone
            if self._ready() and self._stale:
                self._stale = False
                if not self._spoken or self._former >= self.epoch:
                    # Of two daemons of a node the others believe the one that served later.
                    self._spoken, self._settle_at = True, at + SETTLE_SECONDS
                    self.epoch = max(int(time.time() * 1000), self._former + 1)
                self.changed(self._engine.agents.by_id)
            if self._settle_at is not None and at >= self._settle_at:
                self._settle_at = None
                garbage.settle()
            if self._ready():
                connected = self.connection.connected
                if connected and not self.homes.busy:
                    self._whole.set()
                self.homes.tick(at, claims=connected)
                if connected and self._dirty:
                    self._wake.set()
            await asyncio.sleep(TICK_SECONDS)

    # --- what is told of the others --------------------------------------------------------------

    def _compare_settings(self, node: str) -> None:
        peer = self.picture.peers.get(node)
        told = peer.config_hash if peer is not None else ""  # empty: it has not spoken yet
        differs = bool(told) and told != self.config_hash
        if differs is not (node in self._settings_differ):
            (self._settings_differ.add if differs else self._settings_differ.discard)(node)
            if differs:
                log.warning("node_settings_differ", node=node)
            self._news()

    def warnings(self) -> tuple[str, ...]:
        """Sentences about what an administrator should mend."""
        found = []
        if not self.connection.connected:
            found.append("Not connected to NATS: the other nodes' agents are as last known.")
        elif lost := [peer.id for peer in self.picture.peers.values() if peer.lost]:
            found.append(f"Nothing is heard of these nodes: {', '.join(sorted(lost))}.")
        if self._settings_differ:
            names = ", ".join(sorted(self._settings_differ))
            found.append(f"The settings differ from those of these nodes: {names}.")
        if self._ready() and self._former > self.epoch:
            found.append(f"Another daemon says that it is node {self.node}, and is believed.")
        return tuple(found)


async def _always(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work, and begin it again if it fails: without it nobody would hear of this node."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("directory_failed")
        await asyncio.sleep(HEARTBEAT_SECONDS)
