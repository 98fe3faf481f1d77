"""Interpret the transferor's key presses: codes during a consultation, digits of a target before.

A key that is part of no code is passed through to the party that the transferor talks to, which
may be an IVR menu.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum

MAX_DIGITS = 40
"""Maximum length of a target; further digits are ignored."""

SUBMIT, BACK = "#", "*"


@dataclass(frozen=True, slots=True)
class KeyCodes:
    """The feature codes. ``transfer`` begins a transfer; the others control a running one."""

    transfer: str = "*7"
    complete: str = "*1"
    cancel: str = "*2"
    swap: str = "*3"
    conference: str = "*4"
    add_party: str = "*5"

    def commands(self) -> tuple[tuple[str, str], ...]:
        """Code and name of the codes that control a running transfer."""
        named = [(getattr(self, f.name), f.name) for f in fields(self)]
        return tuple((code, name) for code, name in named if name != "transfer")


CODE_SECONDS = 2.0
"""Maximum time between the keys of a code; after it, the keys so far are passed through."""

DUPLICATE_SECONDS = 0.12
"""A repeat of a key within this window is a duplicate DTMF end event.

RFC 4733, section 2.5.1.4, has the end of an event sent three times. Asterisk reports the second or
third one as a new key if the channel has changed bridges in between, or playback to it has started
or stopped. Asterisk keeps distinct presses further apart than this (main/channel.c,
AST_MIN_DTMF_DURATION and AST_MIN_DTMF_GAP).
"""

SECOND_SUBMIT_SECONDS = 0.5
"""The same for `SUBMIT`, which means nothing so soon after itself.

The duplicate comes later than `DUPLICATE_SECONDS` where the key was held: Asterisk had not seen it
begin, so it makes up the whole press (main/channel.c, ``emulate_dtmf_duration``).
"""


class Pressed(StrEnum):
    DIGIT = "digit"
    SUBMIT = "submit"
    BACK = "back"
    COMMAND = "command"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Keypad:
    """The keys that the transferor of one transfer has pressed so far."""

    collecting: bool = False
    """Whether the keys are the digits of a target; otherwise they may be a code."""
    typed: str = ""
    since: float = 0.0
    """When the last key of an incomplete code was pressed, in Unix seconds."""
    tries: int = 0
    """Refused entries, where the session does not count them itself."""

    def press(
        self, key: str, codes: KeyCodes, now: float
    ) -> tuple[Keypad, tuple[tuple[Pressed, str], ...]]:
        """The keypad after ``key``, and the resulting actions in order.

        Each action comes with a text: the name of a command, the keys to pass through, or the
        digits so far. A key that may continue a code results in no action yet.
        """
        if self.collecting:
            return self._collect(key)
        commands = dict(codes.commands())
        begun = self.typed if now - self.since < CODE_SECONDS else ""
        passed, keys = self.typed.removesuffix(begun), begun + key
        while keys and not any(code.startswith(keys) for code in commands):
            # The keys so far are no code, but their remainder may begin one.
            passed, keys = passed + keys[0], keys[1:]
        results = ((Pressed.FORWARD, passed),) if passed else ()
        if keys in commands:
            return Keypad(), (*results, (Pressed.COMMAND, commands[keys]))
        return Keypad(typed=keys, since=now) if keys else Keypad(), results

    def _collect(self, key: str) -> tuple[Keypad, tuple[tuple[Pressed, str], ...]]:
        if key == SUBMIT:
            return replace(self, typed=""), ((Pressed.SUBMIT, self.typed),)
        if key == BACK:
            return Keypad(), ((Pressed.BACK, ""),)
        typed = (self.typed + key)[:MAX_DIGITS]
        return replace(self, typed=typed), ((Pressed.DIGIT, typed),)
