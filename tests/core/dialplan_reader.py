"""Reads a dialplan for texts from outside in places where Asterisk evaluates them.

A parser of what Asterisk does with a line (pbx_variables.c, ast_str_substitute_variables_full2):
text, ``${name}``, ``${FUNCTION(arguments)}`` and ``$[expression]``, nested as they are. A text that
comes out of ``${…}`` is evaluated where it stands within another ``${…}`` or a ``$[…]``, and in the
argument of every application but behind the ``=`` of Set(). There only texts of ours may stand.

What is ours, the head of dialplan/asterisk_avp.conf says; of variables in small letters (LOCAL) it
follows from what is assigned to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Variable:
    """``${name:offset}``; ``name`` as it is written, with what is nested in it."""

    name: tuple[Node, ...]


@dataclass(frozen=True)
class Function:
    name: str
    arguments: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Expression:
    inner: tuple[Node, ...]


Node = Text | Variable | Function | Expression


def parse(text: str) -> tuple[Node, ...]:
    nodes: list[Node] = []
    at = 0
    while at < len(text):
        begin = text.find("$", at)
        if begin < 0 or text[begin + 1 : begin + 2] not in {"{", "["}:
            end = len(text) if begin < 0 else begin + 1
            nodes.append(Text(text[at:end]))
            at = end
            continue
        if begin > at:
            nodes.append(Text(text[at:begin]))
        end = _end(text, begin)
        inner = text[begin + 2 : end]
        nodes.append(_braces(inner) if text[begin + 1] == "{" else Expression(parse(inner)))
        at = end + 1
    return tuple(nodes)


def _end(text: str, begin: int) -> int:
    """Where ``${`` or ``$[`` at ``begin`` is closed; the other kind of bracket is not counted."""
    opening, closing = ("{", "}") if text[begin + 1] == "{" else ("[", "]")
    depth, at = 1, begin + 2
    while at < len(text):
        if text[at] == "$" and text[at + 1 : at + 2] in {"{", "["}:
            if text[at + 1] != opening:
                at = _end(text, at)
            else:
                depth += 1
                at += 1
        elif text[at] == opening:
            depth += 1
        elif text[at] == closing:
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise AssertionError(f"not closed: {text[begin:]}")


def _braces(inner: str) -> Node:
    called = re.match(r"([A-Z_0-9]+)\(", inner)
    if called is None:
        return Variable(parse(re.sub(r":[-0-9:]*$", "", inner)))
    arguments = inner[called.end() : inner.rindex(")")]
    return Function(called[1], tuple(parse(part) for part in split(arguments)))


def split(text: str, separator: str = ",") -> list[str]:
    """Arguments (app.c, __ast_app_separate_args)."""
    parts, depth, quoted, begin = [], 0, False, 0
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == separator and depth == 0 and not quoted:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


# --- lines ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    number: int
    context: str
    extension: str
    application: str
    arguments: str

    def __str__(self) -> str:
        return f"line {self.number} [{self.context}] {self.application}({self.arguments})"


def lines(text: str) -> Iterator[Line]:
    """The priorities of a dialplan, or of an example that is a part of one."""
    context = extension = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.split(r"(?<!\\);", raw, maxsplit=1)[0].strip()
        if section := re.match(r"\[([^\]]+)\]", line):
            context = section[1]
            continue
        found = re.match(r"(exten|same)\s*=>?\s*(.*)", line)
        if found is None:
            continue
        rest = found[2]
        if found[1] == "exten":
            extension, _, rest = rest.partition(",")
        _, _, what = rest.partition(",")
        call = re.fullmatch(r"(\w+)\((.*)\)", what.strip())
        assert call is not None, f"line {number}: {raw}"
        yield Line(number, context, extension, call[1], call[2])


def declared(dialplan: str) -> frozenset[str]:
    """The variables that the head of the dialplan says are ours."""
    head = dialplan[dialplan.index("\n; Ours:") : dialplan.index("\n; A foreign text that has to")]
    return frozenset(re.findall(r"\b(?:AVP_[A-Z_]+|[A-Z_]{4,}|ARG1)\b(?!\()", head))


# --- rules ---------------------------------------------------------------------------------------

_BY_NAME: Final = frozenset({"CUT", "SHIFT", "REPLACE"})
"""They take the name of a variable, as FIELDQTY and JSON_DECODE do (func_strings.c, func_cut.c)."""
_OURS_ALWAYS: Final = frozenset(
    {"FIELDQTY", "GLOBAL", "QUEUE_MEMBER", "DEVICE_STATE", "DIALPLAN_EXISTS", "SET"}
)
"""Their results are numbers, words of Asterisk's, or the administrator's configuration."""
_AS_ARGUMENTS: Final = frozenset({"IF", "TOUPPER", "CUT", "SHIFT", "REPLACE"})
"""Their results are ours where what they are given is."""
_WORDS: Final = frozenset({"channeltype", "state"})
"""Of CHANNEL(): words of Asterisk's."""
_VALUE_AS_IT_IS: Final = frozenset({"LOCAL", "PJSIP_HEADER"})
"""Functions whose value, behind Set's ``=``, nothing reads; of PJSIP_HEADER see `_headers`."""
OPTIONS_AT: Final = {"Queue": 1, "Dial": 2, "RetryDial": 5}


class Reader:
    """Finds what is wrong with a dialplan; ``ours``: see `declared`."""

    def __init__(self, text: str, ours: Iterable[str]) -> None:
        self.lines = list(lines(text))
        self.declared = frozenset(ours)
        self.ours = set(self.declared)
        self.faults: list[str] = []
        sets = [(line, *assignment(line)) for line in self.lines if line.application == "Set"]
        self.sets = [(line, name, parse(value)) for line, name, value in sets]
        # A name in small letters is ours while nothing foreign is assigned to it.
        local = {name for _, name, _ in self.sets if re.fullmatch(r"LOCAL\([a-z]+\)", name)}
        self.ours |= {name[6:-1] for name in local}
        while foreign := {
            name[6:-1]
            for _, name, value in self.sets
            if name in local and name[6:-1] in self.ours and not self._clean(value)
        }:
            self.ours -= foreign

    def read(self) -> list[str]:
        for line in self.lines:
            if line.application == "Set":
                self._set(line)
            else:
                self._evaluated(parse(line.arguments), line)
            if line.application in OPTIONS_AT:
                self._option_i(line)
        return self.faults

    def _fault(self, line: Line, what: str) -> None:
        self.faults.append(f"{line}: {what}")

    def _set(self, line: Line) -> None:
        name, value = assignment(line)
        self._evaluated(parse(name), line)
        called = re.match(r"(\w+)\(", name)
        nodes = parse(value)
        if called is not None and called[1] not in _VALUE_AS_IT_IS:
            self._evaluated(nodes, line)
            return
        for node in nodes:
            self._nested(node, line)
        if name in self.declared and not self._clean(nodes) and not self._checked(line, nodes):
            self._fault(line, f"{name} is ours, and this is foreign")
        if called is not None and called[1] == "PJSIP_HEADER":
            self._header(line, value)

    def _checked(self, line: Line, nodes: Sequence[Node]) -> bool:
        """AVP_CLEAN, after the line that leaves where REPLACE has left over a character."""
        before = [other for other in self.lines if other.number < line.number][-1]
        there = (line.context, line.extension, nodes) == (
            *("avp-clean", "verdict"),
            (Variable((Text("AVP_TEXT"),)),),
        )
        return there and before.arguments == "$[${FIELDQTY(rest,x)} > 0]?out"

    def _evaluated(self, nodes: Sequence[Node], line: Line) -> None:
        """Where only ours may stand."""
        for node in nodes:
            known = len(self.faults)
            self._nested(node, line)
            if not self._clean((node,)) and len(self.faults) == known:
                self._fault(line, f"{shown(node)} is foreign, and is evaluated")

    def _nested(self, node: Node, line: Line) -> None:
        match node:
            case Expression(inner):
                self._evaluated(inner, line)
            case Variable(name):
                self._evaluated(name, line)
            case Function(name, arguments):
                for argument in arguments:
                    self._evaluated(argument, line)

    def _clean(self, nodes: Sequence[Node]) -> bool:
        return all(self._is_ours(node) for node in nodes)

    def _is_ours(self, node: Node) -> bool:
        match node:
            case Text():
                return True
            case Expression(inner):
                return self._clean(inner)
            case Variable(name):
                return name in {(Text(known),) for known in self.ours}
            case Function("CHANNEL", arguments):
                return arguments in {((Text(word),),) for word in _WORDS}
            case Function(name, arguments) if name in _OURS_ALWAYS:
                return all(self._clean(argument) for argument in arguments)
            case Function(name, arguments) if name in _AS_ARGUMENTS:
                inside = all(self._clean(argument) for argument in arguments)
                named = name not in _BY_NAME or shown(*arguments[0]) in self.ours
                return inside and named
        return False

    # SIP headers, options --------------------------------------------------------------------

    def _header(self, line: Line, value: str) -> None:
        """A value with a line end brings headers of its own: REPLACE has to have deleted them."""
        found = re.fullmatch(r"\$\{(\w+):0:\d+\}", value)
        left = {*range(1, 32), 127}
        for other, name, _ in self.sets:
            if found is None or (other.context, name) != (line.context, f"LOCAL({found[1]})"):
                continue
            deleted = re.fullmatch(
                rf"\$\{{REPLACE\({found[1]},(?P<these>[^)]*)\)\}}", assignment(other)[1]
            )
            if deleted is None:
                left = {*range(1, 32), 127}
            elif other.number < line.number:
                left -= {int(code, 16) for code in re.findall(r"\\\\x(..)", deleted["these"])}
        if left:
            self._fault(line, "a header with control characters")

    def _option_i(self, line: Line) -> None:
        """Without it a phone that answers 302 sends the call where it likes."""
        arguments = split(line.arguments)
        at = OPTIONS_AT[line.application]
        options = arguments[at] if len(arguments) > at else ""
        named = re.fullmatch(r"\$\{(\w+)\}", options)
        texts = [options]
        if named is not None:
            texts = [assignment(x)[1] for x, name, _ in self.sets if name == named[1]]
        if not texts or any("i" not in re.sub(r"\(.*\)", "", text) for text in texts):
            self._fault(line, "without option i")


def assignment(line: Line) -> tuple[str, str]:
    """Of ``Set(name=value)``: Asterisk takes the first ``=`` (pbx_builtin_setvar)."""
    name, _, value = line.arguments.partition("=")
    return name, value


def shown(*nodes: Node) -> str:
    parts = []
    for node in nodes:
        match node:
            case Text(text):
                parts.append(text)
            case Variable(name):
                parts.append("${" + shown(*name) + "}")
            case Function(name, arguments):
                parts.append(f"${{{name}({','.join(shown(*part) for part in arguments)})}}")
            case Expression(inner):
                parts.append(f"$[{shown(*inner)}]")
    return "".join(parts)
