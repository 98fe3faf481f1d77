"""Which lines does a PBX's web interface write again at each *Apply Config*?

FreePBX and Issabel write `*_additional.conf`, and the files that include them belong to their
modules. An administrator changes them in the web interface only, so a finding must say that, and
not ask for an edit that is gone a day later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Line

_SUFFIX: Final = "_additional.conf"
WHOSE: Final = (
    "The PBX's web interface writes these lines again at each Apply Config, so do not edit them."
)


def rewritten(conf: Conf) -> frozenset[str]:
    """The files of ``conf``, as included, that a web interface writes."""
    sections = conf.sections
    names = {line.place.file for section in sections for line in section.lines}
    names |= {section.place.file for section in sections}
    found = {name for name in names if Path(name).name.endswith(_SUFFIX)}
    return frozenset(found | {conf.name} if found else found)


def is_rewritten(line: Line, files: frozenset[str]) -> bool:
    """Whether a line is in one of ``files`` (`rewritten`)."""
    return line.place.file in files


def shown(lines: list[Line], most: int = 8) -> str:
    """The places of lines, those of one file together: ``a.conf:1, 5, 9 and 3 more``."""
    texts = []
    for file in dict.fromkeys(line.place.file for line in lines):
        numbers = [str(line.place.line) for line in lines if line.place.file == file]
        more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
        texts.append(f"{file}:{', '.join(numbers[:most])}{more}")
    return "; ".join(texts)
