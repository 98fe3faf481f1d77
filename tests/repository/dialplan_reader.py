"""Search a dialplan for foreign texts in places where Asterisk evaluates them.

A text from ``${…}`` is evaluated if it is inside another ``${…}`` or a ``$[…]``, and in the
argument of every application except after the ``=`` of Set(). Only our own texts may be there.

The head of dialplan/asterisk_avp.conf lists the variables that are ours. For variables in lower
case (LOCAL), it follows from their assignments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from asterisk_avp.install.asterisk_conf import alone
from asterisk_avp.install.dialplan_text import Part, PartKind, Step, parts, split, steps


def read(text: str) -> list[Step]:
    """The priorities of a dialplan, or of an example that is part of one."""
    # Its sections may add to, or inherit from, sections outside of the example.
    bare = re.sub(r"^(\[[^\]]+\])\(.*\)", r"\1", text, flags=re.MULTILINE)
    conf, _ = alone("dialplan", f"[example]\n{bare}")
    assert not conf.faults, conf.faults
    found = list(steps(conf))
    assert all(step.application for step in found), found
    return found


def declared(dialplan: str) -> frozenset[str]:
    """The variables that the head of the dialplan declares as ours."""
    head = dialplan[dialplan.index("\n; Ours:") : dialplan.index("\n; Foreign text that must be")]
    return frozenset(re.findall(r"\b(?:AVP_[A-Z_]+|[A-Z_]{4,}|ARG1)\b(?!\()", head))


# --- rules ---------------------------------------------------------------------------------------

_BY_NAME: Final = frozenset({"CUT", "SHIFT", "REPLACE"})
"""They take the name of a variable, like FIELDQTY and JSON_DECODE (func_strings.c, func_cut.c)."""
_OURS_ALWAYS: Final = frozenset(
    {
        "FIELDQTY",
        "GLOBAL",
        "QUEUE_EXISTS",
        "QUEUE_MEMBER",
        "DEVICE_STATE",
        "DIALPLAN_EXISTS",
        "SET",
        "STACK_PEEK",
    }
)
"""Their results are numbers, constants of Asterisk, or the administrator's configuration."""
_AS_ARGUMENTS: Final = frozenset({"IF", "TOUPPER", "CUT", "SHIFT", "REPLACE"})
"""Their results are ours if their arguments are."""
_WORDS: Final = frozenset({"channeltype", "state", "audionativeformat", "audiowriteformat"})
"""Items of CHANNEL() that are constants of Asterisk."""
_VALUE_AS_IT_IS: Final = frozenset({"LOCAL", "PJSIP_HEADER", "SHARED"})
"""Functions whose value after Set's ``=`` is never parsed; see `_headers` for PJSIP_HEADER."""
OPTIONS_AT: Final = {"Queue": 1, "Dial": 2, "RetryDial": 5}


class Reader:
    """Finds faults in a dialplan. ``ours``: see `declared`."""

    def __init__(self, text: str, ours: Iterable[str]) -> None:
        self.lines = read(text)
        self.declared = frozenset(ours)
        self.ours = set(self.declared)
        self.faults: list[str] = []
        sets = [(line, *assignment(line)) for line in self.lines if line.application == "Set"]
        self.sets = [(line, name, parts(value)) for line, name, value in sets]
        # A name in lower case is ours while no foreign value is assigned to it.
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
                self._evaluated(parts(line.arguments), line)
            if line.application in OPTIONS_AT:
                self._option_i(line)
        return self.faults

    def _fault(self, line: Step, what: str) -> None:
        self.faults.append(f"{written(line)}: {what}")

    def _set(self, line: Step) -> None:
        name, value = assignment(line)
        self._evaluated(parts(name), line)
        called = re.match(r"(\w+)\(", name)
        nodes = parts(value)
        if called is not None and called[1] not in _VALUE_AS_IT_IS:
            self._evaluated(nodes, line)
            return
        for node in nodes:
            self._nested(node, line)
        if name in self.declared and not self._clean(nodes) and not self._checked(line, nodes):
            self._fault(line, f"{name} is ours, and this is foreign")
        if called is not None and called[1] == "PJSIP_HEADER" and not self._clean(nodes):
            self._header(line, value)

    def _checked(self, line: Step, nodes: Sequence[Part]) -> bool:
        """AVP_CLEAN, after the line that exits if REPLACE has left a character."""
        before = self.lines[self.lines.index(line) - 1]
        text = "".join(node.text for node in nodes)
        there = (line.context, line.extension, text) == ("avp-clean", "verdict", "${AVP_TEXT}")
        return there and before.arguments == "$[${FIELDQTY(rest,x)} > 0]?out"

    def _evaluated(self, nodes: Sequence[Part], line: Step) -> None:
        """Places where only our own texts may be."""
        for node in nodes:
            known = len(self.faults)
            self._nested(node, line)
            if not self._clean((node,)) and len(self.faults) == known:
                self._fault(line, f"{node.text} is foreign, and is evaluated")

    def _nested(self, node: Part, line: Step) -> None:
        if not node.closed:
            self._fault(line, f"{node.text} is not closed")
        self._evaluated(node.inside, line)

    def _clean(self, nodes: Sequence[Part]) -> bool:
        return all(self._is_ours(node) for node in nodes)

    def _is_ours(self, node: Part) -> bool:
        match node.kind:
            case PartKind.TEXT:
                return True
            case PartKind.EXPRESSION:
                return self._clean(node.inside)
            case PartKind.VARIABLE:
                return node.name in self.ours and self._clean(node.inside)
        if node.name == "CHANNEL":
            return node.arguments in {(word,) for word in _WORDS}
        clean = self._clean(node.inside)
        if node.name in _AS_ARGUMENTS:
            return clean and (node.name not in _BY_NAME or node.arguments[0] in self.ours)
        return clean and node.name in _OURS_ALWAYS

    # SIP headers, options --------------------------------------------------------------------

    def _header(self, line: Step, value: str) -> None:
        """A value with a line break adds headers of its own: REPLACE must have deleted it."""
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
            elif other.line.place.line < line.line.place.line:
                left -= {int(code, 16) for code in re.findall(r"\\\\x(..)", deleted["these"])}
        if left:
            self._fault(line, "a header with control characters")

    def _option_i(self, line: Step) -> None:
        """Without it, a phone that answers 302 can forward the call anywhere."""
        arguments = split(line.arguments)
        at = OPTIONS_AT[line.application]
        options = arguments[at] if len(arguments) > at else ""
        named = re.fullmatch(r"\$\{(\w+)\}", options)
        texts = [options]
        if named is not None:
            texts = [assignment(x)[1] for x, name, _ in self.sets if name == named[1]]
        if not texts or any("i" not in re.sub(r"\(.*\)", "", text) for text in texts):
            self._fault(line, "without option i")


def written(step: Step) -> str:
    return f"{step.line.place} [{step.context}] {step.application}({step.arguments})"


def assignment(line: Step) -> tuple[str, str]:
    """The parts of ``Set(name=value)``: Asterisk uses the first ``=`` (pbx_builtin_setvar)."""
    name, _, value = line.arguments.partition("=")
    return name, value
