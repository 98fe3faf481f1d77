"""Keeps which of the trunks' channels are whose, and asks other nodes for what they have told.

A daemon that starts finds the channels by the variables that the dialplan leaves on them. The
screen pops of these calls it asks for by the calls, few at once, because each may be large.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlencode

import structlog

from asterisk_avp.api.cluster import MOST_CALLS
from asterisk_avp.cluster.peers import Peers, check
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.history import agents_involved
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import between, clean, fields
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import NodeBack, NodeCall, RemoteLeg
from asterisk_avp.core.model.errors import AvpError, NodeOversteps
from asterisk_avp.core.model.nodes import node_of
from asterisk_avp.runtime.backoff import Backoff
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.alone import Variables
from asterisk_avp.service.anchors import PATH, POPS
from asterisk_avp.service.inbox import Message, Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

LEG: Final = ("AVP_REMOTE_AGENT", "AVP_REMOTE_TRUNK", "AVP_REMOTE_TRANSFER")
"""Left by avp-node-pass and avp-node-out on the trunk's channel at the anchor."""
CALL: Final = (
    *("AVP_AGENT", "AVP_QUEUE", "AVP_TRANSFER", "AVP_TRUNK", "AVP_ANCHOR_CALL", "AVP_GROUP"),
    *("AVP_LEG", "AVP_TRANSFEROR"),
)
"""Left by avp-node-in and avp-node-read on the trunk's channel at the agent's home."""
_TRIES: Final = 5
_AT_ONCE: Final = 8
_AGAIN: Final = Backoff(0.3, 3.0)
RECHECK_SECONDS: Final = 5.0
"""After which a node is asked about a running transfer of which it has told nothing new."""
_MOST_IDS: Final = 100
"""In one request."""
_TOLD_SECONDS: Final = 0.5
"""A node that does not answer sooner is not waited for before transfers are accepted."""


class Told(Protocol):
    """Who is told (`service.across`). Both raise `NodeOversteps`."""

    def tell(self, node: str, event: between.TransferEvent) -> None: ...

    def tell_again(self, node: str, event: between.TransferEvent, *, silently: bool) -> None: ...


