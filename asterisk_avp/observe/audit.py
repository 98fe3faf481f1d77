"""Who asked for what and what was decided: one record for each decision, one for each step.

``decision`` has the same fields whether it was allowed or denied, and whether a transfer was asked
for or a number dialled on an agent's phone. A number that was typed appears with its last three
digits, unless ``AVP_LOG_NUMBERS`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import Target, TargetKind, TransferRequest
from asterisk_avp.core.pbx.calls import Call
from asterisk_avp.core.policy.dialling import Dial, Dialled
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from asterisk_avp.observe.log import masked

log = structlog.get_logger(__name__)

Decided = tuple[Session, Outcome]

_PARTY: Final = "party"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks for what. ``agent``: empty where the phone is nobody's."""

    agent: str
    call: str | None
    """Channel id: of the caller, or of the phone that dials."""
    mode: str
    target: Target | None
    """None where the agent has yet to key it in."""
    channel: str | None = None
    """The name of the channel that dials, or asks; None for what came by the API."""


class Audit:
    """``count`` is told the mode, decision and reason of every decision."""

    def __init__(
        self, *, numbers: bool, count: Callable[[str, str, str], None] | None = None
    ) -> None:
        self._count = count
        self.numbers = numbers
        """Whether numbers are logged in full."""
        self._states: dict[str, State] = {}

    def decide(
        self,
        request: TransferRequest,
        call: Call | None,
        decide: Callable[[], Decided],
        *,
        party: bool = False,
    ) -> Decided:
        """What ``decide`` returns or raises, put on record.

        ``party``: it is about a fourth party, keyed in; see `party` for one asked for by the API.
        """
        asked = _Asked(
            agent=request.agent,
            call=call.caller_channel if call is not None else request.call,
            mode=_PARTY if party else request.mode.value,
            target=request.target,
            channel=request.channel,
        )
        return self._decided(asked, decide)

    def code(
        self, agent: str, channel: str, call: Call | None, decide: Callable[[], Decided]
    ) -> Decided:
        """The same of an agent who has used the feature code, and will say where to."""
        caller = call.caller_channel if call is not None else None
        return self._decided(_Asked(agent, caller, "supervised", None, channel), decide)

    def party(self, session: Session, number: str, decide: Callable[[], Outcome]) -> Decided:
        """The same of an agent who calls a fourth party into a transfer."""
        target = Target(TargetKind.NUMBER, number)
        asked = _Asked(session.agent, session.caller.channel, _PARTY, target)
        return self._decided(asked, lambda: (session, decide()))

    def _decided(self, asked: _Asked, decide: Callable[[], Decided]) -> Decided:
        try:
            session, outcome = decide()
        except Refused as refused:
            self._record(asked, "deny", refused.reason, refused.setting)
            raise
        self._record(asked, "allow", "ok", session.allow.setting, session.id)
        return session, outcome

    def dial(self, dialled: Dialled, decided: Dial) -> Dial:
        """``decided``, put on record.

        An emergency number is ``pass``: the administrator's dialplan decides what becomes of it.
        """
        asked = _Asked(
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
        self._record(asked, decision, decided.reason, decided.setting)
        return decided

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
        asked: _Asked,
        decision: str,
        reason: str,
        setting: str,
        transfer: str | None = None,
    ) -> None:
        if self._count is not None:
            self._count(asked.mode, decision, reason)
        log.info(
            "decision",
            agent=asked.agent or None,
            channel=asked.channel,
            call=asked.call,
            mode=asked.mode,
            kind=asked.target.kind.value if asked.target is not None else None,
            target=self._shown(asked.target) if asked.target is not None else None,
            decision=decision,
            reason=reason,
            setting=setting or None,
            transfer=transfer,
        )

    def _shown(self, target: Target) -> str:
        if target.kind is TargetKind.NUMBER and not self.numbers:
            return masked(target.value)
        return target.value
