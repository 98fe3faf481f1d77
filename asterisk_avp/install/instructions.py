"""INSTALL.txt: what the administrator does with the files, and the lines that are still to add."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section, is_true
from asterisk_avp.install.files import (
    DEFAULT_AGI,
    ENVIRONMENT,
    OURS,
    SECRET_FILES,
    UNIT,
    Connections,
)


@dataclass(frozen=True, slots=True)
class Addition:
    """Lines for one of the administrator's files. ``section`` None: at the end of the file."""

    file: str
    lines: tuple[str, ...]
    section: str | None = None


_NO_TRANSFER: Final = (
    "; Trunks and callers may not transfer calls: a REFER in their call would send the agent",
    "; anywhere, past every rule. Asterisk refuses it (603), also from a PBX behind a trunk.",
)


def additions(
    files: Mapping[str, Conf], given: Connections, guards: Sequence[str] = ()
) -> list[Addition]:
    """The lines that the administrator still needs to add.

    ``files``: the administrator's files with their includes. ``guards``: the missing lines that
    refuse a REFER from trunks and callers.
    """
    found: list[Addition] = []

    def general(file: str, wanted: Mapping[str, str]) -> None:
        conf = files[file]
        section = conf.first("general")
        missing = [
            f"{name} = {value}"
            for name, value in wanted.items()
            if section is None or not _has(section, name, value)
        ]
        if missing:
            found.append(Addition(file, tuple(missing), "general"))

    def include(file: str, included: str) -> None:
        if not _includes(files[file], included):
            found.append(Addition(file, (f"#include {included}",)))

    if given.agi != DEFAULT_AGI:
        section = files["extensions.conf"].first("globals")
        if section is None or not section.last("avp_agi"):
            line = f"AVP_AGI = agi://{given.agi[0]}:{given.agi[1]}"
            found.append(Addition("extensions.conf", (line,), "globals"))
    include("extensions.conf", "asterisk_avp.conf")
    general("queues.conf", {"shared_lastcall": "yes", "persistentmembers": "yes"})
    include("queues.conf", "avp_queues.conf")
    include("features.conf", "avp_features.conf")
    include("pjsip.conf", "avp_pjsip.conf")
    if guards:
        found.append(Addition("pjsip.conf", (*_NO_TRANSFER, *guards)))
    general("manager.conf", {"enabled": "yes", "bindaddr": _bind(given)})
    include("manager.conf", "avp_manager.conf")
    general("http.conf", {"enabled": "yes", "bindaddr": _bind(given)})
    general("ari.conf", {"enabled": "yes"})
    include("ari.conf", "avp_ari.conf")
    return found


def _bind(given: Connections) -> str:
    local = ipaddress.ip_address(given.source).is_loopback
    return "127.0.0.1" if local else "; the address that the daemon connects to"


def _has(section: Section, name: str, value: str) -> bool:
    written = section.last(name).lower()
    if name == "bindaddr":
        return bool(written)  # the administrator's choice; `check` reports what is exposed
    return written == value or (value == "yes" and is_true(written))


def _includes(conf: Conf, included: str) -> bool:
    places = [section.place for section in conf.sections]
    places += [line.place for section in conf.sections for line in section.lines]
    return any(Path(place.file).name == included for place in places)


