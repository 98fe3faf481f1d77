"""The lock files of the images are parts of requirements.lock, and whole for what they install."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def pins(file: str) -> dict[str, str]:
    """Name -> version, marker and hashes, as the file has them."""
    text = (ROOT / file).read_text(encoding="utf-8")
    entries = re.findall(r"^([A-Za-z0-9_.-]+)(==[^\n]*(?:\n {4}--hash[^\n]*)+)", text, re.MULTILINE)
    return {canonicalize_name(name): rest for name, rest in entries}


def needed(*roots: str) -> set[str]:
    """These packages and all that they need here, by what is installed."""
    found: set[str] = set()
    left = list(roots)
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        found.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


@pytest.mark.parametrize("file", ["docker/requirements.lock", "docker/build.lock"])
def test_nothing_of_its_own(file: str) -> None:
    all_of_them = pins("requirements.lock")
    own = pins(file)
    assert own
    assert {name: all_of_them.get(name) for name in own} == own


def test_the_daemon_has_what_it_needs_and_nothing_of_the_tests() -> None:
    own = set(pins("docker/requirements.lock"))
    assert needed("asterisk-avp") - {"asterisk-avp"} - own == set()
    assert "pytest" not in own
    assert "playwright" not in own


def test_the_build_has_what_it_needs() -> None:
    assert needed("hatchling") - set(pins("docker/build.lock")) == set()
