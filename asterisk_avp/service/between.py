"""Several nodes: what this one's daemon and the others' say to each other, put together."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
from fastapi import FastAPI

from asterisk_avp.api.cluster import add_cluster_routes
from asterisk_avp.api.node_tokens import NodeTokens
from asterisk_avp.cluster.peers import Peer, Peers, tls
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.errors import AvpError, ConfigError, Refused
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.service.across import TransfersAcrossNodes
from asterisk_avp.service.alone import Alone, Held, Publish, Variables
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.node_door import NodeDoor
from asterisk_avp.service.node_teller import Teller
from asterisk_avp.service.part import Part
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.slots import SlotKeeper, SlotSeeker
from asterisk_avp.service.trunk_watch import TrunkWatch

log = structlog.get_logger(__name__)

AWAY: Final = "asterisk_unavailable"
"""Why a REFER is declined whose call's anchor does not answer."""


class Between(Alone):
    service_type = TransfersAcrossNodes

    def __init__(self, settings: Settings, engine: TransferEngine, post: Post) -> None:
        """Raises `ConfigError` where the certificates cannot be used."""
        own = settings.cluster.node or ""
        others = {name: node for name, node in settings.nodes.items() if name != own}
        mine = settings.nodes[own].token.get_secret_value()
        self._tokens = NodeTokens({n: x.token.get_secret_value() for n, x in others.items()})
        cluster = settings.cluster
        try:
            context = tls(cluster.tls_ca, cluster.tls_cert, cluster.tls_key)
        except OSError as error:
            raise ConfigError(f"AVP_CLUSTER__TLS_…: {error}") from error
        self._peers = Peers({n: Peer(n, x.url) for n, x in others.items()}, mine, context)
        self._engine = engine
        self._lines = PhoneLines(engine)
        self._seeker = SlotSeeker(engine, self._peers)
        self._slots = SlotKeeper(engine, post)
        self._teller = Teller(engine, self._peers)
        self._trunks = TrunkWatch(engine, self._peers, post)
        self._service: TransfersAcrossNodes | None = None
        self._publish: Publish | None = None
        self.parts: tuple[Part, ...] = (
            _Ending(self._peers, self._seeker),
            self._trunks,
            self._slots,
            self._teller,
        )

    def connect(
        self, app: FastAPI, service: TransfersAcrossNodes, phones: Phones, variables: Variables
    ) -> FastAPI:
        self._service = service
        service.nodes = phones.nodes = self
        service.connect(self._peers, self._publish or (lambda _event: None))
        self._trunks.connect(variables, service.tell)
        door = NodeDoor(self._engine, service, phones, self._slots, self._teller)
        add_cluster_routes(app, door, self._tokens)
        return app

    def hold(self, request: TransferRequest) -> AbstractAsyncContextManager[Held]:
        return self._seeker.hold(request)

    def is_elsewhere(self, request: TransferRequest) -> bool:
        return bool(self._seeker.node_of(request))

    def publisher(self, publish: Publish) -> Publish:
        self._publish = publish
        return self._teller.publisher(publish)

    # --- phones --------------------------------------------------------------------------------

    async def refer(self, received: ev.ReferReceived, request: TransferRequest) -> str | None:
        there = self._anchored(received.channel)
        if there is None or self._service is None:
            return None
        if received.attended:
            return "unknown_target"  # the phone has called the target by itself, from this node
        try:
            await self._service.forward(request, there)
        except Refused as refused:
            return refused.reason
        except AvpError as error:
            log.warning("refer_not_forwarded", node=there.anchor, error=str(error))
            return AWAY
        return ""

    async def code(self, used: ev.FeatureUsed) -> bool:
        """The agent keys the target in at the anchor, which hears their keys and decides.

        There are its prompts, its number of tries and its time-outs, and the call's group.
        """
        there, agent = self._anchored(used.channel), self._lines.agent_of(used.channel)
        if there is None or agent is None or self._service is None:
            return False
        nowhere = Target(TargetKind.NUMBER, "")
        request = TransferRequest(agent.id, Mode.SUPERVISED, nowhere)
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
