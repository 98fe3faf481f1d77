"""Transfers that agents request on their phones; the audit records each decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AvpError, Refused, WrongState
from asterisk_avp.core.pbx.calls import Call
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler, Selection
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.phone.refer import ReferHandler
from asterisk_avp.observe.audit import Audit

log = structlog.get_logger(__name__)

_DIALLED: Final = "AVP_GATE_NUMBER"
"""Set by the gate on the channel of an agent whom it allowed to dial out (`agi.gate`)."""


class Phones:
    def __init__(
        self,
        engine: TransferEngine,
        codes: FeatureCodeHandler,
        audit: Audit,
        carry_out: Callable[[Outcome], None],
        read_call: Callable[[Call], Awaitable[CallVariables]],
        variables: Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]],
        ready: Callable[[], bool],
    ) -> None:
        self._codes = codes
        self._refers = ReferHandler(engine)
        self._lines = PhoneLines(engine)
        self._audit = audit
        self._carry_out = carry_out
        self._read_call = read_call
        self._variables = variables
        self._ready = ready
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, fact: ev.PhoneFact) -> None:
        """What an agent did at a phone."""
        match fact:
            case ev.KeyPressed():
                outcome, selection = self._codes.key(fact, time.time())
                self._carry_out(outcome)
                if selection is not None:
                    self._choose(selection)
            case ev.ReferReceived():
                self._start(self._refer(fact))
            case ev.FeatureUsed():
                self._start(self._code(fact))

    def timed_out(self, session_id: str) -> bool:
        """Whether the end of a session's timer meant that the agent has finished typing."""
        found = self._codes.timed_out(session_id)
        if found is None:
            return False
        outcome, selection = found
        self._carry_out(outcome)
        if selection is not None:
            self._choose(selection)
        return True

    def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _choose(self, selection: Selection) -> None:
        now = time.time()
        try:
            _, outcome = self._audit.decide(
                selection.request,
                None,
                lambda: self._codes.apply_selection(selection, now),
                party=selection.fourth,
            )
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
        self._carry_out(outcome)

    async def _refer(self, received: ev.ReferReceived) -> None:
        dialled = ""
        if received.second is not None and received.target is not None:
            dialled = (await self._ask(received.second, _DIALLED)).get(_DIALLED, "")
        facts = await self._facts(received.channel)
        request = self._refers.transfer_request(received, dialled)
        if request is None:
            log.warning("refer_from_unknown_phone", channel=received.channel)
            return
        call = self._lines.call_of(received.channel)
        now = time.time()
        try:
            _, outcome = self._audit.decide(
                request, call, lambda: self._refers.refer(received, request, facts, now)
            )
        except Refused as refused:
            outcome = self._refers.refuse(received, request, refused.reason, now)
        self._carry_out(outcome)

    async def _code(self, used: ev.FeatureUsed) -> None:
        if not self._ready():
            log.warning("feature_code_while_not_ready", channel=used.channel)
            return
        facts = await self._facts(used.channel)
        call, agent = self._lines.call_of(used.channel), self._lines.agent_of(used.channel)
        try:
            _, outcome = self._audit.code(
                agent.id if agent is not None else "",
                used.channel,
                call,
                lambda: self._codes.code(used, facts, time.time()),
            )
        except Refused:
            return  # a code that is not enabled does nothing
        self._carry_out(outcome)

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
