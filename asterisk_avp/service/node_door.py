"""What other nodes' daemons may ask of this one (`api.cluster.NodeService`).

A node speaks for the agents who are at home on it, and for the calls that it anchors. Everything
that it asks for passes the policy of the call's group here, as an agent's own request does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.reservations import Slot
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.between import ForwardedRequest, SlotRequest, TransferEvent
from asterisk_avp.core.model.errors import NodeOversteps
from asterisk_avp.core.model.world import Target, TransferRequest, TransferView
from asterisk_avp.core.policy import policy
from asterisk_avp.service.across import TransfersAcrossNodes
from asterisk_avp.service.node_teller import Teller
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.slots import SlotKeeper


@dataclass(frozen=True, slots=True)
class NodeDoor:
    engine: TransferEngine
    transfers: TransfersAcrossNodes
    phones: Phones
    slots: SlotKeeper
    teller: Teller

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
                call=calls[0].caller_channel if calls else request.call,
            )
        )
        return self.teller.event(view)

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

    def _check_transfer(self, node: str, transfer: str) -> None:
        """Raises `UnknownTransfer` if it is not this node's own, and `NodeOversteps`."""
        self._check_agent(node, self.engine.record(transfer).session.agent)

    def _check_agent(self, node: str, agent_id: str) -> None:
        if self.engine.elsewhere.home_of(self.engine.agents.by_id.get(agent_id)) != node:
            raise NodeOversteps(f"Agent {agent_id} is not at home on node {node}.")

    # --- what they tell ------------------------------------------------------------------------

    def told(self, node: str, event: TransferEvent) -> None:
        self.transfers.tell(node, event)

    def concerning(self, node: str) -> list[TransferEvent]:
        return self.teller.concerning(node)
