"""The daemon's transfers, where others are made by other nodes for agents who are at home here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from asterisk_avp.api.broadcast import transfer_event
from asterisk_avp.cluster.peers import REQUEST_SECONDS, Peers
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.told_transfers import Told, ToldPop
from asterisk_avp.core.messages import between
from asterisk_avp.core.messages.effects import SetVariables
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.errors import (
    AsteriskUnavailable,
    NodeOversteps,
    PeerUnavailable,
)
from asterisk_avp.core.model.world import Target, TransferRequest, TransferView
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.policy import policy
from asterisk_avp.core.pops.board import OFFERED, WITHDRAWN
from asterisk_avp.core.pops.notifications import essence
from asterisk_avp.observe.audit import Forwarded
from asterisk_avp.service.anchors import Anchors, event_of
from asterisk_avp.service.facade import SETTLE_PAUSE_SECONDS, TransferService

SETTLE_SECONDS: Final = 2.5
"""Less than another node waits for an answer (`cluster.peers`)."""
JOIN_REQUEST_SECONDS: Final = 7.0
"""For an answer that comes when a leg has been joined (`service.node_door.JOIN_SECONDS`)."""
ENDED_SECONDS: Final = 600.0
"""How long the end of another node's transfer can be asked for; then it is history."""
NO_CONSULT: Final = {"AVP_LEG": ""}
"""Variables of a trunk's channel here that was a consult leg (`service.trunk_watch`)."""


