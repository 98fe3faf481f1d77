"""Write a folder of files so that nothing that a person has edited is lost without a word.

A file that is not there is written. One that is there and differs is shown as a difference, and
replaced only when that was asked for; if it is not as we left it, its text is kept beside it. What
we have written is noted by its hash in `.asterisk-avp-rendered.json`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

NOTE: Final = ".asterisk-avp-rendered.json"
_SECRET_MODE: Final = 0o600
_MODE: Final = 0o644
_SECRET_LINE = re.compile(
    r"^(?P<begin>.?\s*(?:\S*(?:secret|password|token|tokens|pin|pin_hash|webhook__url)\s*=)).*$",
    re.IGNORECASE,
)


class State(StrEnum):
    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    """It differs from what is there now."""
    EDITED = "edited"
    """It differs, and what is there is not what we wrote."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the folder: its state before, and the difference, in which no secret is shown."""

    name: str
    state: State
    text: str
    difference: tuple[str, ...] = ()
    kept: str = ""
    """Where an edited text went, once it was replaced."""


def compare(folder: Path, texts: Mapping[str, str]) -> list[File]:
    """What writing ``texts`` into the folder would change. Raises `OSError`."""
    noted = _noted(folder)
    found = []
    for name, text in texts.items():
        try:
            present = (folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            found.append(File(name, State.NEW, text))
            continue
        if present == text:
            found.append(File(name, State.SAME, text))
            continue
        ours = noted.get(name) == _hash(present)
        state = State.CHANGED if ours else State.EDITED
        found.append(File(name, state, text, tuple(_difference(name, present, text))))
    return found


def write(
    folder: Path, files: Collection[File], secret: Collection[str], *, replace: bool
) -> list[File]:
    """Write the new ones and, with ``replace``, those that differ. Returns what was written.

    ``secret``: names of those that only their owner may read, from their first byte on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    noted = _noted(folder)
    done = []
    for file in files:
        place = folder / file.name
        if file.state is State.SAME:
            noted[file.name] = _hash(file.text)
            if file.name in secret:
                place.chmod(place.stat().st_mode & (_SECRET_MODE | 0o040))
            continue
        if file.state is not State.NEW and not replace:
            continue
        kept = ""
        if file.state is State.EDITED:
            kept = _keep(place)
        _put(place, file.text, _SECRET_MODE if file.name in secret else _MODE)
        noted[file.name] = _hash(file.text)
        done.append(File(file.name, file.state, file.text, file.difference, kept))
    _put(folder / NOTE, json.dumps(noted, indent=2, sort_keys=True) + "\n", _MODE)
    return done


def _keep(place: Path) -> str:
    number = 1
    while (kept := place.with_name(f"{place.name}.before-{number}")).exists():
        number += 1
    os.link(place, kept)  # the text with its mode and owner; the name itself is replaced below
    return kept.name


def _put(place: Path, text: str, mode: int) -> None:
    """In one step: nobody ever reads half a file, or one with secrets before its mode is set."""
    beside = place.with_name(f".{place.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        if place.exists():
            status = place.stat()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            if mode == _SECRET_MODE:
                # Asterisk's group may read its own files' secrets, if the administrator said so.
                mode |= status.st_mode & 0o040
        os.fchmod(file.fileno(), mode)
    beside.replace(place)


def _noted(folder: Path) -> dict[str, str]:
    try:
        noted = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(noted, dict):
        return {}
    return {name: value for name, value in noted.items() if isinstance(value, str)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _difference(name: str, before: str, after: str) -> Iterator[str]:
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"{name} (there)",
        f"{name} (new)",
        lineterm="",
        n=1,
    )
    for line in lines:
        yield _SECRET_LINE.sub(r"\g<begin> (not shown)", line)
