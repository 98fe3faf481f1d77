"""Several nodes: what this one's daemon and the others' say to each other, put together."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware

from asterisk_avp.api.cluster import add_cluster_routes
from asterisk_avp.api.node_tokens import NodeTokens
from asterisk_avp.api.outcomes import HANDED_ON
from asterisk_avp.api.relay import Relay
from asterisk_avp.cluster import tls
from asterisk_avp.cluster.peers import Peer, Peers
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import HangUp
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.errors import AsteriskBusy, AvpError, Refused
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.phone.refer import ReferHandler
from asterisk_avp.core.policy import policy
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.observe.peer_metrics import PeerMetrics
from asterisk_avp.service.across import TransfersAcrossNodes
from asterisk_avp.service.alone import Action, Alone, Held, Publish, Variables
from asterisk_avp.service.group_staff import GroupStaff
from asterisk_avp.service.home_teller import HomeTeller
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.joins import NOT_JOINED, Joins
from asterisk_avp.service.node_door import NodeDoor
from asterisk_avp.service.node_teller import Teller
from asterisk_avp.service.part import Part
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.relaying import Homes
from asterisk_avp.service.ring_teller import RingTeller
from asterisk_avp.service.slots import SlotKeeper, SlotSeeker
from asterisk_avp.service.trunk_watch import TrunkWatch

log = structlog.get_logger(__name__)

AWAY: Final = "asterisk_unavailable"
"""Why a REFER is declined whose call's anchor does not answer."""
BUSY: Final = "asterisk_busy"
NO_JOIN: Final = "The phone may only connect this call with an agent who is at home on this node."


class Between(Alone):
    service_type = TransfersAcrossNodes

    def __init__(
        self, settings: Settings, engine: TransferEngine, post: Post, action: Action
    ) -> None:
        """Raises `ConfigError` where the certificates cannot be used."""
        own = settings.cluster.node or ""
        others = {name: node for name, node in settings.nodes.items() if name != own}
        mine = settings.nodes[own].token.get_secret_value()
        self._tokens = NodeTokens({n: x.token.get_secret_value() for n, x in others.items()})
        cluster = settings.cluster
        context = tls.context(cluster.tls_ca, cluster.tls_cert, cluster.tls_key)
        peers = {n: Peer(n, x.url) for n, x in others.items()}
        self._peers = Peers(peers, mine, context, observe=self._observed)
        self._metrics: PeerMetrics | None = None
        self._engine, self._post = engine, post
        self._lines, self._refers, self._joins = (
            PhoneLines(engine),
            ReferHandler(engine),
            Joins(engine),
        )
        self._seeker = SlotSeeker(engine, self._peers)
        self._slots = SlotKeeper(engine, post)
        self._teller = Teller(engine, self._peers)
        self._trunks = TrunkWatch(engine, self._peers, post)
        self._service: TransfersAcrossNodes | None = None
        self._publish: Publish | None = None
        self.parts: tuple[Part, ...] = (
            _Ending(self._peers, self._seeker),
            self._trunks,
            HomeTeller(self._peers),
            self._slots,
            self._teller,
            RingTeller(engine, self._teller),
            self._joins,
            GroupStaff(engine, action),
        )

    def connect(
        self,
        app: FastAPI,
        service: TransfersAcrossNodes,
        phones: Phones,
        variables: Variables,
        metrics: Metrics,
    ) -> FastAPI:
        self._service, self._metrics = service, PeerMetrics(metrics.registry)
        service.nodes = phones.nodes = self
        service.connect(self._peers, self._publish or (lambda _event: None))
        self._trunks.connect(variables, service)
        door = NodeDoor(self._engine, service, phones, self._slots, self._teller, self._post)
        add_cluster_routes(app, door, self._tokens)
        app.user_middleware.append(Middleware(Relay, nodes=Homes(self._engine, self._peers)))
        return app

    def hold(self, request: TransferRequest) -> AbstractAsyncContextManager[Held]:
        return self._seeker.hold(request)

    def is_elsewhere(self, request: TransferRequest) -> bool:
        return bool(self._seeker.node_of(request))

    def publisher(self, publish: Publish, board: PopBoard) -> Publish:
        self._publish = publish
        return self._teller.publisher(publish, board)

    def _observed(self, what: str, outcome: str, seconds: float) -> None:
        if self._metrics is not None:
            self._metrics.observe(what, outcome, seconds)

    # --- phones --------------------------------------------------------------------------------

    async def refer(self, received: ev.ReferReceived, request: TransferRequest) -> str | None:
        there = self._anchored(received.channel)
        if there is None or self._service is None:
            return None
        HANDED_ON.set("")  # of a request in which Asterisk's event was taken in
        try:
            await self._transfer(self._service, received, request, there)
        except Refused as refused:
            return refused.reason
        except AsteriskBusy:
            return BUSY
        except AvpError as error:
            log.warning("refer_not_forwarded", node=there.anchor, error=str(error))
            return AWAY
        return ""

    async def _transfer(
        self,
        service: TransfersAcrossNodes,
        received: ev.ReferReceived,
        request: TransferRequest,
        there: NodeCall,
    ) -> None:
        if not received.attended:
            await service.forward(request, there)
            return
        self._refers.check_consult_call(received, request.agent)
        if received.target is None:
            # As on one node: the caller rings the target instead of the phone's own call.
            await service.forward(request, there)
            if received.second:
                self._post(Outcome([(None, HangUp(received.second))]))
            return
        callee = self._lines.agent_of(received.target)
        if callee is None or callee.remote is not None:
            raise policy.refused("unknown_target", NO_JOIN)
        wanted = (there.anchor, there.anchor_call, callee.id)
        with self._joins.expected(wanted, received.target) as join:
            await service.forward(request, there, joins=True)
            # The phone ends its calls as soon as it is told: the target must have left them.
            if not await join.wait():
                raise policy.refused("target_offline", NOT_JOINED)

    async def code(self, used: ev.FeatureUsed) -> bool:
        """The agent keys the target in at the anchor, which hears their keys and decides.

        There are its prompts, its number of tries and its time-outs, and the call's group.
        """
        there, agent = self._anchored(used.channel), self._lines.agent_of(used.channel)
        if there is None or agent is None or self._service is None:
            return False
        HANDED_ON.set("")
        nowhere = Target(TargetKind.NUMBER, "")
        name = self._lines.name_of(used.channel)
        request = TransferRequest(agent.id, Mode.SUPERVISED, nowhere, channel=name)
        try:
            await self._service.forward(request, there, keyed_in=True)
        except AvpError as error:
            log.warning("code_not_forwarded", node=there.anchor, error=str(error))
        return True

    def _anchored(self, channel: str) -> NodeCall | None:
        call = self._lines.call_of(channel)
        return self._engine.elsewhere.call_of(call.caller_channel) if call is not None else None


class _Ending(Part):
    """Stops last: the other parts may still have something to give back or to tell."""

    def __init__(self, peers: Peers, seeker: SlotSeeker) -> None:
        self._peers = peers
        self._seeker = seeker

    async def stop(self) -> None:
        await self._seeker.stop()
        await self._peers.close()
