"""Does the dialplan allow DTMF transfers, which bypass every rule?

`Queue(…,t)` and `Dial(…,tT)` enable Asterisk's own DTMF transfers (features.conf, `blindxfer` and
`atxfer`), and so does the channel variable BRIDGE_FEATURES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from asterisk_avp.install.asterisk_conf import Conf, Line
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.vendor import WHOSE, is_rewritten, rewritten, shown
from asterisk_avp.install.dialplan_text import split, steps

_ID = "dtmf_transfer"
_WHY = (
    "A party can then transfer the call with the phone's keys (features.conf, blindxfer and"
    " atxfer) to any number, past every rule."
)

OPTIONS_AT: Mapping[str, int] = {"queue": 1, "dial": 2, "retrydial": 5}
"""The index of the options argument, from 0, of each application that connects two parties."""
_CODES = ("blindxfer", "atxfer")
_FEATUREMAP = re.compile(r"(?<!\{)\bFEATUREMAP\((blindxfer|atxfer)\)=(?=[^,)\s])", re.IGNORECASE)
_SET = re.compile(r"(?<!\w)Set\(", re.IGNORECASE)
_ASSIGNED = re.compile(r"_{0,2}(?P<name>\w+)=(?P<value>.*)", re.DOTALL)
_VARIABLE = re.compile(r"\w+")
_REPLACED = re.compile(r"STRREPLACE\((?P<name>\w+),(?P<old>\w),?\)")
"""A variable without one letter (func_strings.c, strreplace)."""
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of ``Dial()``, ``RetryDial()`` or ``Queue()``, with the texts of its arguments.

    ``at``: the index in the line's value where the arguments begin. ``number``: the index of the
    options argument.
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
        """The index in the line's value where the options begin."""
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
    """The option letters that a text can expand to, and the variables whose value is unknown."""

    found: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def transfer_options(facts: Facts) -> Iterator[Finding]:
    conf = facts.dialplan()
    if not transfer_codes(facts):
        # An option enables a code, and there is none (bridge_basic.c, builtin_features_helper).
        what = "features.conf has no code for DTMF transfers (blindxfer, atxfer)"
        yield Finding(_ID, Severity.OK, what)
        return
    values = assignments(conf)
    found: list[tuple[Line, Finding]] = []
    for call in calls(conf):
        letters = letters_of(call.options, values)
        found += ((call.line, finding) for finding in _findings(call, letters, values))
    for line, name, value in _sets(conf):
        given = letters_of(value, values).found & {"t", "T"}
        if name == "BRIDGE_FEATURES" and given:
            what = f"BRIDGE_FEATURES is set to {_named(given)}"
            mend = _mended(line, value, line.value.index(f"{name}={value}") + len(name) + 1, values)
            where = str(line.place)
            found.append((line, Finding(_ID, Severity.ERROR, what, _WHY, where, mend)))
    theirs = rewritten(conf)
    yield from (finding for line, finding in found if not is_rewritten(line, theirs))
    yield from _of_the_pbx(facts, [(x, y) for x, y in found if is_rewritten(x, theirs)])
    if not found:
        yield Finding(_ID, Severity.OK, "no Queue() or Dial() allows DTMF transfers")


def transfer_codes(facts: Facts) -> dict[str, str]:
    """The codes in force that transfer a call, by name.

    `blindxfer` is `#` where features.conf has no line for it; an empty value disables a code
    (features_config.c, DEFAULT_FEATUREMAP_BLINDXFER). A channel may have codes of its own.
    """
    found = {"blindxfer": "#"}
    for section in facts.file("features.conf").named("featuremap"):
        found |= {name: value for name in _CODES for value in section.all(name)}
    own = {
        name: f"{name} of FEATUREMAP()"
        for step in steps(facts.dialplan())
        for name in _FEATUREMAP.findall(step.line.value)
    }
    return {name: keys for name, keys in (found | own).items() if keys}


def _of_the_pbx(facts: Facts, found: list[tuple[Line, Finding]]) -> Iterator[Finding]:
    """One finding for all lines that a web interface writes: its switches disable the codes."""
    errors = [line for line, finding in found if finding.severity is Severity.ERROR]
    lines = errors or [line for line, _ in found]
    if not lines:
        return
    codes = " and ".join(f"{name} ({keys})" for name, keys in transfer_codes(facts).items())
    may = "enable" if errors else "may enable"
    what = f"Queue() and Dial() of the PBX {may} DTMF transfers by {codes}: {shown(lines)}"
    mend = (
        "; Admin > Feature Codes > Core: disable",
        "; In-Call Asterisk Blind Transfer and In-Call Asterisk Attended Transfer, Apply Config",
    )
    severity = Severity.ERROR if errors else Severity.WARNING
    yield Finding(_ID, severity, what, f"{_WHY} {WHOSE}", "", mend)


