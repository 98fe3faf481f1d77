"""Which releases of Asterisk have which problem with phones' Transfer button."""

from __future__ import annotations

import pytest

from asterisk_avp.core.pbx.versions import (
    Problem,
    Version,
    can_guard,
    nearest_tested,
    parse,
    records_by_monitor,
    support,
    takes_last,
    troubles,
)

NO_ARI_ONLY = (Problem.NO_ARI_ONLY,)
FIRST = (Problem.BLIND_REFER_CRASH, Problem.BYE_DEFERRED, Problem.REFER_SUB_CRASH)
HANGING = (Problem.BYE_DEFERRED, Problem.REFER_SUB_CRASH)
FATAL = (Problem.REFER_SUB_CRASH,)
UNKNOWN = (Problem.UNKNOWN_VERSION,)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("22.10.1", Version(22, 10, 1)),
        ("22.10.1+dfsg+~cs6.17.60671434-1", Version(22, 10, 1)),
        ("20.6.0~dfsg+~cs6.13.40431414-2build5", Version(20, 6, 0)),
        ("1:22.10.1", None),
        ("22.11.0-rc1", Version(22, 11, 0)),
        ("23.0.0-pre1", Version(23, 0, 0)),
        (" 22.3.0\n", Version(22, 3, 0)),
        ("22.3", Version(22, 3, 0)),
        ("certified-20.7-cert3", Version(20, 7, 0)),
        ("certified/18.9-cert4", Version(18, 9, 0)),
        ("certified-22.8-cert1-rc2", Version(22, 8, 0)),
        ("GIT-22-5a2b3c4d5e", None),
        ("GIT-master-5a2b3c4d5eM", None),
        ("SVN-branch-11-r400000", None),
        ("UNKNOWN__and_probably_unsupported", None),
        ("22", None),
        ("22.10.1.5", None),
        ("", None),
    ],
)
def test_parse(text: str, version: Version | None) -> None:
    assert parse(text) == version


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("16.30.1", NO_ARI_ONLY),
        ("certified/18.9-cert9", NO_ARI_ONLY),
        ("certified-20.7-cert3", NO_ARI_ONLY),
        ("20.12.0", NO_ARI_ONLY),
        ("20.13.0", FIRST),
        ("20.16.0", FIRST),
        ("20.17.0", HANGING),
        ("20.18.0", FATAL),
        ("20.20.1", FATAL),
        ("20.21.0", ()),
        ("21.7.0", NO_ARI_ONLY),
        ("21.8.0", FIRST),
        ("21.11.0", FIRST),
        ("21.12.3", HANGING),  # the last one of its branch
        ("22.0.0", NO_ARI_ONLY),
        ("22.2.0", NO_ARI_ONLY),
        ("22.3.0", FIRST),
        ("22.6.0", FIRST),
        ("22.7.0", HANGING),
        ("22.8.0", FATAL),
        ("22.10.1+dfsg+~cs6.17.60671434-1", FATAL),
        ("22.11.0-rc1", ()),
        ("22.11.2", ()),
        ("23.0.0", FIRST),
        ("23.1.0", HANGING),
        ("23.2.0", FATAL),
        ("23.4.1", FATAL),
        ("23.5.0", ()),
        ("24.0.0", ()),
        ("GIT-22-5a2b3c4d5e", UNKNOWN),
    ],
)
def test_troubles(text: str, problems: tuple[Problem, ...]) -> None:
    assert tuple(trouble.problem for trouble in troubles(text)) == problems


def test_what_is_said_of_them() -> None:
    said = {t.problem: t for v in ("22.2.0", "22.3.0", "GIT-22-1") for t in troubles(v)}
    of_support = {
        *(Problem.TOO_OLD, Problem.NOT_MAINTAINED, Problem.SECURITY_ONLY, Problem.NOT_TESTED)
    }
    assert set(said) == set(Problem) - of_support
    assert {t.issue for t in said.values()} == {None, 1467, 2021}
    serious = {problem for problem, trouble in said.items() if trouble.serious}
    assert serious == {Problem.NO_ARI_ONLY, Problem.BLIND_REFER_CRASH}
    for trouble in said.values():
        assert trouble.what.endswith(".")
        assert trouble.remedy.endswith(".")
        assert ("allow_transfer=no" in trouble.remedy) or not trouble.serious


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("11.25.3", Problem.TOO_OLD),
        ("certified/13.21-cert6", Problem.TOO_OLD),
        ("15.7.4", Problem.TOO_OLD),
        ("16.28.0~dfsg-0+deb11u4", Problem.NOT_MAINTAINED),
        ("18.26.4", Problem.NOT_MAINTAINED),
        ("19.8.1", Problem.NOT_MAINTAINED),
        ("20.20.1", None),
        ("21.12.3", Problem.SECURITY_ONLY),
        ("22.0.0", None),
        ("22.11.0-rc2+dfsg+~cs6.17.60671434-1", None),
        ("23.4.1", None),
        ("24.0.0", Problem.NOT_TESTED),
        ("GIT-22-5a2b3c4d5e", None),
    ],
)
def test_what_speaks_against_a_version(text: str, problem: Problem | None) -> None:
    found = support(text)
    assert (found and found.problem) == problem
    if found is not None:
        assert found.what.endswith(".")
        assert found.remedy.endswith(".")


def test_the_word_for_the_next_version() -> None:
    found = support("24.0.0-rc1")
    assert found is not None
    assert "Asterisk 24 is newer" in found.what
    for release in ("20.20.1", "21.12.3", "22.10.1", "23.4.1"):
        assert release in found.what  # what was run, and not a major version


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("22.5.0", "22.10.1"),
        ("20.20.1", "20.20.1"),
        ("23.9.0", "23.4.1"),
        ("24.0.0", ""),
        ("18.26.4", ""),
        ("GIT-22-5a2b3c4d5e", ""),
    ],
)
def test_the_release_that_was_run(text: str, release: str) -> None:
    assert nearest_tested(text) == release


@pytest.mark.parametrize(
    ("text", "last", "monitor", "guard"),
    [
        ("16.28.0~dfsg-0+deb11u4", False, True, False),
        ("certified-20.7-cert3", False, True, False),
        ("20.16.0", False, True, False),
        ("20.17.0", False, True, True),
        ("20.20.1", False, True, True),
        ("21.11.0", False, False, False),
        ("21.12.3", False, False, True),
        ("22.6.0", False, False, False),
        ("22.10.1+dfsg+~cs6.17.60671434-1", False, False, True),
        ("22.11.0-rc1", False, False, True),
        ("23.0.0", True, False, False),
        ("23.4.1", True, False, True),
        ("24.0.0", True, False, True),
        ("GIT-23-5a2b3c4d5e", None, None, True),
    ],
)
def test_what_versions_do_otherwise(
    text: str, last: bool | None, monitor: bool | None, guard: bool
) -> None:
    assert (takes_last(text), records_by_monitor(text)) == (last, monitor)
    assert can_guard(text) == guard


def test_no_version_is_an_unknown_one() -> None:
    assert (takes_last(None), records_by_monitor(None)) == (None, None)
