"""What agents do at their phones: Transfer button, feature code, key presses. Pure, over the hub.

Every way ends at the same policy as a request by the API. A phone that asked by its Transfer
button is told the outcome; where policy refuses, the caller stays with agent 1, or goes back to
the group if the phone hangs up on hearing it (some do).

What is typed is only ever looked up or judged as a number; nothing of it is dialled as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from asterisk_avp.core import actions, policy, prompts
from asterisk_avp.core.agents import Agent
from asterisk_avp.core.allow import Allow
from asterisk_avp.core.calls import Call, resource_of
from asterisk_avp.core.dialled import meaning
from asterisk_avp.core.effects import (
    ClearTimer,
    Effect,
    SendKeys,
    SetTimer,
    StopPlaying,
    TellPhone,
)
from asterisk_avp.core.errors import Refused, WrongState
from asterisk_avp.core.events import FeatureUsed, KeyPressed, Kind, SessionEvent, TransferAsked
from asterisk_avp.core.hub import CallFacts, Hub
from asterisk_avp.core.keypad import KeyCodes, Keypad, Pressed
from asterisk_avp.core.model import (
    Mode,
    Origin,
    Target,
    TargetKind,
    TransferRequest,
    agent_id_of_interface,
)
from asterisk_avp.core.register import Outcome
from asterisk_avp.core.session import Choice, Party, Presence, Session, State
from asterisk_avp.core.transfer import FIRST_KEY_SECONDS

NEXT_KEY_SECONDS: Final = 4.0
"""A pause as long as this after a digit means the same as ``#``."""

_COMMANDS: Final = {
    "complete": Kind.COMPLETE,
    "cancel": Kind.CANCEL,
    "swap": Kind.SWAP,
    "conference": Kind.CONFERENCE,
}
_MAY_ADD: Final = frozenset({State.CONSULTING, State.CONFERENCE})


@dataclass(frozen=True, slots=True)
class Choosing:
    """Digits are complete: what the agent wants, for policy to decide."""

    session: str
    request: TransferRequest
    typed: str
    fourth: bool
    """They name a fourth party, not the target."""


