"""Where the parts of an Asterisk are within a root file system, or what is missing there.

Debian's package and Asterisk's own ``make install`` have other folders, and ``--prefix`` a third
one. The folders are found by what is in them; of several, those count which the program was built
with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_PROGRAMS: Final = ("usr/sbin", "usr/local/sbin", "opt/*/sbin")
_MODULES: Final = (
    *("usr/lib/asterisk/modules", "usr/lib64/asterisk/modules", "usr/lib/*/asterisk/modules"),
    *("usr/local/lib/asterisk/modules", "opt/*/lib/asterisk/modules"),
)
_DATA: Final = (
    *("usr/share/asterisk", "var/lib/asterisk", "usr/local/share/asterisk"),
    *("usr/local/var/lib/asterisk", "opt/*/var/lib/asterisk", "opt/*/share/asterisk"),
)
_NEEDED_MODULES: Final = (
    *("app_queue", "app_stasis", "app_mixmonitor", "app_userevent", "app_confbridge", "app_read"),
    *("bridge_softmix", "chan_pjsip", "codec_ulaw", "format_wav", "func_json", "pbx_config"),
    *("res_agi", "res_ari_bridges", "res_ari_channels", "res_ari_events", "res_musiconhold"),
    *("res_pjsip", "res_pjsip_refer", "res_pjsip_registrar", "res_pjsip_session"),
    *("res_rtp_asterisk", "res_stasis_recording", "res_timing_timerfd"),
)
_PHONES: Final = "Debian's package baresip-core"
_NEEDED: Final = {
    "usr/bin/baresip": _PHONES,
    "usr/lib/baresip/modules/ctrl_tcp.so": _PHONES,
    "usr/lib/baresip/modules/sndfile.so": _PHONES,
    "usr/lib/baresip/modules/aufile.so": _PHONES,
    "usr/bin/setpriv": "util-linux",
    "usr/bin/env": "coreutils",
    "dev/null": "a device: mknod -m 666 dev/null c 1 3",
}
_MOST_LINKS: Final = 20


@dataclass(frozen=True)
class Build:
    """An Asterisk in ``root``. ``asterisk`` and ``data``: its program and astdatadir, seen inside.

    ``uid``, ``gid``: the user ``asterisk``, or nobody.
    """

    root: Path
    asterisk: str
    data: str
    uid: int
    gid: int


class Incomplete(Exception):
    """Something is missing in a root file system. ``parts``: each missing part, one sentence."""

    def __init__(self, root: Path, parts: Iterable[str]) -> None:
        self.parts = tuple(parts)
        super().__init__(f"{root} lacks: {'; '.join(self.parts)}")


def find(root: Path) -> Build:
    """The Asterisk in this folder. Raises `Incomplete`."""
    if not root.is_dir():
        raise Incomplete(root, ["the folder itself, which does not exist"])
    missing = [f"/{name} ({source})" for name, source in _NEEDED.items() if not _is(root, name)]
    program = next(_found(root, _PROGRAMS, "asterisk"), None)
    if program is None:
        missing.append(f"the program asterisk, in {_shown(_PROGRAMS)}")
    code = b"" if program is None else (root / program / "asterisk").read_bytes()
    modules = _own(_found(root, _MODULES, "app_queue.so"), code)
    if modules is None:
        missing.append(f"Asterisk's modules (app_queue.so), in {_shown(_MODULES)}")
    else:
        absent = [x for x in _NEEDED_MODULES if not _is(root, f"{modules}/{x}.so")]
        missing += [f"the modules {', '.join(absent)} in /{modules}"] if absent else []
    data = _own(_found(root, _DATA, "documentation/core-en_US.xml"), code)
    if data is None:
        missing.append(
            f"documentation/core-en_US.xml (astdatadir), in {_shown(_DATA)}; ARI and PJSIP do not"
            " load without it"
        )
    else:
        missing += [
            f"/{data}/{part} ({what})"
            for part, what in (
                ("rest-api/resources.json", "make install"),
                ("sounds/en/digits", "the core sounds in English"),
            )
            if not _is(root, f"{data}/{part}")
        ]
    if missing or program is None or data is None:
        raise Incomplete(root, missing)
    return Build(root, f"/{program}/asterisk", f"/{data}", *_user(root))


def _own(folders: Iterable[str], code: bytes) -> str | None:
    """The folder that the program was built with, else the first."""
    found = list(folders)
    built = [x for x in found if f"\0/{x}\0".encode() in code]
    return next(iter((*built, *found)), None)


def _found(root: Path, folders: Iterable[str], part: str) -> Iterator[str]:
    for pattern in folders:
        for folder in sorted(root.glob(pattern)):
            name = folder.relative_to(root).as_posix()
            if _is(root, f"{name}/{part}"):
                yield name


def _is(root: Path, name: str) -> bool:
    """Whether a file or folder is there as seen inside, where links begin at ``root``."""
    left, at = list(PurePosixPath(name).parts), root
    for _ in range(_MOST_LINKS):
        while left and not at.is_symlink():
            part = left.pop(0)
            at = at.parent if part == ".." else at / part
        if not at.is_symlink():
            return at.exists()
        target = at.readlink()
        left = [x for x in target.parts if x != "/"] + left
        at = root if target.is_absolute() else at.parent
    return False


def _user(root: Path) -> tuple[int, int]:
    users = root / "etc/passwd"
    for line in users.read_text().splitlines() if users.is_file() else ():
        entry = line.split(":")
        if entry[0] == "asterisk":
            return int(entry[2]), int(entry[3])
    return 65534, 65534


def _shown(folders: Iterable[str]) -> str:
    return ", ".join(f"/{folder}" for folder in folders)
