"""Whose phone a channel is, and the phone's own Transfer button. Pure, over the hub.

A phone that asked by its Transfer button is told the outcome; where policy refuses, the caller
stays with agent 1, or goes back to the group if the phone hangs up on hearing it (some do).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asterisk_avp.core.engine.engine import CallFacts, TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import Effect, TellPhone
from asterisk_avp.core.messages.facts import TransferAsked
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import (
    Group,
    Mode,
    Origin,
    Target,
    TargetKind,
    TransferRequest,
    agent_id_of_interface,
)
from asterisk_avp.core.numbers.emergency import found_in
from asterisk_avp.core.pbx.agents import Agent
from asterisk_avp.core.pbx.calls import Call, resource_of
from asterisk_avp.core.phone.dial_codes import meaning
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.session import Party, Presence, Session, State, is_half

_ANSWER_DUE: Final = frozenset(
    {State.STARTING, State.QUEUEING, State.QUEUED, State.OFFERED, State.COMPLETING}
)
"""States in which the phone that began it is about to be told of the outcome."""


class ReferHandler:
    def __init__(self, engine: TransferEngine) -> None:
        self._engine = engine

    # --- whose phone -------------------------------------------------------------------------

    def agent_of(self, channel: str) -> Agent | None:
        """Whose phone a channel is."""
        seen = self._engine.calls.channels.get(channel)
        if seen is None:
            return None
        known = self._engine.agents.of_channel(seen.name)
        # Behind a member Local/1001@agents the phone itself has a name of its own.
        return known or self._engine.agents.by_id.get(
            agent_id_of_interface(resource_of(seen.name)) or ""
        )

    def call_of(self, channel: str) -> Call | None:
        """The call that the phone behind this channel is in."""
        agent = self.agent_of(channel)
        for call in self._engine.calls_of(agent) if agent is not None else ():
            if channel == call.agent_channel or self._behind(channel, call.agent_channel):
                return call
        return None

    def _behind(self, phone: str, half: str) -> bool:
        """Whether ``phone`` is in a bridge with the other half of this Local channel."""
        calls = self._engine.calls
        name = calls.channels[half].name
        if not name.endswith(";1"):
            return False
        return any(other.name == name[:-1] + "2" for other in calls.around(phone))

    def _name(self, channel: str) -> str:
        return self._engine.calls.name_of(channel)

    # --- the Transfer button -----------------------------------------------------------------

    def wanted(self, asked: TransferAsked, dialled: str) -> TransferRequest | None:
        """What the button asks for; None where the phone is no agent's.

        ``dialled`` is the number that the gate allowed on the phone's second line, in E.164.
        Not what the phone says it called, which is the phone's word only.
        """
        agent = self.agent_of(asked.channel)
        if agent is None:
            return None
        call = self.call_of(asked.channel)
        answered = asked.target is not None
        group = self._engine.group_of_call(agent.id, call)
        target = self._hub_meaning(asked.number, agent.id, group)
        if asked.target is not None:
            callee = self.agent_of(asked.target)
            target = Target(TargetKind.NUMBER, dialled)
            if callee is not None:
                target = Target(TargetKind.AGENT, callee.id)
        return TransferRequest(
            agent=agent.id,
            mode=Mode.SUPERVISED if answered else Mode.UNSUPERVISED,
            target=target,
            origin=Origin.BUTTON,
            channel=self._name(asked.channel),
            call=call.caller_channel if call is not None else None,
        )

    def _hub_meaning(self, text: str, agent: str, group: Group | None) -> Target:
        """What ``text`` means to this agent with a call of ``group``."""
        configured = self._engine.world.agents.get(agent)
        of_agent = configured.country if configured is not None else None
        countries = {of_agent, group.features.country if group is not None else None} - {None}
        emergency = found_in(text, filter(None, countries))
        if emergency is not None:
            # No setting can have it, but a queue may have a member whose interface is named so.
            return Target(TargetKind.NUMBER, text)
        scope = self._engine.agents.tenants.of_call(agent, group)
        return meaning(text, self._engine.agents, self._engine.world, scope)

    def refer(
        self, asked: TransferAsked, request: TransferRequest, facts: CallFacts, now: float
    ) -> tuple[Session, Outcome]:
        """Decide and begin. Raises `Refused`; then `refuse` is to follow."""
        engine, call = self._engine, self.call_of(asked.channel)
        answered = asked.target is not None
        if asked.attended:
            self._check_second(asked, request.agent)
        taken = not answered and engine.slot_taken(request.target.value)
        known = engine.facts_of(request.agent, call, slot_taken=taken)
        if self._part(asked) is not None:  # also as the target, or the caller, of another's
            known = replace(known, call_found=True, call_in_transfer=True)
        allow = policy.decide(request, known, engine.agents, engine.world)
        if call is None:
            raise policy.refused("no_active_call")
        session = engine.new_session(request, request.target, allow, call, facts)
        session = replace(session, second_line=asked.second or "")
        if asked.target is not None:
            leg = Party(asked.target, number=allow.number or "", presence=Presence.PRESENT)
            session = replace(session, leg=leg, leg_other="", attended=True)
        return engine.begin(session, now)

    def refuse(
        self, asked: TransferAsked, request: TransferRequest, reason: str, now: float
    ) -> Outcome:
        """Tell the phone, in a way that does not lose the caller if it hangs up on it."""
        engine, call = self._engine, self.call_of(asked.channel)
        part = self._part(asked)
        if part is not None:
            running, channel = part
            # The one answer that a phone gets is for all it has asked.
            mine = channel == running.transferor.channel and running.origin is Origin.BUTTON
            if mine and running.state in _ANSWER_DUE:
                return Outcome()
            return outcome_of(running, TellPhone(channel, done=False))
        group = engine.group_of_call(request.agent, call)
        if call is None or group is None or is_half(call.caller_channel):
            return Outcome()  # nothing of a call is in our reach, or not yet
        session = engine.new_session(request, request.target, Permission(group), call, CallFacts())
        session = replace(session, state=State.STARTING, refused=True, reason=reason)
        return engine.begin(session, now)[1]

    def _check_second(self, asked: TransferAsked, agent: str) -> None:
        """The call that the phone speaks of has to be there, its own, and in no transfer.

        Asterisk looks for it by its id and tags alone, and finds anybody's.
        """
        owner = self.agent_of(asked.second) if asked.second is not None else None
        if owner is None or owner.id != agent:
            message = "The phone speaks of a call to the target, but has no such call."
            raise policy.refused("unknown_target", message)
        role_of = self._engine.store.role_of
        if any(role_of(channel) for channel in (asked.second, asked.target) if channel):
            raise policy.refused("already_transferring")

    def _part(self, asked: TransferAsked) -> tuple[Session, str] | None:
        """The running transfer that the phone's call is part of, whatever its part.

        And the channel there by which the phone can be told something.
        """
        call = self.call_of(asked.channel)
        mine = [asked.channel] if call is None else [call.agent_channel, call.caller_channel]
        for channel in mine:
            found = self._engine.store.role_of(channel)
            if found is None:
                continue
            session, role = found
            # A target sits behind the other half of the leg, where Asterisk would not take it.
            return session, session.leg.channel if role == "leg_other" else mine[0]
        return None

    def _running(self, channel: str) -> Session | None:
        found = self._engine.store.role_of(channel)
        return found[0] if found is not None and found[1] == "transferor" else None


def outcome_of(session: Session, *effects: Effect) -> Outcome:
    return Outcome(effects=[(session.id, effect) for effect in effects])
