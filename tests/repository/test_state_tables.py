"""What depends on a transfer's state is in `core/transfer/states.py`, and no table of it elsewhere.

`table.py` has the rows that lead from state to state. In any other module a set, dict, list, tuple,
`match`, chain of comparisons or call that names two states or more is a table that whoever adds a
state would have to know of.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import asterisk_avp
from asterisk_avp.core.model.world import TransferState
from asterisk_avp.core.transfer.states import State

PACKAGE = Path(asterisk_avp.__file__).parent
PANEL = PACKAGE / "api" / "static"
OWNERS = {PACKAGE / "core/transfer/states.py", PACKAGE / "core/transfer/table.py"}
ENUMS = {
    "asterisk_avp.core.transfer.states": "State",
    "asterisk_avp.core.model.world": "TransferState",
}
NAMES = {state.name for enum in (State, TransferState) for state in enum}
VALUES = {state.value for enum in (State, TransferState) for state in enum}
TWO = 2


class Finder:
    """Finds code that names two or more states in the source of one module."""

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.enums = {"State", "TransferState"}
        for node in ast.walk(self.tree):
            match node:
                case ast.ImportFrom(module=module, names=names) if module in ENUMS:
                    self.enums |= {x.asname for x in names if x.asname and x.name == ENUMS[module]}
                case ast.Assign(targets=[ast.Name(name)], value=ast.Name(value)):
                    self._alias(name, value)
                case ast.Assign(targets=[ast.Tuple(names)], value=ast.Tuple(values)):
                    for one, other in zip(names, values, strict=False):
                        if isinstance(one, ast.Name) and isinstance(other, ast.Name):
                            self._alias(one.id, other.id)

    def _alias(self, name: str, value: str) -> None:
        if value in self.enums:
            self.enums.add(name)

    def state(self, node: ast.AST | None, *, text: bool = True) -> str | None:
        """The state that an expression names; ``text``: a string counts as well."""
        match node:
            case ast.Attribute(value, "value" | "name"):
                return self.state(value)
            case ast.Attribute(ast.Name(enum) | ast.Attribute(attr=enum), name):
                return name.lower() if enum in self.enums and name in NAMES else None
            case ast.Subscript(ast.Name(enum), ast.Constant(str(name))):
                return name.lower() if enum in self.enums else None
            case ast.Call(ast.Name(enum), [ast.Constant(str(value))]):
                return value if enum in self.enums else None
            case ast.Constant(str(value)) if text and value in VALUES:
                return value
            case _:
                return None

    def states(self, nodes: Iterator[ast.AST | None] | list[ast.AST | None]) -> set[str]:
        return {found for node in nodes if (found := self.state(node)) is not None}

    def faults(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            found = self._named_by(node)
            if len(found) >= TWO:
                line = getattr(node, "lineno", 0)
                yield f"line {line}: {type(node).__name__} of {', '.join(sorted(found))}"

    def _named_by(self, node: ast.AST) -> set[str]:
        match node:
            case ast.Set(elements) | ast.List(elements) | ast.Tuple(elements):
                first = [x.elts[0] if isinstance(x, ast.Tuple) and x.elts else x for x in elements]
                return self.states([*first])
            case ast.Dict(keys, values):
                enums = {self.state(value, text=False) for value in values} - {None}
                return self.states([*keys]) | {x for x in enums if x}
            case ast.Call(_, arguments, keywords):
                texts = {keyword.arg for keyword in keywords if keyword.arg in VALUES}
                given = {self.state(x, text=False) for x in arguments}
                return {x for x in texts | given if x}
            case ast.Constant(str(text)):
                words = re.split(r"[\s,|]+", text.strip())
                return set(words) if set(words) <= VALUES else set()
            case ast.Match(cases=cases):
                patterns = [x for case in cases for x in ast.walk(case.pattern)]
                return self.states([x.value for x in patterns if isinstance(x, ast.MatchValue)])
            case ast.BoolOp() | ast.IfExp() | ast.BinOp():
                return self._compared(node)
            case ast.If(test, _, [ast.If() as other]):
                return self._compared(test) | self._named_by(other) | self._compared(other.test)
            case ast.Assign(targets=[ast.Subscript(slice=key)]) if self.state(key, text=False):
                return {"a table,", str(self.state(key))}
            case _:
                return set()

    def _compared(self, node: ast.AST) -> set[str]:
        found: set[str] = set()
        for inner in ast.walk(node):
            match inner:
                case ast.Compare(left, _, others):
                    found |= self.states([left, *others])
                case ast.BinOp(left, ast.BitOr(), right):
                    for side in (left, right):
                        elements = side.elts if isinstance(side, ast.Set) else [side]
                        found |= self.states([*elements])
        return found


@pytest.mark.parametrize(
    "file", sorted({*PACKAGE.rglob("*.py")} - OWNERS), ids=lambda x: str(x.relative_to(PACKAGE))
)
def test_no_table_of_states_outside_states(file: Path) -> None:
    assert [*Finder(file.read_text(encoding="utf-8")).faults()] == []


HEAD = """
from asterisk_avp.core.model.world import AgentState, TransferState
from asterisk_avp.core.transfer import states
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.states import State, State as Zustand
S, K = State, EventType
T = TransferState
"""


@pytest.mark.parametrize(
    "planted",
    [
        "WAITS = frozenset({State.WAITING, State.RINGING})",
        "WAITS = frozenset((Zustand.WAITING, Zustand.RINGING))",
        "WAITS = [S.WAITING, S.RINGING]",
        "WAITS = {states.State.WAITING, states.State.RINGING}",
        "WAITS = {T.WAITING, T.RINGING}",
        "WAITS = {State.WAITING} | {State.RINGING}",
        "WAITS = {State.WAITING.value, State.RINGING.value}",
        "WAITS = {State('waiting'), State['RINGING']}",
        "WAITS = {'waiting', 'ringing'}",
        "WAITS = 'waiting ringing'.split()",
        "FINAL = ('completed', 'failed')",
        "SECONDS = {State.WAITING: 1, State.RINGING: 2}",
        "SECONDS = {'waiting': 1, 'ringing': 2}",
        "SECONDS = dict(waiting=1, ringing=2)",
        "SECONDS = dict([(State.WAITING, 1), (State.RINGING, 2)])",
        "FORMER = {'old': State.WAITING, 'older': State.RINGING}",
        "SECONDS[State.WAITING] = 1",
        "if session.state in (S.WAITING, S.RINGING):\n    pass",
        "if session.state is S.WAITING or session.state is S.RINGING:\n    pass",
        "if session.state not in {S.WAITING, S.RINGING}:\n    pass",
        "if state is S.WAITING:\n    pass\nelif state is S.RINGING:\n    pass",
        "if state is S.WAITING:\n    a\nelif b:\n    c\nelif state is S.RINGING:\n    d",
        "x = 1 if state is S.WAITING else 2 if state is S.RINGING else 3",
        "found = [s for s in sessions if s.state in (S.WAITING, S.RINGING)]",
        "found = {s for s in State if s is S.WAITING or s == S.RINGING}",
        "found = any_of(session, S.WAITING, S.RINGING)",
        "match state:\n    case S.WAITING | S.RINGING:\n        pass",
        "match state:\n    case S.WAITING:\n        pass\n    case S.RINGING:\n        pass",
        "match view.state:\n    case 'waiting' | 'ringing':\n        pass",
        "match role, state:\n    case 'leg', S.WAITING:\n        a\n    case S.RINGING:\n        b",
    ],
)
def test_a_table_of_states_is_found(planted: str) -> None:
    assert [*Finder(HEAD + planted).faults()]


@pytest.mark.parametrize(
    "innocent",
    [
        "if session.state is State.FAILED:\n    pass",
        "waits = session.state.spec.deadline.awaits_target",
        "KINDS = {K.COMPLETE, K.CONFERENCE}",
        "BUSY = {AgentState.RINGING, AgentState.TALKING}",
        "STYLES = {'ringing': 'yellow', 'talking': 'cyan'}",
        "WORDS = {K.COMPLETE: 'completed', K.CANCEL: 'cancelled'}",
        "text = 'The transfer was cancelled or completed.'",
        "state = State.STARTING if supervised else State.QUEUEING",
        "match kind:\n    case 'transfer':\n        pass\n    case 'agent':\n        pass",
    ],
)
def test_what_is_no_table_is_left_alone(innocent: str) -> None:
    assert [*Finder(HEAD + innocent).faults()] == []


def faults_of_panel(source: str) -> list[str]:
    """The same of the panel: arrays, objects, `switch`, and comparisons of a transfer's state."""
    code = re.sub(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", "", source, flags=re.DOTALL)
    found = []
    for what, pattern, name in (
        ("array", r"\[[^\[\]]*\]", r"[\"'`](\w+)[\"'`]"),
        ("object", r"\{[^{}]*\}", r"[\"']?(\w+)[\"']?\s*:"),
    ):
        for literal in re.findall(pattern, code):
            named = set(re.findall(name, literal)) & VALUES
            if len(named) >= TWO:
                found.append(f"{what} of {', '.join(sorted(named))}")
    for what, name in (
        ("switch", r"\bcase\s+[\"'`](\w+)[\"'`]"),
        ("comparisons", r"transfer\.state\s*[!=]==?\s*[\"'`](\w+)[\"'`]"),
    ):
        named = set(re.findall(name, code)) & VALUES
        if len(named) >= TWO:
            found.append(f"{what} of {', '.join(sorted(named))}")
    return found


@pytest.mark.parametrize("file", sorted(PANEL.rglob("*.js")), ids=lambda file: file.name)
def test_the_panel_has_no_table_of_states(file: Path) -> None:
    assert faults_of_panel(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        'const FINAL = new Set(["completed", "failed"]);',
        'const TITLES = { starting: "Transferring to", ringing: "Calling" };',
        'const TITLES = {\n  "starting": "Transferring to",\n  "ringing": "Calling",\n};',
        'switch (transfer.state) {\n  case "starting":\n  case "ringing": return [];\n}',
        'if (["waiting", "ringing"].includes(transfer.state)) show();',
        'if (transfer.state === "waiting" || transfer.state === "ringing") show();',
    ],
)
def test_a_table_of_states_in_the_panel_is_found(planted: str) -> None:
    assert faults_of_panel(planted)


def test_what_is_no_table_of_the_panel_is_left_alone() -> None:
    source = """
        // "starting", "ringing": a comment
        const STATES = { available: "Available", ringing: "Ringing" };
        const good = transfer.state === "completed";
    """
    assert faults_of_panel(source) == []
