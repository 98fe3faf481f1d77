"""The one place in which a transferred call waits, between nodes: kept here, and asked for there.

The slot is the agent's personal queue on the agent's own node (``maxlen=1``), which has the last
word. A reservation lets the anchor answer a request with the right refusal. Whoever does not answer
in time does not hinder the transfer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import structlog

from asterisk_avp.cluster.peers import SLOT_SECONDS, Peers, check
from asterisk_avp.core.engine.elsewhere import reserve
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.reservations import Slot
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.errors import AvpError, Refused
from asterisk_avp.core.model.world import Mode, TargetKind, TransferRequest
from asterisk_avp.core.policy import policy
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.alone import Held
from asterisk_avp.service.inbox import Message, Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

PATH: Final = "/v1/cluster/slots"
TOKEN_BYTES: Final = 16


class SlotKeeper(Part):
    """At the target's home: gives slots to other nodes, until their calls come or time is up."""

    hears = (NodeCall,)

    def __init__(self, engine: TransferEngine, post: Post) -> None:
        self._engine = engine
        self._slots = engine.elsewhere.slots
        self._post = post
        self._timer: asyncio.TimerHandle | None = None

    def reserve(self, wanted: between.SlotRequest) -> Slot:
        """Raises `Refused`."""
        engine, now = self._engine, time.time()
        self._lapse()
        slot, new = reserve(
            engine.agents,
            engine.elsewhere,
            (wanted.agent, wanted.transfer, wanted.anchor),
            now,
            taken=engine.slot_taken(wanted.agent),
            token=secrets.token_hex(TOKEN_BYTES),
        )
        if new:
            self._changed({wanted.agent})
        return slot

    def give_back(self, node: str, token: str) -> None:
        self._changed({self._slots.give_back(token, node)} - {""})

    def handle(self, message: Message) -> None:
        if isinstance(message, NodeCall):
            self._slots.arrived(message.agent, message.transfer, message.anchor)
            self._schedule()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _lapse(self) -> None:
        self._changed(self._slots.lapse(time.time()))

    def _changed(self, agents: set[str]) -> None:
        if agents:
            self._post(Outcome(agents=agents))
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = self._slots.next_lapse
        if end is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, end - time.time()) + 0.001, self._lapse)


class SlotSeeker:
    """At the anchor: asks for the slot of another node's agent before a request is decided."""

    def __init__(self, engine: TransferEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers
        self._tasks = TaskSet("slot")

    def node_of(self, request: TransferRequest) -> str:
        """The node of the target; empty: the target is no agent, or one of this node's."""
        if request.target.kind is not TargetKind.AGENT:
            return ""
        agent = self._engine.agents.by_id.get(request.target.value)
        return agent.remote.node if agent is not None and agent.remote is not None else ""

    @asynccontextmanager
    async def hold(self, request: TransferRequest) -> AsyncIterator[Held]:
        node = self.node_of(request)
        held = Held(request)
        if not node or not self._might_permit(request):
            yield held  # nothing to ask for
            return
        agent = request.target.value
        transfer = request.transfer or self._engine.factory.new_id()
        held = Held(replace(request, transfer=transfer))
        self._engine.elsewhere.hold(agent)
        try:
            await self._reserve(node, held)
            yield held
        finally:
            self._engine.elsewhere.release(agent)
            if held.token and not held.kept:
                self._tasks.start(self._give_back(node, held.token))

    async def stop(self) -> None:
        await self._tasks.stop(SLOT_SECONDS)

    def _might_permit(self, request: TransferRequest) -> bool:
        """Whether anything but the slot is against it: no node is asked for what is refused."""
        engine = self._engine
        if request.transfer:  # a running one: its call is decided already
            return True
        call = engine.call_of(request.agent, request.call)
        context = engine.decision_context(request.agent, call)
        try:
            policy.decide(request, context, engine.agents, engine.world)
        except Refused:
            return False
        return True

    async def _reserve(self, node: str, held: Held) -> None:
        request = held.request
        wanted = between.SlotRequest(
            agent=request.target.value,
            transfer=request.transfer,
            anchor=self._engine.world.node,
            consult=request.mode is Mode.SUPERVISED,
            hold_seconds=0,
        )
        try:
            answer = await self._peers.ask(
                node, "POST", PATH, wanted.body(), what="slot", within=SLOT_SECONDS
            )
            held.token = between.granted(check(node, answer))
        except Refused as refused:
            known = policy.REASONS.get(refused.reason)
            held.refused = policy.refused(refused.reason) if known else refused
        except (AvpError, fields.Unusable) as error:
            # SIP decides: the target's queue takes one call.
            log.warning("slot_not_reserved", node=node, error=type(error).__name__)

    async def _give_back(self, node: str, token: str) -> None:
        try:
            path = f"{PATH}/{token}"
            await self._peers.ask(node, "DELETE", path, what="slot", within=SLOT_SECONDS)
        except AvpError as error:
            log.debug("slot_not_given_back", node=node, error=type(error).__name__)
