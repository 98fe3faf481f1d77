"""A scripted call centre behind the API: agents with given states, transfers that obey."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.broadcast import agent_event, transfer_event
from asterisk_avp.api.server import ApiServer, serve
from asterisk_avp.api.throttle import Budget
from asterisk_avp.core.engine.history import History
from asterisk_avp.core.model.errors import (
    AsteriskUnavailable,
    Refused,
    UnknownAgent,
    UnknownParty,
    UnknownTransfer,
    WrongState,
)
from asterisk_avp.core.model.world import (
    AgentState,
    AgentView,
    CallView,
    Mode,
    PartyView,
    Readiness,
    Target,
    TargetAgent,
    TargetGroup,
    TargetKind,
    TargetsView,
    TransferRequest,
    TransferState,
    TransferView,
)
from asterisk_avp.core.numbers.rules import NumberCheck, check

SINCE = 1_769_850_307.25
SINCE_TEXT = "2026-01-31T09:05:07.250Z"
INTEGRATION = "integration-token"
PINS = {"1001": "pin-1001", "1002": "pin-1002", "1003": "pin-1003"}
#: Most requests of the tests are refused on purpose.
UNLIMITED = Budget(burst=10**9)


def bearer(token: str = INTEGRATION) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class ScriptedTransferService:
    """Implements `TransferService`. 1001 has a call, 1002 is free, and 1003 is in another group."""

    connected: bool = True
    views: dict[str, AgentView] = field(default_factory=dict)
    known: dict[str, TransferView] = field(default_factory=dict)
    requests: list[TransferRequest] = field(default_factory=list)
    queues: list[asyncio.Queue[Mapping[str, Any]]] = field(default_factory=list)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    unsubscribed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        call = CallView(
            id="chan-1", caller="Zoë <+12025550123>", group="sales", on_hold=False,
            pop={"case": "4711", "name": "Zoë"},
        )  # fmt: skip
        for agent_id, name, state, groups, own in (
            ("1001", "Alice", AgentState.TALKING, ("sales",), call),
            ("1002", "Bøb", AgentState.AVAILABLE, ("sales",), None),
            ("1003", "Carol", AgentState.ACW, ("support",), None),
        ):
            self.views[agent_id] = AgentView(
                id=agent_id, name=name, state=state, since=SINCE, groups=groups,
                waiting_transfer=False, call=own, calls=(own,) if own else (),
            )  # fmt: skip

    def readiness(self) -> Readiness:
        up = self.connected
        return Readiness(up, ari=up, ami=True, synced=up, detail="" if up else "ARI: refused")

    def agents(self) -> Sequence[AgentView]:
        return list(self.views.values())

    def roster(self) -> Sequence[AgentView]:
        return [replace(view, call=None, calls=(), pause_reason="") for view in self.views.values()]

    def agent(self, agent_id: str) -> AgentView:
        try:
            return self.views[agent_id]
        except KeyError:
            raise UnknownAgent(agent_id) from None

    def targets(self, agent_id: str) -> TargetsView:
        self.agent(agent_id)
        bob = self.views["1002"]
        member = TargetAgent(bob.id, bob.name, bob.state, bob.since, waiting_transfer=False)
        return TargetsView(
            permissions=("internal_transfer", "unsupervised_transfer"),
            my_agent_groups=(TargetGroup("sales", "Sales", (member,), available=1),),
            agent_groups=(TargetGroup("support", "Support", (), available=0),),
        )

    def check_number(self, agent_id: str, number: str) -> NumberCheck:
        self.agent(agent_id)
        return check(number, agent_country="US", client_country="US")

    def transfers(self) -> Sequence[TransferView]:
        return list(self.known.values())

    def transfer(self, transfer_id: str) -> TransferView:
        try:
            return self.known[transfer_id]
        except KeyError:
            raise UnknownTransfer(transfer_id) from None

    async def request(self, request: TransferRequest) -> TransferView:
        agent = self.agent(request.agent)
        self.requests.append(request)
        if not self.connected:
            raise AsteriskUnavailable("ARI is not connected")
        if agent.call is None:
            raise Refused("no_active_call", "You have no call to transfer.")
        if request.target.value not in {*self.views, "sales", "support"}:
            raise Refused("unknown_target", "There is no such target.")
        view = TransferView(
            id=f"t{len(self.known) + 1}", agent=agent.id, group="sales", mode=request.mode,
            target=request.target, state=TransferState.RINGING, ended_reason=None,
            caller=agent.call.caller, since=SINCE, started=SINCE - 1, notes=request.notes,
            parties=(PartyView(agent.id, "transferor", agent.name, "talking"),),
        )  # fmt: skip
        return self.changed(view)

    async def complete(self, transfer_id: str) -> TransferView:
        return self._end(transfer_id, TransferState.COMPLETED, "completed")

    async def cancel(self, transfer_id: str) -> TransferView:
        return self._end(transfer_id, TransferState.CANCELLED, "cancelled")

    async def swap(self, transfer_id: str) -> TransferView:
        return self._change(transfer_id, TransferState.SWAPPED)

    async def conference(self, transfer_id: str) -> TransferView:
        return self._change(transfer_id, TransferState.CONFERENCE)

    async def add_party(self, transfer_id: str, number: str) -> TransferView:
        if not number.startswith("+1"):
            raise Refused("country_mismatch", "The number is in another country.")
        view = self._change(transfer_id, TransferState.CONSULTING)
        return self.changed(
            replace(
                view, parties=(*view.parties, PartyView("party-4", "fourth", number, "ringing"))
            )
        )

    async def drop_party(self, transfer_id: str, party: str) -> TransferView:
        view = self._change(transfer_id, TransferState.CONSULTING)
        if party not in {known.id for known in view.parties}:
            raise UnknownParty(party)
        return self.changed(
            replace(view, parties=tuple(known for known in view.parties if known.id != party))
        )

    def _change(self, transfer_id: str, state: TransferState) -> TransferView:
        view = self.transfer(transfer_id)
        if view.state.final:
            raise WrongState(f"The transfer is {view.state} already.")
        return self.changed(replace(view, state=state))

    def _end(self, transfer_id: str, state: TransferState, reason: str) -> TransferView:
        view = self.transfer(transfer_id)
        if view.state.final:
            raise WrongState(f"The transfer is {view.state} already.")
        return self.changed(replace(view, state=state, ended_reason=reason))

    def changed(self, view: TransferView) -> TransferView:
        self.known[view.id] = view
        self.publish(transfer_event(view))
        return view

    def agent_changed(self, agent_id: str, **changes: Any) -> None:
        self.views[agent_id] = replace(self.views[agent_id], **changes)
        self.publish(agent_event(self.views[agent_id]))

    def publish(self, event: Mapping[str, Any]) -> None:
        for queue in self.queues:
            queue.put_nowait(event)

    def history(self, agent_id: str) -> Sequence[TransferView]:
        self.agent(agent_id)
        return History().of(agent_id, self.known.values())

    async def pause(self, agent_id: str, *, paused: bool, reason: str) -> AgentView:
        if self.agent(agent_id).state is AgentState.OFFLINE:
            raise WrongState("The agent is logged in to no queue.")
        state = AgentState.NOT_READY if paused else AgentState.AVAILABLE
        if self.agent(agent_id).call is not None:
            state = AgentState.TALKING
        self.agent_changed(agent_id, paused=paused, pause_reason=reason, state=state)
        return self.agent(agent_id)

    def subscribe(self) -> asyncio.Queue[Mapping[str, Any]]:
        queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self.queues.append(queue)
        self.subscribed.set()
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Mapping[str, Any]]) -> None:
        self.queues.remove(queue)
        self.unsubscribed.set()


def transfer_view(transfer_id: str, agent: str, target: str) -> TransferView:
    return TransferView(
        id=transfer_id, agent=agent, group="sales", mode=Mode.UNSUPERVISED,
        target=Target(TargetKind.AGENT, target), state=TransferState.WAITING, ended_reason=None,
        caller="+12025550123", parties=(), since=SINCE, started=SINCE,
    )  # fmt: skip


@dataclass
class RunningApi:
    """The API on a real port, in a separate thread, for blocking clients."""

    url: str
    board: ScriptedTransferService
    loop: asyncio.AbstractEventLoop

    def do(self, action: Any) -> None:
        """Run ``action()`` in the server's loop and wait for it."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self.loop).result(10)

    def wait_subscribed(self) -> None:
        asyncio.run_coroutine_threadsafe(self.board.subscribed.wait(), self.loop).result(20)


@contextmanager
def api_in_thread() -> Iterator[RunningApi]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    board = ScriptedTransferService()
    auth = Authenticator(tokens=[INTEGRATION], pins=PINS)

    async def start() -> ApiServer:
        return await serve(create_app(board, auth, refusals=UNLIMITED), "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield RunningApi(server.url, board, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
