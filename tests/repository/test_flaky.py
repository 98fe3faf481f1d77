"""A test that passes only when run again fails the run, unless `tests/flaky.txt` lists it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import flaky

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = flaky.read(flaky.LIST.read_text(encoding="utf-8"))

# Fails once, and passes when it is run again.
ONCE = """
from pathlib import Path

def test_once():
    mark = Path(__file__).with_name("mark")
    if not mark.exists():
        mark.touch()
        assert False
"""


@pytest.fixture(autouse=True)
def plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins take longer to load than these tests to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def outcome(folder: Path, text: str, *entries: str) -> int:
    test = folder / "test_x.py"
    test.write_text(text, encoding="utf-8")
    options = ("-q", "-c", "/dev/null", f"--rootdir={folder}")
    return flaky.run(folder / "cache", options[:1], (*options[1:], str(test)), entries)


def test_the_list_is_short_and_has_reasons() -> None:
    assert len(ENTRIES) <= flaky.MOST
    assert all(len(reason.split()) > 2 for reason in ENTRIES.values())


def test_each_entry_is_a_test() -> None:
    for entry in ENTRIES.keys() - {flaky.PHONE_CRASHED}:
        file, _, name = entry.partition("[")[0].partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize(
    ("text", "entries", "status"),
    [
        ("def test_once(): pass", (), 0),
        (ONCE, (), 1),
        (ONCE, ("test_x.py::test_once",), 0),
        (ONCE, ("test_x.py::test_other",), 1),
        ("def test_once(): assert False", ("test_x.py::test_once",), 1),
    ],
    ids=["passes", "passes when run again", "listed", "another is listed", "fails twice"],
)
def test_how_a_run_ends(tmp_path: Path, text: str, entries: tuple[str, ...], status: int) -> None:
    assert outcome(tmp_path, text, *entries) == status


def test_many_failures_are_not_run_again(tmp_path: Path) -> None:
    """A run after them would have found the mark and passed."""
    many = "import pytest\n" + ONCE.replace("def test_once()", "def test_once(number)").replace(
        'with_name("mark")', 'with_name(f"mark{number}")'
    )
    many = many.replace("\ndef ", "\n@pytest.mark.parametrize('number', range(6))\ndef ")
    assert outcome(tmp_path, many, "test_x.py::test_once") == 1


def test_what_failed_is_kept_in_short(tmp_path: Path) -> None:
    assert outcome(tmp_path, "def test_sum():\n    assert 1 + 1 == 3, 'wrong sum'") == 1
    kept = (tmp_path / flaky.FAILURES).read_text(encoding="utf-8")
    assert "test_sum" in kept
    assert "AssertionError: wrong sum" in kept
    outcome(tmp_path, "def test_sum(): pass")
    assert (tmp_path / flaky.FAILURES).read_text(encoding="utf-8") == kept


def test_its_call_centre_is_kept_with_it(tmp_path: Path) -> None:
    """A failure on another machine can be explained only by what was kept there."""
    text = """
def test_sum(record_property):
    lines = [f"2026-01-31T09:05:0{n % 10}Z [info     ] line {n}  [a.b.c] x={n}" for n in range(30)]
    parts = ["--- bridges", "(nothing)", "--- the daemon's log", *lines, "--- queue_log", "last"]
    record_property("the call centre", "\\n".join(parts))
    assert False
"""
    assert outcome(tmp_path, text) == 1
    kept = (tmp_path / flaky.FAILURES).read_text(encoding="utf-8").splitlines()
    at = kept.index("    --- the daemon's log")
    assert not any("bridges" in line for line in kept)
    assert kept[at + 1 :] == [
        *(f"    09:05:0{n % 10}Z line {n}  x={n}" for n in range(18, 30)),
        "    --- queue_log",
        "    last",
    ]


def test_an_entry_without_parameters_is_for_all_of_them() -> None:
    tests = ["a.py::test_a[1]", "a.py::test_a", "a.py::test_b[x - y]", "a.py::test_b[z]"]
    assert flaky.unlisted(tests, ["a.py::test_a", "a.py::test_b[z]"]) == ["a.py::test_b[x - y]"]


def test_a_line_is_an_entry_and_its_reason() -> None:
    text = "# comment\n\na.py::test_a - late - by a machine\na.py::test_b\n"
    assert flaky.read(text) == {"a.py::test_a": "late - by a machine", "a.py::test_b": ""}
