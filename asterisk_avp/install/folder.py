"""Write a folder of files without losing what a person has edited.

A new file is written. An existing file that differs is shown as a diff, and replaced only on
request; if somebody edited it since we wrote it, a backup is kept beside it. The hashes of the
files that we wrote are in `.asterisk-avp-rendered.json`.
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

MANIFEST: Final = ".asterisk-avp-rendered.json"
_SECRET_MODE: Final = 0o600
_MODE: Final = 0o644
_SECRET_LINE = re.compile(
    r"^(?P<begin>.?\s*(?:\S*(?:secret|password|token|tokens|pin|pin_hash|webhook__url|credentials)"
    r"\s*=|.*?password:|\S*nats-route:)).*$",
    re.IGNORECASE,
)


class State(StrEnum):
    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    """It differs from the existing file."""
    EDITED = "edited"
    """It differs, and somebody edited the existing file since we wrote it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the folder: its state before, and the diff, in which secrets are masked."""

    name: str
    state: State
    text: str
    difference: tuple[str, ...] = ()
    kept: str = ""
    """The name of the backup of an edited file that was replaced."""


def compare(folder: Path, texts: Mapping[str, str]) -> list[File]:
    """What writing ``texts`` into the folder would change. Raises `OSError`."""
    hashes = _recorded(folder)
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
        unedited = hashes.get(name) == _hash(present)
        state = State.CHANGED if unedited else State.EDITED
        found.append(File(name, state, text, tuple(_difference(name, present, text))))
    return found


def write(
    folder: Path, files: Collection[File], secret: Collection[str], *, replace: bool
) -> list[File]:
    """Write the new files and, with ``replace``, those that differ. Returns the files written.

    ``secret``: the names of files that only their owner may read, even while they are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes = _recorded(folder)
    done = []
    for file in files:
        path = folder / file.name
        if file.state is State.SAME:
            hashes[file.name] = _hash(file.text)
            if file.name in secret:
                path.chmod(path.stat().st_mode & (_SECRET_MODE | 0o040))
            continue
        if file.state is not State.NEW and not replace:
            continue
        kept = ""
        if file.state is State.EDITED:
            kept = _back_up(path)
        _write_atomically(path, file.text, _SECRET_MODE if file.name in secret else _MODE)
        hashes[file.name] = _hash(file.text)
        done.append(File(file.name, file.state, file.text, file.difference, kept))
    manifest = json.dumps(hashes, indent=2, sort_keys=True) + "\n"
    _write_atomically(folder / MANIFEST, manifest, _MODE)
    return done


def _back_up(path: Path) -> str:
    number = 1
    while (kept := path.with_name(f"{path.name}.before-{number}")).exists():
        number += 1
    os.link(path, kept)  # keeps mode and owner; the original name is replaced afterwards
    return kept.name


def _write_atomically(path: Path, text: str, mode: int) -> None:
    """Nobody can read half a file, or a file with secrets before its mode is set."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        if path.exists():
            status = path.stat()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            if mode == _SECRET_MODE:
                # Keep group read access that the administrator gave to Asterisk's group.
                mode |= status.st_mode & 0o040
        os.fchmod(file.fileno(), mode)
    temporary.replace(path)


def _recorded(folder: Path) -> dict[str, str]:
    """The hash of each file that we wrote."""
    try:
        recorded = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(recorded, dict):
        return {}
    return {name: value for name, value in recorded.items() if isinstance(value, str)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _difference(name: str, before: str, after: str) -> Iterator[str]:
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"{name} (existing)",
        f"{name} (new)",
        lineterm="",
        n=1,
    )
    for line in lines:
        yield _SECRET_LINE.sub(r"\g<begin> (not shown)", line)
