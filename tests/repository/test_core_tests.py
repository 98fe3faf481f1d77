"""`tests/core` is the core alone: fast enough to run at each save, and the same on any machine."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[1] / "core"
OURS = ("asterisk_avp.core", "tests.core")
# Modules of the standard library that could read files, a clock, or reach another process.
OUTSIDE = {"asyncio", "io", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "time"}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module)):
                yield module


@pytest.mark.parametrize("file", sorted(CORE.glob("*.py")), ids=lambda file: file.stem)
def test_imports_the_core_and_nothing_that_is_slow(file: Path) -> None:
    """No hypothesis either: random input belongs in `tests/properties`."""
    for module in imported(file):
        if not module.startswith(OURS):
            top = module.partition(".")[0]
            assert top == "pytest" or top in sys.stdlib_module_names - OUTSIDE, module


def test_open_no_file() -> None:
    for file in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Name) and node.id in {"open", "__file__"}), file.name
