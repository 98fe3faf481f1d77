"""The files that `tests/asterisk/seconds.txt` orders are there, longest first, and none twice."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_each_file_is_there_once() -> None:
    text = (TESTS / "asterisk" / "seconds.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    names = [name for _, name in rows]
    assert len(set(names)) == len(names)
    assert [name for name in names if not (TESTS / name).is_file()] == []
    seconds = [int(measured) for measured, _ in rows]
    assert seconds == sorted(seconds, reverse=True)
