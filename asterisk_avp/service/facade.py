"""The daemon's implementation of `asterisk_avp.api.port.TransferService`, which the API uses.

Reads return the engine's state. Requests are decided at once, in one step, and the workers perform
the resulting effects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.api.broadcast import EventBroadcaster
from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.groups import group_view, membership
from asterisk_avp.core.engine.history import History
from asterisk_avp.core.engine.requests import CallVariables, is_settling
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.model.caller import PRESENTATION_VARIABLES
from asterisk_avp.core.model.errors import AsteriskUnavailable, UnknownAgent
from asterisk_avp.core.model.hold import MUSIC
from asterisk_avp.core.model.work import GroupView, MembershipView, WorkRules
from asterisk_avp.core.model.world import (
    AgentView,
    Readiness,
    Target,
    TargetsView,
    TransferRequest,
    TransferView,
)
from asterisk_avp.core.numbers.rules import NumberCheck
from asterisk_avp.core.pbx.channel import Call
from asterisk_avp.core.pops.notifications import PopNotification
from asterisk_avp.core.transfer.dialplan import LIMIT
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.observe.audit import Audit
from asterisk_avp.pops.reader import pop_event
from asterisk_avp.runtime.tasks import begin
from asterisk_avp.service.admission import AdmissionControl, Turn
from asterisk_avp.service.alone import Alone
from asterisk_avp.service.call_groups import VARIABLE, group_fact, presentation_fact
from asterisk_avp.service.call_variables import call_facts
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.inbox import Handle, Inbox, Message, Report, TimeUp
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part
from asterisk_avp.service.readiness import ReadinessWatch
from asterisk_avp.service.work import AgentWork

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 2.0
SETTLE_PAUSE_SECONDS = 0.01

Pop = Callable[[str, str], Mapping[str, Any]]
"""Agent id, call id → the call's screen pop for the agent."""


