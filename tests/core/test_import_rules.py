"""Who may import whom (one direction, DESIGN section 3), read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asterisk_avp

PACKAGE = Path(asterisk_avp.__file__).parent
ADAPTERS = ("ari", "ami", "agi", "api")

# What the core may not even look at: it has no socket, file, clock, sleep, thread or log.
NOT_FOR_THE_CORE = {
    *("asyncio", "concurrent", "fcntl", "ftplib", "glob", "http", "io", "logging", "mmap"),
    *("multiprocessing", "os", "pathlib", "queue", "random", "sched", "secrets", "select"),
    *("selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
    *("sys", "tempfile", "threading", "time", "urllib", "uuid", "warnings"),
}
# Pure data, no I/O: the only package from outside that the core may use.
PACKAGES_OF_THE_CORE = {"phonenumbers"}
IMPURE_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}

# Parts that are neither core nor adapter, and what of ours they may import.
OTHERS = {
    "__init__": (),
    "log": (),
    "listener": (),
    "descriptors": (),
    "audit": ("core", "log"),
    "dialplan_files": (),
    "asterisk_conf": (),
    "dialplan_text": (),
    "checks": ("core", "asterisk_conf", "checks", "dialplan_text", "rights"),
    "queues_conf": ("core",),
    "render": ("core", "queues_conf"),
    "proposals": ("core", "asterisk_conf", "checks"),
    "render_folder": (),
    "rights": (),
    "installation": ("core", "asterisk_conf", "queues_conf", "rights"),
    "settings": ("core", "settings"),
}
# `listener` is how an adapter takes connections from outside.
# These put the parts together.
MAY_IMPORT_ALL = ("daemon", "cli", "__main__")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(tree: ast.AST, file: Path) -> Iterator[tuple[str, int]]:
    """Full names of what is imported, wherever in the file (lazily as well)."""
    package = ["asterisk_avp", *file.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def own_part(name: str) -> str | None:
    """The part of ours that ``asterisk_avp.core.model.Group`` belongs to; None: not ours."""
    first, *rest = name.split(".")
    if first != "asterisk_avp":
        return None
    return rest[0] if rest else "__init__"


def part_of(file: Path) -> str:
    relative = file.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def family(part: str) -> str:
    """``settings_checks`` belongs to ``settings``, ``cli_calls`` to ``cli``."""
    return next((x for x in ("settings", "cli", "daemon") if part.startswith(f"{x}_")), part)


def permitted(part: str) -> tuple[str, ...] | None:
    """The parts that ``part`` may import; None: all."""
    part = family(part)
    if part in MAY_IMPORT_ALL:
        return None
    if part == "core":
        return ("core",)
    if part in ADAPTERS:
        return ("core", "listener", part)
    return OTHERS.get(part, ("core",))


def faults_of_direction(file: Path, source: str) -> list[str]:
    allowed = permitted(part_of(file))
    if allowed is None:
        return []
    found = []
    for name, line in imports(ast.parse(source), file):
        part = own_part(name)
        # The version is a constant of the package itself.
        if part is None or name == "asterisk_avp.__version__":
            continue
        if family(part) not in allowed:
            found.append(f"{file.name}:{line} imports {name}")
    return found


def faults_of_purity(file: Path, source: str) -> list[str]:
    tree = ast.parse(source)
    found = []
    for name, line in imports(tree, file):
        top = name.split(".")[0]
        standard = top in sys.stdlib_module_names and top not in NOT_FOR_THE_CORE
        if not (standard or top == "asterisk_avp" or top in PACKAGES_OF_THE_CORE):
            found.append(f"{file.name}:{line} imports {name}")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in IMPURE_CALLS:
            found.append(f"{file.name}:{node.lineno} calls {function.id}")
        # A clock, even by way of a module that is allowed for its types.
        if isinstance(function, ast.Attribute) and function.attr in {"now", "utcnow", "today"}:
            found.append(f"{file.name}:{node.lineno} calls .{function.attr}()")
    return found


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_in_one_direction(file: Path) -> None:
    assert faults_of_direction(file, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda file: file.stem
)
def test_the_core_is_pure(file: Path) -> None:
    assert faults_of_purity(file, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("core/x.py", "import asterisk_avp.settings"),
        ("core/x.py", "from asterisk_avp.api import port"),
        ("core/x.py", "from ..ari import client"),
        ("core/x.py", "from .. import settings"),
        ("core/x.py", "def f():\n    from asterisk_avp import daemon"),
        ("ari/x.py", "from asterisk_avp.ami.client import AmiClient"),
        ("ari/x.py", "from asterisk_avp import ami"),
        ("api/x.py", "from asterisk_avp.settings import Settings"),
        ("log.py", "from asterisk_avp.core import model"),
        ("settings_checks.py", "from asterisk_avp import daemon"),
    ],
)
def test_the_test_sees_a_wrong_direction(place: str, source: str) -> None:
    assert faults_of_direction(PACKAGE / place, source)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from asyncio import Queue",
        "import logging.config",
        "import structlog",
        "import aiohttp",
        "open('x')",
        "print('x')",
        "import datetime\ndatetime.datetime.now()",
    ],
)
def test_the_test_sees_impurity(source: str) -> None:
    assert faults_of_purity(PACKAGE / "core" / "x.py", source)


def test_what_is_right_is_accepted() -> None:
    core = PACKAGE / "core" / "x.py"
    for source in ("from asterisk_avp.core.model import Group", "from .model import Group"):
        assert faults_of_direction(core, source) == []
    assert faults_of_purity(core, "import re\nfrom dataclasses import dataclass") == []
    api = PACKAGE / "api" / "x.py"
    assert faults_of_direction(api, "from asterisk_avp import __version__") == []
    assert faults_of_direction(PACKAGE / "cli.py", "from asterisk_avp import daemon") == []
