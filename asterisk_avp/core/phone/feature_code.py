"""What agents do at their phones: Transfer button, feature code, key presses. Pure, over the hub.

Every way ends at the same policy as a request by the API. The Transfer button has a module of its
own, `asterisk_avp.core.phone.refer`; here are the feature code and the keys.

What is typed is only ever looked up or judged as a number; nothing of it is dialled as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.engine.engine import CallFacts, TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import (
    ClearTimer,
    SendKeys,
    SetTimer,
    StartMusic,
    StartRingback,
)
from asterisk_avp.core.messages.facts import FeatureUsed, KeyPressed
from asterisk_avp.core.model.errors import Refused, WrongState
from asterisk_avp.core.model.world import Mode, Origin, Target, TargetKind, TransferRequest
from asterisk_avp.core.phone.keypad import CODE_SECONDS, ECHO_SECONDS, KeyCodes, Keypad, Pressed
from asterisk_avp.core.phone.refer import ReferHandler, outcome_of
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer import actions, prompts
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.machine import FIRST_KEY_SECONDS
from asterisk_avp.core.transfer.session import Choice, Presence, Session, State
from asterisk_avp.core.transfer.table import MAX_TRIES

NEXT_KEY_SECONDS: Final = 4.0
"""A pause as long as this after a digit means the same as ``#``."""

_COMMANDS: Final = {
    "complete": EventType.COMPLETE,
    "cancel": EventType.CANCEL,
    "swap": EventType.SWAP,
    "conference": EventType.CONFERENCE,
}
_MAY_ADD: Final = frozenset({State.CONSULTING, State.CONFERENCE})
_PASSES_ON: Final = frozenset({State.CONSULTING, State.SWAPPED, State.CONFERENCE})
"""There is somebody for whom a key may be, and no timer of the session's own runs."""


@dataclass(frozen=True, slots=True)
class Choosing:
    """Digits are complete: what the agent wants, for policy to decide."""

    session: str
    request: TransferRequest
    typed: str
    fourth: bool
    """They name a fourth party, not the target."""


