"""Read Asterisk's configuration files as Asterisk reads them (main/config.c).

This module handles sections, templates, additions and includes; other modules interpret the lines.
The content of a file never raises: what Asterisk would reject, or what cannot be read,
is reported as a `Fault`.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asterisk_avp.install.comments import BLANK, Comments

_INCLUDE_LEVELS = 10
"""Asterisk's own limit (MAX_INCLUDE_LEVEL)."""
_TRUE = frozenset({"yes", "true", "y", "t", "1", "on"})


def is_true(value: str) -> bool:
    """As Asterisk reads a switch (main/utils.c, ast_true)."""
    return value.lower() in _TRUE


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file. ``file``: as the include names it. ``line``: from 1; 0: not in a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Line:
    """``name = value`` or ``name => value``. An inherited line has the template's place."""

    name: str
    value: str
    place: Place


@dataclass(slots=True)
class Section:
    """``[name]`` with its lines, inherited ones first. Several sections may share a name."""

    name: str
    place: Place
    template: bool = False
    lines: list[Line] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of that name, in order. Asterisk ignores the case of names."""
        return [line.value for line in self.lines if line.name.lower() == name]

    def last(self, name: str, default: str = "") -> str:
        """The effective value of a name that can have only one."""
        values = self.all(name)
        return values[-1] if values else default

    def retrieved(self, name: str, *, takes_last: bool | None) -> list[Line]:
        """The line that counts where Asterisk asks for one value by its name; it may be absent.

        ``takes_last``: of the version (core/pbx/versions.py). If it is unknown, the first and the
        last line, because either may count.
        """
        lines = [line for line in self.lines if line.name.lower() == name]
        if takes_last is None:
            return [*lines[:1], *lines[1:][-1:]]
        return lines[-1:] if takes_last else lines[:1]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read, or that Asterisk itself would reject.

    ``harmless``: Asterisk accepts it, but its content is unknown here.
    """

    where: str
    what: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Conf:
    """A file with everything that it includes. ``found``: whether the file exists."""

    name: str
    sections: tuple[Section, ...] = ()
    faults: tuple[Fault, ...] = ()
    found: bool = True

    def named(self, name: str) -> Iterator[Section]:
        """The sections of that name, without templates."""
        for section in self.sections:
            if section.name.lower() == name.lower() and not section.template:
                yield section

    def first(self, name: str) -> Section | None:
        return next(self.named(name), None)


@dataclass(frozen=True, slots=True)
class Member:
    """A static member of a queue: ``member => interface,penalty,name,state_interface``."""

    interface: str
    state_interface: str = ""


def members(conf: Conf) -> dict[str, tuple[Member, ...]]:
    """The static members of each queue of queues.conf, in the order of their lines."""
    found: dict[str, tuple[Member, ...]] = {}
    for section in (section for section in conf.sections if not section.template):
        lines = [
            [word.strip().strip('"') for word in value.split(",")]
            for value in section.all("member")
        ]
        own = [Member(words[0], "".join(words[3:4])) for words in lines if words[0]]
        found[section.name] = tuple(dict.fromkeys((*found.get(section.name, ()), *own)))
    return found


Load = Callable[[str], Sequence[tuple[str, str | OSError]]]
"""From a name as in ``#include`` to the files it matches: each name, and its text or the error."""


def read(directory: Path, name: str, *, takes_last: bool | None = None) -> Conf:
    """Read ``name`` in Asterisk's configuration directory.

    ``takes_last``: whether Asterisk's version has additions to the last of equal lines
    (core/pbx/versions.py); None: unknown.
    """
    try:
        if not (directory / name).exists():
            return Conf(name, found=False)
    except OSError as error:  # the directory may not be entered
        return Conf(name, faults=(_unreadable(name, error),))
    return parse(name, lambda wanted: _load(directory, wanted), takes_last=takes_last)


def parse(name: str, load: Load, *, takes_last: bool | None = None) -> Conf:
    """Like `read`, with the files that ``load`` returns."""
    reader = _Reader(load, takes_last=takes_last)
    reader.file(name)
    return Conf(name, tuple(reader.sections), tuple(reader.faults))


def alone(name: str, text: str) -> tuple[Conf, tuple[str, ...]]:
    """Read ``text`` without its includes. Also returns the names that it includes."""
    included: list[str] = []

    def load(wanted: str) -> list[tuple[str, str | OSError]]:
        if wanted == name:
            return [(name, text)]
        included.append(wanted)
        return [(wanted, "")]

    return parse(name, load), tuple(included)


def _unreadable(name: str, error: OSError) -> Fault:
    return Fault(name, f"cannot be read: {error.strerror}")


def _load(directory: Path, wanted: str) -> list[tuple[str, str | OSError]]:
    # Names are relative to the configuration directory, not to the file with the #include.
    found: list[tuple[str, str | OSError]] = []
    for file in sorted(glob.glob(str(directory / wanted))):  # noqa: PTH207 - absolute ones as well
        path = Path(file)
        if path.is_dir():
            continue
        shown = str(path.relative_to(directory)) if path.is_relative_to(directory) else file
        try:
            # Asterisk accepts any bytes. Those that are not UTF-8 are in comments and names.
            found.append((shown, path.read_text(encoding="utf-8-sig", errors="replace")))
        except OSError as error:
            found.append((shown, error))
    return found


class _Invalid(Exception):
    """Asterisk rejects this line and everything after it in the file."""