class Desk:
    def __init__(self, hub: Hub, codes: KeyCodes) -> None:
        self._hub = hub
        self._codes = codes
        self._pads: dict[str, Keypad] = {}
        """By session, where there is more to know than its state says."""

    # --- whose phone -------------------------------------------------------------------------

    def agent_of(self, channel: str) -> Agent | None:
        """Whose phone a channel is."""
        seen = self._hub.calls.channels.get(channel)
        if seen is None:
            return None
        known = self._hub.agents.of_channel(seen.name)
        # Behind a member Local/1001@agents the phone itself has a name of its own.
        return known or self._hub.agents.by_id.get(
            agent_id_of_interface(resource_of(seen.name)) or ""
        )

    def call_of(self, channel: str) -> Call | None:
        """The call that the phone behind this channel is in."""
        agent = self.agent_of(channel)
        for call in self._hub.calls_of(agent) if agent is not None else ():
            if channel == call.agent_channel or self._behind(channel, call.agent_channel):
                return call
        return None

    def _behind(self, phone: str, half: str) -> bool:
        """Whether ``phone`` is in a bridge with the other half of this Local channel."""
        calls = self._hub.calls
        name = calls.channels[half].name
        if not name.endswith(";1"):
            return False
        bridge = calls.channels[phone].bridge
        return any(
            other.name == name[:-1] + "2" and other.bridge == bridge is not None
            for other in calls.channels.values()
        )

    def _name(self, channel: str) -> str:
        return self._hub.calls.name_of(channel)

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
        target = self._hub_meaning(asked.number)
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

    def _hub_meaning(self, text: str) -> Target:
        return meaning(text, self._hub.agents, self._hub.world)

    def refer(
        self, asked: TransferAsked, request: TransferRequest, facts: CallFacts, now: float
    ) -> tuple[Session, Outcome]:
        """Decide and begin. Raises `Refused`; then `refuse` is to follow."""
        hub, call = self._hub, self.call_of(asked.channel)
        answered = asked.target is not None
        if asked.attended and asked.second is None:
            message = "The phone speaks of a call to the target, but there is no such call."
            raise policy.refused("unknown_target", message)
        taken = not answered and hub.slot_taken(request.target.value)
        known = hub.facts_of(request.agent, call, slot_taken=taken)
        allow = policy.decide(request, known, hub.agents, hub.world)
        if call is None:
            raise policy.refused("no_active_call")
        session = hub.new_session(request, request.target, allow, call, facts)
        session = replace(session, second_line=asked.second or "")
        if asked.target is not None:
            leg = Party(asked.target, number=allow.number or "", presence=Presence.PRESENT)
            session = replace(session, leg=leg, leg_other="", attended=True)
        return hub.begin(session, now)

    def refuse(
        self, asked: TransferAsked, request: TransferRequest, reason: str, now: float
    ) -> Outcome:
        """Tell the phone, in a way that does not lose the caller if it hangs up on it."""
        hub, call = self._hub, self.call_of(asked.channel)
        running = self._running(call.agent_channel if call is not None else asked.channel)
        if running is not None:
            # The one answer that the phone gets is for all it has asked; see `DECLINED`.
            if running.origin is Origin.BUTTON and running.state is not State.DECLINED:
                return Outcome()
            return _outcome(running, TellPhone(running.transferor.channel, done=False))
        group = hub.group_of_call(request.agent, call)
        if call is None or group is None:
            return Outcome()  # nothing of a call is in our reach
        session = hub.new_session(request, request.target, Allow(group), call, CallFacts())
        session = replace(session, state=State.STARTING, refused=True, reason=reason)
        return hub.begin(session, now)[1]

    def _running(self, channel: str) -> Session | None:
        found = self._hub.register.role_of(channel)
        return found[0] if found is not None and found[1] == "transferor" else None

    # --- the feature code --------------------------------------------------------------------

    def code(self, used: FeatureUsed, facts: CallFacts, now: float) -> tuple[Session, Outcome]:
        """Take both to where agent 1 is asked for the target. Raises `Refused`."""
        hub, agent, call = self._hub, self.agent_of(used.channel), self.call_of(used.channel)
        if agent is None or call is None:
            raise policy.refused("no_active_call")
        allow = policy.decide_asking(hub.facts_of(agent.id, call))
        nowhere = Target(TargetKind.NUMBER, "")
        request = TransferRequest(agent.id, Mode.SUPERVISED, nowhere, origin=Origin.CODE)
        return hub.begin(hub.new_session(request, None, allow, call, facts), now)

    # --- keys --------------------------------------------------------------------------------

    def key(self, pressed: KeyPressed, now: float) -> tuple[Outcome, Choosing | None]:
        """A key at agent 1's phone; at any other it is none of our business."""
        session = self._running(pressed.channel)
        if session is None or session.transferor.presence is not Presence.PRESENT:
            return Outcome(), None
        pad, what, text = self._pad(session).press(pressed.key, self._codes)
        self._keep(session, pad)
        match what:
            case Pressed.DIGIT:
                stop = (StopPlaying(actions.prompt_id(session)),) if len(text) == 1 else ()
                return _outcome(session, *stop, SetTimer(NEXT_KEY_SECONDS)), None
            case Pressed.SUBMIT:
                return Outcome(), self._choosing(session, text)
            case Pressed.BACK:
                return self._back(session, now), None
            case Pressed.COMMAND:
                return self._command(session, text, now), None
            case Pressed.FOR_OTHERS:
                return self._pass_on(session, text), None
            case _:
                return Outcome(), None

    def timed_out(self, session_id: str) -> Choosing | None:
        """A pause after digits is as good as ``#``; None where it is the session's business."""
        record = self._hub.register.records.get(session_id)
        if record is None:
            return None
        pad = self._pad(record.session)
        if not pad.asking:
            return None
        if pad.typed or record.session.state in _MAY_ADD:
            return self._choosing(record.session, pad.typed)
        return None

    def choose(self, choosing: Choosing, now: float) -> tuple[Session, Outcome]:
        """Decide about what was keyed in, and go on. Raises `Refused`; then `wrong` follows."""
        hub, request = self._hub, choosing.request
        session = hub.record(choosing.session).session
        if choosing.fourth:
            outcome = hub.add_party(session.id, request.target.value, now)
            self._pads.pop(session.id, None)
            return hub.record(session.id).session, outcome
        # The call is with us already: what is left to decide is where it may go.
        facts = policy.Facts(
            call_found=True,
            call_in_transfer=False,
            group=session.allow.group,
            slot_taken=hub.slot_taken(request.target.value),
        )
        allow = policy.decide(request, facts, hub.agents, hub.world)
        choice = Choice(request.mode, request.target, allow)
        outcome = Outcome()
        hub.register.apply(session.id, SessionEvent(Kind.CHOSEN, choice=choice), now, outcome)
        self._pads.pop(session.id, None)
        return hub.record(session.id).session, outcome

    def wrong(self, choosing: Choosing, reason: str, now: float) -> Outcome:
        """Say why, and let the agent try again; after too many tries back to the caller."""
        hub = self._hub
        outcome = Outcome()
        if not choosing.fourth:
            event = SessionEvent(Kind.WRONG_CHOICE, reason)
            hub.register.apply(choosing.session, event, now, outcome)
        session = hub.record(choosing.session).session
        if not choosing.fourth and session.state is not State.COLLECTING:
            self._pads.pop(session.id, None)
            return outcome
        self._keep(session, Keypad(asking=True))
        told = _outcome(
            session,
            actions.say(session, prompts.wrong(reason, choosing.typed)),
            SetTimer(FIRST_KEY_SECONDS),
        )
        outcome.effects.extend(told.effects)
        return outcome

    def forget_ended(self) -> None:
        """Drop what was half typed in sessions that are over."""
        records = self._hub.register.records
        for session_id in list(self._pads):
            record = records.get(session_id)
            if record is None or record.session.state.final:
                del self._pads[session_id]

    def _pad(self, session: Session) -> Keypad:
        collecting = session.state is State.COLLECTING
        pad = self._pads.get(session.id, Keypad(asking=collecting))
        if pad.asking and not collecting and session.state not in _MAY_ADD:
            return Keypad()  # what was being asked for has been overtaken
        return pad

    def _keep(self, session: Session, pad: Keypad) -> None:
        if pad == Keypad():
            self._pads.pop(session.id, None)
        else:
            self._pads[session.id] = pad

    def _choosing(self, session: Session, typed: str) -> Choosing | None:
        fourth = session.state is not State.COLLECTING
        target = Target(TargetKind.NUMBER, typed) if fourth else self._hub_meaning(typed)
        unsupervised = target.kind is TargetKind.GROUP
        request = TransferRequest(
            agent=session.agent,
            mode=Mode.UNSUPERVISED if unsupervised else Mode.SUPERVISED,
            target=target,
            origin=Origin.CODE,
            channel=self._name(session.transferor.channel),
            call=session.caller.channel,
        )
        return Choosing(session.id, request, typed, fourth)

    def _back(self, session: Session, now: float) -> Outcome:
        if session.state is State.COLLECTING:
            return self._hub.command(session.id, Kind.CANCEL, now)
        return _outcome(session, *actions.hush(session), ClearTimer())

    def _command(self, session: Session, name: str, now: float) -> Outcome:
        try:
            if name == "add_party":
                return self._ask_for_fourth(session)
            return self._hub.command(session.id, _COMMANDS[name], now)
        except (Refused, WrongState):
            return _outcome(session, actions.say(session, prompts.NOT_NOW))

    def _ask_for_fourth(self, session: Session) -> Outcome:
        policy.check_features(policy.PARTY, session.allow.group.features)
        if session.state not in _MAY_ADD or session.fourth is not None:
            raise WrongState("Nobody can be called in now.")
        self._keep(session, Keypad(asking=True))
        return _outcome(session, *actions.ask(session), SetTimer(FIRST_KEY_SECONDS))

    def _pass_on(self, session: Session, keys: str) -> Outcome:
        """To whom agent 1 talks with, who may be a machine that asks for keys."""
        match session.state:
            case State.CONSULTING | State.CONFERENCE:
                return _outcome(session, SendKeys(session.leg.channel, keys))
            case State.SWAPPED | State.DECLINED:
                return _outcome(session, SendKeys(session.caller.channel, keys))
            case _:
                return Outcome()


def _outcome(session: Session, *effects: Effect) -> Outcome:
    return Outcome(effects=[(session.id, effect) for effect in effects])
