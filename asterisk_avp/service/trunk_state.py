"""Asks Asterisk whether the trunks to the other nodes work, and tells the engine and the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.remote import NodeRestarted, TrunkBack, TrunkLost
from asterisk_avp.core.model.errors import AriGone, AvpError
from asterisk_avp.core.pbx.trunk_states import TrunkStates
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

ASK_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 0.5
_REACHED: Final[Mapping[str, bool]] = {"online": True, "offline": False}


class Endpoints(Protocol):
    def state(self, endpoint: str, *, seconds: float | None = None) -> Awaitable[str]: ...


class Info(Protocol):
    async def started(self) -> str: ...


class Others(Protocol):
    """What is heard of the other nodes (`cluster.others.Others`)."""

    def lost(self, node: str) -> bool: ...

    def trunk_told(self, node: str) -> bool | None: ...

    def restarts(self, node: str) -> int: ...


class TrunkState(Part):
    """``ready``: whether the state of Asterisk is known; ``news``: `warnings` may have changed."""

    def __init__(
        self,
        engine: TransferEngine,
        endpoints: Endpoints,
        info: Info,
        others: Others,
        post: Post,
        *,
        ready: Callable[[], bool],
        news: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._endpoints = endpoints
        self._info = info
        self._started = ""
        self._restarts: dict[str, int] = {}
        """Node to how many restarts of its Asterisk were posted, or came before this one served."""
        self._served = False
        self._others = others
        self._post = post
        self._ready = ready
        self._news = news
        self._states = TrunkStates()
        self._cut: set[str] = set()
        self._tasks = TaskSet("trunks")

    def connected(self) -> None:
        self._started = ""  # it may be another start
        if not len(self._tasks):
            self._note_restarts()
            self._tasks.start(self._watch())

    async def stop(self) -> None:
        self._tasks.cancel()
        await self._tasks.stop(_STOP_SECONDS)

    def told(self) -> Mapping[str, bool]:
        """For the heartbeat: node to whether this one reaches it over the trunk."""
        found = {node: self._works(node, time.monotonic()) for node in self._nodes}
        return {node: works for node, works in found.items() if works is not None}

    def started(self) -> str:
        """For the heartbeat: when this node's Asterisk was started; empty: not known yet."""
        return self._started

    def warnings(self) -> tuple[str, ...]:
        """Sentences about what an administrator should mend."""
        at = time.monotonic()
        here = [node for node in sorted(self._cut) if self._works(node, at) is False]
        there = [node for node in sorted(self._cut) if self._others.trunk_told(node) is False]
        found = []
        if here:
            found.append(f"The trunks to these nodes do not work: {', '.join(here)}.")
        if only := [node for node in there if node not in here]:
            names = ", ".join(only)
            found.append(f"These nodes get no answer over their trunks to this one: {names}.")
        return tuple(found)

    @property
    def cut(self) -> int:
        """How many trunks do not work."""
        return len(self._cut)

    @property
    def _nodes(self) -> list[str]:
        world = self._engine.world
        return [node for node in world.nodes if node != world.node]

    def _works(self, node: str, at: float) -> bool | None:
        return self._states.works(node, at, lost=self._others.lost(node))

    async def _watch(self) -> None:
        while True:
            try:
                if self._ready():
                    if not self._started:
                        self._started = await self._info.started()
                    await asyncio.gather(*map(self._ask, self._nodes))
                    self._look(time.monotonic())
                    self._served = True
                else:
                    self._states.retain(())
                    if not self._served:  # the calls that are found later are younger
                        self._note_restarts()
            except AvpError as error:
                log.debug("trunks_not_asked", error=str(error))
            except Exception:
                log.exception("trunks_not_watched")
            await asyncio.sleep(ASK_SECONDS)

    def _note_restarts(self) -> None:
        self._restarts = {node: self._others.restarts(node) for node in self._nodes}

    async def _ask(self, node: str) -> None:
        endpoint = self._engine.world.nodes[node].endpoint
        try:
            state = await self._endpoints.state(endpoint, seconds=ANSWER_SECONDS)
        except AriGone:
            state = ""
        except AvpError:
            return  # Asterisk is slow: what was found last stays
        self._states.found(node, time.monotonic(), reached=_REACHED.get(state))

    def _look(self, at: float) -> None:
        nodes = self._nodes
        self._states.retain(nodes)
        for node in nodes:
            restarts = self._others.restarts(node)
            if restarts > self._restarts.get(node, 0):
                self._restarts[node] = restarts
                log.warning("node_restarted", node=node)
                self._post(NodeRestarted(node))
        for node in {*nodes, *self._cut}:
            lost, told = self._others.lost(node), self._others.trunk_told(node)
            cut = node in nodes and self._states.cut(node, at, lost=lost, told=told)
            if cut is not (node in self._cut):
                (self._cut.add if cut else self._cut.discard)(node)
                if cut:
                    log.warning("trunk_lost", node=node, here=self._works(node, at), there=told)
                else:
                    log.info("trunk_back", node=node)
                    self._post(TrunkBack(node))
                self._news()
            if cut:  # again each time: a transfer may have been on its way to waiting
                self._post(TrunkLost(node))


class _Gauge(Protocol):
    def __call__(self, name: str, meaning: str, value: Callable[[], float]) -> None: ...


def show_trunks(gauge: _Gauge, cut: Callable[[], float]) -> None:
    gauge(
        "trunks_cut",
        "Trunks to other nodes over which no call gets, in one direction or both.",
        cut,
    )