class FeatureCodeHandler(ReferHandler):
    def __init__(self, engine: TransferEngine, codes: KeyCodes) -> None:
        super().__init__(engine)
        self.codes = codes
        """Another configuration may have others."""
        self._pads: dict[str, Keypad] = {}
        """By session, where there is more to know than its state says."""
        self._last: dict[str, tuple[str, float]] = {}
        """By session, the last key and when it was pressed."""

    # --- the feature code --------------------------------------------------------------------

    def code(self, used: FeatureUsed, facts: CallFacts, now: float) -> tuple[Session, Outcome]:
        """Take both to where agent 1 is asked for the target. Raises `Refused`."""
        engine, agent, call = self._engine, self.agent_of(used.channel), self.call_of(used.channel)
        if agent is None or call is None:
            raise policy.refused("no_active_call")
        allow = policy.decide_asking(engine.facts_of(agent.id, call))
        nowhere = Target(TargetKind.NUMBER, "")
        request = TransferRequest(agent.id, Mode.SUPERVISED, nowhere, origin=Origin.CODE)
        return engine.begin(engine.new_session(request, None, allow, call, facts), now)

    # --- keys --------------------------------------------------------------------------------

    def key(self, pressed: KeyPressed, now: float) -> tuple[Outcome, Choosing | None]:
        """A key at agent 1's phone; at any other it is none of our business."""
        session = self._running(pressed.channel)
        if session is None or session.transferor.presence is not Presence.PRESENT:
            return Outcome(), None
        if self._is_echo(session, pressed.key, now):
            return Outcome(), None
        pad, results = self._pad(session).press(pressed.key, self.codes, now)
        self._keep(session, pad)
        if pad.typed and not results and session.state in _PASSES_ON:
            # Half a code, or a key for the other party: a pause will tell.
            return outcome_of(session, SetTimer(CODE_SECONDS)), None
        outcome, choosing = Outcome(), None
        for what, text in results:
            match what:
                case Pressed.DIGIT:
                    stop = actions.hush(session) if len(text) == 1 else ()
                    found = outcome_of(session, *stop, SetTimer(NEXT_KEY_SECONDS))
                case Pressed.SUBMIT:
                    found, choosing = Outcome(), self._choosing(session, text)
                case Pressed.BACK:
                    found = self._back(session, now)
                case Pressed.COMMAND:
                    found = self._command(session, text, now)
                case Pressed.FOR_OTHERS:
                    found = self._pass_on(session, text)
            outcome = outcome.then(found)
        return outcome, choosing

    def _is_echo(self, session: Session, key: str, now: float) -> bool:
        """Whether it is a press that has been reported already, see `ECHO_SECONDS`."""
        # Before the first key we are asked about, there was the code that began it all.
        before = (self.codes.transfer[-1], self._engine.record(session.id).since)
        if session.state is not State.COLLECTING:
            before = ("", 0.0)
        last, at = self._last.get(session.id, before)
        if key == last and now - at < ECHO_SECONDS:
            return True
        self._last[session.id] = (key, now)
        return False

    def timed_out(self, session_id: str) -> tuple[Outcome, Choosing | None] | None:
        """The agent has paused. None where the end of the timer is the session's own business.

        A pause after digits is as good as ``#``; half a code was none, and its keys are passed on.
        """
        record = self._engine.store.records.get(session_id)
        if record is None:
            return None
        session = record.session
        pad = self._pad(session)
        self._keep(session, pad)
        if pad.asking and pad.typed:
            return Outcome(), self._choosing(session, pad.typed)
        if pad.asking and session.state in _MAY_ADD:
            return self._enough(session, prompts.NOT_NOW), None
        if not pad.asking and pad.typed and session.state in _PASSES_ON:
            self._pads.pop(session.id)
            return self._pass_on(session, pad.typed), None
        return None

    def too_late(self, choosing: Choosing) -> Outcome:
        """What was keyed in has been overtaken by something else: leave it at that."""
        return self._enough(self._engine.record(choosing.session).session, prompts.NOT_NOW)

    def _enough(self, session: Session, media: tuple[str, ...]) -> Outcome:
        """No more asking for a fourth party; agent 1 talks on."""
        self._pads.pop(session.id, None)
        return outcome_of(session, *actions.say(session, media), ClearTimer())

    def choose(self, choosing: Choosing, now: float) -> tuple[Session, Outcome]:
        """Decide about what was keyed in, and go on. Raises `Refused`; then `wrong` follows."""
        engine, request = self._engine, choosing.request
        session = engine.record(choosing.session).session
        if choosing.fourth:
            outcome = engine.add_party(session.id, request.target.value, now)
            self._pads.pop(session.id, None)
            return engine.record(session.id).session, outcome
        # The call is with us already: what is left to decide is where it may go.
        facts = policy.Facts(
            call_found=True,
            call_in_transfer=False,
            group=engine.group_now(session),
            slot_taken=engine.slot_taken(request.target.value),
        )
        allow = policy.decide(request, facts, engine.agents, engine.world)
        choice = Choice(request.mode, request.target, allow)
        outcome = Outcome()
        engine.store.apply(session.id, SessionEvent(EventType.CHOSEN, choice=choice), now, outcome)
        self._pads.pop(session.id, None)
        return engine.record(session.id).session, outcome

    def wrong(self, choosing: Choosing, reason: str, now: float) -> Outcome:
        """Say why, and let the agent try again; after too many tries back to the caller."""
        engine = self._engine
        outcome = Outcome()
        if not choosing.fourth:
            event = SessionEvent(EventType.WRONG_CHOICE, reason)
            engine.store.apply(choosing.session, event, now, outcome)
        session = engine.record(choosing.session).session
        if not choosing.fourth and session.state is not State.COLLECTING:
            self._pads.pop(session.id, None)
            return outcome
        tries = self._pad(session).tries + 1
        if choosing.fourth and tries >= MAX_TRIES:
            return self._enough(session, prompts.wrong(reason, choosing.typed, again=False))
        self._keep(session, Keypad(asking=True, tries=tries))
        told = outcome_of(
            session,
            *actions.say(session, prompts.wrong(reason, choosing.typed)),
            SetTimer(FIRST_KEY_SECONDS),
        )
        return outcome.then(told)

    def forget_ended(self) -> None:
        """Drop what was half typed in sessions that are over."""
        records = self._engine.store.records
        for session_id in {*self._pads, *self._last}:
            record = records.get(session_id)
            if record is None or record.session.state.final:
                self._pads.pop(session_id, None)
                self._last.pop(session_id, None)

    def _pad(self, session: Session) -> Keypad:
        collecting = session.state is State.COLLECTING
        pad = self._pads.get(session.id, Keypad())
        if collecting and not pad.asking:
            return Keypad(asking=True)
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
        target = Target(TargetKind.NUMBER, typed)
        if not fourth:
            target = self._hub_meaning(typed, session.agent, self._engine.group_now(session))
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
            return self._engine.command(session.id, EventType.CANCEL, now)
        return outcome_of(session, *actions.hush(session), ClearTimer())

    def _command(self, session: Session, name: str, now: float) -> Outcome:
        try:
            if name == "add_party":
                return self._ask_for_fourth(session)
            return self._engine.command(session.id, _COMMANDS[name], now)
        except (Refused, WrongState):
            return self._not_now(session)

    def _not_now(self, session: Session) -> Outcome:
        """A beep, after which who waits hears again what it has cut off (nobody else is there)."""
        beep = actions.say(session, prompts.NOT_NOW)
        match session.state:
            case State.WAITING:
                return outcome_of(session, *beep, StartMusic(session.transferor.channel))
            case State.RINGING:
                return outcome_of(session, *beep, StartRingback(session.transferor.channel))
            case State.CONSULTING | State.SWAPPED | State.CONFERENCE | State.SHARED:
                return outcome_of(session, *beep)
            case _:
                return Outcome()  # on the way from here to there, for a moment

    def _ask_for_fourth(self, session: Session) -> Outcome:
        policy.check_features(policy.PARTY, self._engine.group_now(session).features)
        if session.state not in _MAY_ADD or session.fourth is not None:
            raise WrongState("Nobody can be called in now.")
        self._keep(session, Keypad(asking=True))
        return outcome_of(session, *actions.ask(session), SetTimer(FIRST_KEY_SECONDS))

    def _pass_on(self, session: Session, keys: str) -> Outcome:
        """To whom agent 1 talks with, who may be a machine that asks for keys."""
        match session.state:
            case State.CONSULTING | State.CONFERENCE | State.SHARED:
                others = [session.leg]
                if session.fourth is not None:
                    others.append(session.fourth.party)
                there = [x.channel for x in others if x.presence is Presence.PRESENT]
                return outcome_of(session, *(SendKeys(channel, keys) for channel in there))
            case State.SWAPPED | State.DECLINED:
                return outcome_of(session, SendKeys(session.caller.channel, keys))
            case _:
                return Outcome()
