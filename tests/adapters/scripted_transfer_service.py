"""A scripted call centre behind the API: agents with given states, transfers that obey."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.broadcast import agent_event, group_event, transfer_event
from asterisk_avp.api.server import ApiServer, serve
from asterisk_avp.api.throttle import Budget
from asterisk_avp.core.engine import work
from asterisk_avp.core.engine.history import History, agents_involved
from asterisk_avp.core.model.errors import (
    AsteriskUnavailable,
    Refused,
    UnknownAgent,
    UnknownGroup,
    UnknownParty,
    UnknownTransfer,
    WrongState,
)
from asterisk_avp.core.model.work import GroupView, MembershipView, WorkRules
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
from asterisk_avp.core.numbers import NumberCheck, check, shown

SINCE = 1_769_850_307.25
SINCE_TEXT = "2026-01-31T09:05:07.250Z"
INTEGRATION = "integration-token"
_WITHIN = 60.0
PINS = {"1001": "pin-1001", "1002": "pin-1002", "1003": "pin-1003"}
#: Most requests of the tests are refused on purpose.
UNLIMITED = Budget(burst=10**9)


def bearer(token: str = INTEGRATION) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _memberships_now(view: AgentView) -> tuple[MembershipView, ...]:
    """An agent's memberships, with what the state means for those that they are logged in to."""
    known = {one.group: one for one in view.memberships}
    found = []
    for group in view.groups:
        one = known.get(group) or MembershipView(
            group, member=True, dynamic=True, actions=("logout",)
        )
        there = one.member and view.state is not AgentState.OFFLINE
        ready = there and view.state is not AgentState.NOT_READY
        free = ready and view.state is AgentState.AVAILABLE
        found.append(replace(one, logged_in=there, ready=ready, available=free))
    return tuple(found)


