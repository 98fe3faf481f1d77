"""Transfers by the phone's Transfer button (SIP REFER). Pure.

The phone is notified of the outcome. Where policy refuses, the caller stays with the transferor,
or returns to the group if the phone hangs up on the refusal, as some phones do.
"""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables, group_of_call
from asterisk_avp.core.engine.sessions import Outcome, outcome_of
from asterisk_avp.core.messages.effects import NotifyPhone
from asterisk_avp.core.messages.facts import ReferReceived
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import (
    Mode,
    Origin,
    Target,
    TargetKind,
    TransferRequest,
)
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.session import Party, Presence, Session, is_half
from asterisk_avp.core.transfer.states import State


class ReferHandler:
    def __init__(self, engine: TransferEngine) -> None:
        self._engine = engine
        self._lines = PhoneLines(engine)

    def transfer_request(self, received: ReferReceived, dialled: str) -> TransferRequest | None:
        """The transfer that the REFER requests; None where the phone is not an agent's.

        ``dialled`` is the number, in E.164, that the dialling check permitted on the phone's
        second line. The number that the phone claims to have called cannot be trusted.
        """
        agent = self._lines.agent_of(received.channel)
        if agent is None:
            return None
        call = self._lines.call_of(received.channel)
        answered = received.target is not None
        group = group_of_call(self._engine.agents, agent.id, call)
        target = self._lines.resolve(received.number, agent.id, group)
        if received.target is not None:
            callee = self._lines.agent_of(received.target)
            target = Target(TargetKind.NUMBER, dialled)
            if callee is not None:
                target = Target(TargetKind.AGENT, callee.id)
        return TransferRequest(
            agent=agent.id,
            mode=Mode.SUPERVISED if answered else Mode.UNSUPERVISED,
            target=target,
            origin=Origin.BUTTON,
            channel=self._lines.name_of(received.channel),
            call=call.caller_channel if call is not None else None,
        )

    def refer(
        self, received: ReferReceived, request: TransferRequest, facts: CallVariables, now: float
    ) -> tuple[Session, Outcome]:
        """Decide and begin. Raises `Refused`; then call `refuse`."""
        engine, call = self._engine, self._lines.call_of(received.channel)
        answered = received.target is not None
        if received.attended:
            self.check_consult_call(received, request.agent)
        taken = not answered and engine.slot_taken(request.target.value)
        known = engine.decision_context(request.agent, call, slot_taken=taken)
        # Including as target or caller of another transfer.
        if self._running_transfer(received) is not None:
            known = replace(known, call_found=True, call_in_transfer=True)
        permission = policy.decide(request, known, engine.agents, engine.world)
        if call is None:
            raise policy.refused("no_active_call")
        session = engine.factory.make(request, request.target, permission, call, facts)
        session = replace(session, second_line=received.second or "")
        if received.target is not None:
            leg = Party(received.target, number=permission.number or "", presence=Presence.PRESENT)
            session = replace(session, leg=leg, local_far_end="", attended=True)
        return engine.begin(session, now)

    def check_consult_call(self, received: ReferReceived, agent: str) -> None:
        """Check that the call named by Replaces exists, is the agent's, and is in no transfer.

        Asterisk finds it by Call-ID and tags alone, whoever it belongs to. Raises `Refused`.
        """
        owner = self._lines.agent_of(received.second) if received.second is not None else None
        if owner is None or owner.id != agent:
            message = "The phone names a call to the target that it does not have."
            raise policy.refused("unknown_target", message)
        role_of = self._engine.store.role_of
        if any(role_of(channel) for channel in (received.second, received.target) if channel):
            raise policy.refused("already_transferring")

    def refuse(
        self, received: ReferReceived, request: TransferRequest, reason: str, now: float
    ) -> Outcome:
        """Notify the phone of the refusal without losing the caller if it hangs up."""
        engine, call = self._engine, self._lines.call_of(received.channel)
        part = self._running_transfer(received)
        if part is not None:
            running, channel = part
            # The phone gets one notification for all of its REFERs.
            mine = channel == running.transferor.channel and running.origin is Origin.BUTTON
            if mine and running.state.spec.phone_answer_due:
                return Outcome()
            return outcome_of(running, NotifyPhone(channel, done=False))
        group = group_of_call(engine.agents, request.agent, call)
        if call is None or group is None or is_half(call.caller_channel):
            return Outcome()  # no call that could be moved into Stasis, or not yet
        session = engine.factory.make(
            request, request.target, Permission(group), call, CallVariables()
        )
        session = replace(session, state=State.STARTING, refused=True, reason=reason)
        return engine.begin(session, now)[1]

    def _running_transfer(self, received: ReferReceived) -> tuple[Session, str] | None:
        """The running transfer that the phone's call is part of, in any role.

        With it, the channel by which the phone can be notified.
        """
        call = self._lines.call_of(received.channel)
        mine = [received.channel] if call is None else [call.agent_channel, call.caller_channel]
        for channel in mine:
            found = self._engine.store.role_of(channel)
            if found is None:
                continue
            session, role = found
            # Who was asked is behind the far end of a leg, on which Asterisk accepts no
            # notification.
            if role == "leg_far_end":
                return session, session.leg.channel
            if role == "fourth_far_end" and session.fourth is not None:
                return session, session.fourth.party.channel
            return session, mine[0]
        return None
