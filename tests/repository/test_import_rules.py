"""Which package may import which (one direction, DESIGN section 3), read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asterisk_avp

PACKAGE = Path(asterisk_avp.__file__).parent

# Each room, and the other rooms that it may import. A module of a room may import its own room.
# `core.*` are rooms of their own, from the ground floor up.
CORE = {
    "core": (),
    "core.model": (),
    "core.numbers": ("core.model",),
    "core.messages": ("core.model",),
    "core.pbx": ("core.model", "core.messages"),
    "core.policy": ("core.model", "core.numbers", "core.messages", "core.pbx"),
    "core.transfer": ("core.model", "core.messages"),
}
_BELOW_ENGINE = tuple(CORE)
CORE["core.engine"] = _BELOW_ENGINE
CORE["core.phone"] = (*_BELOW_ENGINE, "core.engine")
CORE["core.pops"] = (*_BELOW_ENGINE, "core.engine")
ALL_OF_CORE = tuple(CORE)

ROOMS = {
    **CORE,
    "runtime": (),
    **dict.fromkeys(("ami", "ari", "agi", "api"), (*ALL_OF_CORE, "runtime")),
    "observe": (*ALL_OF_CORE, "runtime"),
    "config": ALL_OF_CORE,
    "install": (*ALL_OF_CORE, "config"),
    "pops": (*ALL_OF_CORE, "config", "runtime"),
    # The other nodes: their directory (NATS), and their daemons.
    "cluster": (*ALL_OF_CORE, "runtime", "config"),
    "service": (
        *ALL_OF_CORE,
        *("runtime", "ami", "ari", "agi", "api", "observe", "config", "pops", "cluster"),
    ),
    "cli": (*ALL_OF_CORE, "api", "config", "install"),
    "__main__": ("cli",),
    "__init__": (),
}

# Modules that may import more than the rest of their package.
DOORS = {
    # What `check` asks a running Asterisk.
    "install/probe.py": ("ami", "ari"),
    # What `check` and `render` ask it for.
    "install/running/ask.py": ("ami",),
    # What `check` hears of other nodes.
    "install/nats_probe.py": ("cluster",),
    "install/peer_probe.py": ("cluster",),
    # `asterisk-avp run` is the daemon; no other command loads it.
    "cli/run.py": ("service",),
}

# What the core may not even look at: it has no socket, file, clock, sleep, thread or log.
NOT_FOR_THE_CORE = {
    *("asyncio", "concurrent", "fcntl", "ftplib", "glob", "http", "io", "logging", "mmap"),
    *("multiprocessing", "os", "pathlib", "queue", "random", "sched", "secrets", "select"),
    *("selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
    *("sys", "tempfile", "threading", "time", "urllib", "uuid", "warnings"),
}
# Pure data without I/O: the only external package that the core may use.
PACKAGES_OF_THE_CORE = {"phonenumbers"}
IMPURE_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(tree: ast.AST, file: Path) -> Iterator[tuple[str, int]]:
    """The full names of all imports, including lazy ones."""
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


def room_of(name: str) -> str | None:
    """The room that ``asterisk_avp.core.model.world.Group`` belongs to; None: not ours."""
    first, *rest = name.split(".")
    if first != "asterisk_avp":
        return None
    if rest[:1] == ["core"] and (PACKAGE / "core" / "/".join(rest[1:2])).is_dir():
        return ".".join(rest[:2])
    return rest[0] if rest else "__init__"


def room_of_file(file: Path) -> str:
    relative = file.relative_to(PACKAGE).with_suffix("")
    room = room_of(".".join(["asterisk_avp", *relative.parts]))
    assert room is not None
    # A package's own `__init__`.
    return room.removesuffix(".__init__")


def faults_of_direction(file: Path, source: str) -> list[str]:
    room = room_of_file(file)
    allowed = {room, *ROOMS[room], *DOORS.get(str(file.relative_to(PACKAGE)), ())}
    found = []
    for name, line in imports(ast.parse(source), file):
        other = room_of(name)
        # The version is a constant of the package itself.
        if other is None or name == "asterisk_avp.__version__":
            continue
        if other not in allowed:
            found.append(f"{file.relative_to(PACKAGE)}:{line} imports {name}")
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


def test_each_module_is_in_a_room() -> None:
    rooms = {room_of_file(file) for file in modules()}
    assert rooms <= ROOMS.keys()
    # No row for a missing package, no exception for a missing module.
    assert ROOMS.keys() <= rooms
    assert all((PACKAGE / place).is_file() for place in DOORS)


def test_no_room_is_in_a_circle() -> None:
    """The rows themselves have no cycles: each package may import only packages above it."""
    floors = list(ROOMS)
    for room, others in ROOMS.items():
        if room != "__main__":
            assert all(floors.index(other) < floors.index(room) for other in others), room


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("core/model/x.py", "import asterisk_avp.config"),
        ("core/model/x.py", "from asterisk_avp.core.messages import facts"),
        ("core/engine/x.py", "from asterisk_avp.api import port"),
        ("core/engine/x.py", "from ...ari import client"),
        ("core/engine/x.py", "from ... import config"),
        ("core/engine/x.py", "def f():\n    from asterisk_avp import service"),
        ("core/messages/x.py", "from asterisk_avp.core.transfer.session import Session"),
        ("core/transfer/x.py", "from asterisk_avp.core.pbx.agents import Agents"),
        ("core/transfer/x.py", "from asterisk_avp.core.engine import engine"),
        ("core/pbx/x.py", "from asterisk_avp.core.policy import policy"),
        ("core/policy/x.py", "from asterisk_avp.core import transfer"),
        ("ari/x.py", "from asterisk_avp.ami.client import AmiClient"),
        ("ari/x.py", "from asterisk_avp import ami"),
        ("api/x.py", "from asterisk_avp.config.settings import Settings"),
        ("observe/x.py", "from asterisk_avp.api import connections"),
        ("config/x.py", "from asterisk_avp import service"),
        ("install/x.py", "from asterisk_avp.cli.output import warn"),
        ("install/x.py", "from asterisk_avp.ari.resources import Client"),
        ("cli/x.py", "from asterisk_avp.service import process"),
        ("cli/x.py", "from asterisk_avp.ami import client"),
        ("service/x.py", "from asterisk_avp.install import files"),
        ("service/x.py", "from asterisk_avp.cli import output"),
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
    engine = PACKAGE / "core" / "engine" / "x.py"
    for source in (
        "from asterisk_avp.core.model.world import Group",
        "from ..model.world import Group",
        "from .engine import TransferEngine",
        "from asterisk_avp.core import numbers",
    ):
        assert faults_of_direction(engine, source) == []
    assert faults_of_purity(engine, "import re\nfrom dataclasses import dataclass") == []
    api = PACKAGE / "api" / "x.py"
    assert faults_of_direction(api, "from asterisk_avp import __version__") == []
    run = PACKAGE / "cli" / "run.py"
    assert faults_of_direction(run, "from asterisk_avp.service import process") == []
