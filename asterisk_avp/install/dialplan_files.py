"""Find the dialplan files, in an installed wheel and in a checkout alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def dialplan_dir() -> Path:
    """The directory of the files that an administrator includes.

    Raises `FileNotFoundError` if the installation lacks them.
    """
    # A wheel has them inside the package, a checkout beside it.
    for place in (_PACKAGE / "dialplan", _PACKAGE.parent / "dialplan"):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no dialplan files beside or below {_PACKAGE}")


def dialplan_files() -> list[Path]:
    """The dialplan files, sorted by name."""
    return sorted(
        path for path in dialplan_dir().iterdir() if path.is_file() and path.suffix != ".md"
    )
