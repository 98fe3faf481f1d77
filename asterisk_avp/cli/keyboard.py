"""Single keys from a terminal, without Enter."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, Self


class Key(Enum):
    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    TOP = auto()
    BOTTOM = auto()
    QUIT = auto()


_KEYS: Final = {
    # Cursor keys as ECMA-48 and, in application mode, as DEC's terminals send them; less's letters.
    "\x1b[A": Key.UP, "\x1bOA": Key.UP, "k": Key.UP,
    "\x1b[B": Key.DOWN, "\x1bOB": Key.DOWN, "j": Key.DOWN,
    "\x1b[5~": Key.PAGE_UP, "b": Key.PAGE_UP,
    "\x1b[6~": Key.PAGE_DOWN, " ": Key.PAGE_DOWN,
    "\x1b[H": Key.TOP, "\x1bOH": Key.TOP, "\x1b[1~": Key.TOP, "g": Key.TOP,
    "\x1b[F": Key.BOTTOM, "\x1bOF": Key.BOTTOM, "\x1b[4~": Key.BOTTOM, "G": Key.BOTTOM,
    "q": Key.QUIT,
}  # fmt: skip

_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-9;]*[ -/]*[@-~]|O.)|[^\x1b]", re.DOTALL)
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;]*|O)?\Z")


class Decoder:
    """Keys from what a terminal sends, which can arrive in pieces. Ignores all others."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, received: bytes) -> list[Key]:
        text = self._rest + received.decode("ascii", errors="replace")
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished.group() if unfinished else ""
        found = _SEQUENCE.findall(text[: len(text) - len(self._rest)])
        return [_KEYS[sequence] for sequence in found if sequence in _KEYS]


class Keyboard:
    """``file``: the descriptor of a terminal; None: there is no keyboard."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self._decoder = Decoder()

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """The keyboard of standard input, if that is a terminal. Restores its mode at the end."""
        if not sys.stdin.isatty():
            yield cls(None)
            return
        file = sys.stdin.fileno()
        before = termios.tcgetattr(file)
        tty.setcbreak(file)  # Ctrl-C and Ctrl-Z keep their meanings
        try:
            yield cls(file)
        finally:
            termios.tcsetattr(file, termios.TCSADRAIN, before)

    @property
    def present(self) -> bool:
        return self._file is not None

    def wait(self, seconds: float) -> list[Key]:
        """The keys pressed, as soon as there are any; empty after ``seconds``."""
        files = [] if self._file is None else [self._file]
        ready, _, _ = select.select(files, [], [], seconds)
        if not ready:
            return []
        received = os.read(ready[0], 1024)
        if not received:
            self._file = None  # the terminal has closed
        return self._decoder.feed(received)
