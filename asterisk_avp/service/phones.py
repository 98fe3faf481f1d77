"""Transfers that agents request on their phones; the audit records each decision."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskBusy, AvpError, Refused, WrongState
from asterisk_avp.core.pbx.channel import Call
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler, Selection
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.phone.refer import ReferHandler
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.observe.audit import Audit
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.admission import AdmissionControl, Turn
from asterisk_avp.service.alone import Alone, Held
from asterisk_avp.service.inbox import Inbox, Message
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

_BUSY: Final = "asterisk_busy"
"""Why a REFER is declined while Asterisk is too busy for another transfer."""

_DIALLED: Final = "AVP_GATE_NUMBER"
"""Set by the dialling check on the channel of an agent who may dial the number (`agi.gate`)."""


class Phones(Part):
    hears = (ev.KeyPressed, ev.ReferReceived, ev.FeatureUsed)

    def __init__(
        self,
        engine: TransferEngine,
        codes: FeatureCodeHandler,
        audit: Audit,
        inbox: Inbox,
        read_call: Callable[[Call], Awaitable[CallVariables]],
        variables: Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]],
        ready: Callable[[], bool],
        admission: AdmissionControl,
    ) -> None:
        self.nodes = Alone()
        self._codes = codes
        self._refers = ReferHandler(engine)
        self._lines = PhoneLines(engine)
        self._audit = audit
        self._inbox = inbox
        self._read_call = read_call
        self._variables = variables
        self._ready = ready
        self._admission = admission
        self._tasks = TaskSet("phone")

    def handle(self, message: Message) -> Outcome | None:
        """Handle a key press, a REFER or a feature code."""
        match message:
            case ev.KeyPressed():
                return self._keyed(*self._codes.key(message, time.time()))
            case ev.ReferReceived():
                self._tasks.start(self._refer(message))
            case ev.FeatureUsed():
                self._tasks.start(self._code(message))
        return None

    def timed_out(self, session_id: str) -> Outcome | None:
        """The outcome if the expired timer ends an agent's key entry; None: it does not."""
        found = self._codes.timed_out(session_id)
        return self._keyed(*found) if found is not None else None

    async def stop(self) -> None:
        self._tasks.cancel()

    def _keyed(self, outcome: Outcome, selection: Selection | None) -> Outcome:
        if selection is None:
            return outcome
        if self.nodes.is_elsewhere(selection.request):
            self._tasks.start(self._choose_elsewhere(selection))
            return outcome
        return outcome.then(self._choose(selection))

    async def _choose_elsewhere(self, selection: Selection) -> None:
        """Another node is asked first whether the target's slot is free."""
        request = replace(selection.request, transfer=selection.session)
        async with self.nodes.hold(request) as held:
            self._inbox.run(lambda perform: perform(self._choose(selection, held)))

    def _choose(self, selection: Selection, held: Held | None = None) -> Outcome:
        now = time.time()

        def decide() -> tuple[Session, Outcome]:
            if held is not None:
                held.checked()
            return self._codes.apply_selection(selection, now)

        try:
            _, outcome = self._audit.decide(
                selection.request,
                None,
                decide,
                party=selection.fourth,
            )
            if held is not None:
                held.kept = True
        except Refused as refused:
            outcome = self._codes.reject_selection(selection, refused.reason, now)
        except WrongState as error:
            log.info(
                "key_entry_discarded",
                transfer=selection.session,
                call=selection.request.call,
                detail=str(error),
            )
            outcome = self._codes.discard_selection(selection)
        return outcome

    async def _refer(self, received: ev.ReferReceived) -> None:
        dialled = ""
        if received.second is not None and received.target is not None:
            dialled = (await self._ask(received.second, _DIALLED)).get(_DIALLED, "")
        facts = await self._facts(received.channel)
        request = self._refers.transfer_request(received, dialled)
        if request is None:
            log.warning("refer_from_unknown_phone", channel=received.channel)
            return
        refused = await self.nodes.refer(received, request)
        if refused is not None:
            refuse, now = self._refers.refuse, time.time()
            if refused:
                self._inbox.run(lambda perform: perform(refuse(received, request, refused, now)))
            return
        try:
            turn = await self._admission.turn()
        except AsteriskBusy:
            refuse, now = self._refers.refuse, time.time()
            self._inbox.run(lambda perform: perform(refuse(received, request, _BUSY, now)))
            return
        try:
            async with self.nodes.hold(request) as held:
                self._inbox.run(lambda perform: perform(self._decide(received, held, facts, turn)))
        finally:
            turn.give_back()

    def _decide(
        self, received: ev.ReferReceived, held: Held, facts: CallVariables, turn: Turn
    ) -> Outcome:
        call, request = self._lines.call_of(received.channel), held.request
        now = time.time()
        try:
            session, outcome = self._audit.decide(
                request, call, lambda: self._refers.refer(received, held.checked(), facts, now)
            )
        except Refused as refused:
            return self._refers.refuse(received, request, refused.reason, now)
        held.kept = True
        turn.taken_by(session)
        return outcome

    async def _code(self, used: ev.FeatureUsed) -> None:
        if await self.nodes.code(used):
            return
        await self.begin_code(used)

    async def begin_code(self, used: ev.FeatureUsed) -> None:
        """Ask the agent for the target, if a transfer may begin."""
        if not self._ready():
            log.warning("feature_code_while_not_ready", channel=used.channel)
            return
        try:
            turn = await self._admission.turn()
        except AsteriskBusy:
            log.warning("feature_code_while_busy", channel=used.channel)
            return
        try:
            facts = await self._facts(used.channel)
            self._inbox.run(lambda perform: perform(self._decide_code(used, facts, turn)))
        finally:
            turn.give_back()

    def _decide_code(self, used: ev.FeatureUsed, facts: CallVariables, turn: Turn) -> Outcome:
        call, agent = self._lines.call_of(used.channel), self._lines.agent_of(used.channel)
        try:
            session, outcome = self._audit.code(
                agent.id if agent is not None else "",
                used.channel,
                call,
                lambda: self._codes.code(used, facts, time.time()),
            )
        except Refused:
            return Outcome()  # a feature code that is not enabled has no effect
        turn.taken_by(session)
        return outcome

    async def _facts(self, channel: str) -> CallVariables:
        call = self._lines.call_of(channel)
        if call is None:
            return CallVariables()
        try:
            return await self._read_call(call)
        except AvpError as error:
            log.warning("call_variables_read_failed", channel=channel, error=str(error))
            return CallVariables()

    async def _ask(self, channel: str, variable: str) -> Mapping[str, str]:
        try:
            return await self._variables(channel, (variable,))
        except AvpError as error:
            log.warning("call_variables_read_failed", channel=channel, error=str(error))
            return {}
