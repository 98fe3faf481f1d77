"""Transfers by feature code and key presses. Pure.

Each request passes the same policy as a request by the API. The Transfer button is handled in
`asterisk_avp.core.phone.refer`.

Digits that an agent keys in are looked up or checked as a number; they are never dialled as
entered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.engine import parties
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome, outcome_of
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
from asterisk_avp.core.phone.keypad import (
    CODE_SECONDS,
    DUPLICATE_SECONDS,
    SECOND_SUBMIT_SECONDS,
    SUBMIT,
    KeyCodes,
    Keypad,
    Pressed,
)
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer import actions, prompts
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.machine import FIRST_KEY_SECONDS
from asterisk_avp.core.transfer.session import Choice, Presence, Session
from asterisk_avp.core.transfer.spec import Action, Keys, Sound
from asterisk_avp.core.transfer.table import MAX_TRIES

NEXT_KEY_SECONDS: Final = 4.0
"""A pause of this length after a digit has the same effect as ``#``."""

_COMMANDS: Final = {
    "complete": EventType.COMPLETE,
    "cancel": EventType.CANCEL,
    "swap": EventType.SWAP,
    "conference": EventType.CONFERENCE,
}


@dataclass(frozen=True, slots=True)
class Selection:
    """A complete entry of digits, for policy to decide."""

    session: str
    request: TransferRequest
    typed: str
    fourth: bool
    """The digits name a fourth party instead of the target."""