class TransfersAcrossNodes(TransferService):
    """Requests about a call that another node anchors are forwarded to it, which decides.

    `connect` it before it is used.
    """

    def connect(self, peers: Peers, publish: Callable[[Mapping[str, Any]], None]) -> None:
        """``publish``: a screen pop to the agent's screen, here."""
        self._anchors = Anchors(peers, self._audit)
        self._publish_pop = publish

    async def settled(self) -> None:
        """Wait until the state of Asterisk is known. Raises `AsteriskUnavailable`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE_SECONDS
        while not (readiness := self.readiness()).synced:
            if loop.time() > end:
                raise AsteriskUnavailable(readiness.detail)
            await asyncio.sleep(SETTLE_PAUSE_SECONDS)

    # --- reads ---------------------------------------------------------------------------------

    def transfers(self, agent_id: str | None = None) -> Sequence[TransferView]:
        told, before = self._engine.elsewhere.told, time.time() - ENDED_SECONDS
        there = told.all() if agent_id is None else told.involving(agent_id)
        recent = [view for view in there if view.since >= before or not view.state.final]
        return [*super().transfers(agent_id), *recent]

    def transfer(self, transfer_id: str) -> TransferView:
        told = self._told(transfer_id)
        return super().transfer(transfer_id) if told is None else told.view

    async def find(self, transfer_id: str) -> TransferView:
        told = self._told(transfer_id)
        return await super().find(transfer_id) if told is None else told.view

    def _told(self, transfer_id: str) -> Told | None:
        return self._engine.elsewhere.told.get(transfer_id)

    def offered_pops(self, agent_id: str | None) -> Sequence[Mapping[str, Any]]:
        """Also those of other nodes' callers for whom a phone here rings."""
        return [*super().offered_pops(agent_id), *self._offered_elsewhere(agent_id)]

    def _offered_elsewhere(self, agent_id: str | None) -> Iterator[Mapping[str, Any]]:
        elsewhere = self._engine.elsewhere
        for call in elsewhere.trunks.calls.values():
            for agent, told in elsewhere.told.pops_of((call.anchor, call.anchor_call)).items():
                if told.state == OFFERED and agent_id in (None, agent):
                    pop = {**told.pop, "id": told.shown}
                    yield {"type": "pop", "agent": agent, "state": OFFERED, "pop": pop}

    # --- requests of agents who are at home here -----------------------------------------------

    def anchored(self, request: TransferRequest) -> NodeCall | None:
        """The other node's call that the request concerns; None: it is this node's to decide."""
        call = self._engine.call_of(request.agent, request.call)
        return self._engine.elsewhere.call_of(call.caller_channel) if call is not None else None

    async def request(self, request: TransferRequest) -> TransferView:
        there = self.anchored(request)
        if there is None:
            return await self._earlier(request) or await super().request(request)
        view = await self.forward(request, there)
        if view is None:
            raise PeerUnavailable(there.anchor, "its answer cannot be read")
        return view

    async def _earlier(self, request: TransferRequest) -> TransferView | None:
        """What another node has answered to this request before this daemon was started.

        The agent need not have the call any more.
        """
        agent = self._engine.agents.by_id.get(request.agent)
        if agent is None or self._engine.calls_of(agent):
            return None
        found = await self._anchors.earlier()
        if found is not None:
            return self._answered(*found)
        self._check_home(agent)
        return None

    @staticmethod
    def _check_home(agent: Agent) -> None:
        """An agent of another node has a call that this node does not have: ask there."""
        if agent.remote is None:
            return
        node = agent.remote.node
        message = f"Agent {agent.id} is at home on node {node!r}: send the request to its API."
        raise policy.refused("no_active_call", message)

    async def forward(
        self,
        request: TransferRequest,
        there: NodeCall,
        *,
        keyed_in: bool = False,
        joins: bool = False,
    ) -> TransferView | None:
        """Let the call's anchor decide. None: it asks the agent, on the phone, for the target.

        ``joins``: the agent's phone talks to the target already. Raises what the anchor raises, and
        `PeerUnavailable`.
        """
        target = None if keyed_in else request.target
        body = between.ForwardedRequest(
            agent=request.agent,
            mode=request.mode,
            target=target,
            call=there.anchor_call,
            brought_by=there.transfer,
            notes=request.notes,
            joins=joins,
        ).body()
        asked = Forwarded(
            request.agent,
            there.anchor,
            "code" if keyed_in else "transfer",
            there.anchor_call,
            request.mode.value,
            target,
            request.channel,
        )
        within = JOIN_REQUEST_SECONDS if joins else REQUEST_SECONDS
        answer = await self._anchors.ask(asked, "POST", "", body, within=within)
        return None if keyed_in else self._answered(there.anchor, event_of(there.anchor, answer))

    async def complete(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "complete") or await super().complete(transfer_id)

    async def cancel(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "cancel") or await super().cancel(transfer_id)

    async def swap(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "swap") or await super().swap(transfer_id)

    async def conference(self, transfer_id: str) -> TransferView:
        return await self._ask(transfer_id, "conference") or await super().conference(transfer_id)

    async def add_party(self, transfer_id: str, wanted: Target) -> TransferView:
        view = await self._ask(transfer_id, "parties", wanted)
        return view or await super().add_party(transfer_id, wanted)

    async def drop_party(self, transfer_id: str, party: str) -> TransferView:
        view = await self._ask(transfer_id, f"parties/{party}", method="DELETE")
        return view or await super().drop_party(transfer_id, party)

    async def _ask(
        self, transfer_id: str, what: str, wanted: Target | None = None, *, method: str = "POST"
    ) -> TransferView | None:
        """The answer of the anchor; None: the transfer is this node's own."""
        told = self._told(transfer_id)
        if told is None:
            return None
        asked = Forwarded(
            *(told.view.agent, told.node, what.partition("/")[0], told.call),
            target=wanted,
            transfer=transfer_id,
        )
        body = None if wanted is None else between.party_body(wanted)
        answer = await self._anchors.ask(asked, method, f"/{transfer_id}/{what}", body)
        return self._answered(told.node, event_of(told.node, answer))

    def _answered(self, node: str, event: between.TransferEvent) -> TransferView:
        try:
            self.tell(node, event)
        except NodeOversteps:
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
        if event.pop is not None and (news := self._note_pop(node, event.seq, event.pop)):
            self._show_pop(event.pop, news)

    def tell_again(self, node: str, event: between.TransferEvent, *, silently: bool) -> None:
        """What has been told before, perhaps to an earlier daemon.

        ``silently``: that one has shown it. Raises `NodeOversteps`.
        """
        if event.pop is None:
            self.tell(node, event)
            return
        agent, call = event.pop.agent, str(event.pop.pop["id"])
        before = self._engine.elsewhere.told.pops_of((node, call)).get(agent)
        if not self._channel_of(node, agent, call):
            return  # they do not have the call any more
        news = self._note_pop(node, event.seq, event.pop)
        if news is None or (before is not None and same(before, news)):
            return
        if silently:
            self._inbox.post(Outcome(agents={agent}))
        else:
            self._show_pop(event.pop, news)

    def _tell_transfer(self, node: str, seq: int, view: TransferView, call: str) -> None:
        if view.id in self._engine.store.records:
            raise NodeOversteps("a transfer of this node")
        told, now = self._engine.elsewhere.told, time.time()
        self._engine.elsewhere.forget_ended(now - ENDED_SECONDS)
        concerned = told.tell(node, seq, view, call)
        self._note_completed(node)
        here = {agent for agent in concerned or () if self._is_here(agent)}
        if not here:
            if concerned:
                told.drop(view.id)  # nobody here has to do with it
            return
        if view.state.final:
            self._history.keep([view], now)
        self._changes.send(transfer_event(view))
        self._inbox.post(Outcome(agents=here))

    def _note_completed(self, node: str) -> None:
        """The consult legs of a completed transfer are the caller's: also for the next daemon."""
        calls = self._engine.elsewhere.note_completed(node)
        if calls:
            cleared = [SetVariables(call.channel, NO_CONSULT) for call in calls]
            self._inbox.post(Outcome([(None, effect) for effect in cleared]))

    def _note_pop(self, node: str, seq: int, told: between.PopEvent) -> ToldPop | None:
        """None: it is no news."""
        agent, call = told.agent, str(told.pop["id"])
        if not self._is_here(agent):
            raise NodeOversteps("a screen pop for an agent who is not at home here")
        board = self._engine.elsewhere.told
        before = board.pops_of((node, call)).get(agent)
        earlier = before.shown if before is not None and before.state != WITHDRAWN else ""
        here = self._channel_of(node, agent, call)
        if told.state == WITHDRAWN:
            # By the id by which it was offered: its channel may have ended before this was told.
            news = ToldPop(seq, {}, told.state, earlier or here or call)
        else:
            news = ToldPop(seq, dict(told.pop), told.state, here or earlier or call)
        return news if board.put_pop(agent, (node, call), news) else None

    def _show_pop(self, told: between.PopEvent, news: ToldPop) -> None:
        shown = {**told.pop, "id": news.shown}
        self._publish_pop({"type": "pop", "agent": told.agent, "state": told.state, "pop": shown})
        self._inbox.post(Outcome(agents={told.agent}))

    def _channel_of(self, node: str, agent: str, anchor_call: str) -> str:
        """The agent's call by its id here; empty: there is none."""
        # The latest first: a caller may have come back by another channel.
        for call in reversed(self._engine.elsewhere.trunks.calls.values()):
            if (call.anchor, call.anchor_call) == (node, anchor_call) and call.agent in ("", agent):
                return call.channel
        return ""

    def _is_here(self, agent_id: str) -> bool:
        agent = self._engine.agents.by_id.get(agent_id)
        return agent is not None and agent.remote is None


def same(before: ToldPop, now: ToldPop) -> bool:
    """Whether an agent who was told of the earlier one need not be told of the later one."""
    if before.state != now.state or not (before.pop and now.pop):
        return before.state == now.state
    return essence(before.pop) == essence(now.pop)
