"""What is still to be done by the administrator: lines for their files, and switches of the PBX."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asterisk_avp.core.pbx.versions import takes_last
from asterisk_avp.install.asterisk_conf import Conf, Line, Section, is_true
from asterisk_avp.install.checks.nodes_model import NODES
from asterisk_avp.install.files import DEFAULT_AGI, Connections
from asterisk_avp.install.layout import Kind, Layout
from asterisk_avp.install.pbx_dialplan import NAME as PBX_DIALPLAN


@dataclass(frozen=True, slots=True)
class Addition:
    """Lines for one of the administrator's files. ``section`` None: at the end of the file.

    ``replaces``: the line of the file in whose place they go.
    """

    file: str
    lines: tuple[str, ...]
    section: str | None = None
    replaces: Line | None = None


DATABASE: Final = "the database, table "
"""An addition to this, with the table's name, is SQL."""

_NO_TRANSFER: Final = (
    "; Trunks and callers may not transfer calls: a REFER in their call would send the agent",
    "; anywhere, past every rule. Asterisk refuses it (603), also from a PBX behind a trunk.",
)

_RETRIEVED: Final = "queues.conf"
"""The file of whose [general] only one of several lines with a name counts, by Asterisk's version.
The others are read line by line, so that the last one counts."""

_ADVANCED: Final = "Settings > Advanced Settings"
_SWITCHES: Final[Mapping[tuple[str, str], str]] = {
    (
        "queues.conf",
        "shared_lastcall",
    ): f"{_ADVANCED} > Queues Module > Honor Wrapup Time Across Queues: Yes",
    ("queues.conf", "persistentmembers"): (
        f"{_ADVANCED} > Queues Module > Persistent Members: Yes"
    ),
    ("http.conf", "enabled"): (
        f"{_ADVANCED} > Asterisk Builtin mini-HTTP server > Enable the mini-HTTP Server: Yes"
    ),
    ("ari.conf", "enabled"): (
        f"{_ADVANCED} > Asterisk REST Interface > Enable the Asterisk REST Interface: Yes"
    ),
}
"""The switch in the PBX's pages that writes a key of a section [general]."""
_CODES: Final[Mapping[str, str]] = {
    "blindxfer": "In-Call Asterisk Blind Transfer",
    "atxfer": "In-Call Asterisk Attended Transfer",
}
"""The feature codes by which phones transfer calls past the rules."""


def additions(
    files: Mapping[str, Conf],
    given: Connections,
    guards: Sequence[str] = (),
    layout: Layout | None = None,
    override: Sequence[str] = (),
    version: str | None = None,
    *,
    nodes: bool = False,
) -> list[Addition]:
    """The lines that the administrator still needs to add.

    ``version``: Asterisk's, if it is known. ``nodes``: whether there are several.

    ``files``: the administrator's files with their includes. ``guards``: the missing lines that
    refuse a REFER from trunks and callers. ``override``: those for the PBX's file of overrides.
    """
    where = layout or Layout()
    found: list[Addition] = []

    def general(file: str, wanted: Mapping[str, str]) -> None:
        lines = []
        for name, value in wanted.items():
            section = files[file].first("general")
            written, wrong = _counting(section, file, name, value, version)
            if (written and not wrong) or _switch(where, files[file], file, name):
                continue
            line = f"{name} = {value}"
            if written and file == _RETRIEVED:
                found.extend(Addition(x.place.file, (line,), replaces=x) for x in wrong)
            else:
                lines.append(line)
        if lines:
            place = where.place(file, "general")
            found.append(Addition(place.file, tuple(lines), place.section))

    def include(file: str, included: str) -> None:
        if not _includes(files[file], included, where.included.get(file, ())):
            found.append(Addition(where.place(file).file, (f"#include {included}",)))

    if given.agi != DEFAULT_AGI:
        values = [v for s in files["extensions.conf"].named("globals") for v in s.all("avp_agi")]
        if not any(values):
            place = where.place("extensions.conf", "globals")
            line = f"AVP_AGI = agi://{given.agi[0]}:{given.agi[1]}"
            found.append(Addition(place.file, (line,), place.section))
    include("extensions.conf", "asterisk_avp.conf")
    if not where.own:
        include("extensions.conf", PBX_DIALPLAN)
        if override:
            found.append(Addition(where.override, tuple(override)))
    general("queues.conf", {"shared_lastcall": "yes", "persistentmembers": "yes"})
    include("queues.conf", "avp_queues.conf")
    include("features.conf", "avp_features.conf")
    include("pjsip.conf", "avp_pjsip.conf")
    if nodes:
        include("pjsip.conf", NODES)
    if guards:
        place = where.place("pjsip.conf")
        found.append(Addition(place.file, (*_NO_TRANSFER, *guards)))
    general("manager.conf", {"enabled": "yes", "bindaddr": _bind(given)})
    include("manager.conf", "avp_manager.conf")
    general("http.conf", {"enabled": "yes", "bindaddr": _bind(given)})
    general("ari.conf", {"enabled": "yes"})
    include("ari.conf", "avp_ari.conf")
    return _together(found)