def notes(
    folder: Path,
    config_dir: Path,
    todo: Iterable[Addition],
    remarks: Iterable[str],
    directory: str,
    *,
    trunk: str = "",
    pair: tuple[str, str] = ("1001", "1002"),
) -> str:
    """INSTALL.txt: what the administrator does with the files.

    ``todo``: the lines to add. ``directory``: where the unit looks for the settings. ``trunk``: the
    endpoint of the outside line, if known. ``pair``: two agents of one group, for the example.
    """
    one, other = pair
    lines = ["How to install asterisk_avp from these files", ""]
    lines += [*(f"Note: {remark}" for remark in remarks)]
    lines += [""] if lines[-1] else []
    step = 1
    if folder != config_dir:
        lines += [
            f"{step}. Copy the files that Asterisk includes. Asterisk must be able to read them:",
            "",
        ]
        lines += [
            f"    cd {folder}",
            f"    install -m 644 {' '.join(sorted(OURS - SECRET_FILES))} {config_dir}/",
            f"    install -m 640 -g asterisk {' '.join(sorted(OURS & SECRET_FILES))} {config_dir}/",
            "",
        ]
    else:
        lines += [f"{step}. Give Asterisk read access to the two files with passwords:", ""]
        for name in sorted(OURS & SECRET_FILES):
            lines.append(f"    chgrp asterisk {config_dir}/{name}; chmod 640 {config_dir}/{name}")
        lines.append("")
    step += 1
    todo = list(todo)
    if todo:
        lines += [f"{step}. Add these lines to your own files:", ""]
        for addition in todo:
            where = f"in [{addition.section}]" if addition.section else "at the end"
            lines += [f"  {config_dir}/{addition.file}, {where}:", ""]
            lines += [f"    {line}" for line in addition.lines]
            lines.append("")
    else:
        lines += [f"{step}. Your own files already include these. There is nothing to add.", ""]
    lines += [
        "  For transfers to external numbers: your trunk, in extensions.conf below the #include:",
        "",
        "    [avp-external](+)",
        *(
            f"    exten => {what},1,Dial(PJSIP/{number}@{trunk or 'trunk'},60,i)"
            for what, number in (("_+X!", "${AVP_NUMBER}"), ("112", "112"), ("911", "911"))
        ),
        "",
        *(() if trunk else ("  Replace `trunk` with the name of your trunk's endpoint.",)),
        "  Numbers have the form +442079460000. ${AVP_NUMBER:1} is the number without the +.",
        "",
        "  A phone that answers 302 must not forward a call: add option i to every Queue() and",
        "  Dial() of yours that rings agents, e.g. Queue(sales,i).",
        "",
        f"{step + 1}. Make Asterisk read the files. Calls continue:",
        "",
        *(f"    asterisk -rx '{command}'" for command in RELOADS),
        "",
        "   The first time, also restart Asterisk when no calls are left. It applies the order of",
        "   endpoint identifiers (pjsip.conf) only when it starts. Until then, a phone can take",
        "   over somebody else's call:",
        "",
        f"    asterisk -rx '{RESTART}'",
        "",
        f"{step + 2}. Install the settings and the service:",
        "",
        *_placed(folder, directory),
        f"    install -m 644 {folder}/{UNIT} /etc/systemd/system/{UNIT}",
        "    systemctl daemon-reload",
        "    systemctl enable --now asterisk-avp",
        "",
        f"{step + 3}. Check the installation, with the same settings:",
        "",
        f"    set -a; . {directory}/{ENVIRONMENT}; set +a",
        f"    asterisk-avp check --config-dir {config_dir}",
        "",
        f"{step + 4}. Make the first transfer, in the same shell. List the agents:",
        "",
        "    asterisk-avp agents",
        "",
        f"   While {one} is talking to a caller:",
        "",
        f"    asterisk-avp transfer {one} --supervised --to-agent {other}",
        "",
        f"   The caller hears music, and {other}'s phone rings. When {other} has answered,",
        "   complete the transfer with the id that was printed:",
        "",
        "    asterisk-avp complete ID",
        "",
        "The documentation of asterisk_avp explains these steps (docs/install.md), what the lines",
        "for phones and trunks prevent and what you lose by them (docs/security.md), and what the",
        "findings of `asterisk-avp check` mean (docs/check.md).",
        "",
    ]
    return "\n".join(lines)


def _placed(folder: Path, directory: str) -> list[str]:
    """The commands that put the settings where the unit looks for them, if needed."""
    if str(folder) == directory:
        return []
    place = f"{directory}/{ENVIRONMENT}"
    return [f"    install -d {directory}", f"    install -m 600 {folder}/{ENVIRONMENT} {place}"]


RELOADS: Final = (
    "dialplan reload",
    "module reload features",
    "module reload app_queue.so",
    "module reload http",
    "module reload manager",
    "module reload res_ari.so",
    "module reload res_pjsip.so",
)
"""The commands that make Asterisk read the files."""
RESTART: Final = "core restart when convenient"
"""Applies `endpoint_identifier_order`. Asterisk orders the identifiers when it loads their modules
(res_pjsip.c, ast_sip_register_endpoint_identifier_with_name), and
res_pjsip_endpoint_identifier_ip cannot be reloaded."""
