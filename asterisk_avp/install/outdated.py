"""Which of our rendered files are not as this version writes them?

Each file is written again for the agents, endpoints and users that it names, and compared without
comments. So an agent who is new, or a password that has changed, is no difference here; other
checks report what that means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asterisk_avp.core.model.world import agent_of_personal_queue
from asterisk_avp.install import files as to
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.pjsip import NO_CONTROL_CHARACTERS, NO_REPLACES, order_lines
from asterisk_avp.install.layout import Kind
from asterisk_avp.install.pbx_dialplan import NAME as PBX_DIALPLAN
from asterisk_avp.install.pbx_dialplan import pbx_dialplan
from asterisk_avp.install.personal_queues import render_extensions, render_queues

DIALPLAN: Final = "asterisk_avp.conf"
"""Compared as a whole (`checks.parts`)."""

_SECTION: Final = re.compile(r"^\[([^\]]+)\]", re.MULTILINE)
_AGENT: Final = re.compile(r"^exten\s*=>\s*([^,\s]+),1,", re.MULTILINE)
_ENDPOINT: Final = re.compile(r"^\[([^\]]+)\]\(\+type=\^endpoint\$", re.MULTILINE)
_OWN_VALUES: Final = re.compile(r"^(wrapuptime|secret|password|permit)\b.*")
"""Lines whose value is the call centre's, not the version's."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the files are written from. ``files``: the administrator's, by name, with ours.

    ``code``: the keys that begin a transfer.
    """

    files: Mapping[str, Conf]
    ring_seconds: int
    code: str

    def without_ours(self, name: str) -> Conf:
        return to.without_ours(self.files.get(name, Conf(name, found=False)))


def outdated(directory: Path, given: Given) -> Iterator[str]:
    """The names, as included, of files that differ; without those that cannot be read."""
    for name in _included(given.files.values()):
        write_again = _WRITERS.get(Path(name).name)
        if write_again is None:
            continue
        try:
            text = (directory / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # `checks.files` reports it
        if _lines(text) not in [_lines(each) for each in write_again(text, given)]:
            yield name


def _included(files: Iterable[Conf]) -> dict[str, None]:
    """The files that these include, as the includes name them."""
    sections = [section for conf in files for section in conf.sections]
    places = [section.place for section in sections]
    places += [line.place for section in sections for line in section.lines]
    return dict.fromkeys(place.file for place in places)


def _queues(text: str, given: Given) -> Iterator[str]:
    agents = (agent_of_personal_queue(name) for name in _SECTION.findall(text))
    named = {agent: None for agent in agents if agent is not None}
    yield render_queues(named, {}, ring_seconds=given.ring_seconds, command="")


def _extensions(text: str, _: Given) -> Iterator[str]:
    yield render_extensions(_AGENT.findall(text), command="")[0]


def _features(_: str, given: Given) -> Iterator[str]:
    yield to.features_conf(given.without_ours("features.conf"), given.code, "")


def _pjsip(text: str, given: Given) -> Iterator[str]:
    """For an Asterisk that can hand over the Transfer button, and for one that cannot."""
    conf = given.without_ours("pjsip.conf")
    known = endpoints(conf)
    named = {name: known[name] for name in _ENDPOINT.findall(text) if name in known}
    for current in (True, False):
        yield to.pjsip_conf(
            named,
            order_lines(conf, ("header", "request_uri") if current else ("header",)),
            (*NO_REPLACES, *(("", *NO_CONTROL_CHARACTERS) if current else ())),
            current=current,
            command="",
            features=to.global_features(given.without_ours("extensions.conf")),
        )


def _pbx(text: str, given: Given) -> Iterator[str]:
    for kind in Kind:
        if f"beside the dialplan of {kind.product}." in text:
            yield pbx_dialplan(given.without_ours("extensions.conf"), kind.product, "")


def _users(text: str) -> to.Connections:
    user = next(iter(_SECTION.findall(text)), "")
    return to.Connections(ami_user=user, ami_secret="", ari_user=user, ari_password="")


def _manager(text: str, _: Given) -> Iterator[str]:
    yield to.manager_conf(_users(text), "")


def _ari(text: str, _: Given) -> Iterator[str]:
    yield to.ari_conf(_users(text), "")


_WRITERS: Final[Mapping[str, Callable[[str, Given], Iterator[str]]]] = {
    "avp_ari.conf": _ari,
    "avp_extensions.conf": _extensions,
    "avp_features.conf": _features,
    "avp_manager.conf": _manager,
    PBX_DIALPLAN: _pbx,
    "avp_pjsip.conf": _pjsip,
    "avp_queues.conf": _queues,
}


def _lines(text: str) -> list[str]:
    """Without comments, spaces and the values that are the call centre's own."""
    found: list[str] = []
    for written in text.splitlines():
        line = _OWN_VALUES.sub(r"\1", " ".join(re.sub(r"(?<!\\);.*", "", written).split()))
        # Several addresses may be permitted.
        if line and not (line == "permit" and line in found[-1:]):
            found.append(line)
    return found
