"""What checks are given, and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asterisk_avp.asterisk_conf import Conf
from asterisk_avp.core.model import World

FILES = ("extensions.conf", "features.conf", "pjsip.conf", "queues.conf")
"""The files that are looked at, with what they include."""

FEATURE_CODE = "*7"
"""The keys that agents press to transfer a call, unless it is set otherwise."""


class Severity(StrEnum):
    """``error``: a rule can be got round, or transfers fail. ``warning``: to be looked at."""

    ERROR = "error"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    ``id`` names the kind of finding and never changes; ``what`` is the case and ``why`` it matters.
    ``where`` is a file, or a line of one (`extensions.conf:16`). ``mend`` are the lines that mend
    it, to be written in place of that line, or at the end of the file. Where only the administrator
    can know them, they are a comment that says what to write.
    """

    id: str
    severity: Severity
    what: str
    why: str = ""
    where: str = ""
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What was collected.

    ``version``: as Asterisk says it, or None, and then ``unreachable`` says why it did not.
    ``world``: our own settings, or None, and then ``settings`` says what is wrong with them.
    """

    files: Mapping[str, Conf]
    version: str | None = None
    unreachable: str = ""
    world: World | None = None
    settings: str = ""
    feature_code: str = FEATURE_CODE
    _nothing: Conf = field(default=Conf("", found=False), repr=False)

    def file(self, name: str) -> Conf:
        return self.files.get(name, self._nothing)
