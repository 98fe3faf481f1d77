"""Run tests, run the few that failed once more for diagnosis, and judge: `tests/run` uses it.

    python -m tests.flaky NAME [PYTEST ARGUMENTS OF THE FIRST RUN] -- PATHS AND ARGUMENTS OF BOTH

A test that failed fails the run, also if it passes when run again: it looks at a single moment,
does not wait long enough, or has found a race of ours. The only exceptions are in `flaky.txt`: at
most three, each with its reason. The second run tells a race from a fault.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

LIST = Path(__file__).with_name("flaky.txt")
MOST = 3
MOST_AGAIN = 5
"""More failures than that are not run again."""
FAILURES = "failures.txt"
"""What failed in the first runs, in short: CI prints it last."""
LINES = 8
EVIDENCE = "the call centre"
"""The property of a test, in its JUnit XML, that has what its call centre was like."""
EVIDENCE_LINES = 12
"""Of each of its parts, which begin with ``---``: the last ones."""
LONGEST = 240
PHONE_CRASHED = "a phone crashed"
"""The one entry that is not a test: see `pytest_runtest_protocol` in `tests/asterisk`."""


def read(text: str) -> dict[str, str]:
    """The entries of `flaky.txt` and their reasons; a reason that is missing is empty."""
    lines = (line.strip() for line in text.splitlines())
    parts = (line.partition(" - ") for line in lines if line and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, _, reason in parts}


def unlisted(tests: Iterable[str], entries: Iterable[str]) -> list[str]:
    """Those of ``tests`` that no entry allows to pass only when run again."""
    names = set(entries)
    return [test for test in tests if not {test, test.partition("[")[0]} & names]


def run(cache: Path, first: Sequence[str], both: Sequence[str], entries: Iterable[str]) -> int:
    """The exit status: that of pytest, or 1 for a test that passed only when run again."""
    pytest = (sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}")
    shutil.rmtree(cache, ignore_errors=True)
    report = cache.with_suffix(".xml")
    status = subprocess.run(
        [*pytest, f"--junitxml={report}", *first, *both], check=False
    ).returncode
    if status and report.exists():
        with cache.with_name(FAILURES).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in failures(report.read_text(encoding="utf-8")))
    kept = cache / "v" / "cache" / "lastfailed"
    failed = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if not status or not 0 < len(failed) <= MOST_AGAIN:
        return status
    say(f"{len(failed)} failed; once more, by themselves, for diagnosis", failed)
    again = ("--last-failed", "--last-failed-no-failures", "none")
    status = subprocess.run([*pytest, *again, *both], check=False).returncode
    if status:
        return status
    if wrong := unlisted(failed, entries):
        say("failed, since these passed only when run again and are not in tests/flaky.txt", wrong)
        return 1
    say("passed only when run again, as tests/flaky.txt allows", failed)
    return 0


def failures(report: str) -> Iterator[str]:
    """The tests that failed, with the end of what pytest says of each, from its JUnit XML."""
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - written by our own pytest
        for result in (*case.iterfind("failure"), *case.iterfind("error")):
            yield f"{case.get('classname')}::{case.get('name')}"
            lines = (result.text or result.get("message") or "").splitlines()
            wrong = [line for line in lines if line.startswith(("E  ", ">  "))]
            yield from (f"    {line[:LONGEST]}" for line in (wrong or lines)[-LINES:])
        for found in case.iterfind("properties/property"):
            if found.get("name") == EVIDENCE:
                yield from (f"    {line}" for line in in_short(found.get("value", "")))


def in_short(evidence: str) -> Iterator[str]:
    """The end of each part, without what every line of a log repeats."""
    for part in re.split(r"^(?=---)", evidence, flags=re.MULTILINE):
        heading, *lines = part.splitlines() or [""]
        if any(line.strip("() ") not in ("", "nothing") for line in lines):
            yield heading
            yield from (
                re.sub(r"\[[a-z_. ]+\] *|^[0-9-]+T", "", line)[:LONGEST]
                for line in lines[-EVIDENCE_LINES:]
            )


def say(text: str, tests: Iterable[str]) -> None:
    print(f"tests/run: {text}:", *tests, sep="\n  ", file=sys.stderr, flush=True)


def main() -> None:
    name, *arguments = sys.argv[1:]
    at = arguments.index("--")
    entries = read(LIST.read_text(encoding="utf-8"))
    sys.exit(run(Path(".pytest_cache", name), arguments[:at], arguments[at + 1 :], entries))


if __name__ == "__main__":
    main()
