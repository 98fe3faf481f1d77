"""Lay what the running Asterisk says over what its files say.

Every check, and `render`, reads `asterisk_conf.Conf`. An overlay is such a `Conf`: the file with
Asterisk's own values where these differ, and with sections for what no file has. So they work
alike on files, `pjsip_wizard.conf` and databases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Line, Place, Section, is_true
from asterisk_avp.install.running.state import (
    SAID_BY_ASTERISK,
    PbxEndpoint,
    PbxMember,
    PbxQueue,
    RunningPbx,
)

SOURCES: Final = ("pjsip_wizard.conf", "sorcery.conf", "extconfig.conf")
"""Files that say where else endpoints and queues come from."""

WIZARD: Final = "pjsip_wizard.conf"
TABLE: Final = "table "
"""The place of a row of a database begins with this: ``table ps_endpoints``."""

_SWITCHES: Final = frozenset({"allow_transfer"})
"""Options that Asterisk tells as `true` and `false`, however they are written."""
_DEFAULTS: Final = {"blindxfer": "#", "disconnect": "*", "pickupexten": "*8"}
"""Codes without a line in features.conf (features_config.c)."""
_NOTHING: Final = Conf("", found=False)


def with_running_pbx(files: Mapping[str, Conf], pbx: RunningPbx | None) -> dict[str, Conf]:
    """``files`` (by name, with `SOURCES`), overlaid with what Asterisk says. The names that were
    there stay; `pjsip.conf` and `queues.conf` are there in any case.
    """
    found = dict(files)
    if pbx is None:
        return found
    if pbx.endpoints is not None:
        found["pjsip.conf"] = pjsip_of(files, pbx)
    if pbx.queues is not None:
        found["queues.conf"] = queues_of(files, pbx.queues)
    if pbx.features is not None:
        found["features.conf"] = features_of(files, pbx.features)
    return found


def is_in_pjsip_conf(endpoint: Section) -> bool:
    """Whether ``[name](+type=endpoint)`` can extend it: otherwise Asterisk rejects the file."""
    return endpoint.place.line > 0 and endpoint.place.file != WIZARD


def is_written(section: Section) -> bool:
    """Whether a file has the section, with the settings that Asterisk does not tell."""
    return section.place.line > 0


# --- endpoints ------------------------------------------------------------------------------------


def pjsip_of(files: Mapping[str, Conf], pbx: RunningPbx) -> Conf:
    """pjsip.conf with the endpoints as they are loaded."""
    written = files.get("pjsip.conf", _NOTHING)
    live = pbx.endpoints or {}
    sections, there = [], set()
    for section in written.sections:
        known = live.get(section.name)
        if section.template or known is None or not _is_endpoint(section):
            sections.append(section)
            continue
        there.add(section.name)
        sections.append(replace(section, lines=_merged(section.lines, known)))
    for name, known in live.items():
        if name not in there:
            place = _source(files, name)
            lines = [Line("type", "endpoint", place), *_merged([], known)]
            sections.append(Section(name, place, lines=lines))
    found = written.found or bool(live)
    return replace(written, name="pjsip.conf", sections=tuple(sections), found=found)


def _is_endpoint(section: Section) -> bool:
    return section.last("type").lower() == "endpoint"


def _merged(lines: Sequence[Line], live: PbxEndpoint) -> list[Line]:
    """The file's lines, but Asterisk's own where these differ."""
    place = Place(SAID_BY_ASTERISK, 0)
    found = list(lines)
    for option, told in live.options.items():
        # AMI tells codecs as `(ulaw|alaw)`. The file's have their own syntax.
        value = told.strip("()").replace("|", ",") if option == "allow" else told
        if option == "allow" and lines:
            continue
        given = [line.value for line in lines if line.name.lower() == option]
        if not given or not _same(option, given[-1], value):
            found = [line for line in found if line.name.lower() != option]
            found += [Line(option, value, place)] if value else []
    # The last line for a variable counts (pjsip_configuration.c, set_var_handler).
    written = dict(_variable(line) for line in lines if line.name.lower() == "set_var")
    wrong = {name for name, value in live.variables.items() if value != written.get(name)}
    if live.all_variables:
        wrong |= written.keys() - live.variables.keys()
    found = [x for x in found if x.name.lower() != "set_var" or _variable(x)[0] not in wrong]
    more = {name: live.variables.get(name) for name in sorted(wrong)}
    found += [Line("set_var", f"{x}={y}", place) for x, y in more.items() if y is not None]
    return found


def _variable(line: Line) -> tuple[str, str]:
    name, _, value = line.value.partition("=")
    return name, value


def _same(option: str, written: str, told: str) -> bool:
    """Whether the line of a file means what Asterisk tells."""
    if option in _SWITCHES:
        return is_true(written) == is_true(told)
    return written.strip().lower() == told.strip().lower()


def _source(files: Mapping[str, Conf], name: str) -> Place:
    """Where an endpoint is configured that pjsip.conf does not have."""
    for section in files.get(WIZARD, _NOTHING).named(name):
        if section.last("type").lower() == "wizard":
            line = section.place.line if section.place.file == WIZARD else 0
            return Place(WIZARD, line)
    for table in _tables(files, "res_pjsip", "endpoint"):
        return Place(f"{TABLE}{table}", 0)
    return Place(SAID_BY_ASTERISK, 0)


def _tables(files: Mapping[str, Conf], module: str, kind: str) -> Iterator[str]:
    """The tables of ``endpoint=realtime,ps_endpoints`` in sorcery.conf, by way of extconfig.conf
    (``ps_endpoints => odbc,asterisk,my_table``).
    """
    for section in files.get("sorcery.conf", _NOTHING).named(module):
        for line in section.lines:
            words = [word.strip() for word in line.value.split(",")]
            if line.name.partition("/")[0] == kind and words[0] == "realtime" and words[1:]:
                yield _table(files, words[1])


def _table(files: Mapping[str, Conf], family: str) -> str:
    settings = files.get("extconfig.conf", _NOTHING).first("settings")
    words = [word.strip() for word in (settings.last(family) if settings else "").split(",")]
    return words[2] if len(words) > 2 and words[2] else family  # noqa: PLR2004 - driver, database


# --- queues ---------------------------------------------------------------------------------------


def queues_of(files: Mapping[str, Conf], live: Mapping[str, PbxQueue]) -> Conf:
    """queues.conf with the queues and members that are loaded: static, dynamic and realtime."""
    written = files.get("queues.conf", _NOTHING)
    place = Place(SAID_BY_ASTERISK, 0)
    queues = {name.lower(): queue for name, queue in live.items()}
    sections, there = [], set()
    for section in written.sections:
        queue = queues.get(section.name.lower())
        if section.template or queue is None:
            sections.append(section)
            continue
        there.add(queue.name)
        members = [Line("member", text, place) for text in _members(queue)]
        lines = [line for line in section.lines if not _told(line, queue)]
        sections.append(replace(section, lines=[*lines, *members]))
    for queue in live.values():
        if queue.name not in there:
            source = _queue_source(files)
            lines = [
                Line("maxlen", str(queue.maxlen), source),
                Line("weight", str(queue.weight), source),
                Line("strategy", queue.strategy, source),
                *(Line("member", text, source) for text in _members(queue)),
            ]
            sections.append(Section(queue.name, source, lines=lines))
    found = written.found or bool(live)
    return replace(written, name="queues.conf", sections=tuple(sections), found=found)


def _members(queue: PbxQueue) -> Iterator[str]:
    """As in queues.conf: interface, penalty, name, state interface."""
    for member in queue.members:
        yield ",".join((member.interface, str(member.penalty), *_names(member)))


def _names(member: PbxMember) -> tuple[str, str]:
    own = "" if member.name == member.interface else member.name.replace(",", " ")
    state = "" if member.state_interface == member.interface else member.state_interface
    return own, state


def _told(line: Line, queue: PbxQueue) -> bool:
    """A member of the file that Asterisk tells as well."""
    interface = line.value.split(",")[0].strip().strip('"')
    return line.name.lower() == "member" and interface in {m.interface for m in queue.members}


def _queue_source(files: Mapping[str, Conf]) -> Place:
    settings = files.get("extconfig.conf", _NOTHING).first("settings")
    if settings is not None and settings.last("queues"):
        return Place(f"{TABLE}{_table(files, 'queues')}", 0)
    return Place(SAID_BY_ASTERISK, 0)


# --- feature codes --------------------------------------------------------------------------------


def features_of(files: Mapping[str, Conf], live: Mapping[str, str]) -> Conf:
    """features.conf with the codes in force of `[featuremap]`, and the pick-up extension."""
    written = files.get("features.conf", _NOTHING)
    found = replace(written, name="features.conf", found=True)
    for code, keys in live.items():
        found = _with_code(found, "general" if code == "pickupexten" else "featuremap", code, keys)
    return found


def _with_code(conf: Conf, name: str, code: str, keys: str) -> Conf:
    written = [x for section in conf.named(name) for x in section.all(code)]
    if keys == (written[-1] if written else _DEFAULTS.get(code, "")):
        return conf
    line = Line(code, keys, Place(SAID_BY_ASTERISK, 0))
    sections = [
        replace(section, lines=[x for x in section.lines if x.name.lower() != code])
        if section.name.lower() == name
        else section
        for section in conf.sections
    ]
    at = next((i for i, s in enumerate(sections) if s.name.lower() == name), None)
    if at is None:
        sections.append(Section(name, Place(SAID_BY_ASTERISK, 0), lines=[line]))
    else:
        sections[at] = replace(sections[at], lines=[*sections[at].lines, line])
    return replace(conf, sections=tuple(sections))