class FeatureCodeHandler:
    def __init__(self, engine: TransferEngine, codes: KeyCodes) -> None:
        self._engine = engine
        self._lines = PhoneLines(engine)
        self.codes = codes
        """Replaced on reload."""
        self._pads: dict[str, Keypad] = {}
        """Session id to keypad; none where the keypad follows from the session's state."""
        self._last: dict[str, tuple[str, float]] = {}
        """Session id to the last key, and when it was pressed in Unix seconds: by Asterisk's clock,
        where it has told it."""

    # --- the feature code --------------------------------------------------------------------

    def code(self, used: FeatureUsed, facts: CallVariables, now: float) -> tuple[Session, Outcome]:
        """Begin a transfer that prompts the transferor for the target. Raises `Refused`."""
        engine, lines = self._engine, self._lines
        agent, call = lines.agent_of(used.channel), lines.call_of(used.channel)
        if agent is None or call is None:
            raise policy.refused("no_active_call")
        permission = policy.decide_without_target(engine.decision_context(agent.id, call))
        nowhere = Target(TargetKind.NUMBER, "")
        request = TransferRequest(agent.id, Mode.SUPERVISED, nowhere, origin=Origin.CODE)
        return engine.begin(engine.factory.make(request, None, permission, call, facts), now)

    # --- keys --------------------------------------------------------------------------------

    def key(self, pressed: KeyPressed, now: float) -> tuple[Outcome, Selection | None]:
        """Process a key press; keys of anyone but the transferor are ignored.

        Returns a `Selection` when an entry is complete; `apply_selection` decides about it.
        """
        session = self._lines.session_of_transferor(pressed.channel)
        if session is None or session.transferor.presence is not Presence.PRESENT:
            return Outcome(), None
        if self._is_duplicate(session, pressed, now):
            return Outcome(), None
        pad, results = self._pad(session).press(pressed.key, self.codes, now)
        self._keep(session, pad)
        if pad.typed and not results and session.state.spec.keys.half_code_expires:
            # Either an incomplete code or a key for the other party; a timeout decides.
            return outcome_of(session, SetTimer(CODE_SECONDS)), None
        outcome, selection = Outcome(), None
        for what, text in results:
            match what:
                case Pressed.DIGIT:
                    stop = actions.stop_prompt(session) if len(text) == 1 else ()
                    found = outcome_of(session, *stop, SetTimer(NEXT_KEY_SECONDS))
                case Pressed.SUBMIT:
                    found, selection = Outcome(), self._selection(session, text)
                case Pressed.BACK:
                    found = self._clear(session, now)
                case Pressed.COMMAND:
                    found = self._command(session, text, now)
                case Pressed.FORWARD:
                    found = self._send_keys(session, text)
            outcome = outcome.then(found)
        return outcome, selection

    def _is_duplicate(self, session: Session, pressed: KeyPressed, now: float) -> bool:
        """Whether this key press was already reported (`DUPLICATE_SECONDS`).

        By Asterisk's clock: if we are busy for a moment, we read several presses at once.
        """
        collecting, key, at = _collecting(session), pressed.key, pressed.at or now
        window = SECOND_SUBMIT_SECONDS if collecting and key == SUBMIT else DUPLICATE_SECONDS
        known = self._last.get(session.id)
        if known is not None:
            last, passed = known[0], at - known[1]
        elif collecting:
            # The key before the first one reported here is the last key of the feature code.
            last, passed = self.codes.transfer[-1], now - self._engine.record(session.id).since
        else:
            last, passed = "", 0.0
        if key == last and 0 <= passed < window:  # less than 0: its clock was set back
            return True
        self._last[session.id] = (key, at)
        return False

    def timed_out(self, session_id: str) -> tuple[Outcome, Selection | None] | None:
        """The session's timer has expired; None where the session handles that itself.

        After digits, a pause has the same effect as ``#``. An incomplete code is passed through.
        """
        record = self._engine.store.records.get(session_id)
        if record is None:
            return None
        session = record.session
        pad = self._pad(session)
        self._keep(session, pad)
        if pad.collecting and pad.typed:
            return Outcome(), self._selection(session, pad.typed)
        if pad.collecting and _may_add(session):
            return self._stop_collecting(session, prompts.NOT_NOW), None
        if not pad.collecting and pad.typed and session.state.spec.keys.half_code_expires:
            self._pads.pop(session.id)
            return self._send_keys(session, pad.typed), None
        return None

    def discard_selection(self, selection: Selection) -> Outcome:
        """The transfer has moved on since the digits were keyed in: discard them."""
        return self._stop_collecting(
            self._engine.record(selection.session).session, prompts.NOT_NOW
        )

    def _stop_collecting(self, session: Session, media: tuple[str, ...]) -> Outcome:
        """Stop collecting digits of a fourth party; the consultation continues."""
        self._pads.pop(session.id, None)
        return outcome_of(session, *actions.say(session, media), ClearTimer())

    def apply_selection(self, selection: Selection, now: float) -> tuple[Session, Outcome]:
        """Decide about the entry and proceed. Raises `Refused`; then call `reject_selection`."""
        engine, request = self._engine, selection.request
        session = engine.record(selection.session).session
        if selection.fourth:
            outcome = engine.add_party(session.id, request.target, now)
            self._pads.pop(session.id, None)
            return engine.record(session.id).session, outcome
        # The call is in Stasis already; only the target remains to be decided.
        facts = policy.DecisionContext(
            call_found=True,
            call_in_transfer=False,
            group=engine.group_now(session),
            slot_taken=engine.slot_taken(request.target.value),
        )
        permission = policy.decide(request, facts, engine.agents, engine.world)
        choice = Choice(request.mode, request.target, permission)
        outcome = Outcome()
        engine.store.apply(session.id, SessionEvent(EventType.CHOSEN, choice=choice), now, outcome)
        self._pads.pop(session.id, None)
        return engine.record(session.id).session, outcome

    def reject_selection(self, selection: Selection, reason: str, now: float) -> Outcome:
        """Announce the reason and prompt again; return to the caller after `MAX_TRIES`."""
        engine = self._engine
        outcome = Outcome()
        if not selection.fourth:
            event = SessionEvent(EventType.WRONG_CHOICE, reason)
            engine.store.apply(selection.session, event, now, outcome)
        session = engine.record(selection.session).session
        if not selection.fourth and not _collecting(session):
            self._pads.pop(session.id, None)
            return outcome
        tries = self._pad(session).tries + 1
        if selection.fourth and tries >= MAX_TRIES:
            return self._stop_collecting(
                session, prompts.wrong(reason, selection.typed, again=False)
            )
        self._keep(session, Keypad(collecting=True, tries=tries))
        prompt = outcome_of(
            session,
            *actions.say(session, prompts.wrong(reason, selection.typed)),
            SetTimer(FIRST_KEY_SECONDS),
        )
        return outcome.then(prompt)

    def forget_ended(self) -> None:
        """Drop the key presses of ended sessions."""
        records = self._engine.store.records
        for session_id in {*self._pads, *self._last}:
            record = records.get(session_id)
            if record is None or record.session.state.final:
                self._pads.pop(session_id, None)
                self._last.pop(session_id, None)

    def _pad(self, session: Session) -> Keypad:
        collecting = _collecting(session)
        pad = self._pads.get(session.id, Keypad())
        if collecting and not pad.collecting:
            return Keypad(collecting=True)
        if pad.collecting and not collecting and not _may_add(session):
            return Keypad()  # the session has moved on since the prompt
        return pad

    def _keep(self, session: Session, pad: Keypad) -> None:
        if pad == Keypad():
            self._pads.pop(session.id, None)
        else:
            self._pads[session.id] = pad

    def _selection(self, session: Session, typed: str) -> Selection | None:
        fourth = not _collecting(session)
        target = self._lines.resolve(typed, session.agent, self._engine.group_now(session))
        if fourth and target.kind is not TargetKind.AGENT:
            target = Target(TargetKind.NUMBER, typed)  # no group or preset can be the fourth party
        unsupervised = target.kind is TargetKind.GROUP
        request = TransferRequest(
            agent=session.agent,
            mode=Mode.UNSUPERVISED if unsupervised else Mode.SUPERVISED,
            target=target,
            origin=Origin.CODE,
            channel=self._lines.name_of(session.transferor.channel),
            call=session.caller.channel,
        )
        return Selection(session.id, request, typed, fourth)

    def _clear(self, session: Session, now: float) -> Outcome:
        if _collecting(session):
            return self._engine.command(session.id, EventType.CANCEL, now)
        return outcome_of(session, *actions.stop_prompt(session), ClearTimer())

    def _command(self, session: Session, name: str, now: float) -> Outcome:
        try:
            if name == "add_party":
                return self._ask_for_fourth(session)
            return self._engine.command(session.id, _COMMANDS[name], now)
        except (Refused, WrongState):
            return self._reject_key(session)

    def _reject_key(self, session: Session) -> Outcome:
        """Beep, then restart the music or ringback that the beep interrupts."""
        beep = actions.say(session, prompts.NOT_NOW)
        spec = session.state.spec
        if not spec.keys.commands:
            return Outcome()  # a transient state
        match spec.transferor.alone:
            case Sound.MUSIC:
                return outcome_of(session, *beep, StartMusic(session.transferor.channel))
            case Sound.RINGBACK:
                return outcome_of(session, *beep, StartRingback(session.transferor.channel))
            case _:
                return outcome_of(session, *beep)

    def _ask_for_fourth(self, session: Session) -> Outcome:
        parties.check_addition(session, self._engine.group_now(session))
        self._keep(session, Keypad(collecting=True))
        return outcome_of(session, *actions.ask(session), SetTimer(FIRST_KEY_SECONDS))

    def _send_keys(self, session: Session, keys: str) -> Outcome:
        """Send the keys to the parties that the transferor talks to."""
        receiver = session.state.spec.keys
        if receiver.to_caller:
            return outcome_of(session, SendKeys(session.caller.channel, keys))
        if not receiver.to_target:
            return Outcome()
        others = [session.leg]
        if session.fourth is not None:
            others.append(session.fourth.party)
        present = [x.channel for x in others if x.presence is Presence.PRESENT]
        return outcome_of(session, *(SendKeys(channel, keys) for channel in present))


def _collecting(session: Session) -> bool:
    return session.state.spec.keys is Keys.TARGET_CHOICE


def _may_add(session: Session) -> bool:
    return Action.ADD_PARTY in session.state.spec.actions
