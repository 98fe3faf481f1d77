"""Keeps the homes of the agents who log in here: claims them, and notices when they move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import structlog

from asterisk_avp.cluster.homes import Entry, Store, StoreAway, Verdict, claim
from asterisk_avp.cluster.peer import News
from asterisk_avp.cluster.picture import Picture
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.remote import removals
from asterisk_avp.core.messages.effects import RemoveMember
from asterisk_avp.core.messages.remote import HomeElsewhere, HomeTaken
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.runtime.backoff import Backoff
from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

AT_ONCE: Final = 20
"""Claims that are made at the same time."""
AGAIN_SECONDS: Final = 1.0
_REMOVED: Final = Backoff(1.0, 10.0)
"""How long a membership may take to be removed, before Asterisk is asked again."""
_STOP_SECONDS: Final = 0.5


class _Told(NamedTuple):
    """What was to be removed of an agent when it was last told."""

    members: frozenset[RemoveMember] = frozenset()
    times: int = 0
    again: float = 0.0
    """When it is told again, if they are still there."""


class HomeKeeper:
    """``tell`` takes what follows; agents whose home has changed are in its ``changed``."""

    def __init__(
        self,
        engine: TransferEngine,
        picture: Picture,
        store: Store,
        tell: Callable[[News], None],
        changed: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._picture = picture
        self._store = store
        self._tell = tell
        self._changed = changed
        self._there: dict[str, bool] = {}
        """Agent to whether they are logged in here, as it was seen last."""
        self._undecided: dict[str, bool] = {}
        """Agents who are logged in here and whose home is not here: whether they just did."""
        self._told: dict[str, _Told] = {}
        """Agents whose home is elsewhere and who are in queues here."""
        self._claiming: set[str] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks = TaskSet("homes")
        self._looked = 0.0

    def look(self, agents: Iterable[str]) -> None:
        """These agents have changed."""
        for agent_id in agents:
            agent = self._engine.agents.by_id.get(agent_id)
            there = agent is not None and agent.there
            before = self._there.get(agent_id)
            if not there:
                self._told.pop(agent_id, None)
            if there == before:
                self._remind(agent_id, time.monotonic())  # they may be in one more queue
                continue
            self._there[agent_id] = there
            pin = self._pin(agent_id)
            if pin == self._picture.own:
                if agent_id not in self._picture.held:
                    self._hold(agent_id, 0)
            elif pin is not None:
                if there:
                    log.warning("agent_pinned_elsewhere", agent=agent_id, node=pin)
                    self._take_out(agent_id, pin, time.monotonic())
            elif there:
                self._undecided[agent_id] = before is False
                self._claim(agent_id)
            else:
                self._undecided.pop(agent_id, None)
                if self._picture.held.get(agent_id) == 0:
                    self._tell(self._picture.release(agent_id))
                    self._changed(agent_id)

    def displaced(self, agents: Iterable[str]) -> None:
        """The homes of these agents were here, and are elsewhere now."""
        for agent_id in agents:
            found = self._picture.home(agent_id)
            node = found[0] if found is not None else self._pin(agent_id) or ""
            log.info("home_moved", agent=agent_id, node=node)
            self._changed(agent_id)
            if self._there.get(agent_id):
                self._undecided[agent_id] = False
                self._take_out(agent_id, node, time.monotonic())

    def claimed(self, agent_id: str, node: str, revision: int) -> None:
        """The other node itself has said that the agent is at home there. NATS tells the rest."""
        groups = self._engine.agents.groups_of(agent_id)
        seen = RemoteAgent(node, AgentState.NOT_READY, time.time(), groups, groups, paused=True)
        self._tell(self._picture.claimed(agent_id, revision, seen))

    def tick(self, at: float, *, claims: bool) -> None:
        """Claim what could not be decided, if something may have changed.

        And repeat who is at home elsewhere, as long as they are in queues here: Asterisk may not
        have removed them. ``claims``: whether homes can be claimed now.
        """
        if at - self._looked < AGAIN_SECONDS:
            return
        self._looked = at
        for agent_id in self._there:
            self._remind(agent_id, at)
        for agent_id in tuple(self._undecided) if claims else ():
            if not self._settled(agent_id, at):
                self._claim(agent_id)

    @property
    def busy(self) -> bool:
        """Whether homes are being claimed."""
        return bool(self._claiming)

    async def stop(self) -> None:
        self._tasks.cancel()
        await self._tasks.stop(_STOP_SECONDS)

    def _remind(self, agent_id: str, at: float) -> None:
        if not self._there[agent_id]:
            return
        pin = self._pin(agent_id)
        if pin is not None:
            if pin != self._picture.own:
                self._take_out(agent_id, pin, at)
        elif agent_id in self._undecided and self._settled(agent_id, at):
            found = self._picture.home(agent_id)
            self._take_out(agent_id, found[0] if found is not None else "", at)

    def _take_out(self, agent_id: str, node: str, at: float) -> None:
        """Tell that the agent is at home on ``node``, if a queue here may offer them a call."""
        agent = self._engine.agents.by_id.get(agent_id)
        members = frozenset(removals(agent)) if agent is not None else frozenset()
        if not members:
            self._told.pop(agent_id, None)
            return
        told = self._told.get(agent_id, _Told())
        if not members <= told.members:
            told = _Told()
        if at >= told.again:
            again = at + _REMOVED.pause_seconds(told.times)
            self._told[agent_id] = _Told(members, told.times + 1, again)
            self._tell(News([HomeElsewhere(agent_id, node)]))

    def _settled(self, agent_id: str, at: float) -> bool:
        """Whether another node has the agent, who is logged in there, or may be back soon."""
        found = self._picture.home(agent_id)
        if found is None or not found[1].revision or self._undecided[agent_id]:
            return False
        node, known = found
        if self._picture.reachable(node):
            return known.agent.state is not AgentState.OFFLINE
        return self._picture.lost_for(node, at) is None

    def _pin(self, agent_id: str) -> str | None:
        configured = self._engine.world.agents.get(agent_id)
        return configured.node if configured is not None else None

    def _hold(self, agent_id: str, revision: int) -> None:
        self._tell(self._picture.hold(agent_id, revision))
        self._changed(agent_id)

    def _claim(self, agent_id: str) -> None:
        if agent_id not in self._claiming:
            self._claiming.add(agent_id)
            self._tasks.start(self._decide(agent_id))

    async def _decide(self, agent_id: str) -> None:
        try:
            async with self._slots:
                if agent_id in self._undecided:
                    await self._ask(agent_id)
        finally:
            self._claiming.discard(agent_id)

    async def _ask(self, agent_id: str) -> None:
        fresh = self._undecided[agent_id]
        try:
            decided, entry, former = await claim(
                self._store, self._picture, agent_id, time.monotonic(), fresh=fresh
            )
        except StoreAway:
            found = self._picture.home(agent_id)
            # Nothing moves; but whoever has no home elsewhere is at home here.
            nobody = found is None or (
                not found[1].revision and found[1].agent.state is AgentState.OFFLINE
            )
            there = self._there.get(agent_id, False)
            if nobody and there and agent_id not in self._picture.held:
                self._hold(agent_id, 0)
            return
        if decided is Verdict.OURS and entry is not None:
            self._undecided.pop(agent_id, None)
            self._hold(agent_id, entry.revision)
            if former:
                self._tell(News([HomeTaken(agent_id, former, entry.revision)]))
        elif decided is Verdict.ELSEWHERE and entry is not None:
            self._undecided[agent_id] = False
            self._elsewhere(agent_id, entry)

    def _elsewhere(self, agent_id: str, entry: Entry) -> None:
        if self._picture.held.get(agent_id) is not None:
            self._tell(self._picture.release(agent_id))
            self._changed(agent_id)
        log.warning("agent_logged_in_twice", agent=agent_id, node=entry.node)
        self._take_out(agent_id, entry.node, time.monotonic())
