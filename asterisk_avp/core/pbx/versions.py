"""Supported versions of Asterisk, and their known faults with the phones' Transfer button.

A phone's Transfer button sends a REFER. `PJSIP_TRANSFER_HANDLING()=ari-only` on its endpoint passes
the REFER to the daemon; without it, Asterisk transfers the call itself and bypasses the policy.
Where a version lacks or breaks that, `allow_transfer=no` refuses the REFER instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

_NUMBER = re.compile(r"(?:certified[-/])?(?P<numbers>\d+(?:\.\d+){1,2})(?![\d.])")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release of Asterisk, such as 22.10.1."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str) -> Version | None:
    """The release in Asterisk's version string; None where it names no release.

    A distribution's suffix is ignored (`22.10.1+dfsg…`). A release candidate counts as its release
    (`22.11.0-rc1`), and a certified version as the release it is based on, although it may contain
    further fixes (`certified-20.7-cert3`). A build from a branch (`GIT-22-5a2b…`) names no release.
    """
    found = _NUMBER.match(text.strip())
    if found is None:
        return None
    numbers = [int(number) for number in found["numbers"].split(".")]
    return Version(*numbers)


class Problem(StrEnum):
    """The fault of a version, described by `Trouble`."""

    TOO_OLD = "too_old"
    NOT_MAINTAINED = "not_maintained"
    NOT_TESTED = "not_tested"
    UNKNOWN_VERSION = "unknown_version"
    NO_ARI_ONLY = "no_ari_only"
    BLIND_REFER_CRASH = "blind_refer_crash"
    BYE_DEFERRED = "bye_deferred"
    REFER_SUB_CRASH = "refer_sub_crash"


@dataclass(frozen=True, slots=True)
class Trouble:
    """``what`` goes wrong, and its ``remedy``, both as sentences.

    ``issue``: the number of Asterisk's issue, if any. ``serious``: the phones' Transfer button must
    be off (`allow_transfer=no`) on such a version.
    """

    problem: Problem
    what: str
    remedy: str
    issue: int | None = None
    serious: bool = False


_SWITCH_OFF = "set allow_transfer=no on the agents' endpoints until then"

_NO_ARI_ONLY = Trouble(
    Problem.NO_ARI_ONLY,
    "It cannot pass a phone's Transfer button to the daemon: it lacks"
    " PJSIP_TRANSFER_HANDLING()=ari-only, transfers the call itself, and bypasses the policy.",
    f"Upgrade; {_SWITCH_OFF}.",
    serious=True,
)
_BLIND_REFER = Trouble(
    Problem.BLIND_REFER_CRASH,
    "A blind transfer by a phone's Transfer button fails, and can crash Asterisk.",
    f"Upgrade; {_SWITCH_OFF}.",
    issue=1467,
    serious=True,
)
_BYE = Trouble(
    Problem.BYE_DEFERRED,
    "A phone that hangs up after using its Transfer button keeps its channel until the transfer"
    " is over.",
    "Upgrade.",
)
_REFER_SUB = Trouble(
    Problem.REFER_SUB_CRASH,
    "Any phone with ari-only can crash Asterisk from within a call by a REFER with"
    " Refer-Sub: false.",
    f"Upgrade, or, if you cannot trust the agents' phones, {_SWITCH_OFF}.",
    issue=2021,
)
_UNKNOWN = Trouble(
    Problem.UNKNOWN_VERSION,
    "It does not name a release, so its support of the phones' Transfer button is unknown.",
    "Compare with the table in asterisk_avp/core/pbx/versions.py.",
)

_TOO_OLD = Trouble(
    Problem.TOO_OLD,
    "It is too old for session transfer: ARI cannot filter events, and the dialplan lacks"
    " functions that are required.",
    "Upgrade to Asterisk 22; the daemon accepts no transfers until then.",
    serious=True,
)
_NOT_MAINTAINED = Trouble(
    Problem.NOT_MAINTAINED,
    "Its branch has reached end of life: the Asterisk project no longer fixes it, not even"
    " security faults.",
    "Upgrade to Asterisk 22, on which session transfer is tested.",
)
_NOT_TESTED = Trouble(
    Problem.NOT_TESTED,
    "Session transfer is tested on Asterisk 22 and not on this version.",
    "Test every kind of transfer that you enable, or use Asterisk 22.",
)
_OLDEST = 16
"""The tests ran on 16.28, the oldest release tried."""
_MAINTAINED = 20
_ENDED = frozenset({21})
"""Later branches that were maintained for one year only and have reached end of life."""
_TESTED = frozenset({22})

_TABLE: tuple[tuple[Trouble, Mapping[int, int | None]], ...] = (
    # Fixed in: minor version by major version; None: not fixed in the last release of that branch.
    # By Asterisk's tags; 20.21, 22.11 and 23.5 by their release candidates.
    (_NO_ARI_ONLY, {20: 13, 21: 8, 22: 3, 23: 0}),
    (_BLIND_REFER, {20: 17, 21: 12, 22: 7, 23: 1}),
    (_BYE, {20: 18, 21: None, 22: 8, 23: 2}),
    (_REFER_SUB, {20: 21, 21: None, 22: 11, 23: 5}),
)
_FIRST, _LAST = 20, 23


def troubles(text: str) -> tuple[Trouble, ...]:
    """The faults of the version ``text``, most serious first."""
    version = parse(text)
    if version is None:
        return (_UNKNOWN,)
    found = tuple(trouble for trouble, gone in _TABLE if _has(version, gone))
    # A version without ari-only cannot have the faults of ari-only.
    return (_NO_ARI_ONLY,) if _NO_ARI_ONLY in found else found


def support(text: str) -> Trouble | None:
    """Why the version ``text`` is not supported; None where it is.

    With `Problem.TOO_OLD`, no transfer may be accepted, because it would fail halfway.
    """
    version = parse(text)
    if version is None or version.major in _TESTED:
        return None
    if version.major < _OLDEST:
        return _TOO_OLD
    if version.major < _MAINTAINED or version.major in _ENDED:
        return _NOT_MAINTAINED
    return _NOT_TESTED


def _has(version: Version, gone: Mapping[int, int | None]) -> bool:
    if version.major < _FIRST or version.major > _LAST:
        return version.major < _FIRST
    since = gone[version.major]
    return since is None or version.minor < since
