"""Lines of queues.conf that mean other things in other versions of Asterisk."""

from __future__ import annotations

import pytest

from asterisk_avp.install.asterisk_conf import parse
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.queues import queue_recordings, queue_settings

OLD = ("20.20.1", "21.12.3", "22.10.1+dfsg+~cs6.17.60671434-1")
NEW = ("23.4.1", "24.0.0")


def facts(text: str, version: str | None) -> Facts:
    files = {"queues.conf": parse("queues.conf", lambda _: [("queues.conf", text)])}
    return Facts(files, version)


def lastcall(text: str, version: str | None) -> list[Finding]:
    found = queue_settings(facts(text, version))
    return [x for x in found if x.severity is not Severity.OK and "shared_lastcall" in x.what]


NO_YES = """\
[general]
persistentmembers = yes
shared_lastcall = no
; added by the administrator
shared_lastcall = yes
"""
YES_NO = NO_YES.replace("= no", "= x").replace("call = yes", "call = no").replace("= x", "= yes")


@pytest.mark.parametrize(
    ("text", "version", "lines"),
    [
        *((NO_YES, version, [3]) for version in OLD),
        *((NO_YES, version, []) for version in NEW),
        *((YES_NO, version, []) for version in OLD),
        *((YES_NO, version, [5]) for version in NEW),
        # Where the version is unknown, both must be right.
        (NO_YES, None, [3]),
        (YES_NO, None, [5]),
        (NO_YES.replace("= yes", "= no"), None, [3, 5]),
        (NO_YES.replace("= no", "= yes"), None, []),
        ("[general]\nshared_lastcall = no\n", "GIT-22-5a2b3c4d5e", [2]),
    ],
)
def test_the_line_of_general_that_counts(text: str, version: str | None, lines: list[int]) -> None:
    found = lastcall(text, version)
    assert [x.where for x in found] == [f"queues.conf:{line}" for line in lines]
    for finding, line in zip(found, lines, strict=True):
        assert finding.severity is Severity.ERROR
        assert f"replace line {line} of queues.conf" in finding.what
        assert finding.mend == ("shared_lastcall = yes",)


def test_why_a_line_that_says_yes_is_not_enough() -> None:
    (found,) = lastcall(NO_YES, "22.10.1")
    assert found.what.endswith("because Asterisk takes the first of several lines")
    (found,) = lastcall(YES_NO, "23.4.1")
    assert found.what.endswith("because Asterisk takes the last of several lines")


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("[general]\n", ("[general](+)", "shared_lastcall = yes")),
        # Asterisk rejects a file that adds to a section that does not exist.
        ("[sales]\n", ("[general]", "shared_lastcall = yes")),
    ],
)
def test_a_line_that_is_missing(text: str, mend: tuple[str, ...]) -> None:
    (found,) = lastcall(text, "22.10.1")
    assert (found.where, found.mend) == ("queues.conf", mend)


def recordings(text: str, version: str | None) -> list[tuple[Severity, tuple[str, ...]]]:
    return [(x.severity, x.mend) for x in queue_recordings(facts(text, version))]


RECORDED = "[sales]\nmonitor-format = wav\n[support]\n"


def test_a_queue_that_records_with_monitor() -> None:
    mend = ("[sales](+)", "monitor-type = MixMonitor")
    for version in ("20.20.1", "18.26.4"):
        assert recordings(RECORDED, version) == [(Severity.ERROR, mend)]
    for other in ("21.12.3", "22.10.1", "23.4.1", None):
        assert recordings(RECORDED, other) == []


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("[sales](+)\nmonitor-type = MixMonitor\n", False),
        ("[sales](+)\nmonitor-type = Monitor\n", True),
        # Within a queue MixMonitor stays, whatever comes after it.
        ("[sales](+)\nmonitor-type = mixmonitor\nmonitor-type = Monitor\n", False),
        ("[general]\nmonitor-type = MixMonitor\n", False),
        # Of [general], these versions take the first line.
        ("[general]\nmonitor-type = Monitor\nmonitor-type = MixMonitor\n", True),
        ("[sales](+)\nmonitor-format =\n", False),
    ],
)
def test_monitor_type(more: str, wrong: bool) -> None:
    assert bool(recordings(RECORDED + more, "20.20.1")) == wrong


def test_a_queue_of_a_template() -> None:
    text = "[taped](!)\nmonitor-format = wav\n[sales](taped)\n"
    assert len(recordings(text, "20.20.1")) == 1
