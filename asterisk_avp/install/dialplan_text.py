"""What a text of the dialplan is made of, as Asterisk substitutes it (pbx_variables.c,
pbx_substitute_variables_helper_full): plain text, ``${variable:offset:length}``, ``${FUNCTION(…)}``
and ``$[expression]``, each of which may hold others.

Asterisk substitutes from the inside out: what an inner part held is then read as part of the outer
one, with every bracket, colon and comma in it. So it matters in what a value stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    TEXT = "text"
    VARIABLE = "variable"
    FUNCTION = "function"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class Part:
    """``name``: of the variable or the function, in which a nested part is left as it is written.

    ``inside``: what the name of a variable, the arguments of a function, or an expression is made
    of. ``text``: as it is written.
    """

    kind: EventType
    text: str
    name: str = ""
    inside: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """A variable or function that is read, and what reads it next.

    ``within``: the function or the expression around it, from the inside out; a variable's name
    that is put together is `NAME`, and an expression `EXPRESSION`.
    """

    part: Part
    within: tuple[str, ...]


EXPRESSION = "$[…]"
NAME = "${…}"


def parts(text: str) -> tuple[Part, ...]:
    """A bracket that is not closed takes all that follows, as in Asterisk."""
    found: list[Part] = []
    begin = at = 0
    while at < len(text) - 1:
        if text[at] != "$" or text[at + 1] not in "{[":
            at += 1
            continue
        end = _end(text, at + 2, text[at + 1])
        if begin < at:
            found.append(Part(EventType.TEXT, text[begin:at]))
        inner = text[at + 2 : end]
        whole = text[at : end + 1]
        if text[at + 1] == "[":
            found.append(Part(EventType.EXPRESSION, whole, EXPRESSION, parts(inner)))
        else:
            found.append(_read(whole, inner))
        begin = at = end + 1
    if begin < len(text):
        found.append(Part(EventType.TEXT, text[begin:]))
    return tuple(found)


def _read(whole: str, inner: str) -> Part:
    name, bracket, arguments = inner.partition("(")
    if bracket and "$" not in name:
        # Where the arguments end, decides the last bracket (pbx_functions.c, func_args).
        return Part(EventType.FUNCTION, whole, name.strip(), parts(arguments.rpartition(")")[0]))
    return Part(EventType.VARIABLE, whole, inner.partition(":")[0].strip(), parts(inner))


def _end(text: str, begin: int, opened: str) -> int:
    """Where the bracket that ``opened`` before ``begin`` is closed."""
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
    if part.kind is EventType.TEXT:
        return
    if part.kind is not EventType.EXPRESSION:
        yield Use(part, within)
    around = NAME if part.kind is EventType.VARIABLE else part.name
    for inner in part.inside:
        yield from _uses(inner, (around, *within))
