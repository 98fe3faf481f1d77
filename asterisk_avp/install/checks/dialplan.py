"""Does the dialplan let anybody transfer a call by keys of the phone, past every rule?

`Queue(…,t)` and `Dial(…,tT)` switch on Asterisk's own transfer by keys (features.conf, `blindxfer`
and `atxfer`), and so does the channel variable BRIDGE_FEATURES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from asterisk_avp.install.asterisk_conf import Conf, Line
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.dialplan_text import split, steps

_ID = "dtmf_transfer"
_WHY = (
    "They let a party of the call transfer it by keys of the phone (features.conf, blindxfer and"
    " atxfer), to any number and past every rule."
)

OPTIONS_AT: Mapping[str, int] = {"queue": 1, "dial": 2, "retrydial": 5}
"""Which argument the options are, from 0, of the applications that connect two parties."""
_SET = re.compile(r"(?<!\w)Set\(", re.IGNORECASE)
_ASSIGNED = re.compile(r"_{0,2}(?P<name>\w+)=(?P<value>.*)", re.DOTALL)
_VARIABLE = re.compile(r"\w+")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Call:
    """``Dial()``, ``RetryDial()`` or ``Queue()``: where it stands, and the texts of its arguments.

    ``at``: where in the line's value the arguments begin. ``number``: which one the options are.
    """

    line: Line
    application: str
    arguments: tuple[str, ...]
    at: int
    number: int

    @property
    def options(self) -> str:
        return self.arguments[self.number] if len(self.arguments) > self.number else ""

    @property
    def options_at(self) -> int:
        """Where in the line's value the options begin."""
        return self.at + sum(len(argument) + 1 for argument in self.arguments[: self.number])

    def with_options(self, options: str) -> str:
        """The line with other options."""
        wanted = [*self.arguments, *[""] * (self.number + 1 - len(self.arguments))]
        wanted[self.number] = options
        value = self.line.value
        end = self.at + len(",".join(self.arguments))
        return f"{self.line.name} => {value[: self.at]}{','.join(wanted)}{value[end:]}"


@dataclass(slots=True)
class Letters:
    """The options that a text can stand for: ``found``, and variables whose value is not known."""

    found: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def transfer_options(facts: Facts) -> Iterator[Finding]:
    conf = facts.dialplan()
    values = assignments(conf)
    clean = True
    for call in calls(conf):
        letters = letters_of(call.options, values)
        for finding in _findings(call, letters, values):
            clean = False
            yield finding
    for line, name, value in _sets(conf):
        given = letters_of(value, values).found & {"t", "T"}
        if name == "BRIDGE_FEATURES" and given:
            clean = False
            what = f"BRIDGE_FEATURES is set with {_named(given)}"
            mend = _mended(line, value, line.value.index(f"{name}={value}") + len(name) + 1, values)
            yield Finding(_ID, Severity.ERROR, what, _WHY, str(line.place), mend)
    if clean:
        yield Finding(_ID, Severity.OK, "no Queue() or Dial() lets a phone's keys transfer a call")


def _findings(call: Call, letters: Letters, values: Mapping[str, list[str]]) -> Iterator[Finding]:
    where = str(call.line.place)
    given = letters.found & {"t", "T"}
    if given:
        mend = _mended(call.line, call.options, call.options_at, values)
        what = f"{call.application}() with {_named(given)}"
        yield Finding(_ID, Severity.ERROR, what, _WHY, where, mend)
    elif letters.unknown:
        names = ", ".join(f"${{{name}}}" for name in sorted(letters.unknown))
        what = f"{call.application}() with options from {names}, whose value is not known here"
        why = "It must not have t or T: " + _WHY[0].lower() + _WHY[1:]
        yield Finding(_ID, Severity.WARNING, what, why, where)


def _mended(line: Line, options: str, at: int, values: Mapping[str, list[str]]) -> tuple[str, ...]:
    """The line whose options at ``at`` are without t and T."""
    stripped = without(options, "tT")
    if letters_of(stripped, values).found & {"t", "T"}:
        # They come from a variable, which is set elsewhere.
        return (f"; {options} without t and T, where its value is set",)
    return (f"{line.name} => {line.value[:at]}{stripped}{line.value[at + len(options) :]}",)


def _named(letters: set[str]) -> str:
    ordered = sorted(letters, reverse=True)
    return ("option " if len(ordered) == 1 else "options ") + " and ".join(ordered)