class _Reader:
    def __init__(self, load: Load, *, takes_last: bool | None) -> None:
        self._load = load
        self._takes_last = takes_last
        self.sections: list[Section] = []
        self.faults: list[Fault] = []
        self._current: Section | None = None
        """The section that was opened or extended last. An included file continues it."""
        self._open: list[str] = []
        """The files being read, each included by the one before it."""

    def file(self, name: str) -> bool:
        """Read the file. Returns whether it exists."""
        files = self._load(name)
        for shown, text in files:
            if isinstance(text, OSError):
                self.faults.append(_unreadable(shown, text))
                continue
            if shown in self._open:
                # Asterisk recurses until it is ten levels deep, which adds nothing new.
                self.faults.append(Fault(shown, "includes itself"))
                continue
            self._open.append(shown)
            self._text(shown, text)
            self._open.pop()
        return bool(files)

    def _text(self, file: str, text: str) -> None:
        comments = Comments()
        section = self._current
        for number, raw in enumerate(text.split("\n"), start=1):
            line = comments.without(raw)
            place = Place(file, number)
            try:
                if line.startswith("["):
                    section = self._section(line, place)
                elif line.startswith("#"):
                    self._directive(line, place)
                elif line:
                    self._line(section, line, place)
            except _Invalid as error:
                self.faults.append(Fault(str(place), f"Asterisk rejects this file: {error}"))
                return

    def _section(self, line: str, place: Place) -> Section:
        name, closed, rest = line[1:].partition("]")
        if not closed:
            raise _Invalid("the section name has no closing ]")
        section = Section(name, place)
        if rest.startswith("("):
            options, closed, _ = rest[1:].partition(")")
            if not closed:
                raise _Invalid("the section options have no closing )")
            for option in options.split(","):
                section = self._option(section, option)
        if not any(section is known for known in self.sections):
            self.sections.append(section)
        self._current = section
        return section

    def _option(self, section: Section, option: str) -> Section:
        """Apply one option in the parentheses after ``[name]``. Returns the section to fill."""
        if option == "!":
            section.template = True
        elif option.startswith("+"):
            known = self._find(section.name, option[1:])
            if known is None:
                raise _Invalid(f"it adds to [{section.name}], which does not exist")
            known.lines += section.lines
            known.template |= section.template
            return known
        else:
            base = next((s for s in self.sections if s.name.lower() == option.lower()), None)
            if base is None:
                raise _Invalid(f"it inherits from [{option}], which does not exist")
            section.lines += base.lines
        return section

    def _find(self, name: str, wanted: str) -> Section | None:
        """The section that ``(+…)`` extends, chosen by a filter such as ``(+type=endpoint)``."""
        pairs = [tuple(x.strip() for x in pair.split("=", 1)) for pair in wanted.split("&") if pair]
        templates = any(pair[0] == "TEMPLATES" for pair in pairs)
        for section in self.sections:
            if section.name.lower() != name.lower() or (section.template and not templates):
                continue
            if all(_fits(section, pair) for pair in pairs):
                return section
        return None

    def _directive(self, line: str, place: Place) -> None:
        word, *rest = re.split(r"[\x00-\x20]+", line[1:], maxsplit=1)
        kind, argument = word.lower(), "".join(rest)
        for left, right in (('"', '"'), ("<", ">")):
            if len(argument) > 1 and argument.startswith(left) and argument.endswith(right):
                argument = argument[1:-1]
        if kind == "exec":
            what = f"#exec {argument} is not run here, so its output is unknown"
            self.faults.append(Fault(str(place), what, harmless=True))
        if kind not in {"include", "tryinclude"} or not argument:
            return
        if len(self._open) > _INCLUDE_LEVELS:
            raise _Invalid(f"#include is nested more than {_INCLUDE_LEVELS} levels deep")
        if not self.file(argument) and kind == "include":
            raise _Invalid(f"the file {argument} does not exist")

    def _line(self, section: Section | None, line: str, place: Place) -> None:
        if section is None:
            raise _Invalid("a line stands before the first section")
        escaped = line.startswith("\\")
        line = line[1:] if escaped else line
        at = line.find("=", 1 if escaped else 0)
        if at < 0:
            return
        name, value = line[:at], line[at + 1 :]
        adds = name.endswith("+")
        name = (name[:-1] if adds else name).strip(BLANK)
        if not adds:
            value = value.removeprefix(">")
        if not name:
            return
        last = next((x for x in reversed(section.lines) if x.name == name), None) if adds else None
        if last is None:
            section.lines.append(Line(name, value.strip(BLANK), place))
            return
        # ast_variable_update: lines that equal the last one, whatever the case of their letters;
        # an empty value equals every other.
        like = [
            at
            for at, known in enumerate(section.lines)
            if known.name.lower() == name.lower()
            and (not last.value or known.value.lower() == last.value.lower())
        ]
        if len(like) > 1 and self._takes_last is None:
            what = f"{name} += adds to the first of several equal lines, from Asterisk 23 on to"
            self.faults.append(Fault(str(place), f"{what} the last", harmless=True))
        at = like[-1 if self._takes_last else 0]
        section.lines[at] = Line(name, (last.value + value).strip(BLANK), place)


def _fits(section: Section, pair: tuple[str, ...]) -> bool:
    if len(pair) != 2:  # noqa: PLR2004 - a name and a value
        return False
    name, value = pair
    if name == "TEMPLATES":
        return section.template or value.lower() != "restrict"
    try:
        return any(re.search(name, x.name) and re.search(value, x.value) for x in section.lines)
    except re.error:
        return False
