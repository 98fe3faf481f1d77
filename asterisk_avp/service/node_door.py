"""What other nodes' daemons may ask of this one (`api.cluster.NodeService`).

A node speaks for the agents who are at home on it, and for the calls that it anchors. Everything
that it asks for passes the policy of the call's group here, as an agent's own request does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.reservations import Slot
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.between import ForwardedRequest, SlotRequest, TransferEvent
from asterisk_avp.core.messages.remote import HomeClaimed, RemoteRing
from asterisk_avp.core.model.errors import NodeOversteps
from asterisk_avp.core.model.world import (
    Origin,
    Target,
    TransferRequest,
    TransferState,
    TransferView,
)
from asterisk_avp.core.policy import policy
from asterisk_avp.service.across import TransfersAcrossNodes
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.joins import NOT_JOINED
from asterisk_avp.service.node_teller import Teller
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.slots import SlotKeeper

JOIN_SECONDS: Final = 5.0
"""In which a leg is joined with a call at the target's node. An INVITE that is lost is repeated
after 0.5, 1 and 2 s (RFC 3261, 17.1.1.2), and once more with its digest."""
JOIN_PAUSE_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class NodeDoor:
    engine: TransferEngine
    transfers: TransfersAcrossNodes
    phones: Phones
    slots: SlotKeeper
    teller: Teller
    post: Post

    async def settled(self) -> None:
        await self.transfers.settled()

    # --- slots ---------------------------------------------------------------------------------

    def reserve(self, wanted: SlotRequest) -> Slot:
        return self.slots.reserve(wanted)

    def give_back(self, node: str, token: str) -> None:
        self.slots.give_back(node, token)

    # --- requests of agents who are at home there ----------------------------------------------

    async def forwarded(self, node: str, request: ForwardedRequest) -> TransferEvent | None:
        self._check_agent(node, request.agent)
        engine, agent = self.engine, self.engine.agents.by_id[request.agent]
        channel = engine.elsewhere.trunks.claim(request.agent, node, request.brought_by)
        calls = [
            call for call in engine.calls_of(agent) if channel and call.agent_channel == channel
        ]
        if request.target is None:
            if not calls:
                raise policy.refused("no_active_call")
            await self.phones.begin_code(ev.FeatureUsed(channel))
            return None
        view = await self.transfers.request(
            TransferRequest(
                agent=request.agent,
                mode=request.mode,
                target=request.target,
                notes=request.notes,
                origin=Origin.JOIN if request.joins else Origin.API,
                call=calls[0].caller_channel if calls else request.call,
            )
        )
        if request.joins:
            view = await self._joined(view)
        return self.teller.event(view)

    async def _joined(self, view: TransferView) -> TransferView:
        """Complete the transfer as soon as the target is in it. Otherwise the agent has the caller.

        Raises `Refused` where the target is not in it, or not in time.
        """
        end = asyncio.get_running_loop().time() + JOIN_SECONDS
        while not view.state.final and view.state is not TransferState.CONSULTING:
            if asyncio.get_running_loop().time() > end:
                await self.transfers.cancel(view.id)
                break
            await asyncio.sleep(JOIN_PAUSE_SECONDS)
            view = self.transfers.transfer(view.id)
        if view.state is TransferState.CONSULTING:
            return await self.transfers.complete(view.id)
        raise policy.refused("target_offline", NOT_JOINED)

    async def command(self, node: str, transfer: str, name: str) -> TransferEvent:
        commands: dict[str, Callable[[str], Awaitable[TransferView]]] = {
            "complete": self.transfers.complete,
            "cancel": self.transfers.cancel,
            "swap": self.transfers.swap,
            "conference": self.transfers.conference,
        }
        self._check_transfer(node, transfer)
        return self.teller.event(await commands[name](transfer))

    async def add_party(self, node: str, transfer: str, wanted: Target) -> TransferEvent:
        self._check_transfer(node, transfer)
        return self.teller.event(await self.transfers.add_party(transfer, wanted))

    async def drop_party(self, node: str, transfer: str, party: str) -> TransferEvent:
        self._check_transfer(node, transfer)
        return self.teller.event(await self.transfers.drop_party(transfer, party))

    def answered(self, node: str, transfer: str, agent: str) -> None:
        self._check_agent(node, agent)
        if self.engine.elsewhere.trunks.claim(agent, node, transfer):
            self.transfers.changed({agent})

    def rings(self, node: str, transfer: str, agent: str, *, rings: bool, consult: bool) -> None:
        """Only for a call that has been sent to that node."""
        self._check_agent(node, agent)
        record = self.engine.store.records.get(transfer)
        legs = self.engine.elsewhere.trunks
        if record is None or not (
            legs.leg_of(agent, node, transfer) or legs.leg_of("", node, transfer)
        ):
            return
        self.post(RemoteRing(record.session.caller.channel, agent, rings, consult))

    def _check_transfer(self, node: str, transfer: str) -> None:
        """Raises `UnknownTransfer` if it is not this node's own, and `NodeOversteps`."""
        self._check_agent(node, self.engine.record(transfer).session.agent)

    def _check_agent(self, node: str, agent_id: str) -> None:
        if self.engine.elsewhere.home_of(self.engine.agents.by_id.get(agent_id)) != node:
            raise NodeOversteps(f"Agent {agent_id} is not at home on node {node}.")

    # --- what they tell ------------------------------------------------------------------------

    def home_taken(self, node: str, agent: str, revision: int) -> None:
        self.post(HomeClaimed(agent, node, revision))

    def told(self, node: str, event: TransferEvent) -> None:
        self.transfers.tell(node, event)

    def concerning(self, node: str, ids: Collection[str] = ()) -> list[TransferEvent]:
        return self.teller.concerning(node, ids)

    def pops(self, node: str, calls: Collection[str]) -> list[TransferEvent]:
        return self.teller.pops(node, calls)