class TransferService(Part):
    """Implements `asterisk_avp.api.port.TransferService`."""

    hears = (Report, TimeUp)

    def __init__(
        self,
        inbox: Inbox,
        engine: TransferEngine,
        ami: AmiReader,
        audit: Audit,
        history: History,
        changes: EventBroadcaster,
        work: AgentWork,
        *,
        pop: Pop,
        offered: Callable[[str | None], Sequence[PopNotification]],
        readiness: ReadinessWatch,
        links: Links,
        workers: Workers,
        admission: AdmissionControl,
        action_timeout_seconds: float,
    ) -> None:
        self.nodes = Alone()
        self._inbox = inbox
        self._engine = engine
        self._ami = ami
        self._work = work
        self._audit = audit
        self._history = history
        self._changes = changes
        self._pop = pop
        self._offered = offered
        self._readiness = readiness
        self._links = links
        self._workers = workers
        self._admission = admission
        self._action_timeout_seconds = action_timeout_seconds
        self._moved: dict[str, asyncio.Future[None]] = {}
        """Requests that wait for their Redirect, by session."""

    def handle(self, message: Message) -> None:
        """A transfer's call has been moved, or its first step has ended otherwise."""
        moved = self._moved.get(message.session) if isinstance(message, Report | TimeUp) else None
        if moved is not None and not moved.done():
            moved.set_result(None)

    # --- listeners -----------------------------------------------------------------------------

    def subscribe(self) -> asyncio.Queue[Mapping[str, Any]]:
        return self._changes.subscribe()

    def unsubscribe(self, queue: asyncio.Queue[Mapping[str, Any]]) -> None:
        self._changes.unsubscribe(queue)

    # --- reads ---------------------------------------------------------------------------------

    def readiness(self) -> Readiness:
        return self._readiness.now()

    def agents(self) -> Sequence[AgentView]:
        agents = sorted(self._engine.agents.by_id.values(), key=lambda agent: agent.id)
        return [views.agent_view(self._engine, agent, self._pop) for agent in agents]

    def roster(self, groups: Collection[str] | None = None) -> Sequence[AgentView]:
        known = self._engine.agents
        found = (
            known.by_id
            if groups is None
            else {agent.id: agent for group in groups for agent in known.in_group(group)}
        )
        return [views.roster_view(self._engine, found[agent]) for agent in sorted(found)]

    def group_counts(self, groups: Collection[str] | None = None) -> Sequence[Mapping[str, Any]]:
        known = self._engine.world.groups
        return [
            views.group_counts(self._engine, group)
            for group in (known if groups is None else groups)
            if group in known
        ]

    def agent(self, agent_id: str) -> AgentView:
        agent = self._engine.agents.by_id.get(agent_id)
        if agent is None:
            raise UnknownAgent(agent_id)
        return views.agent_view(self._engine, agent, self._pop)

    def targets(self, agent_id: str) -> TargetsView:
        if agent_id not in self._engine.agents.by_id:
            raise UnknownAgent(agent_id)
        return views.targets_view(self._engine, agent_id)

    def check_number(self, agent_id: str, number: str) -> NumberCheck:
        return views.number_check(self._engine, agent_id, number)

    def transfers(self, agent_id: str | None = None) -> Sequence[TransferView]:
        store = self._engine.store
        found = store.records.values() if agent_id is None else store.involving(agent_id)
        return [views.transfer_view(self._engine, record) for record in found]

    def transfer(self, transfer_id: str) -> TransferView:
        return views.transfer_view(self._engine, self._engine.record(transfer_id))

    async def find(self, transfer_id: str) -> TransferView:
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while transfer_id not in self._engine.store.records:
            readiness = self.readiness()
            if readiness.synced:
                break
            if asyncio.get_running_loop().time() > end:
                # An earlier daemon may have begun it: 404 would be a wrong answer.
                raise AsteriskUnavailable(readiness.detail)
            await asyncio.sleep(SETTLE_PAUSE_SECONDS)
        return self.transfer(transfer_id)

    def history(self, agent_id: str) -> Sequence[TransferView]:
        self.agent(agent_id)
        return self._history.of(agent_id, self.transfers(agent_id))

    def work_rules(self) -> WorkRules:
        return self._engine.world.work

    def groups(self, agent_id: str | None) -> Sequence[GroupView]:
        engine = self._engine
        if agent_id is None:
            own: Iterable[str] = engine.world.groups
        else:
            own = engine.agents.groups_of(agent_id)
        return [group_view(engine.agents, engine.waiting, group_id) for group_id in own]

    def membership(self, agent_id: str, group_id: str) -> MembershipView | None:
        agents = self._engine.agents
        agent = agents.by_id.get(agent_id)
        if agent is None or group_id not in agents.groups_of(agent_id):
            return None
        return membership(agents, agent, group_id)

    # --- requests ------------------------------------------------------------------------------

    def offered_pops(self, agent_id: str | None) -> Sequence[Mapping[str, Any]]:
        return [pop_event(notification) for notification in self._offered(agent_id)]

    async def pause(self, agent_id: str, reason: str) -> AgentView:
        await self._work.pause(agent_id, reason)
        return self.agent(agent_id)

    async def ready(self, agent_id: str, *, keep_acw: bool) -> AgentView:
        await self._work.ready(agent_id, keep_acw=keep_acw)
        return self.agent(agent_id)

    async def extend_acw(self, agent_id: str, seconds: int) -> AgentView:
        await self._work.extend_acw(agent_id, seconds)
        return self.agent(agent_id)

    async def log_in(self, agent_id: str, group_id: str) -> AgentView:
        await self._work.log_in(agent_id, group_id)
        return self.agent(agent_id)

    async def log_out(self, agent_id: str, group_id: str) -> AgentView:
        await self._work.log_out(agent_id, group_id)
        return self.agent(agent_id)

    async def request(self, request: TransferRequest) -> TransferView:
        self._check_ready()
        turn = await self._admission.turn()
        try:
            return await self._begin(request, turn)
        finally:
            turn.give_back()

    async def _begin(self, request: TransferRequest, turn: Turn) -> TransferView:
        call = await self._settled_call(request)
        reading = begin(self.read_call(call))  # while another node is asked
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def decide(perform: Handle) -> Session:
            session, outcome = self._audit.decide(
                request, call, lambda: self._engine.request(held.checked(), facts, time.time())
            )
            held.kept = True
            self._moved[session.id] = moved
            turn.taken_by(session)
            perform(outcome)
            return session

        # One step: a second request for the same call or target sees the effect of the first.
        try:
            async with self.nodes.hold(request) as held:
                facts = await reading
                self._check_ready()
                session = self._inbox.run(decide)
        finally:
            reading.cancel()
        # Respond once Asterisk has moved the call: who then hangs up, does so on no caller.
        try:
            async with asyncio.timeout(self._action_timeout_seconds):
                await moved
        except TimeoutError:
            log.warning("slow_redirect", transfer=session.id, call=session.caller.channel)
        finally:
            del self._moved[session.id]
        return self.transfer(session.id)

    async def _settled_call(self, request: TransferRequest) -> Call | None:
        """The call, once what brought it to the agent is over; at most `SETTLE_SECONDS` later.

        The API tells of the call from the end of a transfer on, so it may be transferred then.
        """
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while True:
            call = self._engine.call_of(request.agent, request.call)
            if call is None or not is_settling(call) or asyncio.get_running_loop().time() > end:
                return call
            await asyncio.sleep(SETTLE_PAUSE_SECONDS)

    async def read_call(self, call: Call | None) -> CallVariables:
        """Read the call's channel variables. Raises `AmiError`, `AsteriskUnavailable`."""
        if call is None:
            return CallVariables()
        channel = call.caller_channel
        names = (VARIABLE, "AVP_MAX_HOLD", LIMIT, MUSIC, *PRESENTATION_VARIABLES)
        variables = await self._ami.variables(channel, names)
        presentation = presentation_fact(channel, variables)
        for fact in (group_fact(channel, variables), presentation):
            if fact is not None:
                self._inbox.post(fact)  # the views must show what the decision uses
        found = call_facts(channel, variables, time.time())
        told = presentation.presentation if presentation is not None else None
        return replace(found, presentation=told)

    async def complete(self, transfer_id: str) -> TransferView:
        return await self._command(transfer_id, EventType.COMPLETE)

    async def cancel(self, transfer_id: str) -> TransferView:
        return await self._command(transfer_id, EventType.CANCEL)

    async def swap(self, transfer_id: str) -> TransferView:
        return await self._command(transfer_id, EventType.SWAP)

    async def conference(self, transfer_id: str) -> TransferView:
        return await self._command(transfer_id, EventType.CONFERENCE)

    async def add_party(self, transfer_id: str, wanted: Target) -> TransferView:
        self._check_reachable(transfer_id)
        session = self._engine.record(transfer_id).session
        request = TransferRequest(session.agent, session.mode, wanted, transfer=transfer_id)

        def decide() -> Outcome:
            _, outcome = self._audit.party(
                self._engine.record(transfer_id).session,
                wanted,
                lambda: self._engine.add_party(transfer_id, held.checked().target, time.time()),
            )
            held.kept = True
            return outcome

        async with self.nodes.hold(request) as held:
            return await self._step(transfer_id, decide)

    async def drop_party(self, transfer_id: str, party: str) -> TransferView:
        self._check_reachable(transfer_id)
        drop = self._engine.drop_party
        return await self._step(transfer_id, lambda: drop(transfer_id, party, time.time()))

    async def _command(self, transfer_id: str, kind: EventType) -> TransferView:
        self._check_reachable(transfer_id)
        command = self._engine.command
        return await self._step(transfer_id, lambda: command(transfer_id, kind, time.time()))

    async def _step(self, transfer_id: str, decide: Callable[[], Outcome]) -> TransferView:
        """Run one step, and return the transfer afterwards."""
        self._inbox.run(lambda perform: perform(decide()))
        # The effects begin before the response is written: somebody on the phone waits for them.
        await asyncio.sleep(0)
        return self.transfer(transfer_id)

    def _check_reachable(self, transfer_id: str) -> None:
        self._engine.record(transfer_id)
        if self._workers.held or not self._links.both:
            raise AsteriskUnavailable(self.readiness().detail)

    def _check_ready(self) -> None:
        readiness = self.readiness()
        if not readiness.ready:
            raise AsteriskUnavailable(readiness.detail)
