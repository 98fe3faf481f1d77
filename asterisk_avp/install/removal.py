"""`asterisk-avp render all --remove`: what an administrator undoes to take us out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from asterisk_avp.install.files import CONF_FILES, OURS, UNIT
from asterisk_avp.install.instructions import reloads
from asterisk_avp.install.layout import Layout
from asterisk_avp.install.systemd_unit import DIRECTORY

_OURS: Final = re.compile(r"\bavp[-_]|\basterisk_avp\b|\bAVP_|ari-only", re.IGNORECASE)
_COMMENT: Final = re.compile(r"(?<!\\);.*")
_SECTION: Final = re.compile(r"^\s*\[[^\]]+\]")


def steps(config_dir: Path, folder: Path, layout: Layout) -> str:
    """The steps as text. They are found in the files as they are now; nothing is changed."""
    lines = ["How to take asterisk_avp out again", ""]
    lines += ["1. Stop the service. Calls continue; nobody can start a transfer any more:", ""]
    lines += [
        "    systemctl disable --now asterisk-avp",
        f"    rm /etc/systemd/system/{UNIT}",
        "    systemctl daemon-reload",
        "",
    ]
    found = list(_lines(config_dir, layout))
    if found:
        lines += ["2. Remove these lines from your own files:", ""]
        for file, number, text in found:
            lines.append(f"    {config_dir}/{file}:{number}: {text}")
    else:
        lines += ["2. Your own files have no line that mentions asterisk_avp."]
    lines += [
        "",
        "   Phones that dial in avp-agents need their former context again. You may keep",
        "   allow_transfer = no, rtp_timeout and shared_lastcall: they work without asterisk_avp.",
        "",
        "3. Make Asterisk read the files, once no transferred call is left:",
        "",
        *(f"    {command}" for command in reloads(layout.kind)),
        "",
        "4. Delete the files, settings and passwords included:",
        "",
    ]
    there = sorted(name for name in OURS if (config_dir / name).exists())
    if there:
        lines.append(f"    cd {config_dir} && rm {' '.join(there)}")
    lines += [f"    rm -r {place}" for place in dict.fromkeys((str(folder.absolute()), DIRECTORY))]
    if not layout.own:
        lines += [
            "",
            f"5. In the web pages of {layout.kind.product}, switch on again what you want to have:",
            "   the feature codes for In-Call Asterisk Blind Transfer and Attended Transfer.",
        ]
    return "\n".join([*lines, ""])


def _lines(config_dir: Path, layout: Layout) -> Iterator[tuple[str, int, str]]:
    """The lines of the administrator's files that mention us: file, number and text."""
    names = dict.fromkeys(CONF_FILES)
    for file in CONF_FILES:
        names |= dict.fromkeys(sorted(layout.included.get(file, ())))
    seen: set[Path] = set()
    for name in names:
        for path in sorted(config_dir.glob(name)) if not name.startswith("/") else ():
            if path.name in OURS or path in seen or not path.is_file():
                continue
            seen.add(path)
            yield from _of_file(config_dir, path)


def _of_file(config_dir: Path, path: Path) -> Iterator[tuple[str, int, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    shown = str(path.relative_to(config_dir))
    section: list[tuple[int, str, bool]] = []
    for number, line in enumerate([*text.splitlines(), "[]"], start=1):
        code = _COMMENT.sub("", line).strip()
        if _SECTION.match(code) or code == "[]":
            yield from ((shown, at, what) for at, what in _ours(section))
            section = []
        if code:
            section.append((number, code, bool(_OURS.search(code))))


def _ours(section: list[tuple[int, str, bool]]) -> Iterator[tuple[int, str]]:
    """The lines to remove of one section: all of ours, whose header or whose every line is ours."""
    if not section:
        return
    headed = _SECTION.match(section[0][1]) is not None
    body = section[1:] if headed else section
    whole = headed and (section[0][2] or (bool(body) and all(ours for _, _, ours in body)))
    for number, code, ours in section:
        if ours or whole:
            yield number, code
