"""Programs for tests, out of Debian's packages: unpacked, not installed, as nothing should run."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).resolve().parents[1] / ".venv"


class NotProvided(Exception):
    """A program is missing and could not be fetched. The message says what to do."""


def unpacked(package: str, name: str, keep: str = ".") -> Path:
    """``CACHE/name``, fetched if it is missing: ``keep`` of a package. Raises `NotProvided`.

    With the whole package come the shared libraries that it needs and that are not installed.
    """
    kept = CACHE / name
    CACHE.mkdir(exist_ok=True)
    with (CACHE / ".packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes want the same now
        if not kept.exists():
            _fetch(package, kept, keep)
    return kept


def _fetch(package: str, kept: Path, keep: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotProvided(f"no {kept.name}, and no apt-get to fetch Debian's package {package}")
    print(f"tests: fetching {kept.name}", file=sys.stderr)
    # On the same file system, so that a rename is enough.
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{kept.name}.") as work:
        try:
            _run(["apt-get", "download", package], work)
        except NotProvided:
            # Without lists of packages, or with old ones, the first attempt fails.
            _run(["apt-get", "update"], work)
            _run(["apt-get", "download", package], work)
        (archive,) = Path(work).glob("*.deb")
        if keep == ".":
            _fetch_libraries(archive)
        whole = Path(work, "unpacked")
        for each in Path(work).glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(each), str(whole)], work)
        (whole / keep).resolve().rename(kept)


def libraries(folder: Path) -> dict[str, str]:
    """The environment in which an unpacked program finds the libraries that came with it."""
    found = [str(each) for root in ("usr/lib", "lib") for each in folder.glob(f"{root}/*-linux-*")]
    return {"LD_LIBRARY_PATH": ":".join(found)} if found else {}


def _fetch_libraries(archive: Path) -> None:
    """Beside the archive: the libraries that it needs and that are missing, and theirs."""
    asked: set[str] = set()
    unread = [archive]
    while unread:
        missing = {name for each in unread for name in _missing_libraries(each)} - asked
        known = set(archive.parent.glob("*.deb"))
        if missing:
            _run(["apt-get", "download", *sorted(missing)], archive.parent)
        asked |= missing
        unread = sorted(set(archive.parent.glob("*.deb")) - known)


def _missing_libraries(archive: Path) -> Iterator[str]:
    needed = _run(["dpkg-deb", "--field", str(archive), "Depends"], archive.parent)
    for each in needed.split(","):
        name = (each.split() or [""])[0]
        if re.match(r"lib|zlib", name) and not _is_installed(name):
            yield name


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout == "installed"


def _run(command: list[str], folder: Path | str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout)[-500:]
        raise NotProvided(f"{' '.join(command[:2])} failed: {said}")
    return done.stdout
