"""Tells the other nodes what becomes of transfers that concern their agents, and of their calls.

Each node has a queue of what it has not been told yet: the latest view of each transfer, screen
pops, and whose phone rings (`service.ring_teller`). A node that is away is told when it is back, as
far as that still matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog

from asterisk_avp.cluster.peers import Peers
from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.between import PopEvent, TransferEvent
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.model.world import TransferView
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.runtime.backoff import Backoff
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = 60.0
"""For so long a node that is away is told later; then it asks for what still runs."""
MOST: Final = 5_000
_TELL_SECONDS: Final = 3.0
_AGAIN: Final = Backoff(0.2, 2.0)
_NOT_YET: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.SERVICE_UNAVAILABLE})
"""From a daemon that has just taken over, or has lost Asterisk. `Peers` repeats the other ones."""
_PER_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _News:
    path: str
    body: Mapping[str, Any]
    since: float


class Teller(Part):
    def __init__(self, engine: TransferEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers
        self._board: PopBoard | None = None
        self._seq = int(time.time() * _PER_SECOND)
        """Larger than those of an earlier daemon."""
        self._news: dict[str, OrderedDict[tuple[str, ...], _News]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, set[str]] = {}
        """Running transfer to the nodes that have been told of it, who shall hear of its end."""

    def event(self, view: TransferView) -> TransferEvent:
        self._seq += 1
        record = self._engine.store.records.get(view.id)
        call = record.session.caller.channel if record is not None else ""
        return TransferEvent(self._seq, transfer=view, call=call)

    def perform(self, outcome: Outcome) -> None:
        for transfer in dict.fromkeys((*outcome.transfers, *outcome.ended)):
            record = self._engine.store.records.get(transfer)
            if record is None:
                continue
            view = views.transfer_view(self._engine, record)
            nodes = self._told.setdefault(transfer, set())
            nodes |= self.nodes_of(view)
            body = self.event(view).body() if nodes else {}
            for node in nodes:
                self.tell(node, ("transfer", transfer), f"{transfer}/events", body)
            if view.state.final or not nodes:
                del self._told[transfer]

    def nodes_of(self, view: TransferView) -> set[str]:
        """The nodes whose agents the transfer concerns."""
        return {self._home(agent) for agent in agents_involved(view)} - {""}

    def concerning(self, node: str, ids: Collection[str] = ()) -> list[TransferEvent]:
        """The transfers that concern this node's agents; ``ids``: of these only.

        Who asks for an id has been told of the transfer, perhaps by a former daemon, which this one
        does not know. So its end is told also where the agents' homes are not known here any more.
        A transfer that has called the node is always told: not to know it is an answer, too.
        """
        records = self._engine.store.records
        legs = self._engine.elsewhere.trunks.legs.values()
        called = {leg.transfer for leg in legs if leg.node == node}
        asked = [records[id_] for id_ in ids if id_ in records] if ids else records.values()
        found = [views.transfer_view(self._engine, record) for record in asked]
        return [
            self.event(view)
            for view in found
            if (ids and view.state.final) or view.id in called or node in self.nodes_of(view)
        ]

    def pops(self, node: str, calls: Iterable[str]) -> list[TransferEvent]:
        """The pops that this node's agents have, or are offered, of these calls."""
        if self._board is None:
            return []
        board, now = self._board, time.time()
        return [
            self._pop_event(PopEvent(has.agent, has.state, has.pop))
            for call in calls
            for has in board.notified(call, now)
            if self._home(has.agent) == node
        ]

    def _pop_event(self, pop: PopEvent) -> TransferEvent:
        self._seq += 1
        return TransferEvent(self._seq, pop=pop)

    def publisher(
        self, publish: Callable[[Mapping[str, Any]], None], board: PopBoard
    ) -> Callable[[Mapping[str, Any]], None]:
        """``publish`` for the pops of agents here; others' go to their nodes."""
        self._board = board

        def routed(event: Mapping[str, Any]) -> None:
            agent = event["agent"]
            node = self._home(agent)
            if not node:
                publish(event)
                return
            pop = event["pop"]
            told = self._pop_event(PopEvent(agent, event["state"], pop))
            path = f"{self._leg(agent, node)}/events"
            self.tell(node, ("pop", agent, pop["id"]), path, told.body())

        return routed

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _home(self, agent_id: str) -> str:
        return self._engine.elsewhere.home_of(self._engine.agents.by_id.get(agent_id))

    def _leg(self, agent: str, node: str) -> str:
        """The transfer that has brought the agent the call; it only names the address."""
        trunks = self._engine.elsewhere.trunks
        legs = [trunks.legs[channel] for channel in trunks.channels_of(agent)]
        return next((leg.transfer for leg in legs if leg.node == node), "") or "pop"

    def tell(self, node: str, about: tuple[str, ...], path: str, body: Mapping[str, Any]) -> None:
        """``about``: what this is the latest news of. ``path``: below that of transfers."""
        news = self._news.setdefault(node, OrderedDict())
        news.pop(about, None)  # what came later is told later
        news[about] = _News(path, body, time.monotonic())
        while len(news) > MOST:
            news.popitem(last=False)
        task = self._tasks.get(node)
        if task is None or task.done():
            self._tasks[node] = asyncio.create_task(self._tell_all(node, news), name="tell node")

    async def _tell_all(self, node: str, news: OrderedDict[tuple[str, ...], _News]) -> None:
        failures = 0
        while news:
            about, first = next(iter(news.items()))
            if await self._tell_one(node, first):
                failures = 0
                self._done(news, about, first)
                continue
            failures += 1
            if time.monotonic() - first.since > KEPT_SECONDS:
                self._done(news, about, first)
            await asyncio.sleep(_AGAIN.pause_seconds(failures))

    async def _tell_one(self, node: str, news: _News) -> bool:
        """Whether the node has heard it."""
        path = "/v1/cluster/transfers/" + news.path
        try:
            answer = await self._peers.ask(
                node, "POST", path, news.body, what="event", within=_TELL_SECONDS
            )
        except AvpError:
            return False
        if answer.status in _NOT_YET:
            return False
        if not answer.ok:
            log.warning("node_refuses_news", node=node, status=answer.status)
        return True

    @staticmethod
    def _done(
        news: OrderedDict[tuple[str, ...], _News], about: tuple[str, ...], told: _News
    ) -> None:
        if news.get(about) is told:  # nothing has happened meanwhile
            del news[about]
