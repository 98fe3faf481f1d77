"""Modules that docstrings and comments name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import asterisk_avp

PACKAGE = Path(asterisk_avp.__file__).parent
ROOT = PACKAGE.parent
PACKAGES = [folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()]
# `core.pbx.calls` or `asterisk_avp.core.pbx.calls.Calls`; and core/pbx/calls.py.
NAMED = re.compile(rf"`(?:asterisk_avp\.)?((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`")
FILES = re.compile(rf"(?<![\w/])(?:asterisk_avp/)?((?:{'|'.join(PACKAGES)})/(?:\w+/)*\w+\.py)")


def missing(text: str) -> list[str]:
    found = [name for name in NAMED.findall(text) if not exists(name)]
    return [*found, *(name for name in FILES.findall(text) if not (PACKAGE / name).is_file())]


def exists(name: str) -> bool:
    """Whether it is a module or package, or something that a module defines."""
    first, *rest = name.split(".")
    place = PACKAGE / first
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    if not rest:
        return True
    module = place / f"{rest.pop(0)}.py"
    if not module.is_file():
        return False
    source = module.read_text(encoding="utf-8")
    return all(re.search(rf"\b{word}\b", source) for word in rest)


@pytest.mark.parametrize(
    "file",
    [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "dialplan").glob("*.conf"))],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_named_modules_are_there(file: Path) -> None:
    assert missing(file.read_text(encoding="utf-8")) == []


def test_the_test_sees_what_is_missing() -> None:
    text = "`core.pbx.nowhere`, `asterisk_avp.core.pbx.calls.Calls`, `core.pbx.calls.Nothing`"
    assert missing(text) == ["core.pbx.nowhere", "core.pbx.calls.Nothing"]
    assert missing("core/pbx/calls.py, core/pbx/nowhere.py") == ["core/pbx/nowhere.py"]
