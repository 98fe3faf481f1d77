"""Where an administrator's own lines belong: in plain Asterisk, FreePBX or Issabel.

FreePBX and Issabel write Asterisk's files anew whenever somebody applies a change in their web
pages (`*_additional.conf`, `pjsip.conf`, `pjsip.endpoint.conf` and so on), and an upgrade replaces
those that belong to a module (`extensions.conf`, `features.conf`, `http.conf`). Both leave the
files with `custom` in their name, and the one for overrides, to the administrator, and include them
from the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

_INCLUDE: Final = re.compile(r'^\s*#(?:try)?include\s+["<]?([^"><;\s]+)', re.MULTILINE)
_LEVELS: Final = 10
"""As deep as Asterisk includes (config.c, MAX_INCLUDE_LEVEL)."""


class Kind(StrEnum):
    """What writes Asterisk's configuration: the administrator, or a PBX with web pages."""

    PLAIN = "plain"
    FREEPBX = "freepbx"
    ISSABEL = "issabel"

    @property
    def product(self) -> str:
        return {"plain": "Asterisk", "freepbx": "FreePBX", "issabel": "Issabel"}[self.value]


OVERRIDES: Final[Mapping[Kind, str]] = {
    Kind.FREEPBX: "extensions_override_freepbx.conf",
    Kind.ISSABEL: "extensions_override_issabelpbx.conf",
}
"""The file with the dialplan that comes before the PBX's own, in which the first line counts
(pbx.c, ast_add_extension2: an existing priority is not replaced)."""

_CUSTOM: Final[Mapping[str, tuple[str, ...]]] = {
    "extensions.conf": ("extensions_custom.conf",),
    "queues.conf": ("queues_custom.conf", "queues_post_custom.conf"),
    "features.conf": ("features_applicationmap_custom.conf",),
    "pjsip.conf": ("pjsip_custom_post.conf", "pjsip.endpoint_custom_post.conf"),
    "manager.conf": ("manager_custom.conf",),
    "http.conf": ("http_custom.conf",),
    "ari.conf": ("ari_additional_custom.conf",),
}
"""For each of Asterisk's files, the administrator's, to whose end whole sections can be added. The
first that the PBX includes is taken."""

_INSIDE: Final[Mapping[tuple[str, str], str]] = {
    ("extensions.conf", "globals"): "globals_custom.conf",
    ("queues.conf", "general"): "queues_custom_general.conf",
}
"""The administrator's file that is included inside a section, which its lines continue."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where lines go. ``section``: None at the end of the file, or where the file continues it."""

    file: str
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """``included``: for each of Asterisk's files, the names of all that it includes."""

    kind: Kind = Kind.PLAIN
    included: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        """Whether the administrator writes Asterisk's own files."""
        return self.kind is Kind.PLAIN

    def place(self, file: str, section: str | None = None) -> Place:
        """Where the administrator adds lines for ``file``, in ``section`` if one is named."""
        if self.own:
            return Place(file, section)
        there = self.included.get(file, frozenset())
        inside = _INSIDE.get((file, section or ""))
        if inside is not None and inside in there:
            return Place(inside)
        for custom in _CUSTOM.get(file, ()):
            if custom in there:
                return Place(custom, section)
        return Place(file, section)

    @property
    def override(self) -> str:
        """The file for the override of the PBX's dialplan, or an empty string."""
        name = OVERRIDES.get(self.kind, "")
        return name if name in self.included.get("extensions.conf", ()) else ""

    def written_by_the_pbx(self, file: str) -> bool:
        """Whether the PBX writes this file anew, so that nobody else can keep lines in it."""
        if self.own:
            return False
        name = Path(file).name
        return "custom" not in name and "override" not in name and not name.startswith("avp_")


def found(config_dir: Path, files: Iterable[str], kind: Kind | None = None) -> Layout:
    """The layout of this configuration directory. ``kind``: what it is, if that is known."""
    included = {name: frozenset(_included(config_dir, name, _LEVELS)) for name in files}
    if kind is None:
        of_dialplan = included.get("extensions.conf", frozenset())
        kinds = (kind for kind, name in OVERRIDES.items() if name in of_dialplan)
        kind = next(kinds, Kind.PLAIN)
    return Layout(kind, included)


def _included(directory: Path, name: str, levels: int) -> Iterator[str]:
    """The names that a file and the files below it include, whether or not they have lines."""
    for file in sorted(directory.glob(name)) if levels and not name.startswith("/") else ():
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # the reader of the files reports it
        for each in _INCLUDE.findall(text):
            yield each
            yield from _included(directory, each, levels - 1)
