"""The daemon's transfers, where others are made by other nodes for agents who are at home here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asterisk_avp.api.broadcast import transfer_event
from asterisk_avp.cluster.peers import Answer, Peers, check
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.told_transfers import Told
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.errors import NodeOversteps, PeerUnavailable
from asterisk_avp.core.model.world import Target, TransferRequest, TransferView
from asterisk_avp.core.policy import policy
from asterisk_avp.service.facade import TransferService

PATH: Final = "/v1/cluster/transfers"
ENDED_SECONDS: Final = 600.0
"""How long the end of another node's transfer can be asked for; then it is history."""


class TransfersAcrossNodes(TransferService):
    """Requests about a call that another node anchors are forwarded to it, which decides.

    `connect` it before it is used.
    """

    def connect(self, peers: Peers, publish: Callable[[Mapping[str, Any]], None]) -> None:
        """``publish``: a screen pop to the agent's screen, here."""
        self._peers = peers
        self._publish_pop = publish

    # --- reads ---------------------------------------------------------------------------------

    def transfers(self, agent_id: str | None = None) -> Sequence[TransferView]:
        told = self._engine.elsewhere.told
        there = told.all() if agent_id is None else told.involving(agent_id)
        return [*super().transfers(agent_id), *there]

    def transfer(self, transfer_id: str) -> TransferView:
        told = self._told(transfer_id)
        return super().transfer(transfer_id) if told is None else told.view

    async def find(self, transfer_id: str) -> TransferView:
        told = self._told(transfer_id)
        return await super().find(transfer_id) if told is None else told.view

    def _told(self, transfer_id: str) -> Told | None:
        return self._engine.elsewhere.told.get(transfer_id)

    # --- requests of agents who are at home here -----------------------------------------------

    def anchored(self, request: TransferRequest) -> NodeCall | None:
        """The other node's call that the request concerns; None: it is this node's to decide."""
        call = self._engine.call_of(request.agent, request.call)
        return self._engine.elsewhere.call_of(call.caller_channel) if call is not None else None

    async def request(self, request: TransferRequest) -> TransferView:
        there = self.anchored(request)
        if there is None:
            self._check_home(request)
            return await super().request(request)
        view = await self.forward(request, there)
        if view is None:
            raise PeerUnavailable(there.anchor, "its answer cannot be read")
        return view

    def _check_home(self, request: TransferRequest) -> None:
        """An agent of another node has a call that this node does not have: ask there."""
        agent = self._engine.agents.by_id.get(request.agent)
        if agent is None or agent.remote is None or self._engine.calls_of(agent):
            return
        node = agent.remote.node
        message = f"Agent {agent.id} is at home on node {node!r}: send the request to its API."
        raise policy.refused("no_active_call", message)

    async def forward(
        self, request: TransferRequest, there: NodeCall, *, keyed_in: bool = False
    ) -> TransferView | None:
        """Let the call's anchor decide. None: it asks the agent, on the phone, for the target.

        Raises what the anchor raises, and `PeerUnavailable`.
        """
        forwarded = between.ForwardedRequest(
            agent=request.agent,
            mode=request.mode,
            target=None if keyed_in else request.target,
            call=there.anchor_call,
            brought_by=there.transfer,
            notes=request.notes,
        )
        key = secrets.token_urlsafe(24)
        answer = await self._peers.ask(there.anchor, "POST", PATH, forwarded.body(), key=key)
        if keyed_in:
            check(there.anchor, answer)
            return None
        return self._answered(there.anchor, answer)

    async def complete(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "complete") or await super().complete(transfer_id)

    async def cancel(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "cancel") or await super().cancel(transfer_id)

    async def swap(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "swap") or await super().swap(transfer_id)

    async def conference(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "conference") or await super().conference(transfer_id)

    async def add_party(self, transfer_id: str, wanted: Target) -> TransferView:
        body = between.party_body(wanted)
        view = await self._ask(transfer_id, "parties", body)
        return view or await super().add_party(transfer_id, wanted)

    async def drop_party(self, transfer_id: str, party: str) -> TransferView:
        view = await self._ask(transfer_id, f"parties/{party}", method="DELETE")
        return view or await super().drop_party(transfer_id, party)

    async def _ask(
        self,
        transfer_id: str,
        what: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
    ) -> TransferView | None:
        """The answer of the anchor; None: the transfer is this node's own."""
        told = self._told(transfer_id)
        if told is None:
            return None
        path, key = f"{PATH}/{transfer_id}/{what}", secrets.token_urlsafe(24)
        answer = await self._peers.ask(told.node, method, path, body, key=key)
        return self._answered(told.node, answer)

    def _answered(self, node: str, answer: Answer) -> TransferView:
        body = check(node, answer)
        try:
            event = between.transfer_event(body)
            self.tell(node, event)
        except (fields.Unusable, NodeOversteps):
            event = between.TransferEvent(0)
        if event.transfer is None:
            raise PeerUnavailable(node, "its answer cannot be read")
        return event.transfer

    def changed(self, agents: set[str]) -> None:
        """What is known of these agents' calls has changed."""
        self._inbox.post(Outcome(agents=agents))

    # --- what other nodes tell -----------------------------------------------------------------

    def tell(self, node: str, event: between.TransferEvent) -> None:
        """Raises `NodeOversteps` if it is not that node's to tell."""
        if event.transfer is not None:
            self._tell_transfer(node, event.seq, event.transfer, event.call)
        if event.pop is not None:
            self._tell_pop(node, event.seq, event.pop)

    def _tell_transfer(self, node: str, seq: int, view: TransferView, call: str) -> None:
        if view.id in self._engine.store.records:
            raise NodeOversteps("a transfer of this node")
        told, now = self._engine.elsewhere.told, time.time()
        told.forget_ended(now - ENDED_SECONDS)
        concerned = told.tell(node, seq, view, call)
        here = {agent for agent in concerned or () if self._is_here(agent)}
        if not here:
            if concerned:
                told.drop(view.id)  # nobody here has to do with it
            return
        if view.state.final:
            self._history.keep([view], now)
        self._changes.send(transfer_event(view))
        self._inbox.post(Outcome(agents=here))

    def _tell_pop(self, node: str, seq: int, told: between.PopEvent) -> None:
        agent, call = told.agent, str(told.pop["id"])
        if not self._is_here(agent):
            raise NodeOversteps("a screen pop for an agent who is not at home here")
        pop = {} if told.state == "withdrawn" else dict(told.pop)
        if not self._engine.elsewhere.told.put_pop(agent, call, seq, pop):
            return
        shown = {**told.pop, "id": self._shown_call(node, agent, call)}
        self._publish_pop({"type": "pop", "agent": agent, "state": told.state, "pop": shown})
        self._inbox.post(Outcome(agents={agent}))

    def _shown_call(self, node: str, agent: str, anchor_call: str) -> str:
        """The agent's call by its id here."""
        for call in self._engine.elsewhere.trunks.calls.values():
            if (call.anchor, call.anchor_call) == (node, anchor_call) and call.agent in ("", agent):
                return call.channel
        return anchor_call

    def _is_here(self, agent_id: str) -> bool:
        agent = self._engine.agents.by_id.get(agent_id)
        return agent is not None and agent.remote is None