class TrunkWatch(Part):
    hears = (RemoteLeg, NodeCall, NodeBack, ev.ChannelGone)
    needed_for_ready = True
    """Without them calls of other nodes' agents are unknown, and requests about them refused."""

    def __init__(self, engine: TransferEngine, peers: Peers, post: Post) -> None:
        self._engine = engine
        self._trunks = engine.elsewhere.trunks
        self._peers = peers
        self._post = post
        self._variables: Variables | None = None
        self._told: Told | None = None
        self._tasks = TaskSet("ask node")
        self._rechecks = False
        self._read_once = False
        self._have_told: set[str] = set()
        """Nodes that have told their calls' screen pops to this daemon. What they tell the first
        time an earlier one has shown."""

    def connect(self, variables: Variables, told: Told) -> None:
        self._variables = variables
        self._told = told

    def handle(self, message: Message) -> None:
        match message:
            case RemoteLeg() if message.node:
                self._leg(message)
            case NodeCall() if message.anchor:
                self._trunks.call(message)
            case NodeBack(node):
                self._peers.back(node)
                self._tasks.start(self._repeat(self._ask, node))
                if self._read_once:
                    self._tasks.start(self._repeat(self._ask_pops, node))
            case ev.ChannelGone(channel):
                agent = self._trunks.agent_of(channel)
                self._trunks.gone(channel)
                if agent:
                    self._post(Outcome(agents={agent}))

    async def resynced(self) -> None:
        if not self._rechecks:
            self._rechecks = True
            self._tasks.start(self._recheck())
        channels = self._engine.calls.channels
        self._trunks.retain(channels.__contains__)
        trunks = tuple(f"PJSIP/{node.endpoint}-" for node in self._engine.world.nodes.values())
        unknown = [
            channel.id
            for channel in channels.values()
            if channel.name.startswith(trunks)
            and channel.id not in self._trunks.legs
            and channel.id not in self._trunks.calls
        ]
        peers = self._peers.peers
        asked = {node: self._tasks.start(self._repeat(self._ask, node)) for node in peers}
        for start in range(0, len(unknown), _AT_ONCE):
            await asyncio.gather(*map(self._read, unknown[start : start + _AT_ONCE]))
        self._read_once = True
        for node in peers:
            self._tasks.start(self._repeat(self._ask_pops, node))
        anchors = {call.anchor for call in self._trunks.calls.values()} & asked.keys()
        if anchors:  # they make the transfers of these calls
            await asyncio.wait([asked[node] for node in anchors], timeout=_TOLD_SECONDS)

    async def stop(self) -> None:
        await self._tasks.stop(0)

    async def _read(self, channel: str) -> None:
        if self._variables is None:
            return
        try:
            found = await self._variables(channel, (*LEG, *CALL))
        except AvpError as error:
            log.debug("trunk_not_read", channel=channel, error=str(error))
            return
        agent, trunk, transfer = (clean.ident(found.get(name, "")) for name in LEG)
        nodes = self._engine.world.nodes
        if node := node_of(nodes, trunk):
            self._leg(RemoteLeg(channel, agent, node, transfer))
            return
        agent, queue, transfer, trunk, *rest = (clean.ident(found.get(name, "")) for name in CALL)
        anchor = node_of(nodes, trunk)
        if anchor and rest[0]:
            call = NodeCall(channel, agent, queue, transfer, anchor, *rest)
            seen = self._engine.calls.channels.get(channel)
            if seen is not None and seen.bridge is None:
                self._post(call)  # it waits: what its phone does is still to be told
            self._trunks.call(call)

    def _leg(self, leg: RemoteLeg) -> None:
        self._trunks.leg(leg)
        if leg.agent:
            self._post(Outcome(agents={leg.agent}))

    async def _repeat(self, ask: Callable[[str], Awaitable[bool]], node: str) -> None:
        for tries in range(_TRIES):
            if await ask(node):
                return
            await asyncio.sleep(_AGAIN.pause_seconds(tries))

    async def _ask_pops(self, node: str) -> bool:
        """Ask for the screen pops of its calls that are here. Whether there was an answer."""
        found = {x.anchor_call for x in self._trunks.calls.values() if x.anchor == node}
        calls = sorted(found - {""})
        silently = node not in self._have_told
        for start in range(0, len(calls), MOST_CALLS):
            some = [("call", call) for call in calls[start : start + MOST_CALLS]]
            path = f"{POPS}?{urlencode(some)}"
            try:
                answer = await self._peers.ask(node, "GET", path, what="list")
                events = between.pop_events(check(node, answer))
            except (AvpError, fields.Unusable) as error:
                log.debug("node_not_asked", node=node, error=type(error).__name__)
                return False
            if self._told is not None:
                self._tell(node, events, partial(self._told.tell_again, silently=silently))
        self._have_told.add(node)
        return True

    async def _ask(self, node: str, ids: Sequence[str] | None = None) -> bool:
        """Ask for the transfers that concern agents who are at home here.

        ``ids``: about these only. Whether there was an answer.
        """
        path = PATH if ids is None else f"{PATH}?{urlencode([('id', id_) for id_ in ids])}"
        # What it tells from now on is newer than its answer.
        elsewhere = self._engine.elsewhere
        asked = elsewhere.consults(node) | {each.view.id for each in elsewhere.told.running()}
        try:
            answer = await self._peers.ask(node, "GET", path, what="list")
            events = between.transfer_events(check(node, answer))
            self._take(node, events, asked if ids is None else asked & set(ids))
        except (AvpError, fields.Unusable) as error:
            log.debug("node_not_asked", node=node, error=type(error).__name__)
            return False
        return True

    def _untold(self, node: str) -> set[str]:
        """Transfers by which agents here are consulted, and of which the node has told nothing."""
        elsewhere = self._engine.elsewhere
        return {id_ for id_ in elsewhere.consults(node) if elsewhere.told.get(id_) is None}

    async def _recheck(self) -> None:
        """Ask about transfers whose end nobody may have told.

        Their daemon was started again while it could not hear of the agents' homes (NATS), or has
        found them ended before it knew whom to tell. Or this daemon was away when they ended.
        """
        told = self._engine.elsewhere.told
        before: set[tuple[str, str, int]] = set()
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            now = {(each.node, each.view.id, each.seq) for each in told.running()}
            now |= {(node, id_, -1) for node in self._peers.peers for id_ in self._untold(node)}
            quiet = now & before
            before = now
            for node in {node for node, _, _ in quiet}:
                ids = sorted(id_ for of, id_, _ in quiet if of == node)
                for start in range(0, len(ids), _MOST_IDS):
                    await self._ask(node, ids[start : start + _MOST_IDS])

    @staticmethod
    def _tell(
        node: str,
        events: list[between.TransferEvent],
        tell: Callable[[str, between.TransferEvent], None],
    ) -> None:
        for event in events:
            try:
                tell(node, event)
            except NodeOversteps as error:
                log.warning("node_oversteps", node=node, error=str(error))

    def _take(
        self, node: str, events: list[between.TransferEvent], asked: AbstractSet[str]
    ) -> None:
        told = self._engine.elsewhere.told
        if self._told is not None:
            self._tell(node, events, self._told.tell)
        there = [event.transfer.id for event in events if event.transfer is not None]
        for gone in told.unknown_to(node, there, asked):
            log.info("transfer_not_known_there", node=node, transfer=gone.id)
            told.drop(gone.id)
            known = agents_involved(gone) & self._engine.agents.by_id.keys()
            self._post(Outcome(agents=set(known)))
        for call in self._engine.elsewhere.note_completed(node, asked - set(there)):
            self._post(Outcome(agents={call.agent} - {""}))