@dataclass
class ScriptedTransferService:
    """Implements `TransferService`. 1001 has a call, 1002 is free, and 1003 is in another group."""

    connected: bool = True
    views: dict[str, AgentView] = field(default_factory=dict)
    known: dict[str, TransferView] = field(default_factory=dict)
    requests: list[TransferRequest] = field(default_factory=list)
    offered: list[Mapping[str, Any]] = field(default_factory=list)
    """The ``pop`` events of calls that ring."""
    queues: list[asyncio.Queue[Mapping[str, Any]]] = field(default_factory=list)
    rules: WorkRules = field(default_factory=WorkRules)
    group_views: dict[str, GroupView] = field(default_factory=dict)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    unsubscribed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        call = CallView(
            id="chan-1", caller="Zoë <+12025550123>", group="sales", on_hold=False,
            caller_formatted=shown("Zoë <+12025550123>", "US"), pop={"case": "4711", "name": "Zoë"},
        )  # fmt: skip
        for agent_id, name, state, groups, own in (
            ("1001", "Alice", AgentState.TALKING, ("sales",), call),
            ("1002", "Bøb", AgentState.AVAILABLE, ("sales",), None),
            ("1003", "Carol", AgentState.ACW, ("support",), None),
        ):
            self.views[agent_id] = AgentView(
                id=agent_id, name=name, state=state, since=SINCE, groups=groups,
                waiting_transfer=False, call=own, calls=(own,) if own else (),
                work_actions=("pause",), memberships=tuple(
                    MembershipView(
                        g, member=True, dynamic=True, actions=("logout",), logged_in=True,
                        ready=True, available=state is AgentState.AVAILABLE,
                    )
                    for g in groups
                ),
            )  # fmt: skip
        for group_id in ("sales", "support"):
            self.group_views[group_id] = GroupView(
                group_id, group_id.capitalize(), logged_in=2, ready=2, available=1, waiting=0,
                longest_wait_since=None,
            )  # fmt: skip

    def readiness(self) -> Readiness:
        up = self.connected
        return Readiness(up, ari=up, ami=True, synced=up, detail="" if up else "ARI: refused")

    def agents(self) -> Sequence[AgentView]:
        return list(self.views.values())

    def roster(self, groups: Collection[str] | None = None) -> Sequence[AgentView]:
        private: dict[str, Any] = {"work_actions": (), "memberships": ()}
        return [
            replace(view, call=None, calls=(), pause_reason="", **private)
            for view in self.views.values()
            if groups is None or not set(groups).isdisjoint(view.groups)
        ]

    def group_counts(self, groups: Collection[str] | None = None) -> Sequence[Mapping[str, Any]]:
        """Of the groups that have agents; they are there unless they are offline."""
        known = {group for view in self.views.values() for group in view.groups}
        found = []
        for group in sorted(known if groups is None else known & set(groups)):
            counted = [self.counted(v, group) for v in self.views.values() if group in v.groups]
            logged_in, ready, available = map(sum, zip(*counted, strict=True))
            counts = {"available": available, "logged_in": logged_in, "ready": ready}
            found.append({"id": group, **counts})
        return found

    def counted(self, view: AgentView, group: str) -> tuple[bool, bool, bool]:
        """How an agent is counted in a group: as their membership says, else by their state."""
        for known in view.memberships:
            if known.group == group:
                return known.logged_in, known.ready, known.available
        there = view.state is not AgentState.OFFLINE and not view.memberships
        ready = there and view.state is not AgentState.NOT_READY
        return there, ready, ready and view.state is AgentState.AVAILABLE

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
            my_agent_groups=(TargetGroup("sales", "Sales", (member,), 1, logged_in=1, ready=1),),
            agent_groups=(TargetGroup("support", "Support", (), 0, logged_in=2, ready=1),),
        )

    def offered_pops(self, agent_id: str | None) -> Sequence[Mapping[str, Any]]:
        return [pop for pop in self.offered if agent_id in (None, pop["agent"])]

    def check_number(self, agent_id: str, number: str) -> NumberCheck:
        self.agent(agent_id)
        return check(number, agent_country="US", client_country="US")

    def transfers(self, agent_id: str | None = None) -> Sequence[TransferView]:
        return [
            view
            for view in self.known.values()
            if agent_id is None or agent_id in agents_involved(view)
        ]

    def transfer(self, transfer_id: str) -> TransferView:
        try:
            return self.known[transfer_id]
        except KeyError:
            raise UnknownTransfer(transfer_id) from None

    async def find(self, transfer_id: str) -> TransferView:
        return self.transfer(transfer_id)

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
            caller_formatted=agent.call.caller_formatted,
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

    async def add_party(self, transfer_id: str, wanted: Target) -> TransferView:
        number = wanted.value
        if wanted.kind is TargetKind.NUMBER and not number.startswith("+1"):
            raise Refused("country_mismatch", "The number is in another country.")
        view = self._change(transfer_id, TransferState.CONSULTING)
        formatted = shown(number, "US")
        fourth = PartyView("party-4", "fourth", number, "ringing", name_formatted=formatted)
        if wanted.kind is TargetKind.AGENT:
            fourth = PartyView(number, "fourth", number, "waiting")
        return self.changed(replace(view, parties=(*view.parties, fourth)))

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
        view = replace(self.views[agent_id], **changes)
        if view.memberships and "memberships" not in changes:
            view = replace(view, memberships=_memberships_now(view))
        self.views[agent_id] = view
        self.publish(agent_event(self.views[agent_id]))

    def publish(self, event: Mapping[str, Any]) -> None:
        for queue in self.queues:
            queue.put_nowait(event)

    def history(self, agent_id: str) -> Sequence[TransferView]:
        self.agent(agent_id)
        return History().of(agent_id, self.known.values())

    def work_rules(self) -> WorkRules:
        return self.rules

    def groups(self, agent_id: str | None) -> Sequence[GroupView]:
        own = self.group_views if agent_id is None else self.agent(agent_id).groups
        return [self.group_views[group] for group in own if group in self.group_views]

    def membership(self, agent_id: str, group_id: str) -> MembershipView | None:
        found = (m for m in self.agent(agent_id).memberships if m.group == group_id)
        return next(found, None)

    def group_changed(self, view: GroupView) -> None:
        self.group_views[view.id] = view
        self.publish(group_event(view))

    async def pause(self, agent_id: str, reason: str) -> AgentView:
        return self._work(agent_id, paused=True, pause_reason=reason)

    async def ready(self, agent_id: str, *, keep_acw: bool) -> AgentView:
        agent = self.agent(agent_id)
        if agent.state is AgentState.ACW and not keep_acw and "end_acw" not in agent.work_actions:
            raise work.refused("static_member")
        return self._work(agent_id, paused=False, pause_reason="", keep_acw=keep_acw)

    async def extend_acw(self, agent_id: str, seconds: int) -> AgentView:
        agent = self.agent(agent_id)
        if agent.acw_until is None:
            raise WrongState("The agent is not in after-call work.", "not_in_acw")
        self.agent_changed(agent_id, acw_until=agent.acw_until + seconds)
        return self.agent(agent_id)

    async def log_in(self, agent_id: str, group_id: str) -> AgentView:
        return self._member(agent_id, group_id, member=True)

    async def log_out(self, agent_id: str, group_id: str) -> AgentView:
        return self._member(agent_id, group_id, member=False)

    def _member(self, agent_id: str, group_id: str, *, member: bool) -> AgentView:
        known = self.membership(agent_id, group_id)
        if known is None:
            raise UnknownGroup(group_id)
        if not known.dynamic:
            raise work.refused("static_member")
        actions = ("logout",) if member else ("login",)
        now = MembershipView(group_id, member=member, dynamic=True, actions=actions)
        others = self.agent(agent_id).memberships
        self.agent_changed(
            agent_id, memberships=tuple(now if m.group == group_id else m for m in others)
        )
        return self.agent(agent_id)

    def _work(self, agent_id: str, *, keep_acw: bool = False, **changes: Any) -> AgentView:
        agent = self.agent(agent_id)
        if agent.state is AgentState.OFFLINE:
            raise WrongState("The agent is not logged in to any queue.", "not_logged_in")
        state = AgentState.NOT_READY if changes["paused"] else AgentState.AVAILABLE
        if agent.call is not None:
            state = AgentState.TALKING
        elif agent.state is AgentState.ACW and (changes["paused"] or keep_acw):
            state = AgentState.ACW
        until = agent.acw_until if state is AgentState.ACW else None
        actions = ("pause", "ready") if changes["paused"] else ("pause",)
        if state is AgentState.ACW:
            actions += tuple(a for a in ("end_acw", "extend_acw") if a in agent.work_actions)
        self.agent_changed(agent_id, state=state, acw_until=until, work_actions=actions, **changes)
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

        asyncio.run_coroutine_threadsafe(act(), self.loop).result(_WITHIN)

    def wait_subscribed(self) -> None:
        asyncio.run_coroutine_threadsafe(self.board.subscribed.wait(), self.loop).result(_WITHIN)


@contextmanager
def api_in_thread() -> Iterator[RunningApi]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    board = ScriptedTransferService()
    auth = Authenticator(tokens=[INTEGRATION], pins=PINS)

    async def start() -> ApiServer:
        return await serve(create_app(board, auth, refusals=UNLIMITED), "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(_WITHIN)
    try:
        yield RunningApi(server.url, board, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(_WITHIN)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_WITHIN)
        loop.close()