def _counting(
    section: Section | None, file: str, name: str, value: str, version: str | None
) -> tuple[list[Line], list[Line]]:
    """The lines of [general] that count for this name, and those of them with another value."""
    if section is None:
        return [], []
    last = takes_last(version) if file == _RETRIEVED else True
    lines = section.retrieved(name, takes_last=last)
    return lines, [line for line in lines if not _is(name, line.value, value)]


def switches(files: Mapping[str, Conf], layout: Layout, version: str | None = None) -> list[str]:
    """The switches to change in the pages of the PBX, each with its place there.

    ``version``: Asterisk's, if it is known.
    """
    if layout.own:
        return []
    wanted = [(file, name) for (file, name) in _SWITCHES if file in files]
    found = [
        _SWITCHES[file, name]
        for file, name in wanted
        if not _general_has(files[file], file, name, version)
        and _switch(layout, files[file], file, name)
    ]
    options = [v for x in files["extensions.conf"].named("globals") for v in x.all("dial_options")]
    if options and "i" not in options[-1]:
        found.append(
            f"{_ADVANCED} > Dialplan and Operational > Asterisk Dial Options: {options[-1]}i"
        )
    codes = {
        line.name.lower(): line.value.strip()
        for section in files["features.conf"].named("featuremap")
        for line in section.lines
    }
    for name, title in _CODES.items():
        if codes.get(name):
            menu = "Admin" if layout.kind is Kind.FREEPBX else "PBX Configuration"
            found.append(f"{menu} > Feature Codes > {title} ({codes[name]}): Disabled")
    return found


def _switch(layout: Layout, conf: Conf, file: str, name: str) -> bool:
    """Whether a switch of the PBX writes this key, so that a line elsewhere may not count."""
    if layout.own or (file, name) not in _SWITCHES:
        return False
    written = [line for section in conf.named("general") for line in section.lines]
    return any(x.name.lower() == name and layout.written_by_the_pbx(x.place.file) for x in written)


def _bind(given: Connections) -> str:
    local = ipaddress.ip_address(given.source).is_loopback
    return "127.0.0.1" if local else "; the address that the daemon connects to"


def _general_has(conf: Conf, file: str, name: str, version: str | None) -> bool:
    lines, wrong = _counting(conf.first("general"), file, name, "yes", version)
    return bool(lines) and not wrong


def _is(name: str, written: str, value: str) -> bool:
    if name == "bindaddr":
        return bool(written)  # the administrator's choice; `check` reports what is exposed
    return written.lower() == value or (value == "yes" and is_true(written))


def _includes(conf: Conf, included: str, named: Sequence[str] | frozenset[str]) -> bool:
    places = [section.place for section in conf.sections]
    places += [line.place for section in conf.sections for line in section.lines]
    found = any(Path(place.file).name == included for place in places)
    return found or any(Path(name).name == included for name in named)


def _together(found: Sequence[Addition]) -> list[Addition]:
    """One block for each place, in the order in which the places come first."""
    alone = [each for each in found if each.replaces is not None]
    others = [each for each in found if each.replaces is None]
    places = dict.fromkeys((each.file, each.section) for each in others)
    return [*alone, *(Addition(*_joined(others, file, section)) for file, section in places)]


def _joined(
    found: Sequence[Addition], file: str, section: str | None
) -> tuple[str, tuple[str, ...], str | None]:
    def lines() -> Iterator[str]:
        for each in found:
            if (each.file, each.section) == (file, section):
                yield from each.lines

    return file, tuple(lines()), section
