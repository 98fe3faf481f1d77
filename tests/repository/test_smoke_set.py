"""`tests/run smoke` has a test for each kind of thing that a user does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
KINDS = {
    "supervised complete",
    "supervised cancel",
    "conference",
    "unsupervised to a busy agent",
    "unsupervised to a group",
    "external number",
    "number refused by policy",
    "max hold",
    "no daemon",
    "takeover after a restart",
    "FreePBX",
    "feature code",
    "transfer button",
    "panel page",
}


def marked() -> Iterator[str]:
    """The kinds that tests are marked with; what is no test cannot be."""
    for file in (*TESTS.glob("asterisk/test_*.py"), *TESTS.glob("panel/test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    if ast.unparse(decorator).startswith("pytest.mark.smoke"):
                        assert isinstance(decorator, ast.Call)
                        yield ast.literal_eval(decorator.args[0])


def test_each_kind_has_one_test() -> None:
    assert sorted(marked()) == sorted(KINDS)


def test_the_runner_selects_them() -> None:
    text = (TESTS / "run").read_text(encoding="utf-8")
    assert "-m smoke " in text
