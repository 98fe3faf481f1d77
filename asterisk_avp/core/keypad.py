"""What an agent's key presses mean: codes during a consult, digits of a destination before it.

A key that is part of no code is for the party the agent talks with (a switchboard that wants to
know which department), so it is handed on rather than lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

MAX_DIGITS = 40
"""No destination is longer; what is typed beyond is not looked at."""

SUBMIT, BACK = "#", "*"


@dataclass(frozen=True, slots=True)
class KeyCodes:
    """What agents press. `transfer` begins; the others are for a transfer that is under way."""

    transfer: str = "*7"
    complete: str = "*1"
    cancel: str = "*2"
    swap: str = "*3"
    conference: str = "*4"
    add_party: str = "*5"

    def commands(self) -> tuple[tuple[str, str], ...]:
        """Code and name of those that are pressed during a transfer."""
        named = [(getattr(self, f.name), f.name) for f in fields(self)]
        return tuple((code, name) for code, name in named if name != "transfer")


class Pressed(StrEnum):
    WAITING = "waiting"
    """Nothing yet: more keys may follow."""
    DIGIT = "digit"
    SUBMIT = "submit"
    BACK = "back"
    COMMAND = "command"
    FOR_OTHERS = "for_others"


@dataclass(frozen=True, slots=True)
class Keypad:
    """The keys pressed so far, of one agent in one transfer."""

    asking: bool = False
    """Whether they are the digits of a destination; else they may be a code."""
    typed: str = ""

    def press(self, key: str, codes: KeyCodes) -> tuple[Keypad, Pressed, str]:
        """The keypad after ``key``, what came of it, and the text that belongs to that.

        The text is the name of a command, the keys to pass on, or what has been typed so far.
        """
        if self.asking:
            return self._destination(key)
        commands = dict(codes.commands())
        typed = self.typed + key
        if typed in commands:
            return Keypad(), Pressed.COMMAND, commands[typed]
        if any(code.startswith(typed) for code in commands):
            return Keypad(typed=typed), Pressed.WAITING, typed
        if self.typed and any(code.startswith(key) for code in commands):
            # What was begun is no code after all, but this key may begin one.
            return Keypad(typed=key), Pressed.FOR_OTHERS, self.typed
        return Keypad(), Pressed.FOR_OTHERS, typed

    def _destination(self, key: str) -> tuple[Keypad, Pressed, str]:
        if key == SUBMIT:
            return Keypad(asking=True), Pressed.SUBMIT, self.typed
        if key == BACK:
            return Keypad(), Pressed.BACK, ""
        typed = (self.typed + key)[:MAX_DIGITS]
        return Keypad(asking=True, typed=typed), Pressed.DIGIT, typed
