"""The audit log: one record for each decision, and one for each change of a transfer's state.

A ``decision`` record has the same fields for allowed and denied requests, and for transfers and
numbers dialled on an agent's phone. A dialled number appears with its last three digits only,
unless ``AVP_LOG_NUMBERS`` is set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import Target, TargetKind, TransferRequest
from asterisk_avp.core.pbx.channel import Call
from asterisk_avp.core.policy.dialling import Dial, Dialled
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from asterisk_avp.observe.log import masked

log = structlog.get_logger(__name__)

Decided = tuple[Session, Outcome]

_PARTY: Final = "party"


@dataclass(frozen=True, slots=True)
class _AuditedRequest:
    """What an agent requests. ``agent``: empty if the phone belongs to no agent."""

    agent: str
    call: str | None
    """Channel id of the caller, or of the phone that dials."""
    mode: str
    target: Target | None
    """None if the agent has yet to dial it."""
    channel: str | None = None
    """The name of the channel that dials or requests; None for the API."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What an agent who is at home here asks of the node where their call came in."""

    agent: str
    node: str
    asked: str
    """``transfer``, ``code``, or a command, as the API's path names it."""
    call: str = ""
    """The caller's channel there."""
    mode: str | None = None
    target: Target | None = None
    channel: str | None = None
    """The phone's channel here; None for the API."""
    transfer: str | None = None


class Audit:
    """``count`` is called with the mode, decision and reason of every decision."""

    def __init__(
        self, *, numbers: bool, count: Callable[[str, str, str], None] | None = None
    ) -> None:
        self._count = count
        self.numbers = numbers
        """Whether telephone numbers are logged in full."""
        self._states: dict[str, State] = {}

    def decide(
        self,
        request: TransferRequest,
        call: Call | None,
        decide: Callable[[], Decided],
        *,
        party: bool = False,
    ) -> Decided:
        """Call ``decide`` and record what it returns or raises.

        ``party``: the request is for a fourth party and was dialled; `party` records API requests.
        """
        audited = _AuditedRequest(
            agent=request.agent,
            call=call.caller_channel if call is not None else request.call,
            mode=_PARTY if party else request.mode.value,
            target=request.target,
            channel=request.channel,
        )
        return self._decided(audited, decide)

    def code(
        self, agent: str, channel: str, call: Call | None, decide: Callable[[], Decided]
    ) -> Decided:
        """Like `decide`, for an agent who pressed the feature code and will dial the target."""
        caller = call.caller_channel if call is not None else None
        return self._decided(_AuditedRequest(agent, caller, "supervised", None, channel), decide)

    def party(self, session: Session, wanted: Target, decide: Callable[[], Outcome]) -> Decided:
        """Like `decide`, for an agent who adds a fourth party to a transfer."""
        audited = _AuditedRequest(session.agent, session.caller.channel, _PARTY, wanted)
        return self._decided(audited, lambda: (session, decide()))

    def _decided(self, audited: _AuditedRequest, decide: Callable[[], Decided]) -> Decided:
        try:
            session, outcome = decide()
        except Refused as refused:
            self._record(audited, "deny", refused.reason, refused.setting)
            raise
        self._record(audited, "allow", "ok", session.permission.setting, session.id)
        return session, outcome

    def dial(self, dialled: Dialled, decided: Dial) -> Dial:
        """Record and return ``decided``.

        An emergency number is recorded as ``pass``: the administrator's dialplan handles it.
        """
        audited = _AuditedRequest(
            agent=decided.agent,
            call=dialled.call or None,
            mode="dial",
            target=Target(TargetKind.NUMBER, dialled.typed),
            channel=dialled.channel,
        )
        decision = "deny"
        if decided.allowed:
            decision = "allow"
        elif decided.reason == "emergency" and decided.number:
            decision = "pass"
        self._record(audited, decision, decided.reason, decided.setting)
        return decided

    def forwarded(
        self, asked: Forwarded, decision: str, reason: str, transfer: str | None = None
    ) -> None:
        """Record what another node has decided; its own record says by which setting."""
        target = asked.target
        log.info(
            "forwarded",
            agent=asked.agent,
            node=asked.node,
            request=asked.asked,
            channel=asked.channel,
            call=asked.call or None,
            mode=asked.mode,
            kind=target.kind.value if target is not None else None,
            target=self._shown(target) if target is not None else None,
            decision=decision,
            reason=reason,
            transfer=transfer or asked.transfer,
        )

    def transfer(self, session: Session) -> None:
        """Record a transfer's new state. A repeated state is not recorded."""
        if self._states.get(session.id) is session.state:
            return
        self._states[session.id] = session.state
        if session.state.final:
            del self._states[session.id]
        log.info(
            "transfer",
            transfer=session.id,
            call=session.caller.channel,
            state=session.state.value,
            agent=session.agent,
            mode=session.mode.value,
            target=f"{session.target.kind.value}:{self._shown(session.target)}"
            if session.target is not None
            else None,
            reason=session.reason or None,
        )

    def _record(
        self,
        audited: _AuditedRequest,
        decision: str,
        reason: str,
        setting: str,
        transfer: str | None = None,
    ) -> None:
        if self._count is not None:
            self._count(audited.mode, decision, reason)
        log.info(
            "decision",
            agent=audited.agent or None,
            channel=audited.channel,
            call=audited.call,
            mode=audited.mode,
            kind=audited.target.kind.value if audited.target is not None else None,
            target=self._shown(audited.target) if audited.target is not None else None,
            decision=decision,
            reason=reason,
            setting=setting or None,
            transfer=transfer,
        )

    def _shown(self, target: Target) -> str:
        if target.kind is TargetKind.NUMBER and not self.numbers:
            return masked(target.value)
        return target.value
