"""Which versions of Asterisk this runs on, and what each can do with a phone's Transfer button.

A phone's Transfer button sends a REFER. `PJSIP_TRANSFER_HANDLING()=ari-only` on its endpoint hands
that REFER to the daemon; without it Asterisk transfers the call itself, past every rule. Where a
version is too old or too dangerous for that, `allow_transfer=no` refuses the REFER instead.
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
    """The release that Asterisk says it is; None where it names none.

    What a distribution appends is passed over (`22.10.1+dfsg…`). A candidate counts as its release
    (`22.11.0-rc1`), and a certified one as the release it is made from, although it may have more
    (`certified-20.7-cert3`). A build from a branch (`GIT-22-5a2b…`) may be anything.
    """
    found = _NUMBER.match(text.strip())
    if found is None:
        return None
    numbers = [int(number) for number in found["numbers"].split(".")]
    return Version(*numbers)


class Problem(StrEnum):
    """What a version gets wrong. `Trouble` says what it means."""

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
    """``what`` goes wrong, and ``remedy``, what to do about it, both as sentences.

    ``issue`` is its number in Asterisk's list of issues, where it has one. ``serious``: the phones'
    Transfer button must be switched off (`allow_transfer=no`) for as long as this is so.
    """

    problem: Problem
    what: str
    remedy: str
    issue: int | None = None
    serious: bool = False


_SWITCH_OFF = "set allow_transfer=no on the agents' endpoints until then"

_NO_ARI_ONLY = Trouble(
    Problem.NO_ARI_ONLY,
    "It cannot hand a phone's Transfer button to the daemon: it has no"
    " PJSIP_TRANSFER_HANDLING()=ari-only, and transfers the call itself, past every rule.",
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
    "A phone that hangs up after its Transfer button was pressed keeps its channel until the"
    " transfer is over.",
    "Upgrade.",
)
_REFER_SUB = Trouble(
    Problem.REFER_SUB_CRASH,
    "Any phone with ari-only that is in a call can crash Asterisk, by a REFER with"
    " Refer-Sub: false.",
    f"Upgrade, or, where agents' phones cannot be trusted, {_SWITCH_OFF}.",
    issue=2021,
)
_UNKNOWN = Trouble(
    Problem.UNKNOWN_VERSION,
    "It does not name a release, so what it can do with phones' Transfer button is not known.",
    "Compare with the table in asterisk_avp/core/pbx/versions.py.",
)

_TOO_OLD = Trouble(
    Problem.TOO_OLD,
    "It is too old for session transfer: its REST interface cannot leave events out, and its"
    " dialplan lacks functions that are used.",
    "Upgrade to Asterisk 22; no transfer is taken until then.",
    serious=True,
)
_NOT_MAINTAINED = Trouble(
    Problem.NOT_MAINTAINED,
    "Its branch is at its end: Asterisk's project mends nothing of it any more, not even what"
    " endangers its safety.",
    "Upgrade to Asterisk 22, on which session transfer is tested.",
)
_NOT_TESTED = Trouble(
    Problem.NOT_TESTED,
    "Session transfer is tested on Asterisk 22 and not on this version.",
    "Try every kind of transfer that you switch on, or take Asterisk 22.",
)
_OLDEST = 16
"""16.28 is the oldest that transfers were tried on, by the tests."""
_MAINTAINED = 20
_ENDED = frozenset({21})
"""Above it, which were of one year only and are at their end."""
_TESTED = frozenset({22})

_TABLE: tuple[tuple[Trouble, Mapping[int, int | None]], ...] = (
    # Gone since: the minor version by major version; None: still there in the last release of that
    # branch. By Asterisk's tags; those of 20.21, 22.11 and 23.5 by their release candidates.
    (_NO_ARI_ONLY, {20: 13, 21: 8, 22: 3, 23: 0}),
    (_BLIND_REFER, {20: 17, 21: 12, 22: 7, 23: 1}),
    (_BYE, {20: 18, 21: None, 22: 8, 23: 2}),
    (_REFER_SUB, {20: 21, 21: None, 22: 11, 23: 5}),
)
_FIRST, _LAST = 20, 23


def troubles(text: str) -> tuple[Trouble, ...]:
    """What is wrong with the Asterisk that calls itself ``text``, the most serious first."""
    version = parse(text)
    if version is None:
        return (_UNKNOWN,)
    found = tuple(trouble for trouble, gone in _TABLE if _has(version, gone))
    # What has no ari-only has no faults of it either.
    return (_NO_ARI_ONLY,) if _NO_ARI_ONLY in found else found


def support(text: str) -> Trouble | None:
    """What speaks against the Asterisk that calls itself ``text``; None where nothing does.

    With `Problem.TOO_OLD` no transfer may be taken: it would work by halves.
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