def _findings(call: Call, letters: Letters, values: Mapping[str, list[str]]) -> Iterator[Finding]:
    where = str(call.line.place)
    given = letters.found & {"t", "T"}
    if given:
        mend = _mended(call.line, call.options, call.options_at, values)
        what = f"{call.application}() with {_named(given)}"
        yield Finding(_ID, Severity.ERROR, what, _WHY, where, mend)
    elif letters.unknown:
        names = ", ".join(f"${{{name}}}" for name in sorted(letters.unknown))
        what = f"{call.application}() takes options from {names}, whose value is unknown here"
        why = "Make sure that they never contain t or T. " + _WHY
        yield Finding(_ID, Severity.WARNING, what, why, where)


def _mended(line: Line, options: str, at: int, values: Mapping[str, list[str]]) -> tuple[str, ...]:
    """The line with t and T removed from the options at ``at``."""
    stripped = without(options, "tT")
    if letters_of(stripped, values).found & {"t", "T"}:
        # They come from a variable that is set elsewhere.
        return (f"; remove t and T from {options} where its value is set",)
    return (f"{line.name} => {line.value[:at]}{stripped}{line.value[at + len(options) :]}",)


def _named(letters: set[str]) -> str:
    ordered = sorted(letters, reverse=True)
    return ("option " if len(ordered) == 1 else "options ") + " and ".join(ordered)


def calls(conf: Conf, options_at: Mapping[str, int] = OPTIONS_AT) -> Iterator[Call]:
    """The calls of these applications, including those inside ExecIf() and similar."""
    pattern = re.compile(rf"(?<!\w)(?P<name>{'|'.join(options_at)})\(", re.IGNORECASE)
    for line in (step.line for step in steps(conf)):
        for match in pattern.finditer(line.value):
            at = match.end()
            arguments = split(line.value[at : _end(line.value, at)], ",")
            yield Call(line, match["name"], tuple(arguments), at, options_at[match["name"].lower()])


def assignments(conf: Conf) -> dict[str, list[str]]:
    """Every value that is assigned to each variable, in [globals] or by Set()."""
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
    """The letters that ``options`` can expand to, without their arguments in parentheses."""
    result = Letters()
    for kind, text in _parts(options):
        if kind == "letter":
            result.found.add(text)
        elif kind == "expression":
            for more in _expression(text[2:].removesuffix("}"), values, seen):
                result.found |= more.found
                result.unknown |= more.unknown
    return result


def always(
    options: str, values: Mapping[str, list[str]], seen: frozenset[str] = frozenset()
) -> set[str]:
    """The letters that ``options`` contains, whatever the values of its variables."""
    found: set[str] = set()
    for kind, text in _parts(options):
        if kind == "letter":
            found.add(text)
        elif kind == "expression":
            found |= _common(text[2:].removesuffix("}"), values, seen)
    return found


def _common(text: str, values: Mapping[str, list[str]], seen: frozenset[str]) -> set[str]:
    """The letters that all possible values of ``${text}`` have in common."""
    each: list[set[str]] = []
    if _VARIABLE.fullmatch(text):
        if text not in seen:
            each = [always(value, values, seen | {text}) for value in values.get(text, ())]
    elif (replaced := _REPLACED.fullmatch(text)) and replaced["name"] not in seen:
        given = values.get(replaced["name"], ())
        each = [always(x, values, seen | {replaced["name"]}) - {replaced["old"]} for x in given]
    elif text.startswith("IF(") and len(sides := split(text[3:-1], "?")) > 1:
        found = split("?".join(sides[1:]), ":")
        each = [always(side, values, seen) for side in found] if len(found) > 1 else []
    return set.intersection(*each) if each else set()


def without(options: str, letters: str) -> str:
    """The options without these letters."""
    return "".join(
        text for kind, text in _parts(options) if not (kind == "letter" and text in letters)
    )


def _expression(
    text: str, values: Mapping[str, list[str]], seen: frozenset[str]
) -> Iterator[Letters]:
    """The possible values of ``${text}``: of a variable, or of either side of IF()."""
    if _VARIABLE.fullmatch(text):
        if text in seen:
            return
        for value in values.get(text, ()):
            yield letters_of(value, values, seen | {text})
        if text not in values:
            yield Letters(unknown={text})
    elif replaced := _REPLACED.fullmatch(text):
        for letters in _expression(replaced["name"], values, seen):
            yield Letters(letters.found - {replaced["old"]}, letters.unknown)
    elif text.startswith("IF(") and len(sides := split(text[3:-1], "?")) > 1:
        for side in split("?".join(sides[1:]), ":"):
            yield letters_of(side, values, seen)
    else:
        yield Letters(unknown={text})


def _parts(options: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each part.

    The kinds are ``letter``, ``argument`` (with parentheses) and ``expression`` (``${…}``).
    """
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
    """The index at which the bracket before ``begin`` is closed; else the end of the text."""
    closing = [_PAIRS[text[begin - 1]]]
    for at in range(begin, len(text)):
        if text[at] == closing[-1]:
            closing.pop()
            if not closing:
                return at
        elif text[at] in _PAIRS:
            closing.append(_PAIRS[text[at]])
    return len(text)