def calls(conf: Conf, options_at: Mapping[str, int] = OPTIONS_AT) -> Iterator[Call]:
    """The calls of these applications, also those within ExecIf() and the like."""
    pattern = re.compile(rf"(?<!\w)(?P<name>{'|'.join(options_at)})\(", re.IGNORECASE)
    for line in (step.line for step in steps(conf)):
        for match in pattern.finditer(line.value):
            at = match.end()
            arguments = split(line.value[at : _end(line.value, at)], ",")
            yield Call(line, match["name"], tuple(arguments), at, options_at[match["name"].lower()])


def assignments(conf: Conf) -> dict[str, list[str]]:
    """Every value that a variable is given, in [globals] or by Set()."""
    found: dict[str, list[str]] = {}
    for section in conf.named("globals"):
        for line in section.lines:
            found.setdefault(line.name.lstrip("_"), []).append(line.value)
    for _, name, value in _sets(conf):
        found.setdefault(name, []).append(value)
    return found


def _sets(conf: Conf) -> Iterator[tuple[Line, str, str]]:
    for line in (step.line for step in steps(conf)):
        for match in _SET.finditer(line.value):
            assigned = _ASSIGNED.match(line.value[match.end() : _end(line.value, match.end())])
            if assigned is not None:
                yield line, assigned["name"], assigned["value"]


def letters_of(
    options: str, values: Mapping[str, list[str]], seen: frozenset[str] = frozenset()
) -> Letters:
    """The letters that ``options`` can come to; what a letter has in parentheses is none."""
    result = Letters()
    for kind, text in _parts(options):
        if kind == "letter":
            result.found.add(text)
        elif kind == "expression":
            for more in _expression(text[2:].removesuffix("}"), values, seen):
                result.found |= more.found
                result.unknown |= more.unknown
    return result


def surely(
    options: str, values: Mapping[str, list[str]], seen: frozenset[str] = frozenset()
) -> set[str]:
    """The letters that ``options`` has whatever its variables hold at that moment."""
    found: set[str] = set()
    for kind, text in _parts(options):
        if kind == "letter":
            found.add(text)
        elif kind == "expression":
            found |= _always(text[2:].removesuffix("}"), values, seen)
    return found


def _always(text: str, values: Mapping[str, list[str]], seen: frozenset[str]) -> set[str]:
    """As `_expression`, those letters that all that ``${text}`` can come to have in common."""
    each: list[set[str]] = []
    if _VARIABLE.fullmatch(text):
        if text not in seen:
            each = [surely(value, values, seen | {text}) for value in values.get(text, ())]
    elif text.startswith("IF(") and len(sides := split(text[3:-1], "?")) > 1:
        found = split("?".join(sides[1:]), ":")
        each = [surely(side, values, seen) for side in found] if len(found) > 1 else []
    return set.intersection(*each) if each else set()


def without(options: str, letters: str) -> str:
    """The options without these letters."""
    return "".join(
        text for kind, text in _parts(options) if not (kind == "letter" and text in letters)
    )


def _expression(
    text: str, values: Mapping[str, list[str]], seen: frozenset[str]
) -> Iterator[Letters]:
    """What ``${text}`` can come to: a variable, or one of the two sides of IF()."""
    if _VARIABLE.fullmatch(text):
        if text in seen:
            return
        for value in values.get(text, ()):
            yield letters_of(value, values, seen | {text})
        if text not in values:
            yield Letters(unknown={text})
    elif text.startswith("IF(") and len(sides := split(text[3:-1], "?")) > 1:
        for side in split("?".join(sides[1:]), ":"):
            yield letters_of(side, values, seen)
    else:
        yield Letters(unknown={text})


def _parts(options: str) -> Iterator[tuple[str, str]]:
    """``letter``, ``argument`` (with its parentheses) or ``expression`` (with ``${`` and ``}``)."""
    at = 0
    while at < len(options):
        if options.startswith("${", at):
            end = _end(options, at + 2)
            yield "expression", options[at : end + 1]
            at = end + 1
        elif options[at] == "(":
            end = _end(options, at + 1)
            yield "argument", options[at : end + 1]
            at = end + 1
        else:
            yield "letter", options[at]
            at += 1


def _end(text: str, begin: int) -> int:
    """Where the bracket before ``begin`` is closed; the end of the text if it is not."""
    closing = [_PAIRS[text[begin - 1]]]
    for at in range(begin, len(text)):
        if text[at] == closing[-1]:
            closing.pop()
            if not closing:
                return at
        elif text[at] in _PAIRS:
            closing.append(_PAIRS[text[at]])
    return len(text)
