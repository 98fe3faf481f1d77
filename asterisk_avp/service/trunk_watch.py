"""Keeps which of the trunks' channels are whose, and asks other nodes for what they have told.

A daemon that starts finds the channels by the variables that the dialplan leaves on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from asterisk_avp.cluster.peers import Peers, check
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import between, clean, fields
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import NodeBack, NodeCall, RemoteLeg
from asterisk_avp.core.model.errors import AvpError, NodeOversteps
from asterisk_avp.core.pbx.channel import resource_of_interface
from asterisk_avp.runtime.backoff import Backoff
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.alone import Variables
from asterisk_avp.service.inbox import Message, Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

LEG: Final = ("AVP_REMOTE_AGENT", "AVP_REMOTE_NODE", "AVP_REMOTE_TRANSFER")
"""Left by avp-node-pass on the trunk's channel at the anchor."""
CALL: Final = (
    *("AVP_AGENT", "AVP_QUEUE", "AVP_TRANSFER", "AVP_TRUNK", "AVP_ANCHOR_CALL", "AVP_GROUP"),
    *("AVP_LEG", "AVP_TRANSFEROR"),
)
"""Left by avp-node-in and avp-node-read on the trunk's channel at the agent's home."""
_TRIES: Final = 5
_AT_ONCE: Final = 8
_AGAIN: Final = Backoff(0.3, 3.0)

Tell = Callable[[str, between.TransferEvent], None]


class TrunkWatch(Part):
    hears = (RemoteLeg, NodeCall, NodeBack, ev.AgentConnected, ev.ChannelGone)

    def __init__(self, engine: TransferEngine, peers: Peers, post: Post) -> None:
        self._engine = engine
        self._trunks = engine.elsewhere.trunks
        self._peers = peers
        self._post = post
        self._variables: Variables | None = None
        self._tell: Tell | None = None
        self._tasks = TaskSet("ask node")

    def connect(self, variables: Variables, tell: Tell) -> None:
        self._variables = variables
        self._tell = tell

    def handle(self, message: Message) -> None:
        match message:
            case RemoteLeg() if message.node:
                self._leg(message)
            case NodeCall() if message.anchor:
                self._trunks.call(message)
            case ev.AgentConnected(channel=channel) if channel in self._trunks.calls:
                self._answered(self._trunks.calls[channel], message.interface)
            case NodeBack(node):
                self._peers.back(node)
                self._tasks.start(self._ask(node))
            case ev.ChannelGone(channel):
                agent = self._trunks.agent_of(channel)
                self._trunks.gone(channel)
                if agent:
                    self._post(Outcome(agents={agent}))

    async def resynced(self) -> None:
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
        for start in range(0, len(unknown), _AT_ONCE):
            await asyncio.gather(*map(self._read, unknown[start : start + _AT_ONCE]))
        for node in self._peers.peers:
            self._tasks.start(self._ask(node))

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
        agent, node, transfer = (clean.ident(found.get(name, "")) for name in LEG)
        if node in self._engine.world.nodes:
            self._leg(RemoteLeg(channel, agent, node, transfer))
            return
        agent, queue, transfer, trunk, *rest = (clean.ident(found.get(name, "")) for name in CALL)
        nodes = self._engine.world.nodes.values()
        anchor = next((node.id for node in nodes if node.endpoint == trunk), "")
        if anchor and rest[0]:
            self._trunks.call(NodeCall(channel, agent, queue, transfer, anchor, *rest))

    def _leg(self, leg: RemoteLeg) -> None:
        self._trunks.leg(leg)
        if leg.agent:
            self._post(Outcome(agents={leg.agent}))

    def _answered(self, call: NodeCall, interface: str) -> None:
        """Whoever has answered a call to a group is told to its anchor, which has their pop."""
        agent = self._engine.agents.of_channel(resource_of_interface(interface))
        if agent is not None and not call.agent:
            self._trunks.call(replace(call, agent=agent.id))
            self._tasks.start(self._tell_answered(call, agent.id))

    async def _tell_answered(self, call: NodeCall, agent: str) -> None:
        path = f"/v1/cluster/transfers/{call.transfer}/answered"
        try:
            check(
                call.anchor,
                await self._peers.ask(call.anchor, "POST", path, between.answered_body(agent)),
            )
        except AvpError as error:
            log.warning("answer_not_told", node=call.anchor, error=type(error).__name__)

    async def _ask(self, node: str) -> None:
        """Ask for the transfers that concern agents who are at home here."""
        for tries in range(_TRIES):
            try:
                answer = await self._peers.ask(node, "GET", "/v1/cluster/transfers")
                self._take(node, between.transfer_events(check(node, answer)))
            except (AvpError, fields.Unusable) as error:
                log.debug("node_not_asked", node=node, error=type(error).__name__)
                await asyncio.sleep(_AGAIN.pause_seconds(tries))
            else:
                return

    def _take(self, node: str, events: list[between.TransferEvent]) -> None:
        told = self._engine.elsewhere.told
        for event in events:
            try:
                if self._tell is not None:
                    self._tell(node, event)
            except NodeOversteps as error:
                log.warning("node_oversteps", node=node, error=str(error))
        there = [event.transfer.id for event in events if event.transfer is not None]
        for gone in told.unknown_to(node, there):
            told.drop(gone.id)
            self._post(Outcome(agents={gone.agent}))
