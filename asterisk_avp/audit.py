"""Who asked for what and what was decided: one record for each decision, one for each step.

``decision`` has the same fields whether it was allowed or denied. A number that was typed appears
with its last three digits, unless ``AVP_LOG_NUMBERS`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from asterisk_avp.core.calls import Call
from asterisk_avp.core.errors import Refused
from asterisk_avp.core.model import Target, TargetKind, TransferRequest
from asterisk_avp.core.register import Outcome
from asterisk_avp.core.session import Session, State
from asterisk_avp.log import masked

log = structlog.get_logger(__name__)

Decided = tuple[Session, Outcome]


class Audit:
    def __init__(self, *, numbers: bool) -> None:
        self.numbers = numbers
        """Whether numbers are logged in full."""
        self._states: dict[str, State] = {}

    def decide(
        self, request: TransferRequest, call: Call | None, decide: Callable[[], Decided]
    ) -> Decided:
        """What ``decide`` returns or raises, put on record."""
        try:
            session, outcome = decide()
        except Refused as refused:
            self._record(request, call, "deny", refused.reason, refused.setting, None)
            raise
        self._record(request, call, "allow", "ok", session.allow.setting, session.id)
        return session, outcome

    def transfer(self, session: Session) -> None:
        """A transfer has entered another state; the same one again is not news."""
        if self._states.get(session.id) is session.state:
            return
        self._states[session.id] = session.state
        if session.state.final:
            del self._states[session.id]
        log.info(
            "transfer",
            transfer=session.id,
            state=session.state.value,
            agent=session.agent,
            mode=session.mode.value,
            target=f"{session.target.kind.value}:{self._shown(session.target)}",
            reason=session.reason or None,
        )

    def _record(
        self,
        request: TransferRequest,
        call: Call | None,
        decision: str,
        reason: str,
        setting: str,
        transfer: str | None,
    ) -> None:
        log.info(
            "decision",
            agent=request.agent,
            call=call.caller_channel if call is not None else request.call,
            mode=request.mode.value,
            kind=request.target.kind.value,
            target=self._shown(request.target),
            decision=decision,
            reason=reason,
            setting=setting or None,
            transfer=transfer,
        )

    def _shown(self, target: Target) -> str:
        if target.kind is TargetKind.NUMBER and not self.numbers:
            return masked(target.value)
        return target.value
