"""What an agent's key presses mean: codes during a consult, digits of a destination before it.

A key that is part of no code is for the party the agent talks with (a switchboard that wants to
know which department), so it is handed on rather than lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
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


CODE_SECONDS = 2.0
"""The keys of a code follow one another faster than this; a lone ``*`` is none of a code's."""

ECHO_SECONDS = 0.12
"""So soon nobody presses the same key again: it is the same press once more.

The end of a key is sent three times (RFC 4733, section 2.5.1.4). Asterisk takes those after the
first for new keys where the channel has changed bridges in between, or something began or ceased
to be played to it. Keys that are pressed for real it keeps further apart than this (main/channel.c,
AST_MIN_DTMF_DURATION and AST_MIN_DTMF_GAP).
"""


class Pressed(StrEnum):
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
    since: float = 0.0
    """When the last key of half a code was pressed, in Unix seconds."""
    tries: int = 0
    """How many destinations were refused, where the session does not count them itself."""

    def press(
        self, key: str, codes: KeyCodes, now: float
    ) -> tuple[Keypad, tuple[tuple[Pressed, str], ...]]:
        """The keypad after ``key``, and what came of it in turn; nothing while a code is begun.

        With each comes a text: the name of a command, the keys to pass on, or what has been typed
        so far.
        """
        if self.asking:
            return self._destination(key)
        commands = dict(codes.commands())
        begun = self.typed if now - self.since < CODE_SECONDS else ""
        others, keys = self.typed.removesuffix(begun), begun + key
        while keys and not any(code.startswith(keys) for code in commands):
            # What was begun is no code after all, but the keys that follow may begin one.
            others, keys = others + keys[0], keys[1:]
        results = ((Pressed.FOR_OTHERS, others),) if others else ()
        if keys in commands:
            return Keypad(), (*results, (Pressed.COMMAND, commands[keys]))
        return Keypad(typed=keys, since=now) if keys else Keypad(), results

    def _destination(self, key: str) -> tuple[Keypad, tuple[tuple[Pressed, str], ...]]:
        if key == SUBMIT:
            return replace(self, typed=""), ((Pressed.SUBMIT, self.typed),)
        if key == BACK:
            return Keypad(), ((Pressed.BACK, ""),)
        typed = (self.typed + key)[:MAX_DIGITS]
        return replace(self, typed=typed), ((Pressed.DIGIT, typed),)
