"""Only the packages of the lock files are installed: by the pages, in the images, for the tests.

The lock files of the images are subsets of requirements.lock, and complete for their purpose.
"""

from __future__ import annotations

import re
from importlib.metadata import requires
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.documentation import page, pages, section

ROOT = Path(__file__).resolve().parents[2]


def pins(file: str) -> dict[str, str]:
    """Name -> version, marker and hashes, as in the file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    entries = re.findall(r"^([A-Za-z0-9_.-]+)(==[^\n]*(?:\n {4}--hash[^\n]*)+)", text, re.MULTILINE)
    return {canonicalize_name(name): rest for name, rest in entries}


def needed(*roots: str) -> set[str]:
    """These packages and everything that they need here, from the installed metadata."""
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


LOCKS = ("requirements.lock", "docker/requirements.lock", "docker/build.lock")
IMAGE = re.compile(r"debian:[a-z]+-[0-9]{8}-slim@sha256:[0-9a-f]{64}")


@pytest.mark.parametrize("file", LOCKS)
def test_every_entry_has_a_version_and_hashes(file: str) -> None:
    """The file contains nothing else: no index, no address, no package without a hash."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    kinds = {
        "entry": r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+]+( ; [^\\\n]+)? \\",
        "hash": r" {4}--hash=sha256:[0-9a-f]{64}( \\)?",
        "comment": r" *#.*",
    }
    found = [
        next((kind for kind, form in kinds.items() if re.fullmatch(form, line)), line)
        for line in lines
        if line
    ]
    assert set(found) == set(kinds), set(found) - set(kinds)
    after = [second for first, second in pairwise(found) if first == "entry"]
    assert after == ["hash"] * found.count("entry")


def pip_commands(text: str) -> list[str]:
    """The arguments of each `pip install`, `wheel` or `download`. A backslash joins lines."""
    joined = text.replace("\\\n", " ")
    found = re.findall(
        r"(?:\bpip|\$pip)(?: --python \S+)?\"? (?:install|wheel|download)\b([^\n&|;`)]*)", joined
    )
    return [re.sub(r"\s+", " ", arguments).strip() for arguments in found]


SHELL_FILES = sorted(
    str(file.relative_to(ROOT))
    for folder in ("docker", ".ci", "tests")
    for file in (ROOT / folder).glob("*")
    if file.is_file() and file.suffix in ("", ".sh") and "lock" not in file.name
)


@pytest.mark.parametrize("file", [*pages(), "CONTRIBUTING.md", *SHELL_FILES])
def test_pip_takes_nothing_without_a_hash(file: str) -> None:
    """Either from a lock file, or this program alone with the installed tools."""
    for arguments in pip_commands((ROOT / file).read_text(encoding="utf-8")):
        if "-r " in arguments:
            assert "--require-hashes" in arguments, arguments
        elif "wheel/*.whl" in arguments:
            assert {"--no-index", "--no-deps"} <= set(arguments.split())
        elif arguments.startswith("--require-hashes"):
            continue  # the command is part of a sentence
        else:
            assert {"--no-deps", "--no-build-isolation"} <= set(arguments.split()), arguments


def test_the_test_sees_what_takes_anything() -> None:
    (bare,) = pip_commands("    /opt/x/bin/pip install --upgrade .\n")
    assert bare == "--upgrade ."
    assert pip_commands("$pip --python /x install \\\n  -r a.lock && y") == ["-r a.lock"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("README.md", "## Install it in five steps"),
        ("docs/install.md", "## 1. Install the package"),
        ("docs/install.md", "## Upgrade"),
    ],
)
def test_the_pages_install_the_versions_of_the_lock(name: str, place: str) -> None:
    packages, ours = pip_commands(section(page(name), place))
    files = re.findall(r"-r (\S+)", packages)
    assert files == ["docker/requirements.lock", "docker/build.lock"]
    assert "--only-binary :all:" in packages, "an sdist would run tools that no lock names"
    assert ours.endswith(" .")
    assert "--no-index" in ours
    versions = {name: rest for file in files for name, rest in pins(file).items()}
    wanted = needed("asterisk-avp", "hatchling") - {"asterisk-avp"}
    assert wanted <= versions.keys()


def test_the_images_take_the_versions_of_the_lock_and_a_base_with_a_digest() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for file in ("build.lock", "requirements.lock"):
        (arguments,) = [a for a in pip_commands(dockerfile) if a.endswith(f"-r {file}")]
        assert {"--require-hashes", "--only-binary"} <= set(arguments.split())
    (base,) = re.findall(r"^ARG BASE=(.*)$", dockerfile, re.MULTILINE)
    assert IMAGE.fullmatch(base), base
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", dockerfile, re.MULTILINE)
    assert stages[0] == ("${BASE}", "base")
    assert {image for image, _ in stages[1:]} <= {name for _, name in stages}, "all from the base"
    compose = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    assert IMAGE.findall(compose) == [base], "the same as in the Dockerfile"
    builds = re.findall(r"build: \{.*\}", compose)
    assert builds
    assert all("args: *args" in build for build in builds)
