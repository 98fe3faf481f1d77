"""Parse a dialplan: its priorities, and their text as Asterisk substitutes it (pbx_variables.c,
pbx_substitute_variables_helper_full): plain text, ``${variable:offset:length}``, ``${FUNCTION(…)}``
and ``$[expression]``, which can be nested.

Asterisk substitutes from the inside out. It then parses the value of an inner part as text of the
outer part, with every bracket, colon and comma in it. The enclosing parts therefore decide whether
a value is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Line

NO_CONTEXT: Final = frozenset({"general", "globals"})
"""The sections of extensions.conf that are not contexts."""
_CALLS: Final = re.compile(
    r"\s*(?:\([\w-]+\))?\s*(?P<name>\w+)\s*(?:\((?P<arguments>.*)\))?\s*$", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Step:
    """A priority. ``extension`` may be a pattern; ``application`` is empty if none is found."""

    line: Line
    context: str
    extension: str
    application: str
    arguments: str


def steps(conf: Conf) -> Iterator[Step]:
    """The priorities of all contexts."""
    for section in conf.sections:
        if section.template or section.name.lower() in NO_CONTEXT:
            continue
        extension = ""
        for line in section.lines:
            name = line.name.lower()
            if name == "exten":
                extension, _, rest = line.value.partition(",")
                extension = extension.partition("/")[0].strip()
                rest = rest.partition(",")[2]
            # pbx_config.c accepts any name that begins with "same".
            elif name.startswith("same"):
                rest = line.value.partition(",")[2]
            else:
                continue
            call = _CALLS.match(rest)
            application, arguments = (call["name"], call["arguments"] or "") if call else ("", "")
            yield Step(line, section.name, extension, application, arguments)


def split(text: str, separator: str = ",") -> list[str]:
    """Split like Asterisk's applications: not inside brackets of any kind or quotes."""
    found, begin, depth, quoted = [], 0, 0, False
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        elif character == separator and depth == 0:
            found.append(text[begin:at])
            begin = at + 1
    return [*found, text[begin:]]


class PartKind(StrEnum):
    TEXT = "text"
    VARIABLE = "variable"
    FUNCTION = "function"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of dialplan text; ``text`` is its source.

    ``name``: the name of the variable or function; nested parts in it are left as written.
    ``inside``: the parts of the variable's name, the function's arguments, or the expression.
    ``closed``: whether its bracket is closed.
    """

    kind: PartKind
    text: str
    name: str = ""
    inside: tuple[Part, ...] = ()
    closed: bool = True

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of a function, as written."""
        return tuple(split("".join(part.text for part in self.inside)))


@dataclass(frozen=True, slots=True)
class Use:
    """A variable or function that is read, and the parts that enclose it.

    ``within``: the enclosing functions and expressions, innermost first. A composed variable name
    is `NAME`, and an expression is `EXPRESSION`.
    """

    part: Part
    within: tuple[str, ...]


EXPRESSION = "$[…]"
NAME = "${…}"


def parts(text: str) -> tuple[Part, ...]:
    """Split ``text`` into its parts. As in Asterisk, an unclosed bracket extends to the end."""
    found: list[Part] = []
    begin = at = 0
    while at < len(text) - 1:
        if text[at] != "$" or text[at + 1] not in "{[":
            at += 1
            continue
        end = _end(text, at + 2, text[at + 1])
        if begin < at:
            found.append(Part(PartKind.TEXT, text[begin:at]))
        inner = text[at + 2 : end]
        whole = text[at : end + 1]
        closed = end < len(text)
        if text[at + 1] == "[":
            found.append(Part(PartKind.EXPRESSION, whole, EXPRESSION, parts(inner), closed))
        else:
            found.append(_read(whole, inner, closed=closed))
        begin = at = end + 1
    if begin < len(text):
        found.append(Part(PartKind.TEXT, text[begin:]))
    return tuple(found)


def _read(whole: str, inner: str, *, closed: bool) -> Part:
    name, bracket, arguments = inner.partition("(")
    if bracket and "$" not in name:
        # The last bracket ends the arguments (pbx_functions.c, func_args).
        inside = parts(arguments.rpartition(")")[0])
        return Part(PartKind.FUNCTION, whole, name.strip(), inside, closed)
    return Part(PartKind.VARIABLE, whole, inner.partition(":")[0].strip(), parts(inner), closed)


def _end(text: str, begin: int, opened: str) -> int:
    """The index at which the bracket ``opened`` before ``begin`` is closed."""
    closing = {"{": "}", "[": "]"}[opened]
    depth = 1
    for at in range(begin, len(text)):
        if text[at] == opened:
            depth += 1
        elif text[at] == closing:
            depth -= 1
            if not depth:
                return at
    return len(text)


def uses(text: str) -> Iterator[Use]:
    """Every variable and function that is read in ``text``, outer ones first."""
    for part in parts(text):
        yield from _uses(part, ())


def _uses(part: Part, within: tuple[str, ...]) -> Iterator[Use]:
    if part.kind is PartKind.TEXT:
        return
    if part.kind is not PartKind.EXPRESSION:
        yield Use(part, within)
    around = NAME if part.kind is PartKind.VARIABLE else part.name
    for inner in part.inside:
        yield from _uses(inner, (around, *within))
