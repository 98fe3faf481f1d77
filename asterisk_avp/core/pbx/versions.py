"""Versions of Asterisk: which are supported, what is wrong with them, and in what they differ.

A phone's Transfer button sends a REFER. `PJSIP_TRANSFER_HANDLING()=ari-only` on its endpoint passes
the REFER to the daemon; without it, Asterisk transfers the call itself and bypasses the policy.
Where a version lacks or breaks that, `allow_transfer=no` refuses the REFER instead.

What is said here of a release was read in its tag of Asterisk's repository.
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
    SECURITY_ONLY = "security_only"
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
_SECURITY_ONLY = Trouble(
    Problem.SECURITY_ONLY,
    "Its branch has been closed to everything but security faults since 21.12.0, so that faults of"
    " its Transfer button remain.",
    "Upgrade to Asterisk 22, which has long-term support.",
)
_OLDEST = 16
"""The tests ran on 16.28, the oldest release tried."""
_MAINTAINED = 20
_SECURITY = frozenset({21})
"""Branches with security fixes alone: 21.12.1 to 21.12.3 (February to June 2026) contain nothing
else, and no 21.13 followed when 20.18, 22.8 and 23.2 did."""
_TESTED: Mapping[int, str] = {20: "20.20.1", 21: "21.12.3", 22: "22.10.1", 23: "23.4.1"}
"""The releases that the tests ran on, one in each branch. docs/limits.md says which tests: all on
22.10.1 (Debian's, as in CI); on the others, which were built from Asterisk's own source, those of
transfers, codecs and recordings."""


def _not_tested(major: int) -> Trouble:
    releases = list(_TESTED.values())
    return Trouble(
        Problem.NOT_TESTED,
        f"Asterisk {major} is newer than this release of asterisk_avp, which was tested on"
        f" {', '.join(releases[:-1])} and {releases[-1]}.",
        "Look for a newer release of asterisk_avp; until there is one, test every kind of transfer"
        f" that you enable, or use Asterisk 22 or {max(_TESTED)}.",
    )


_TABLE: tuple[tuple[Trouble, Mapping[int, int | None]], ...] = (
    # Fixed in: minor version by major version; None: not fixed in the last release of that branch.
    # By the sources of these tags; 20.21, 22.11 and 23.5 by their release candidates.
    # "ari-only" in channels/pjsip/dialplan_functions.c:
    (_NO_ARI_ONLY, {20: 13, 21: 8, 22: 3, 23: 0}),
    # main/stasis_channels.c, ast_ari_transfer_message_create without a protocol_id:
    (_BLIND_REFER, {20: 17, 21: 12, 22: 7, 23: 1}),
    # res_pjsip_refer.c, refer_incoming_ari_request without ast_sip_session_defer_termination:
    (_BYE, {20: 18, 21: None, 22: 8, 23: 2}),
    # The same, with a subscription that Refer-Sub: false leaves out:
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
    """Why the version ``text`` is not supported, or not fully; None where it is.

    With `Problem.TOO_OLD`, no transfer may be accepted, because it would fail halfway.
    """
    version = parse(text)
    if version is None:
        return None
    if version.major < _OLDEST:
        return _TOO_OLD
    if version.major < _MAINTAINED:
        return _NOT_MAINTAINED
    if version.major in _SECURITY:
        return _SECURITY_ONLY
    return None if version.major in _TESTED else _not_tested(version.major)


def nearest_tested(text: str) -> str:
    """The release of this version's branch on which the tests ran; empty where none was."""
    version = parse(text)
    return "" if version is None else _TESTED.get(version.major, "")


def can_guard(text: str) -> bool:
    """Whether the phones' Transfer button may be on, so that the daemon gets what it asks for.

    For a version that names no release, True: only who builds from a branch has one.
    """
    return not any(trouble.serious for trouble in troubles(text))


_TAKES_LAST = 23
_ONLY_MIX_MONITOR = 21


def takes_last(text: str | None) -> bool | None:
    """Whether the last of several lines with one name counts, and not the first; None: unknown.

    This applies where Asterisk asks for a value by its name (config.c, ast_variable_retrieve), as
    `app_queue` does for ``[general]``, and to ``name += value`` behind several equal lines
    (ast_variable_update). Other files are read line by line, in every version.
    ``text``: Asterisk's version, if it is known.
    """
    version = parse(text or "")
    return None if version is None else version.major >= _TAKES_LAST


_FILTERS_BY_NAME: Mapping[int, int] = {20: 11, 21: 6, 22: 1}


def filters_by_name(text: str | None) -> bool | None:
    """Whether AMI's event filters can have options, such as ``eventfilter(name(Hangup))``.

    Earlier versions ignore such a line (manager.c, ``__init_manager``). None: unknown.
    ``text``: Asterisk's version, if it is known.
    """
    version = parse(text or "")
    if version is None:
        return None
    first = min(_FILTERS_BY_NAME)
    return version.major >= first and version.minor >= _FILTERS_BY_NAME.get(version.major, 0)


def records_by_monitor(text: str | None) -> bool | None:
    """Whether `app_queue` records by Monitor unless ``monitor-type`` says MixMonitor.

    Later versions know only MixMonitor (app_queue.c, try_calling). None: the version is unknown.
    ``text``: Asterisk's version, if it is known.
    """
    version = parse(text or "")
    return None if version is None else version.major < _ONLY_MIX_MONITOR


def _has(version: Version, gone: Mapping[int, int | None]) -> bool:
    if version.major < _FIRST or version.major > _LAST:
        return version.major < _FIRST
    since = gone[version.major]
    return since is None or version.minor < since
